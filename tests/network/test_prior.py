import pytest
import torch

from sk_brainmae.network import BrainMAE
from sk_brainmae.network.prior import SpectralPrior, _factor, _MaskedSolve, _slots
from sk_brainmae.network.prior import conditional_gaussian as by_covariance

N_REGIONS, WINDOW, N_WINDOWS, N_STATES = 6, 4, 5, 3
NOISE = 0.05


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def roi():
    return torch.randn(N_REGIONS, N_REGIONS) / N_REGIONS**0.5


@pytest.fixture
def signal(roi):
    return torch.einsum("ij,bnjt->bnit", roi, torch.randn(2, N_WINDOWS, N_REGIONS, WINDOW))


@pytest.fixture
def visible():
    mask = torch.rand(2, N_WINDOWS, N_REGIONS) > 0.4
    mask[..., 0] = True
    return mask


def make_prior(share=0.5):
    """Return a prior that listens to the windows around."""
    prior = SpectralPrior(N_REGIONS, WINDOW, N_STATES).eval()
    with torch.no_grad():
        prior.log_noise.fill_(NOISE).log_()
        prior.adaptation.fill_(share).logit_()
        prior.persistence.fill_(0.1)
        for name in ("before", "after", "before_alone", "after_alone"):
            getattr(prior, f"from_{name}").copy_(0.3 * torch.randn(WINDOW, WINDOW))
    return prior


def fill(prior, signal, visible, roi):
    return prior.fill(signal, visible, prior(signal, visible, roi))


def conditional_gaussian(signal, visible, covariance):
    """Loop over windows, in float64."""
    filled, covariance = torch.zeros(signal.shape).double(), covariance.double()
    for b in range(len(signal)):
        for k in range(signal.shape[1]):
            seen = visible[b, k]
            known = covariance[seen][:, seen] + NOISE * torch.eye(int(seen.sum()))
            solved = torch.linalg.solve(known, signal[b, k, seen].double())
            filled[b, k] = covariance[:, seen] @ solved
    return filled


def test_prior_of_one_state_without_scan_and_neighbours_is_the_conditional_gaussian(
    signal, visible, roi
):
    prior = make_prior(share=1e-6)
    for name, parameter in prior.named_parameters():
        if name.startswith("from_"):
            torch.nn.init.zeros_(parameter)
    expected = conditional_gaussian(signal, visible, roi @ roi.T)
    torch.testing.assert_close(
        fill(prior, signal, visible, roi).double(), expected, atol=1e-4, rtol=1e-4
    )


def test_conditional_gaussian_equals_a_loop_over_windows(signal, visible, roi):
    covariance = roi @ roi.T
    expected = conditional_gaussian(signal, visible, covariance)
    result = by_covariance(signal, visible, covariance, NOISE)
    torch.testing.assert_close(result.double(), expected, atol=1e-4, rtol=1e-4)


def test_hidden_values_never_reach_the_reconstruction(signal, visible, roi):
    prior = make_prior()
    prior.break_symmetry(0.5, torch.Generator())
    other = torch.where(visible[..., None], signal, 1e3)
    assert torch.equal(fill(prior, signal, visible, roi), fill(prior, other, visible, roi))


def test_states_that_were_not_told_apart_count_as_one(signal, visible, roi):
    prior = make_prior()
    assert prior(signal, visible, roi).means.shape[1] == 1
    together = fill(prior, signal, visible, roi)
    apart = fill(prior.train(), signal, visible, roi)
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_states_that_differ_are_mixed_by_their_evidence(signal, visible, roi):
    prior = make_prior()
    prior.break_symmetry(0.5, torch.Generator())
    posterior = prior(signal, visible, roi)
    assert posterior.means.shape[1] == N_STATES
    sure = torch.full((2, N_STATES, N_WINDOWS, WINDOW), -1e4)
    sure[:, 1] = 0
    for parameter in (prior.from_before, prior.from_after):
        torch.nn.init.zeros_(parameter)
    torch.nn.init.zeros_(prior.from_before_alone)
    torch.nn.init.zeros_(prior.from_after_alone)
    rebuilt = prior.fill(signal, visible, posterior, sure)
    torch.testing.assert_close(rebuilt, posterior.means[:, 1], atol=1e-5, rtol=1e-5)


def test_masks_that_all_windows_share_give_what_a_factor_for_each_gives(signal, roi):
    visible = torch.tensor([True, False, True, True, False, True]).expand(2, N_WINDOWS, -1)
    prior = make_prior()
    shared = fill(prior, signal, visible, roi)
    torch.testing.assert_close(
        shared, fill(prior.train(), signal, visible, roi), atol=1e-5, rtol=1e-5
    )


def test_the_scans_own_covariance_is_learned_from_its_windows(roi):
    own = torch.linalg.qr(torch.randn(N_REGIONS, N_REGIONS))[0][:, :2]  # two directions alone
    signal = torch.einsum("ij,bnjt->bnit", own, torch.randn(1, 40, 2, WINDOW))
    visible = torch.rand(1, 40, N_REGIONS) > 0.3
    hidden = ~visible[..., None].expand_as(signal)

    def error(share):
        prior = make_prior(share)
        for name, parameter in prior.named_parameters():
            if name.startswith("from_"):
                torch.nn.init.zeros_(parameter)
        identity = torch.eye(N_REGIONS)
        return (fill(prior, signal, visible, identity) - signal)[hidden].square().mean()

    assert error(0.9) < 0.6 * error(1e-6)


def test_a_window_in_which_nothing_is_visible_stays_finite_and_is_predicted(signal, visible, roi):
    visible[0, 2] = False
    rebuilt = fill(make_prior(), signal, visible, roi)
    assert rebuilt.isfinite().all()
    assert rebuilt[0, 2].abs().max() > 0, "the windows around tell something"


def test_gradient_of_the_masked_solve_is_that_of_finite_differences(visible):
    slots = _slots(visible, shared=False)
    root = torch.randn(2, 2, N_REGIONS, N_REGIONS, dtype=torch.float64)
    noise = torch.full((N_REGIONS,), 0.5, dtype=torch.float64, requires_grad=True)
    signal = torch.randn(2, 1, N_WINDOWS, N_REGIONS, WINDOW, dtype=torch.float64)

    def solve(root, noise, signal):
        covariance = root @ root.mT
        factor = _factor(covariance.detach(), noise.detach(), slots)
        return _MaskedSolve.apply(covariance, noise, signal, factor, *slots)

    assert torch.autograd.gradcheck(
        solve, (root.requires_grad_(), noise, signal.requires_grad_()), atol=1e-6
    )


def test_untrained_network_says_what_its_prior_says(signal, visible, roi):
    network = BrainMAE(N_REGIONS, WINDOW, 8, 2, 1, "static", N_STATES).eval()
    with torch.no_grad():
        network.prior.load_state_dict(make_prior().state_dict())
        network.roi.copy_(roi)
    expected = fill(network.prior, signal, visible, roi)
    torch.testing.assert_close(network(signal, visible), expected)
    states, _ = network.encode(signal, visible)
    assert states.shape == (2, N_WINDOWS, 8)

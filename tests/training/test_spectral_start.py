import numpy as np
import pytest
import torch

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.network import BrainMAE
from sk_brainmae.scans.covariance import region_covariance
from sk_brainmae.timeseries import validate_scans
from sk_brainmae.training import masked_r2
from sk_brainmae.training.scoring import compare_with_linear
from sk_brainmae.training.spectral_start import spectral_start

WINDOW, N_WINDOWS = 10, 8
LAYOUT = {"window": WINDOW, "n_windows": N_WINDOWS, "batch_size": 8, "device": "cpu"}


def started(scans):
    cohort = validate_scans(scans).as_runs()
    network = BrainMAE(cohort.n_regions, WINDOW, 8, 2, 1, "static", n_states=2)
    spectral_start(network, cohort, n_windows=N_WINDOWS, device="cpu")
    return network.eval(), cohort


@pytest.fixture(scope="module")
def scans():
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(24, 80, 4)).cumsum(axis=1)
    noise = 0.3 * rng.normal(size=(24, 80, 15))
    return sources @ rng.normal(size=(4, 15)) + noise


def test_start_fills_in_unseen_scans_better_than_the_conditional_gaussian(scans):
    network, training = started(scans[:16])
    scores = compare_with_linear(network, training, validate_scans(scans[16:]), **LAYOUT)
    assert scores["network"] > scores["conditional_gaussian"] + 0.05


def test_start_is_the_same_every_time(scans):
    one, other = (started(scans[:16])[0].state_dict() for _ in range(2))
    for name in ("roi", "prior.from_before", "prior.adaptation", "project.weight"):
        assert torch.equal(one[name], other[name])


def test_products_of_roi_embeddings_are_the_covariance_of_whitened_windows(scans):
    network, cohort = started(scans)
    precision = network.prior.precision.double().numpy()
    covariance = region_covariance(cohort, precision)  # already divided by its mean variance
    roi = network.roi.detach().double().numpy()
    np.testing.assert_allclose(roi @ roi.T, covariance, atol=1e-3)


@pytest.mark.filterwarnings("ignore:constant regions", "ignore:.*more regions than frames")
@pytest.mark.parametrize(
    "damage",
    [
        lambda scans: scans[:, :12],  # a single window, fewer frames than regions
        lambda scans: np.concatenate([scans, scans[:, :, :3]], axis=2),  # duplicate regions
        lambda scans: scans * (np.arange(15) != 3),  # a region missing in all scans
        lambda scans: scans[:, :, :2],
        lambda scans: scans[:2],
    ],
    ids=["one window", "duplicate regions", "missing everywhere", "two regions", "two scans"],
)
def test_start_from_poor_scans_is_finite(scans, damage):
    network, cohort = started(damage(scans))
    assert all(weight.isfinite().all() for weight in network.state_dict().values())
    assert np.isfinite(masked_r2(network, cohort, **LAYOUT))


def test_training_learns_states_that_no_single_gaussian_holds():
    cohort = make_cohort(n_scans=50, n_timepoints=120, n_regions=20, noise=0.4, random_state=0)
    training, unseen = cohort.scans[:40], cohort.scans[40:]
    model = BrainMAETransformer(
        window_size=15, crop_length=120, embedding_dim=8, max_epochs=8, lr=0.03, random_state=0
    ).fit(training)
    loss = model.history_["valid_loss"]
    assert loss.min() < 0.9 * loss.iloc[0]
    trained = model.score(unseen)
    assert trained > model.set_params(max_epochs=0).fit(training).score(unseen) + 0.05

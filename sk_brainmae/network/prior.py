"""The spectral prior: hidden regions expected from visible ones, in closed form.

Shapes: B crops of n windows of tau frames, N regions, K brain states, m slots.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Frames to either side whose evidence tells the brain state of a frame.
STATE_REACH = 15
EM_STEPS = 5
SWEEPS = 3


class Slots(NamedTuple):
    """The visible regions of each window, in its first slots; all windows have m slots."""

    region: Tensor  # (B, n, m) int, the region in each slot
    taken: Tensor  # (B, n, m) bool, False in the slots beyond a window's visible regions


class Posterior(NamedTuple):
    """What the prior expects of each window of a crop from its own visible regions."""

    covariance: Tensor  # (B, K, N, N), between regions in this scan, in each brain state
    factor: Tensor  # (B, K, n, m, m), lower Cholesky factor of its visible part with noise
    slots: Slots  # where the visible regions are in the factor
    noise: Tensor  # (N,), variance of a region that no other region shares
    means: Tensor  # (B, K, n, N, tau), the windows expected in each brain state
    evidence: Tensor  # (B, K, n, tau), log-likelihood of a frame in each state, minus its mean


class SpectralPrior(nn.Module):
    """Gaussian prior of windows that adapts to the scan and changes with the brain state.

    A frame has the covariance C = E E' + noise; the ROI embeddings E (N, N) are the scaled
    eigenvectors of the training covariance. In a crop,

    1. C is adapted to the scan by expectation-maximisation over its windows;
    2. each brain state k has its own covariance C_k = (I + M_k) C (I + M_k)', in which the hidden
       regions h of a window are expected from the visible ones v as C_hv C_vv^-1 x_v;
    3. the brain states are mixed frame by frame, by how well each explains the visible regions
       around the frame;
    4. windows are predicted from the one before and the one after; the error of that in the visible
       regions corrects the hidden ones as in 2. This is repeated.

    All steps but 1 are differentiable. Without training all M_k are 0: there is one brain state.
    """

    precision: Tensor

    def __init__(self, n_regions: int, window: int, n_states: int):
        super().__init__()
        self.log_noise = nn.Parameter(torch.zeros(n_regions))
        self.adaptation = nn.Parameter(torch.zeros(()))  # logit of the scan's share in C
        self.modulation = nn.Parameter(torch.zeros(n_states, n_regions, n_regions))  # M
        self.state_bias = nn.Parameter(torch.zeros(n_states))
        self.persistence = nn.Parameter(torch.zeros(2 * STATE_REACH + 1))
        # A window from the ones before and after it; from one alone at the ends of a crop.
        self.from_before = nn.Parameter(torch.zeros(window, window))
        self.from_after = nn.Parameter(torch.zeros(window, window))
        self.from_before_alone = nn.Parameter(torch.zeros(window, window))
        self.from_after_alone = nn.Parameter(torch.zeros(window, window))
        self.register_buffer("precision", torch.eye(window))  # of the frames of a window

    @torch.no_grad()
    def break_symmetry(self, strength: float, generator: torch.Generator) -> None:
        """Make the brain states differ a little: training could not tell equal ones apart."""
        n_regions = self.modulation.shape[-1]
        noise = torch.randn(self.modulation.shape, generator=generator).to(self.modulation.device)
        self.modulation.add_(noise, alpha=strength / n_regions**0.5)

    def is_untold(self) -> bool:
        """Tell whether the brain states are all the same.

        In training on a GPU they count as different: there, passes must not depend on values.
        """
        fixed = self.training and self.modulation.is_cuda
        return not fixed and not self.modulation.any()

    def forward(self, signal: Tensor, visible: Tensor, roi: Tensor) -> Posterior:
        """Expect all regions from the visible ones of the same window, in each brain state.

        Takes ``signal`` (B, n, N, tau), ``visible`` (B, n, N) and the ROI embeddings E (N, r).
        """
        covariance, noise = roi @ roi.T, self.log_noise.exp()
        slots = _slots(visible, shared=not self.training)
        share = self.adaptation.sigmoid()
        of_scan = _adapt(covariance, noise, signal, slots, self.precision, share)  # (B, N, N)
        of_scan = (1 - share) * covariance + share * of_scan
        view = torch.eye(len(roi), device=roi.device) + self._modulations()  # (K, N, N)
        of_state = view @ of_scan[:, None] @ view.mT  # (B, K, N, N)
        factor = _factor(of_state.detach(), noise.detach(), slots)
        weights = _MaskedSolve.apply(of_state, noise, signal[:, None], factor, *slots)
        evidence = -0.5 * (weights * signal[:, None]).sum(-2)  # (B, K, n, tau)
        evidence = evidence - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)[..., None]
        evidence = evidence - evidence.mean(1, keepdim=True)
        means = _spread(of_state, weights)
        return Posterior(of_state, factor, slots, noise, means, evidence)

    def guess(self, signal: Tensor, visible: Tensor, roi: Tensor) -> Tensor:
        """Return the windows (B, n, N, tau) with hidden regions filled in, unadapted to the scan.

        That is what an encoding needs, at a tenth of the cost.
        """
        covariance = (roi @ roi.T).expand(len(signal), 1, -1, -1)
        slots = _slots(visible, shared=True)
        factor = _factor(covariance, self.log_noise.exp(), slots)
        expected = _spread(covariance, _solve(signal[:, None], factor, slots))[:, 0]
        return torch.where(visible[..., None], signal, expected)

    def expect(self, signal: Tensor, visible: Tensor, posterior: Posterior) -> Tensor:
        """Return the windows (B, n, N, tau) with hidden regions filled in from visible ones."""
        gates = self.gates(posterior.evidence)
        return torch.where(visible[..., None], signal, (posterior.means * gates).sum(1))

    def fill(
        self, signal: Tensor, visible: Tensor, posterior: Posterior, feedback: Tensor | float = 0.0
    ) -> Tensor:
        """Rebuild all windows (B, n, N, tau): mix the brain states, and use neighbouring windows.

        ``feedback`` (B, K, n, tau) is added to the log-odds of the brain states.
        """
        gates = self.gates(posterior.evidence, feedback)
        rebuilt = (posterior.means * gates).sum(1)  # (B, n, N, tau)
        for _ in range(SWEEPS):
            known = torch.where(visible[..., None], signal, rebuilt)
            predicted = self._predict_from_neighbours(known)
            weights = _MaskedSolve.apply(
                posterior.covariance,
                posterior.noise,
                (signal - predicted)[:, None],
                posterior.factor,
                *posterior.slots,
            )
            rebuilt = predicted + (_spread(posterior.covariance, weights) * gates).sum(1)
        return rebuilt

    def gates(self, evidence: Tensor, feedback: Tensor | float = 0.0) -> Tensor:
        """Return the probability of each brain state in a frame, (B, K, n, 1, tau).

        It comes from smoothed evidence. With a single brain state the feedback changes nothing.
        """
        n_crops, n_states, *frames = evidence.shape
        evidence = evidence.reshape(n_crops * n_states, 1, -1)
        smooth = F.conv1d(evidence, self.persistence[None, None], padding=STATE_REACH)
        logits = smooth.view(n_crops, n_states, *frames) + self.state_bias[:n_states, None, None]
        if n_states > 1:
            logits = logits + feedback
        return logits.softmax(1)[:, :, :, None]

    def _modulations(self) -> Tensor:
        """Return M_k, (K, N, N); only the first before training has told the states apart."""
        return self.modulation[:1] if self.is_untold() else self.modulation

    def _predict_from_neighbours(self, x: Tensor) -> Tensor:
        """Predict each window (B, n, N, tau) from the one before and the one after."""
        if x.shape[1] == 1:
            return torch.zeros_like(x)
        first = x[:, 1:2] @ self.from_after_alone
        last = x[:, -2:-1] @ self.from_before_alone
        between = x[:, :-2] @ self.from_before + x[:, 2:] @ self.from_after
        return torch.cat([first, between, last], dim=1)


class _MaskedSolve(torch.autograd.Function):
    """x -> C_vv^-1 x_v in the visible regions v of each window, and 0 in the others.

    The gradient needs no derivative of the Cholesky factor. For w = A^-1 x and the gradient g of w,
    the gradient of x is u = A^-1 g, and the gradient of A is -u w'.
    """

    @staticmethod
    def forward(
        ctx: Any,
        covariance: Tensor,
        noise: Tensor,
        signal: Tensor,
        factor: Tensor,
        region: Tensor,
        taken: Tensor,
    ) -> Tensor:
        """Return weights (B, K, n, N, tau) for a signal (B, 1, n, N, tau)."""
        weights = _solve(signal, factor, Slots(region, taken))
        ctx.save_for_backward(weights, factor, region, taken)
        return weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of covariance, noise and signal."""
        weights, factor, region, taken = ctx.saved_tensors
        of_signal = _solve(gradient, factor, Slots(region, taken))  # (B, K, n, N, tau)
        # (B, K, N, n tau)
        left, right = (x.transpose(2, 3).flatten(3) for x in (of_signal, weights))
        of_covariance = -left @ right.mT
        of_noise = -(left * right).sum((0, 1, 3))
        return of_covariance, of_noise, of_signal.sum(1, keepdim=True), None, None, None


def _slots(visible: Tensor, shared: bool) -> Slots:
    """Put the visible regions of each window first; ``shared``: once, where all windows agree."""
    if shared and (visible == visible[:, :1]).all():
        visible = visible[:, :1]
    # A count would make a GPU wait, so there every region has a slot.
    n_slots = visible.shape[-1] if visible.is_cuda else max(int(visible.sum(-1).max()), 1)
    order = visible.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[..., :n_slots]
    return Slots(order, visible.gather(-1, order))


def _factor(covariance: Tensor, noise: Tensor, slots: Slots) -> Tensor:
    """Return Cholesky factors (B, K, n, m, m) of the visible part of covariances (B, K, N, N)."""
    region, taken = slots
    n_crops, n_windows, n_slots = region.shape
    n_states = covariance.shape[1]
    cell = _cells(region, len(noise))[:, None].expand(-1, n_states, -1)
    visible = covariance.flatten(2).gather(2, cell)
    visible = visible.view(n_crops, n_states, n_windows, n_slots, n_slots)
    together = (taken[..., :, None] & taken[..., None, :])[:, None]
    visible = visible.masked_fill(~together, 0)
    visible.diagonal(dim1=-2, dim2=-1).add_(torch.where(taken, noise[region], 1)[:, None])
    return torch.linalg.cholesky_ex(visible)[0]


def _cells(region: Tensor, n_regions: int) -> Tensor:
    """Return where the pairs of slots lie in a flattened (N, N) matrix, (B, n m m)."""
    return (region[..., :, None] * n_regions + region[..., None, :]).flatten(1)


def _solve(signal: Tensor, factor: Tensor, slots: Slots) -> Tensor:
    """Return A^-1 x_v, (B, K, n, N, tau), for signals (B, K or 1, n, N, tau)."""
    (n_crops, _, n_windows, n_regions, window), n_states = signal.shape, factor.shape[1]
    index = slots.region[:, None, ..., None].expand(-1, n_states, n_windows, -1, window)
    seen = signal.expand(-1, n_states, -1, -1, -1).gather(3, index)
    solved = torch.cholesky_solve(seen.masked_fill(~slots.taken[:, None, ..., None], 0), factor)
    shape = (n_crops, n_states, n_windows, n_regions, window)
    return solved.new_zeros(shape).scatter_(3, index, solved)


def _spread(covariance: Tensor, weights: Tensor) -> Tensor:
    """Return C w for weights (B, K, n, N, tau), with one product for all windows."""
    n_windows, window = weights.shape[2], weights.shape[-1]
    spread = covariance @ weights.transpose(2, 3).flatten(3)  # (B, K, N, n tau)
    return spread.unflatten(3, (n_windows, window)).transpose(2, 3)


@torch.no_grad()
def _adapt(
    covariance: Tensor,
    noise: Tensor,
    signal: Tensor,
    slots: Slots,
    precision: Tensor,
    share: Tensor,
) -> Tensor:
    """Return the covariance (B, N, N) of each scan's windows, by EM from that of the cohort.

    Step E: the mean f = C w and the uncertainty C - C A^-1 C. Step M: their second moment
    C + C P C, where P is the mean over windows of w w' - A^-1.
    """
    n_crops, n_factors = slots.region.shape[:2]  # a factor for each window, or one for all
    n_regions, n_windows, window = len(covariance), signal.shape[1], signal.shape[-1]
    cell = _cells(slots.region, n_regions)
    taken = (slots.taken[..., :, None] & slots.taken[..., None, :]).flatten(1)
    adapted = own = covariance.expand(n_crops, -1, -1)
    for _ in range(EM_STEPS):
        factor = _factor(adapted[:, None], noise, slots)
        weights = _solve(signal[:, None], factor, slots)[:, 0]  # (B, n, N, tau)
        left, right = (x.transpose(1, 2).flatten(2) for x in (weights, weights @ precision))
        moment = left @ right.mT / (n_windows * window)  # (B, N, N)
        inverse = torch.cholesky_inverse(factor[:, 0]).flatten(1).masked_fill(~taken, 0)
        moment = moment.flatten(1).scatter_add(1, cell, -inverse / n_factors)
        own = adapted + adapted @ moment.view(-1, n_regions, n_regions) @ adapted
        adapted = (1 - share) * covariance + share * own
    return own


def conditional_gaussian(
    signal: Tensor, visible: Tensor, covariance: Tensor, noise: float
) -> Tensor:
    """Expect all regions (B, n, N, tau) from the visible ones v: C_av (C_vv + noise I)^-1 x_v.

    This linear predictor, with the covariance C (N, N) of the training scans, is what a trained
    network has to beat.
    """
    slots = _slots(visible, shared=False)
    shared = covariance.expand(len(signal), 1, -1, -1)
    factor = _factor(shared, torch.full_like(covariance[0], noise), slots)
    return _spread(shared, _solve(signal[:, None], factor, slots))[:, 0]

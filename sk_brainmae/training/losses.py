"""The loss of pretraining."""

from torch import Tensor, nn


class ReconstructionLoss(nn.Module):
    """lambda * MSE(hidden) + (1 - lambda) * MSE(visible) (arXiv 2406.17086, section 3.3).

    Without hidden regions it is MSE(visible). In evaluation mode it is MSE(hidden), by which epochs
    are compared.
    """

    def __init__(self, hidden_weight: float = 0.75):
        super().__init__()
        self.hidden_weight = hidden_weight

    def forward(self, reconstruction: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Compare a reconstruction (B, n, N, tau) with ``masked_batch``'s target.

        Regions that are neither hidden nor visible are missing and do not count; nor do frames
        that were not measured.
        """
        error = (reconstruction - target["signal"]).square()  # (B, n, N, tau)
        if "measured" in target:
            measured = target["measured"]
            error = (error * measured).sum(-1) / measured.sum(-1).clamp_min(1)  # (B, n, N)
        else:
            error = error.mean(-1)
        hidden, visible = target["hidden"], target["visible"]
        share = self.hidden_weight if self.training else 1.0
        weight = share * hidden.any()  # stays a tensor, so nothing waits for a GPU
        return weight * _mean(error, hidden) + (1 - weight) * _mean(error, visible)


def _mean(error: Tensor, where: Tensor) -> Tensor:
    """Return the mean of ``error`` over ``where``; 0 if that is empty."""
    return (error * where).sum() / where.sum().clamp_min(1)

"""What pretraining minimises."""

from torch import Tensor, nn


class ReconstructionLoss(nn.Module):
    """Loss lambda * MSE(hidden) + (1 - lambda) * MSE(visible), over z-scored signal.

    Parameters
    ----------
    hidden_weight : float, default=0.75
        lambda of arXiv 2406.17086, section 3.3.
    """

    def __init__(self, hidden_weight: float = 0.75):
        super().__init__()
        self.hidden_weight = hidden_weight

    def forward(self, reconstruction: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Return the loss of one batch.

        Parameters
        ----------
        reconstruction : Tensor of shape (B, n, N, tau)
            What the decoder made of the visible regions.
        target : dict
            ``signal`` (B, n, N, tau), and ``hidden`` and ``visible``, bool (B, n, N). What is
            neither is missing and does not count, nor do frames that are not ``measured``, bool
            (B, n, N, tau), where given. Without hidden regions (a mask ratio of 0)
            the loss is that of a plain autoencoder, MSE(visible). In evaluation mode only
            MSE(hidden) counts: it is what epochs are compared by.

        Returns
        -------
        Tensor
            A scalar.
        """
        error = (reconstruction - target["signal"]).square()  # (B, n, N, tau)
        if "measured" in target:
            measured = target["measured"]
            error = (error * measured).sum(-1) / measured.sum(-1).clamp_min(1)  # (B, n, N)
        else:
            error = error.mean(-1)
        hidden, visible = target["hidden"], target["visible"]
        share = self.hidden_weight if self.training else 1.0
        weight = share * hidden.any()  # a tensor: nobody waits for a GPU here
        return weight * _mean(error, hidden) + (1 - weight) * _mean(error, visible)


def _mean(error: Tensor, where: Tensor) -> Tensor:
    """Return the mean of ``error`` over ``where``, 0 where that is nowhere."""
    return (error * where).sum() / where.sum().clamp_min(1)

"""The BrainMAE autoencoder: ROI embeddings, state encoder, sequence encoder, decoder."""

import torch
from torch import Tensor, nn

from sk_brainmae.network.attention import Block, SelfAttention
from sk_brainmae.network.prior import Posterior, SpectralPrior
from sk_brainmae.network.state_encoder import StateEncoder

# Standard deviation of random ROI embeddings: small, so that training soon outweighs the start.
ROI_SCALE = 0.1


def positions(n: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Return sinusoidal positions of windows; they are fixed, so a crop may have any length.

    Parameters
    ----------
    n : int
        Number of windows.
    dim : int
        Length of a window state.
    device : torch.device, default=None
        Where to make them; None: torch's default. A copy from another device would keep a GPU from
        recording the network.

    Returns
    -------
    Tensor of shape (n, dim)
        Sines and cosines of falling frequency (Vaswani et al. 2017, section 3.5).
    """
    frequency = 1e4 ** (-torch.arange(0, dim, 2, device=device) / dim)  # (dim / 2,)
    angle = torch.arange(n, device=device)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :dim]


class BrainMAE(nn.Module):
    """Region-aware masked autoencoder of fMRI windows (arXiv 2406.17086).

    With ``n_states`` brain states a spectral prior fills in the hidden regions. The window states
    of the encoder add a correction, and help the prior to tell the brain states apart. Both
    additions start at zero: without training the network is the prior.

    Parameters
    ----------
    n_regions : int
        Number of regions N.
    window : int
        Frames tau in a window.
    dim : int
        Length d of tokens and window states.
    n_heads : int
        Number of attention heads; must divide ``dim``.
    n_layers : int
        Number of transformer blocks in the sequence encoder.
    attention : {"static", "adaptive", "vanilla"}
        The state encoder's attention, see :class:`StateEncoder`.
    n_states : int, default=0
        Number K of brain states in the spectral prior; ROI embeddings then have length N.
        0: no prior, the paper's network, with ROI embeddings of length d.
    """

    def __init__(
        self,
        n_regions: int,
        window: int,
        dim: int,
        n_heads: int,
        n_layers: int,
        attention: str,
        n_states: int = 0,
    ):
        super().__init__()
        roi_dim = n_regions if n_states else dim
        self.roi = nn.Parameter(ROI_SCALE * torch.randn(n_regions, roi_dim))
        self.state_encoder = StateEncoder(n_regions, window, dim, n_heads, attention, roi_dim)
        self.cls = nn.Parameter(torch.randn(dim) / dim**0.5)
        attentions = [SelfAttention(dim, n_heads) for _ in range(n_layers)]
        blocks = [Block(attention, dim) for attention in attentions]
        self.sequence_blocks = nn.ModuleList(blocks)
        self.sequence_norm = nn.LayerNorm(dim)
        self.decode_state = nn.Linear(dim, 4 * dim)
        self.decode_roi = nn.Linear(roi_dim, 4 * dim, bias=False)
        self.decode_window = nn.Linear(4 * dim, window)
        self.prior = None
        if n_states:
            self.prior = SpectralPrior(n_regions, window, n_states)
            self.project = nn.Linear(n_regions * window, dim)
            self.decode_gates = nn.Linear(dim, n_states * window)
            self._silence(self.decode_window, self.decode_gates, self.state_encoder.readout)
            for talk, block in zip(attentions, blocks, strict=True):
                self._silence(talk.out, block.mlp[-1])

    @staticmethod
    def _silence(*layers: nn.Module) -> None:
        """Make layers return 0 until they are trained."""
        for layer in layers:
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def encode(self, signal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Encode crops from what is visible in them.

        Parameters
        ----------
        signal : Tensor of shape (B, n, N, tau)
            Windows of z-scored signal.
        visible : bool Tensor of shape (B, n, N)
            False where a region's window is hidden or missing. A window without a visible region
            is not attended to by the others; its state comes from them.

        Returns
        -------
        states : Tensor of shape (B, n, d)
            Window states in the context of their crop.
        cls : Tensor of shape (B, d)
            CLS token of each crop.
        """
        # A window without any visible region is expected to be 0: only others need the prior.
        filled = signal.masked_fill(~visible[..., None], 0)
        if self.prior is not None and (visible.any(-1) & ~visible.all(-1)).any():
            filled = self.prior.guess(signal, visible, self.roi)
        return self._encode(signal, visible, filled)

    def _encode(self, signal: Tensor, visible: Tensor, filled: Tensor) -> tuple[Tensor, Tensor]:
        """Encode crops; with a prior also from its first guess ``filled`` (B, n, N, tau)."""
        states = self.state_encoder(signal, visible, self.roi)  # (B, n, d)
        if self.prior is not None:
            states = states + self.project(filled.flatten(2))
        states = states + positions(states.shape[1], states.shape[2], states.device)
        x = torch.cat([self.cls.expand(len(states), 1, -1), states], dim=1)  # (B, 1 + n, d)
        present = torch.cat([visible.new_ones(len(visible), 1), visible.any(-1)], dim=1)
        for block in self.sequence_blocks:
            x = block(x, present)
        x = self.sequence_norm(x)
        return x[:, 1:], x[:, 0]

    def decode(self, states: Tensor) -> Tensor:
        """Rebuild the window of every region from the window state and the ROI embedding.

        This is W ((U s) * (V e)) + b, a low-rank bilinear form of window state s and ROI embedding
        e. An MLP on the pair of them learns far more slowly.

        Parameters
        ----------
        states : Tensor of shape (B, n, d)
            Window states.

        Returns
        -------
        Tensor of shape (B, n, N, tau)
            Windows of z-scored signal.
        """
        # For all regions alike a state is a matrix (tau, 4 d), so no pair of the two is formed.
        coefficients = self.decode_state(states)[:, :, None] * self.decode_window.weight
        window = coefficients @ self.decode_roi(self.roi).T  # (B, n, tau, N)
        return (window + self.decode_window.bias[:, None]).transpose(2, 3)

    def forward(self, signal: Tensor, visible: Tensor) -> Tensor:
        """Reconstruct the windows of all regions (B, n, N, tau); arguments as in ``encode``."""
        if self.prior is None:
            return self.decode(self.encode(signal, visible)[0])
        if self.prior.is_untold() and not any(x.any() for x in self.decode_window.parameters()):
            with torch.autocast(signal.device.type, enabled=False):  # the rest is still silent
                return self.prior.fill(signal, visible, self.prior(signal, visible, self.roi))
        posterior, states, feedback = self._expect(self.prior, signal, visible)
        with torch.autocast(signal.device.type, enabled=False):
            rebuilt = self.prior.fill(signal, visible, posterior, feedback)
        return rebuilt + self.decode(states)

    def brain_states(self, signal: Tensor, visible: Tensor) -> Tensor:
        """Tell the brain states of the prior apart, frame by frame.

        Parameters
        ----------
        signal : Tensor of shape (B, n, N, tau)
            Windows of z-scored signal.
        visible : bool Tensor of shape (B, n, N)
            False where a region's window is hidden or missing.

        Returns
        -------
        Tensor of shape (B, n, tau, K)
            Their probabilities. An untrained prior has one brain state.
        """
        assert self.prior is not None
        posterior, _, feedback = self._expect(self.prior, signal, visible)
        gates = self.prior.gates(posterior.evidence, feedback)  # (B, K, n, 1, tau)
        return gates[:, :, :, 0].permute(0, 2, 3, 1)

    def _expect(
        self, prior: SpectralPrior, signal: Tensor, visible: Tensor
    ) -> tuple[Posterior, Tensor, Tensor]:
        """Return the prior's posterior, window states (B, n, d), and their feedback to it."""
        # The prior's covariances need full precision, even where the network runs in bfloat16.
        with torch.autocast(signal.device.type, enabled=False):
            posterior = prior(signal, visible, self.roi)
            filled = prior.expect(signal, visible, posterior)
        states, _ = self._encode(signal, visible, filled)
        feedback = self.decode_gates(states).unflatten(2, (-1, signal.shape[-1])).transpose(1, 2)
        return posterior, states, feedback.float()

"""The BrainMAE network in torch: attention, state encoder, autoencoder, prediction head."""

from sk_brainmae.network.autoencoder import BrainMAE, positions
from sk_brainmae.network.heads import PredictionNetwork
from sk_brainmae.network.state_encoder import StateEncoder

__all__ = ["BrainMAE", "PredictionNetwork", "StateEncoder", "positions"]

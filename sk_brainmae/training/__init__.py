"""Training the network: spectral start, pretraining, fine-tuning, encoding with fixed weights."""

from sk_brainmae.training.cost import Cost, estimate_cost
from sk_brainmae.training.encoding import encode, reconstruct
from sk_brainmae.training.finetuning import finetune
from sk_brainmae.training.loop import Observer, Schedule
from sk_brainmae.training.pretraining import Pretrained, find_or_pretrain, pretrain, to_arrays
from sk_brainmae.training.rng import DrawFrom
from sk_brainmae.training.scoring import (
    compare_with_linear,
    effective_rank,
    masked_r2,
    warn_if_worse_than_linear,
)
from sk_brainmae.training.spectral_start import spectral_start

__all__ = [
    "Cost",
    "DrawFrom",
    "Observer",
    "Pretrained",
    "Schedule",
    "compare_with_linear",
    "effective_rank",
    "encode",
    "estimate_cost",
    "find_or_pretrain",
    "finetune",
    "masked_r2",
    "pretrain",
    "reconstruct",
    "spectral_start",
    "to_arrays",
    "warn_if_worse_than_linear",
]

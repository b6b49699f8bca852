"""Scans through the network: pretraining, fine-tuning, and encoding with frozen weights."""

from sk_brainmae.training.cost import Cost, estimate_cost
from sk_brainmae.training.encoding import encode, reconstruct
from sk_brainmae.training.finetuning import finetune
from sk_brainmae.training.loop import Observer, Schedule
from sk_brainmae.training.pretraining import pretrain
from sk_brainmae.training.scoring import effective_rank, masked_r2

__all__ = [
    "Cost",
    "Observer",
    "Schedule",
    "effective_rank",
    "encode",
    "estimate_cost",
    "finetune",
    "masked_r2",
    "pretrain",
    "reconstruct",
]

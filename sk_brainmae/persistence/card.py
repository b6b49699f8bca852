"""The model card: what people want to know before they use a model of others."""

from typing import Any

CARD = """---
library_name: sk_brainmae
tags:
- fmri
- neuroimaging
- masked-autoencoder
---

# {model}

A region-aware masked autoencoder of fMRI scans (BrainMAE, arXiv:2406.17086){head}. Written by
sk_brainmae {version}.

```python
from sk_brainmae import {model}

model = {model}.from_pretrained("this folder")
```

## Scans it takes

| | |
|---|---|
| regions | {n_regions}{names} |
| repetition time | {t_r} |
| window, crop | {window} |
| normalisation | {normalisation} |

Scans with named regions (DataFrame columns) are brought into the model's order; unknown names are
refused. Arrays must have its regions in its order.

## Training

| | |
|---|---|
| scans | {n_scans} |
| frames | {n_frames} |
| epochs | {n_epochs} |
| best validation loss | {best} |
{r2}| effective rank of the embeddings | {rank:.1f} |

## Group connectivity

Mean correlation of two regions over the training scans {fc_mean:.2f}, with a standard deviation of
{fc_sd:.2f}, from {fc_lowest:.2f} to {fc_highest:.2f}. The whole matrix is in the weights: they tell
the average of the training cohort.

## Limits

For research, not for diagnosis. Scores on scans that took part in training are no estimate of
anything; which scans these were, and under which licence the weights may be used, is for whoever
shares them to add here.
"""


def model_card(config: dict[str, Any]) -> str:
    """Return the model card of a configuration, in Markdown."""
    encoder, head = config["encoder"], config["head"]
    parameters, training = encoder["parameters"], encoder["training"]
    t_r, group_fc = parameters["t_r"], encoder["group_fc"]
    unit = "frames" if t_r is None else "s"
    losses = [row["valid_loss"] for row in training["history"] if row.get("valid_loss") is not None]
    scores = [(name.replace("_", " "), r2) for name, r2 in training["held_out_r2"].items()]
    return CARD.format(
        model=config["model"],
        version=config["package_version"],
        head="" if head is None else ", with a linear head",
        n_regions=encoder["n_regions"],
        names=_some_names(encoder["region_names"]),
        t_r="unknown: durations are in frames" if t_r is None else f"{t_r:g} s",
        window=f"{parameters['window_size']:g} {unit}, {parameters['crop_length']:g} {unit}",
        normalisation=encoder["normalisation"],
        n_scans=training["n_scans"],
        n_frames=training["n_frames"],
        n_epochs=sum(row["epoch"] > 0 for row in training["history"]),
        best=f"{min(losses):.4g}" if losses else "none: trained without validation",
        r2="".join(f"| held-out R2, {name} | {r2:.3f} |\n" for name, r2 in scores),
        rank=training["effective_rank"],
        **{f"fc_{name}": value for name, value in group_fc.items()},
    )


def _some_names(names: list[str] | None) -> str:
    """Tell the first few names of regions, so that a table holds them."""
    if names is None:
        return ", unnamed"
    shown = ", ".join(f"`{name}`" for name in names[:3]).replace("|", "\\|")
    return f": {shown}{' ...' if len(names) > 3 else ''} (all in config.json)"

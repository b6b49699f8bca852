"""Poolings by name: what each learns in ``fit``, and how it makes a sample one vector.

Estimators, saved models and fine-tuning ask these tables, so a new pooling is one line in
``POOLINGS``, and one in ``SPACES`` where it learns something from the training scans.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.embedding.covariance import LatentSpace, fit_latent_space, pool_covariance
from sk_brainmae.embedding.moments import MomentSpace, embed_moments, fit_moment_space
from sk_brainmae.scans.cohort import Cohort

# Window states of each sample, (n_windows_i, d), and its CLS token, (n_samples, d).
Encode = Callable[[Cohort], tuple[list[NDArray], NDArray]]
Spaces = dict[str, Any]  # what a model has learned, by the names in SPACES


class Space(NamedTuple):
    """Something that poolings learn from the training scans, in closed form.

    Attributes
    ----------
    kind : type
        A frozen dataclass of arrays, with ``n_features``, the size of an embedding.
    fit : callable
        ``fit(runs, roi_embeddings, window, n_components)`` learns one from whole training runs.
    shapes : dict of str to str
        A letter for each axis of each array, by which saved ones are checked: N regions, T frames
        of a window, L latents, C components of a compact embedding (without ``n_components`` there
        is no array that has them). Other letters are any size, equal letters the same.
    """

    kind: type
    fit: Callable[[Cohort, NDArray, int, int | None], Any]
    shapes: dict[str, str]


class Pooling(NamedTuple):
    """One way from a sample to a vector.

    Attributes
    ----------
    embed : callable
        ``embed(cohort, space, encode)`` returns embeddings, (n_samples, n_features).
        ``encode(cohort)`` runs the network: it returns the window states of each sample,
        (n_windows_i, d), and their CLS tokens, (n_samples, d).
    space : str, default=None
        What it reads, a name in ``SPACES``; None: the trained network.
    standardise : bool, default=True
        Whether a head gives its features unit variance. False where their scales mean something.
    """

    embed: Callable[[Cohort, Any, Encode], NDArray]
    space: str | None = None
    standardise: bool = True


SPACES = {
    "latent_space": Space(
        LatentSpace,
        fit_latent_space,
        {
            "covariance": "NN",
            "innovation_filters": "PP",
            "temporal_components": "TT",
            "signal_whitening": "NL",
            "innovation_whitening": "NL",
            "mean": "F",
            "axes": "FC",
        },
    ),
    "moment_space": Space(
        MomentSpace,
        lambda runs, roi, window, _: fit_moment_space(runs, roi, window),
        {"covariance": "NN", "basis": "NL", "components": "TM"},
    ),
}

POOLINGS = {
    "covariance": Pooling(lambda cohort, space, _: pool_covariance(cohort, space), "latent_space"),
    "state": Pooling(
        lambda cohort, space, _: embed_moments(cohort, space), "moment_space", standardise=False
    ),
    "mean": Pooling(
        lambda cohort, _, encode: np.stack([s.mean(axis=0) for s in encode(cohort)[0]])
    ),
    "cls": Pooling(lambda cohort, _, encode: encode(cohort)[1]),
}


def resolve_pooling(pooling: str, cohort: Cohort, *, finetuned: bool = False) -> str:
    """Return what "auto" means: "mean" where fine-tuned, "state" for moments, else "covariance"."""
    if pooling != "auto":
        return pooling
    if finetuned:
        return "mean"
    return "covariance" if cohort.whole_runs else "state"


def check_finetunable(pooling: str) -> None:
    """Raise ValueError where training the network would not change what a pooling reads."""
    if pooling != "auto" and POOLINGS[pooling].space is not None:
        trainable = " or ".join(repr(name) for name, p in POOLINGS.items() if p.space is None)
        raise ValueError(f"pooling={pooling!r} cannot be fine-tuned: use {trainable}")


def reads_cls(pooling: str) -> bool:
    """Tell whether a pooling is the CLS token of the network."""
    return pooling == "cls"


def fit_spaces(
    runs: Cohort, roi_embeddings: NDArray, window: int, n_components: int | None
) -> Spaces:
    """Learn from whole training runs everything that poolings read beside the network."""
    return {
        name: space.fit(runs, roi_embeddings, window, n_components)
        for name, space in SPACES.items()
    }


def embed(pooling: str, cohort: Cohort, spaces: Spaces, encode: Encode) -> NDArray:
    """Embed every sample, (n_samples, n_features)."""
    chosen = POOLINGS[pooling]
    space = None if chosen.space is None else spaces[chosen.space]
    return chosen.embed(cohort, space, encode)


def count_features(pooling: str, spaces: Spaces, embedding_dim: int) -> int:
    """Return the size of an embedding."""
    space = POOLINGS[pooling].space
    return embedding_dim if space is None else spaces[space].n_features

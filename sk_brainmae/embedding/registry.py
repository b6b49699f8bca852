"""Views by name: the readings of a scan that make its embedding.

Estimators and saved models ask this table, so a new view is one line in ``VIEWS``.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.embedding.connectivity import Connectivity
from sk_brainmae.embedding.dynamics import Dynamics
from sk_brainmae.embedding.innovations import Innovations
from sk_brainmae.embedding.response import Response
from sk_brainmae.embedding.source import Source
from sk_brainmae.embedding.states import Cls, StateMean, States
from sk_brainmae.embedding.tempo import Tempo
from sk_brainmae.scans.cohort import Cohort


class View(Protocol):
    """One reading of a scan: a frozen dataclass of the arrays that it learned.

    Attributes
    ----------
    axes : dict of str to str
        A letter for each axis of each array, by which saved ones are checked: N regions, T frames
        of a window, D units of a window state. Other letters are any size, equal letters the same.
    """

    axes: ClassVar[dict[str, str]]

    @classmethod
    def fit(cls, source: Source) -> Self | None:
        """Learn from whole training scans; None where there is nothing to read."""

    def embed(self, source: Source) -> NDArray:
        """Embed every sample, (n_samples, n_features), around the mean of the training scans."""

    def feature_names(self, regions: list[str]) -> list[str]:
        """Name the features, given the names of the regions."""


VIEWS: dict[str, type[View]] = {
    "connectivity": Connectivity,
    "innovations": Innovations,
    "tempo": Tempo,
    "response": Response,
    "states": States,
    "state_mean": StateMean,
    "dynamics": Dynamics,
    "cls": Cls,
}
# What "auto" reads: of whole scans, and of moments, which evoke something.
OF_SCANS = ("connectivity", "innovations", "tempo", "states", "dynamics")
OF_MOMENTS = ("connectivity", "innovations", "response", "states", "state_mean", "dynamics")
# What training can change: they read what the network makes of a scan.
OF_NETWORK = ("states", "state_mean", "dynamics", "cls")
# What fine-tuning can train: the head reads the network itself.
TRAINABLE = ("state_mean", "cls")
# Share of each view in the mean squared norm of an embedding that no head has weighed. They are
# relative to those of the views in use.
SHARES = {
    "connectivity": 0.70,
    "innovations": 0.20,
    "tempo": 0.01,
    "response": 0.70,
    "states": 0.02,
    "state_mean": 0.02,
    "dynamics": 0.05,
    "cls": 0.02,
}
# Mean squared norm of such embeddings of the training scans. With it the penalties that
# scikit-learn's RidgeCV tries by default, 0.1 to 10, are those that traits ask for.
MEAN_SQUARED_NORM = 10.0


def check_views(views: Any) -> tuple[str, ...]:
    """Return the names of views, of ("auto",) too, or raise ValueError where they are not known."""
    names = (views,) if isinstance(views, str) else tuple(views)
    if not names:
        raise ValueError(f"views is empty: name at least one of {', '.join(VIEWS)}, or 'auto'")
    if odd := [name for name in names if name not in VIEWS and views != "auto"]:
        raise ValueError(f"unknown view {odd[0]!r}: choose from {', '.join(VIEWS)}, or 'auto'")
    if len(set(names)) < len(names):
        raise ValueError(f"views={views!r} names a view twice")
    return names


def resolve_views(
    views: Any, cohort: Cohort, *, standardize: str | bool = "scan", finetuned: bool = False
) -> tuple[str, ...]:
    """Return the names of the views to read, after "auto".

    Scans that come standardised are moments, too.
    """
    if views != "auto":
        return check_views(views)
    if finetuned:
        return TRAINABLE[:1]
    return OF_SCANS if cohort.whole_runs and standardize else OF_MOMENTS


def check_trainable(views: Any) -> None:
    """Raise ValueError where training the network on labels would not change what is read."""
    names = check_views(views)
    if views != "auto" and (len(names) > 1 or names[0] not in TRAINABLE):
        choices = " or ".join(repr(name) for name in TRAINABLE)
        raise ValueError(f"views={views!r} cannot be fine-tuned: use {choices}")


def fit_views(names: Iterable[str], source: Source) -> dict[str, View]:
    """Learn views from whole training scans; those with nothing to read are left out."""
    fitted = {name: VIEWS[name].fit(source) for name in names}
    return {name: view for name, view in fitted.items() if view is not None}


def embed_views(views: dict[str, View], names: Iterable[str], source: Source) -> dict[str, NDArray]:
    """Embed every sample by each of some views, (n_samples, n_features)."""
    return {name: views[name].embed(source) for name in names}


def scales_of(embedded: dict[str, NDArray]) -> dict[str, float]:
    """Return the factors that give views of the training scans their fixed shares.

    A view without variance over these scans keeps its units.
    """
    total = sum(SHARES[name] for name in embedded) / MEAN_SQUARED_NORM
    size = {name: float(np.square(x).sum(axis=1).mean()) for name, x in embedded.items()}
    return {name: (SHARES[name] / total / (size[name] or 1)) ** 0.5 for name in embedded}

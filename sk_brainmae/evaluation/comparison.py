"""Estimators side by side: the same folds, paired differences, results on disk as they come."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import check_scoring

from sk_brainmae.evaluation.folds import fit_and_score, make_folds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ["estimator", "fold", "metric", "value", "fit_time"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What :func:`compare` found; the estimator named first is the one the others are held against.

    Attributes
    ----------
    scores : DataFrame
        One row per estimator, fold and metric, with the columns

        * ``estimator``: its name,
        * ``fold``: counted from 0,
        * ``metric``: as scikit-learn names it; larger is better,
        * ``value``: its value on the test part of the fold,
        * ``fit_time``: how long fitting took, in seconds.
    """

    scores: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """One row per metric and estimator.

        Returns
        -------
        DataFrame
            Indexed by ``(metric, estimator)``, with the columns

            * ``mean`` and ``std``: over the folds; ``std`` is that of the folds' values
              (n - 1 in the denominator). Folds share training samples, so neither
              ``std / sqrt(n_folds)`` nor a plain t-test is a valid measure of uncertainty;
            * ``n_folds``: folds that are finished;
            * ``difference`` and ``difference_std``: mean and standard deviation over the folds
              of (value of the first-named estimator - value of this one) on the same fold;
              positive where the first-named is better, missing in its own row;
            * ``best_opponent``: True for the one of the others that has the largest mean;
            * ``fit_time``: mean over the folds, in seconds.
        """
        metrics = self.scores["metric"].unique()
        return pd.concat({m: self._summary(m) for m in metrics}, names=["metric"])

    def plot(self, metric: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """Draw every fold as a dot, joined over the estimators by a line, and the means as bars.

        Parameters
        ----------
        metric : str, optional
            Which metric; by default the first.
        ax : matplotlib Axes, optional
            Where to draw; by default on a new figure as high as the estimators need.

        Returns
        -------
        matplotlib Axes
            The axes drawn on.

        Raises
        ------
        ValueError
            If ``metric`` was not measured.
        """
        import matplotlib.pyplot as plt

        measured = list(self.scores["metric"].unique())
        metric = measured[0] if metric is None else metric
        if metric not in measured:
            raise ValueError(f"no metric {metric!r} in this comparison; it has {measured}")
        values = self._by_fold(metric)
        rows = np.arange(values.shape[1])
        if ax is None:
            height = 1.2 + 0.45 * len(rows)
            _, ax = plt.subplots(figsize=(6.4, height), layout="constrained")
        for _, fold in values.iterrows():
            ax.plot(fold, rows, "o-", color="0.6", markersize=4, linewidth=0.7)
        ax.plot(values.mean(), rows, "|", color="C3", markersize=18, markeredgewidth=2.5)
        ax.set_yticks(rows, values.columns)
        ax.set_ylim(len(rows) - 0.5, -0.5)  # the first-named on top
        ax.set_xlabel(f"{metric} on held-out samples (grey: {len(values)} folds, red: mean)")
        ax.spines[["top", "right"]].set_visible(False)
        return ax

    def to_csv(self, folder: str | PathLike) -> None:
        """Write ``scores.csv`` and ``table.csv``.

        Parameters
        ----------
        folder : path
            Made if it does not exist; files of these names in it are replaced.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.scores.to_csv(folder / "scores.csv", index=False)
        self.table.to_csv(folder / "table.csv")

    def _by_fold(self, metric: str) -> pd.DataFrame:
        """Return the values of one metric, shape (n_folds, n_estimators), in the given order."""
        rows = self.scores[self.scores["metric"] == metric]
        wide = rows.pivot(index="fold", columns="estimator", values="value")
        return wide[rows["estimator"].unique()]

    def _summary(self, metric: str) -> pd.DataFrame:
        values = self._by_fold(metric)
        ours, opponents = values.columns[0], values.columns[1:]
        differences = values[opponents].rsub(values[ours], axis=0)
        means = values.mean()
        best = means[opponents].idxmax() if len(opponents) else None
        times = self.scores[self.scores["metric"] == metric].groupby("estimator")["fit_time"]
        # Built on the index of the values: rows stay in the given order.
        return pd.DataFrame(
            {
                "mean": means,
                "std": values.std(),
                "n_folds": values.count(),
                "difference": differences.mean(),
                "difference_std": differences.std(),
                "best_opponent": values.columns == best,
                "fit_time": times.mean(),
            },
            index=values.columns,
        )


def compare(
    estimators: Mapping[str, Any],
    X: Any,
    y: ArrayLike,
    *,
    cv: Any,
    groups: ArrayLike | None = None,
    scoring: str | Sequence[str] | Mapping[str, Any] | None = None,
    folder: str | PathLike | None = None,
    progress: Callable[[str, int], object] | None = None,
) -> Comparison:
    """Cross-validate estimators on identical folds.

    The samples are split once. In every fold each estimator is cloned, fitted on the training
    part and scored on the test part, all estimators of one fold before the next fold.

    Parameters
    ----------
    estimators : dict of str to estimator
        Name and estimator, all classifiers or all regressors. Name yours first: the others are
        held against it. Whatever is learned from data (pretraining, scaling, tuning) must
        happen inside ``fit``.
    X : list of scans or Windows, or ndarray of shape (n_scans, n_timepoints, n_regions)
        The samples.
    y : array-like of shape (n_samples,)
        Labels or target.
    cv : int, cross-validation splitter or iterable of (train, test) indices
        As in :func:`sklearn.model_selection.cross_validate`.
    groups : array-like of shape (n_samples,), optional
        Whom each sample is from. Given to ``cv``, and to the ``fit`` of estimators that take
        ``groups`` (by their signature, or by scikit-learn's metadata routing where that is
        enabled). No group may be in both parts of a fold.
    scoring : str, list of str, or dict of name to str or scorer, optional
        Metrics, by scikit-learn's names. By default "roc_auc" for classifiers ("roc_auc_ovr"
        for more than two classes), since it depends on no threshold, and "r2" for regressors.
    folder : path, optional
        The results of each estimator and fold are appended to ``scores.csv`` in it as soon as
        they are there, so an interrupted call loses only the fit it was in. Made if needed.
    progress : callable, optional
        Called as ``progress(name, fold)`` when an estimator is about to be fitted.

    Returns
    -------
    Comparison
        Scores, table, and figure.

    Raises
    ------
    TypeError
        If ``estimators`` is no dict of names to estimators.
    ValueError
        If lengths differ, classifiers are mixed with regressors, a group is in both parts of a
        fold, or a class is missing from one: all before anything is fitted.
    FileExistsError
        If ``folder`` holds the ``scores.csv`` of an earlier call.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sk_brainmae.evaluation import compare
    >>> X = np.random.default_rng(0).normal(size=(12, 30, 4))  # 12 scans, 30 frames, 4 regions
    >>> comparison = compare({"chance": DummyClassifier()}, X, [0, 1] * 6, cv=3)
    >>> float(comparison.table["mean"].item())
    0.5
    """
    classification = _check_task(estimators)
    y, groups = _check_lengths(X, y, groups)
    scorer = _as_scorer(scoring, y, classification)
    folds = make_folds(cv, y, groups, classification=classification)
    path = None if folder is None else _start_csv(Path(folder))

    rows: list[dict[str, Any]] = []
    for k, fold in enumerate(folds):
        for name, estimator in estimators.items():
            if progress is not None:
                progress(name, k)
            try:
                values, fit_time = fit_and_score(estimator, scorer, X, y, groups, fold)
            except Exception as error:
                error.add_note(f"raised by estimator {name!r} in fold {k}")
                raise
            new = [
                {"estimator": name, "fold": k, "metric": m, "value": v, "fit_time": fit_time}
                for m, v in values.items()
            ]
            rows += new
            if path is not None:
                _append_csv(path, new)
    return Comparison(pd.DataFrame(rows, columns=COLUMNS))


def _check_task(estimators: Mapping[str, Any]) -> bool:
    """Return whether the estimators are classifiers; raise if they are no one kind."""
    if not isinstance(estimators, Mapping) or not estimators:
        raise TypeError(
            "estimators must be a dict of names to estimators, such as"
            f" {{'BrainMAE': BrainMAEClassifier()}}; got {estimators!r}"
        )
    classifiers = [name for name, estimator in estimators.items() if is_classifier(estimator)]
    regressors = [name for name, estimator in estimators.items() if is_regressor(estimator)]
    if len(estimators) not in (len(classifiers), len(regressors)):
        raise ValueError(
            "the estimators must be all classifiers or all regressors; classifiers are"
            f" {classifiers}, regressors {regressors}, of {list(estimators)}"
        )
    return bool(classifiers)


def _check_lengths(
    X: Any, y: ArrayLike, groups: ArrayLike | None
) -> tuple[NDArray, NDArray | None]:
    """Return y and groups as arrays of one value a sample."""
    y = np.asarray(y)
    groups = None if groups is None else np.asarray(groups)
    for name, values in {"y": y, "groups": groups}.items():
        if values is not None and values.shape != (len(X),):
            raise ValueError(
                f"{name} has shape {values.shape}; X holds {len(X)} samples, so it must have"
                f" shape ({len(X)},)"
            )
    return y, groups


def _as_scorer(
    scoring: str | Sequence[str] | Mapping[str, Any] | None, y: NDArray, classification: bool
) -> Callable[[Any, Any, NDArray], dict[str, float]]:
    """Return one scorer that gives every metric, sharing predictions between them."""
    if scoring is None:
        binary = len(np.unique(y)) <= 2
        scoring = ("roc_auc" if binary else "roc_auc_ovr") if classification else "r2"
    if isinstance(scoring, str):
        scoring = [scoring]
    return check_scoring(scoring=scoring)


def _start_csv(folder: Path) -> Path:
    """Make the folder and in it a file of no scores yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scores.csv"
    try:
        with path.open("x", newline="") as file:
            pd.DataFrame(columns=COLUMNS).to_csv(file, index=False)
    except FileExistsError:
        raise FileExistsError(
            f"{path} holds the results of an earlier call; choose another folder, or remove it"
        ) from None
    return path


def _append_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append whole lines in one write."""
    lines = pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, header=False)
    with path.open("a", newline="") as file:
        file.write(lines)

"""What a comparison found: scores, predictions, paired differences, and their pictures."""

import json
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sk_brainmae.evaluation.bootstrap import bootstrap_intervals
from sk_brainmae.evaluation.metrics import find_metric
from sk_brainmae.evaluation.statistics import bayesian_t_test, corrected_t_test, holm
from sk_brainmae.evaluation.tables import VIEWS, Contents, kind_of, read_finished, replace
from sk_brainmae.evaluation.views import in_words, mean_weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Scores that differ by less are practically the same. For errors in the target's unit it is a
# share of the target's standard deviation, for squared errors of its variance.
ROPE = 0.01
# With more folds, plots show dots without lines: lines would hide them.
MAX_LINES = 10
# The room that turns a comparison into a page. It lies above this one and reads its results, so
# it is loaded by name when a page is asked for, as pandas loads its plotting backend.
PAGES = "sk_brainmae.reporting"
# Ends the name of an estimator that stays at its start, beside the same one with pretraining.
NOT_TRAINED = ", not trained"


@dataclass(frozen=True, eq=False)
class Comparison:
    """The results of :func:`compare`. The first estimator is compared with each of the others.

    Attributes
    ----------
    scores : DataFrame
        One row per estimator, fold and metric, with the columns

        * ``estimator``: its name, which ends in "(transductive)" if it saw the test scans,
        * ``repeat`` and ``fold``: counted from 0,
        * ``metric``: as scikit-learn names it; larger is better,
        * ``value``: its value on the test part of the fold,
        * ``fit_time``: how long fitting took, in seconds,
        * ``n_train`` and ``n_test``: samples in the two parts of the fold,
        * ``views``: the fitted model's ``view_weights_`` as JSON, {} where it has none.
    predictions : DataFrame
        One row per estimator, fold and test sample, with the columns ``estimator``, ``repeat``,
        ``fold``, ``sample`` (its index in X), ``y_true``, ``y_pred``, and ``group`` where given.
        Classifiers have ``score``, the decision value or probability of the second class, or one
        ``score_<class>`` for each of several classes; regressors have ``y_train_mean``.
    estimators : list of str
        Names of the estimators in the given order, including those without a finished fold.
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame
    estimators: list[str]

    @classmethod
    def from_csv(cls, folder: str | PathLike) -> "Comparison":
        """Read what :meth:`to_csv` wrote, or what :func:`compare` has kept so far.

        Parameters
        ----------
        folder : path
            Holds ``scores.csv``, ``predictions.csv`` and ``comparison.json``.

        Returns
        -------
        Comparison
            Equal to the one written. After several calls of :func:`compare` in one folder, the
            estimators of the last call come first, in its order.

        Raises
        ------
        FileNotFoundError
            If one of the three files is missing.
        ValueError
            If a file was not written by a comparison.
        """
        contents = Contents.read(Path(folder))
        return cls(*read_finished(Path(folder), contents), contents.estimators)

    @property
    def table(self) -> pd.DataFrame:
        """One row per metric and estimator.

        Returns
        -------
        DataFrame
            Indexed by ``(metric, estimator)``, with the columns

            * ``mean`` and ``std``: over the folds, with n - 1 in the denominator. Folds share
              training samples, so neither ``std / sqrt(n_folds)`` nor a plain t-test measures
              uncertainty; see ``differences``;
            * ``n_folds``: finished folds of all repeats;
            * ``difference`` and ``difference_std``: mean and standard deviation over the folds
              of (value of the first estimator - value of this one) on the same fold;
              positive where the first is better, missing in its own row;
            * ``best_opponent``: True for the opponent with the largest mean;
            * ``fit_time``: mean over the folds, in seconds;
            * ``views``: which views of a scan the models read, as text: mean weights over the
              folds, the strongest first. Empty for models without views; the column is missing
              where no model has any.

        Raises
        ------
        ValueError
            If no fit has finished.
        """
        table = pd.concat({m: self._summary(m) for m in self.metrics}, names=["metric"])
        if views := self._views():
            table[VIEWS] = table.index.get_level_values("estimator").map(views).fillna("")
        return table

    @cached_property
    def differences(self) -> pd.DataFrame:
        """The first estimator compared with each of the others, fold by fold.

        Returns
        -------
        DataFrame
            Indexed by ``(metric, opponent)``, with the columns

            * ``difference``: mean over the folds of (first - opponent);
            * ``low``, ``high``, ``p``: 95 % interval and two-sided p-value of the corrected
              resampled t-test, which allows for the folds' shared training samples;
            * ``p_holm``: p adjusted for the number of opponents; missing for the first estimator
              without pretraining, which is no opponent;
            * ``p_better``, ``p_equivalent``, ``p_worse``: posterior probabilities, by the
              Bayesian correlated t-test, that the first is better, practically the same and
              worse. Practically the same is a difference below 0.01; for errors below 1 % of
              the target's standard deviation, for squared errors of its variance;
            * ``boot_low``, ``boot_high``: 95 % interval over subjects (groups, else samples)
              drawn with replacement, for the metrics that :func:`compare` uses by default.

        Raises
        ------
        ValueError
            If there is one estimator alone, or no fit has finished.
        """
        if len(self.estimators) < 2:
            raise ValueError("there is one estimator and no opponent: compare it with others")
        found = pd.concat({m: self._tests(m) for m in self.metrics}, names=["metric"])
        intervals = self._bootstrap().reindex(found.index)
        return pd.concat([found, intervals], axis=1)

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, the first one the main one."""
        if self.scores.empty:
            raise ValueError("no fit has finished, so there are no scores")
        return list(self.scores["metric"].unique())

    @property
    def untrained(self) -> str:
        """What the first estimator is called where it was also compared without pretraining."""
        return self.estimators[0] + NOT_TRAINED

    def plot(self, metric: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """Draw folds as dots and means as bars; by default of the first metric, on a new figure."""
        metric = self._check_metric(metric)
        values = self._by_fold(metric)
        rows = np.arange(values.shape[1])
        ax = _rows_axes(values.columns, ax)
        many = len(values) > MAX_LINES
        # Many dots are spread over the height of a row, in no meaningful order.
        spread = np.linspace(-0.2, 0.2, len(values)) if many else np.zeros(len(values))
        for (_, fold), offset in zip(values.iterrows(), spread, strict=True):
            style = "o" if many else "o-"
            ax.plot(fold, rows + offset, style, color="0.6", markersize=4, linewidth=0.7)
        ax.plot(values.mean(), rows, "|", color="C3", markersize=18, markeredgewidth=2.5)
        folds = "1 fold" if len(values) == 1 else f"{len(values)} folds"
        ax.set_xlabel(f"{metric} on held-out samples (grey: {folds}, red: mean)")
        return ax

    def plot_differences(self, metric: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """Draw the lead of the first estimator over each opponent; arguments as in :meth:`plot`."""
        metric = self._check_metric(metric)
        found = self.differences.loc[metric]
        rows = np.arange(len(found))
        ax = _rows_axes(found.index, ax)
        ax.axvline(0, color="0.3", linewidth=0.8)
        ax.hlines(rows - 0.1, found["low"], found["high"], color="C0", label="corrected t-test")
        ax.hlines(rows + 0.1, found["boot_low"], found["boot_high"], color="C1", label="subjects")
        ax.plot(found["difference"], rows, "o", color="0.2", markersize=5)
        ax.set_xlabel(f"{metric}: {self.estimators[0]} − opponent, 95 % intervals")
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        return ax

    def to_csv(self, folder: str | PathLike) -> None:
        """Write scores, predictions, table and differences as csv.

        The files are ``scores.csv``, ``predictions.csv``, ``table.csv`` and, for two estimators
        or more, ``differences.csv``; ``comparison.json`` keeps the order of the estimators and
        the types of labels.

        Parameters
        ----------
        folder : path
            Made if it does not exist. Files of these names are replaced, except for the scores
            and predictions that :func:`compare` keeps there.

        Raises
        ------
        ValueError
            If the folder keeps the results of another comparison.
        OSError
            If a file cannot be written; the old one stays.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "call.json").exists():
            kept = Comparison.from_csv(folder).scores
            if len(self.scores.merge(kept)) < len(self.scores):
                raise ValueError(
                    f"{folder} keeps the results of another comparison: choose another"
                )
        else:
            labels = [name for name in ("y_true", "y_pred", "group") if name in self.predictions]
            kinds = {name: kind_of(self.predictions[name]) for name in labels}
            Contents(self.estimators, self.metrics, kinds).write(folder)
            replace(folder / "scores.csv", self.scores.to_csv(index=False))
            replace(folder / "predictions.csv", self.predictions.to_csv(index=False))
        replace(folder / "table.csv", self.table.to_csv())
        (folder / "differences.csv").unlink(missing_ok=True)
        if len(self.estimators) > 1:
            replace(folder / "differences.csv", self.differences.to_csv())

    def to_html(self) -> str:
        """Report scores, paired differences, and what they mean, as one HTML file.

        Returns
        -------
        str
            The file. :func:`sk_brainmae.reporting.comparison_report` can also check the scans,
            write to a file, and show the report in a notebook.

        Raises
        ------
        ValueError
            If no fit has finished.
        """
        return import_module(PAGES).comparison_report(self).to_html()

    def _check_metric(self, metric: str | None) -> str:
        if metric is None:
            return self.metrics[0]
        if metric not in self.metrics:
            raise ValueError(f"no metric {metric!r} in this comparison; it has {self.metrics}")
        return metric

    def _by_fold(self, metric: str) -> pd.DataFrame:
        """Return the values of one metric, shape (n_folds, n_estimators), in the given order."""
        rows = self.scores[self.scores["metric"] == metric]
        wide = rows.pivot(index=["repeat", "fold"], columns="estimator", values="value")
        return wide.reindex(columns=self.estimators)

    def _views(self) -> dict[str, str]:
        """Say which views each estimator reads; those without views are missing."""
        if VIEWS not in self.scores:
            return {}
        once = self.scores[self.scores["metric"] == self.metrics[0]]
        told = once[once[VIEWS] != "{}"].groupby("estimator")[VIEWS]
        return {str(name): in_words(mean_weights(map(json.loads, texts))) for name, texts in told}

    def _summary(self, metric: str) -> pd.DataFrame:
        values = self._by_fold(metric)
        ours, opponents = values.columns[0], values.columns[1:]
        differences = values[opponents].rsub(values[ours], axis=0)
        means = values.mean()
        theirs = means[opponents].drop(self.untrained, errors="ignore").dropna()
        best = theirs.idxmax() if len(theirs) else None
        times = self.scores[self.scores["metric"] == metric].groupby("estimator")["fit_time"]
        # The index of the values keeps the rows in the given order.
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

    def _tests(self, metric: str) -> pd.DataFrame:
        """Compare the first estimator with the others by one metric."""
        values = self._by_fold(metric)
        ours, *opponents = values.columns
        sizes = self.scores[["n_train", "n_test"]].mean()
        ratio = sizes["n_test"] / sizes["n_train"]
        rows = {}
        for opponent in opponents:
            paired = (values[ours] - values[opponent]).dropna().to_numpy()
            t_test = corrected_t_test(paired, ratio)
            bayes = bayesian_t_test(paired, ratio, self._rope(metric))
            rows[opponent] = [t_test.mean, t_test.low, t_test.high, t_test.p, np.nan, *bayes]
        columns = ["difference", "low", "high", "p", "p_holm"]
        columns += ["p_better", "p_equivalent", "p_worse"]
        found = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        found["p_holm"] = holm(found["p"].where(found.index != self.untrained))
        return found.rename_axis("opponent")

    def _rope(self, metric: str) -> float:
        if not (power := find_metric(metric).power):
            return ROPE
        return ROPE * float(self.predictions["y_true"].std()) ** power

    def _bootstrap(self) -> pd.DataFrame:
        """Return intervals over subjects, for the metrics that can be resampled."""
        columns, ours = ["boot_low", "boot_high"], self.estimators[0]
        metrics = [metric for metric in self.metrics if find_metric(metric).resample]
        if not metrics or not self.predictions.get("estimator", pd.Series()).eq(ours).any():
            return pd.DataFrame(columns=columns, dtype=float)
        samples = self.predictions["sample"].to_numpy()
        units = np.arange(samples.max() + 1)
        if "group" in self.predictions:
            units[samples] = pd.factorize(self.predictions["group"])[0]
        found = bootstrap_intervals(self.predictions, ours, metrics, units)
        return found.set_axis(columns, axis=1)


def _rows_axes(names: pd.Index, ax: "Axes | None") -> "Axes":
    """Return axes with one named row for each estimator, the first on top."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 1.2 + 0.45 * len(names)), layout="constrained")
    ax.set_yticks(np.arange(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.spines[["top", "right"]].set_visible(False)
    return ax

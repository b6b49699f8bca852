"""The report of a comparison: who is better, by how much, and how sure one can be."""

from typing import Any

import pandas as pd

from sk_brainmae.evaluation import Comparison
from sk_brainmae.evaluation.comparison import TRANSDUCTIVE
from sk_brainmae.reporting.data import look_at, span
from sk_brainmae.reporting.figures import Figure, draw
from sk_brainmae.reporting.page import Notice, Report, Table, render

# What readers call a metric, and what its values mean.
METRICS = {
    "roc_auc": ("AUC", "area under the ROC curve: 0.5 is chance, 1 is perfect"),
    "balanced_accuracy": ("balanced accuracy", "mean share of each class that is recognised"),
    "f1": ("F1", "harmonic mean of precision and recall: 1 is perfect"),
    "sensitivity": ("sensitivity", "share of the second class that is recognised"),
    "specificity": ("specificity", "share of the first class that is recognised"),
    "r2": ("R²", "1 is perfect, 0 is no better than the mean of the training scans"),
    "pearson_r": ("Pearson r", "correlation of prediction and truth: 0 is chance, 1 is perfect"),
    "neg_mean_absolute_error": ("negative mean absolute error", "0 is perfect, less is worse"),
}
FEW_FOLDS = 3  # fewer give no interval that is of use


def comparison_report(
    comparison: Comparison,
    scans: Any = None,
    *,
    t_r: float | None = None,
    title: str | None = None,
) -> Report:
    """Report on a comparison: warnings, samples, scores, paired differences, and what they mean.

    Parameters
    ----------
    comparison : Comparison
        As :func:`~sk_brainmae.evaluation.compare` returns it.
    scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions), default=None
        The scans that were compared on: what is odd about them comes first. None: not looked at.
    t_r : float, default=None
        Seconds between their frames; None: not known.
    title : str, default=None
        Of the page; None: names the first estimator.

    Returns
    -------
    Report
        One HTML file: ``save`` writes it, a notebook shows it.

    Raises
    ------
    ValueError
        If the comparison holds no scores.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sk_brainmae.evaluation import compare
    >>> from sk_brainmae.reporting import comparison_report
    >>> X = np.random.default_rng(0).normal(size=(12, 30, 4))  # 12 scans, 30 frames, 4 regions
    >>> comparison = compare({"chance": DummyClassifier()}, X, [0, 1] * 6, cv=3)
    >>> comparison_report(comparison).title
    'chance'
    """
    if comparison.scores.empty:
        raise ValueError("no fit of this comparison has finished: there is nothing to report")
    ours, *opponents = comparison.estimators
    data, notices = ({}, []) if scans is None else look_at(scans, t_r)
    main, *others = comparison.metrics
    return render(
        "comparison.html",
        title or (f"{ours} against {_count(len(opponents), 'opponent')}" if opponents else ours),
        [*notices, *_notices(comparison)],
        verdict=_verdict(comparison),
        ours=ours,
        data={**_facts(comparison), **data},
        metric=_word(main),
        meaning=METRICS[main][1] if main in METRICS else "as scikit-learn defines it",
        tables=[_scores(comparison, main), _differences(comparison, main)],
        figures=_figures(comparison, main),
        others=[
            table
            for metric in others
            for table in (_scores(comparison, metric), _differences(comparison, metric))
        ],
        meanings={_word(m): METRICS[m][1] for m in others if m in METRICS},
        has_opponents=bool(opponents),
        unit=_unit(comparison),
        transductive=any(name.endswith(TRANSDUCTIVE) for name in comparison.estimators),
    )


def _notices(comparison: Comparison) -> list[Notice]:
    """Say what keeps the numbers from meaning what they seem to mean."""
    notices = []
    scores = comparison.scores
    table: Any = comparison.table.loc[comparison.metrics[0]]
    best = _best_opponent(table)
    if best is not None and table.loc[best, "difference"] < 0:
        text = f"{table.index[0]} scores lower than {best}."
        notices.append(Notice("warning", text))
    n_folds = len(scores[["repeat", "fold"]].drop_duplicates())
    if n_folds < FEW_FOLDS:
        text = (
            f"Only {_count(n_folds, 'fold')}: a first look, no numbers to quote. How far the scores"
            " would move with other scans cannot be told."
        )
        notices.append(Notice("warning", text))
    finished = scores[["estimator", "repeat", "fold"]].drop_duplicates()
    if missing := n_folds * len(comparison.estimators) - len(finished):
        text = (
            f"{missing} of {n_folds * len(comparison.estimators)} fits are missing: the comparison"
            " was interrupted, or they failed. Means are over the folds that there are."
        )
        notices.append(Notice("warning", text))
    for name, n in scores[scores["value"].isna()].groupby("estimator", sort=False).size().items():
        notices.append(Notice("warning", f"{name} has no value for {_count(n, 'score')}."))
    for name in comparison.estimators:
        if name.endswith(TRANSDUCTIVE):
            text = (
                f"{name.removesuffix(TRANSDUCTIVE)} saw the scans of the test part, without their"
                " labels, in pretraining: it says nothing about scans that come later."
            )
            notices.append(Notice("warning", text))
    if not comparison.predictions.empty and "group" not in comparison.predictions:
        text = (
            "It is not recorded whom the scans are from: every one counts as a subject of its own."
            " Where some had several, the scores are too good."
        )
        notices.append(Notice("note", text))
    return notices


def _verdict(comparison: Comparison) -> str:
    """Say in a sentence how the first-named fares against the best opponent."""
    metric = comparison.metrics[0]
    table: Any = comparison.table.loc[metric]
    if pd.isna(table["mean"].iloc[0]):
        return f"{table.index[0]} has no {_word(metric)}: nothing can be said of it."
    reached = f"{table.index[0]} reaches {_word(metric)} {table['mean'].iloc[0]:.3f}"
    best = _best_opponent(table)
    if best is None:
        return f"{reached}; it was compared with nothing."
    found: Any = comparison.differences.loc[(metric, best)]
    by = f"by {found['difference']:+.3f} {_brackets(found['low'], found['high'])}"
    if pd.isna(found["low"]):
        end = f"a difference of {found['difference']:+.3f}, of unknown certainty"
        if pd.notna(found["boot_low"]):
            others = f"with other {_unit(comparison)} tested it would lie in"
            end += f"; {others} {_brackets(found['boot_low'], found['boot_high'])}"
    elif found["low"] > 0:
        end = f"it is better {by}"
    elif found["high"] < 0:
        end = f"it is worse {by}"
    else:
        end = f"they cannot be told apart: they differ {by}, an interval that includes 0"
    mean = f"{table.loc[best, 'mean']:.3f}"
    return f"{reached}, the best opponent, {best}, {mean}: {end}."


def _best_opponent(table: pd.DataFrame) -> str | None:
    """Name the best of the others, by one metric's rows of the table, where there are any."""
    names = table.index[table["best_opponent"]]
    return names[0] if len(names) else None


def _facts(comparison: Comparison) -> dict[str, str]:
    """Describe the samples and how they were split."""
    scores, predictions = comparison.scores, comparison.predictions
    folds = scores[["repeat", "fold"]].drop_duplicates()
    facts = {}
    if not predictions.empty:
        once = predictions.drop_duplicates("sample")
        facts["samples tested on"] = str(len(once))
        if "group" in once:
            facts["subjects tested on"] = str(once["group"].nunique())
        facts["what is predicted"] = _target(once["y_true"], regression="y_train_mean" in once)
    n_repeats = folds["repeat"].nunique()
    facts["folds"] = str(len(folds)) + (f", in {n_repeats} repeats" if n_repeats > 1 else "")
    facts["samples in the training part"] = span(scores["n_train"].to_numpy())
    facts["samples in the test part"] = span(scores["n_test"].to_numpy())
    return facts


def _target(y: pd.Series, *, regression: bool) -> str:
    if regression:
        return f"numbers from {y.min():.4g} to {y.max():.4g}, mean {y.mean():.4g}"
    return ", ".join(f"{label} ({n} samples)" for label, n in y.value_counts().sort_index().items())


def _scores(comparison: Comparison, metric: str) -> Table:
    table: Any = comparison.table.loc[metric]
    rows = [
        [
            f"{name} *" if row["best_opponent"] else str(name),
            _number(row["mean"]) + (f" ± {row['std']:.3f}" if pd.notna(row["std"]) else ""),
            str(row["n_folds"]),
            "–" if pd.isna(row["fit_time"]) else f"{row['fit_time']:.1f} s",
        ]
        for name, row in table.to_dict("index").items()
    ]
    return Table(
        f"{_word(metric)} on held-out samples: mean ± standard deviation over the folds",
        ["estimator", _word(metric), "folds", "time of a fit"],
        rows,
        0,
    )


def _differences(comparison: Comparison, metric: str) -> Table | None:
    if len(comparison.estimators) < 2:
        return None
    found: Any = comparison.differences.loc[metric]
    rows = [
        [
            str(name),
            "–" if pd.isna(row["difference"]) else f"{row['difference']:+.3f}",
            _brackets(row["low"], row["high"]),
            _brackets(row["boot_low"], row["boot_high"]),
            _number(row["p_holm"]),
            _number(row["p_better"]),
            _number(row["p_equivalent"]),
            _number(row["p_worse"]),
        ]
        for name, row in found.to_dict("index").items()
    ]
    header = [
        f"{comparison.estimators[0]} minus",
        "difference",
        "95 % over folds",
        f"95 % over {_unit(comparison)}",
        "p (Holm)",
        "P(better)",
        "P(same)",
        "P(worse)",
    ]
    return Table(f"{_word(metric)}: paired differences, fold by fold", header, rows)


def _figures(comparison: Comparison, metric: str) -> list[Figure]:
    figures = [
        draw(
            lambda: comparison.plot(metric),
            f"{_word(metric)} of every estimator in every fold, and the means, which are in the"
            " table of scores",
            "Every grey dot is a fold; a line, where folds are few, joins the estimators' scores"
            " on the same one. Red: the mean.",
        )
    ]
    if len(comparison.estimators) > 1:
        figures.append(
            draw(
                lambda: comparison.plot_differences(metric),
                f"Differences of {_word(metric)} from every opponent with two kinds of 95 %"
                " intervals, which are in the table of differences",
                f"Right of 0, {comparison.estimators[0]} is better. Where both intervals leave out"
                " 0, neither other folds nor other subjects are likely to turn the result round.",
            )
        )
    return figures


def _unit(comparison: Comparison) -> str:
    return "subjects" if "group" in comparison.predictions else "samples"


def _word(metric: str) -> str:
    return METRICS[metric][0] if metric in METRICS else metric


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + "s" * (n != 1)


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"


def _brackets(low: float, high: float) -> str:
    return "–" if pd.isna(low) else f"[{low:+.3f}, {high:+.3f}]"

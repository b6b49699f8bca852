"""The report of a comparison: which estimator is better, by how much, and how sure that is."""

from typing import Any

import pandas as pd

from sk_brainmae.evaluation import Comparison
from sk_brainmae.evaluation.comparison import TRANSDUCTIVE
from sk_brainmae.evaluation.metrics import find_metric
from sk_brainmae.reporting.data import look_at, span
from sk_brainmae.reporting.figures import Figure, draw
from sk_brainmae.reporting.page import Notice, Report, Table, render

FEW_FOLDS = 3  # fewer folds give no useful interval


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
        From :func:`~sk_brainmae.evaluation.compare`.
    scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions), default=None
        The scans of the comparison. They are checked, and what is odd about them comes first on
        the page. None: they are not checked.
    t_r : float, default=None
        Repetition time of the scans in seconds; None: unknown.
    title : str, default=None
        Title of the page; None: the name of the first estimator.

    Returns
    -------
    Report
        One HTML file: ``save`` writes it, a notebook shows it.

    Raises
    ------
    ValueError
        If no fit of the comparison has finished, or ``scans`` are not scans.

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
        raise ValueError("no fit of this comparison has finished, so there is nothing to report")
    ours, *others = comparison.estimators
    opponents = [name for name in others if name != comparison.untrained]
    data, notices = ({}, []) if scans is None else look_at(scans, t_r)
    main, *further = comparison.metrics
    meanings = [(_word(name), find_metric(name).meaning) for name in further]
    return render(
        "comparison.html",
        title or (f"{ours} against {_count(len(opponents), 'opponent')}" if opponents else ours),
        [*notices, *_notices(comparison)],
        verdict=f"{_verdict(comparison)} {training_gain(comparison)}".strip(),
        ours=ours,
        data={**_facts(comparison), **data},
        metric=_word(main),
        meaning=find_metric(main).meaning or "as scikit-learn defines it",
        tables=[_scores(comparison, main), _differences(comparison, main)],
        figures=_figures(comparison, main),
        others=[
            table
            for metric in further
            for table in (_scores(comparison, metric), _differences(comparison, metric))
        ],
        meanings={word: meaning for word, meaning in meanings if meaning},
        has_opponents=bool(others),
        has_views="views" in comparison.table,
        unit=_unit(comparison),
        transductive=any(name.endswith(TRANSDUCTIVE) for name in comparison.estimators),
    )


def _notices(comparison: Comparison) -> list[Notice]:
    """Warn of what would mislead a reader of the numbers."""
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
            f"Only {_count(n_folds, 'fold')}: a first look, no numbers to quote. So few folds do"
            " not show how much the scores would change with other scans."
        )
        notices.append(Notice("warning", text))
    finished = scores[["estimator", "repeat", "fold"]].drop_duplicates()
    if missing := n_folds * len(comparison.estimators) - len(finished):
        text = (
            f"{missing} of {n_folds * len(comparison.estimators)} fits are missing: the comparison"
            " was interrupted, or they failed. Means are over the finished folds."
        )
        notices.append(Notice("warning", text))
    for name, n in scores[scores["value"].isna()].groupby("estimator", sort=False).size().items():
        notices.append(Notice("warning", f"{name} has no value for {_count(n, 'score')}."))
    for name in comparison.estimators:
        if name.endswith(TRANSDUCTIVE):
            text = (
                f"{name.removesuffix(TRANSDUCTIVE)} saw the scans of the test part, without their"
                " labels, in pretraining. Its scores do not hold for scans that come later."
            )
            notices.append(Notice("warning", text))
    if not comparison.predictions.empty and "group" not in comparison.predictions:
        text = (
            "The subjects of the scans are not recorded, so every scan counts as a subject of its"
            " own. If some subjects have several scans, the scores are too good."
        )
        notices.append(Notice("note", text))
    return notices


def _verdict(comparison: Comparison) -> str:
    """Compare the first estimator with the best opponent, in a sentence."""
    metric = comparison.metrics[0]
    table: Any = comparison.table.loc[metric]
    if pd.isna(table["mean"].iloc[0]):
        return f"{table.index[0]} has no {_word(metric)}, so it cannot be compared."
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
        end = f"they cannot be told apart: they differ {by}, and the interval includes 0"
    mean = f"{table.loc[best, 'mean']:.3f}"
    return f"{reached}, the best opponent, {best}, {mean}: {end}."


def training_gain(comparison: Comparison) -> str:
    """Say what pretraining added to the first estimator; "" where its untrained self is missing."""
    metric = comparison.metrics[0]
    if comparison.untrained not in comparison.estimators:
        return ""
    found: Any = comparison.differences.loc[(metric, comparison.untrained)]
    if pd.isna(found["difference"]):
        return ""
    if found["difference"] == found["low"] == found["high"] == 0:
        return f"Pretraining changed the {_word(metric)} in no fold."
    interval = "" if pd.isna(found["low"]) else f" {_brackets(found['low'], found['high'])}"
    return f"Pretraining added {found['difference']:+.3f}{interval} to the {_word(metric)}."


def _best_opponent(table: pd.DataFrame) -> str | None:
    """Return the name of the best opponent in one metric's rows of the table, if there is one."""
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
    # They are the same for every metric, so they are said once.
    views = ["views"] if metric == comparison.metrics[0] and "views" in table else []
    rows = [
        [
            f"{name} *" if row["best_opponent"] else str(name),
            _number(row["mean"]) + (f" ± {row['std']:.3f}" if pd.notna(row["std"]) else ""),
            str(row["n_folds"]),
            "–" if pd.isna(row["fit_time"]) else f"{row['fit_time']:.1f} s",
            *(row[name] for name in views),
        ]
        for name, row in table.to_dict("index").items()
    ]
    return Table(
        f"{_word(metric)} on held-out samples: mean ± standard deviation over the folds",
        ["estimator", _word(metric), "folds", "time of a fit", *views],
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
                " 0, other folds or other subjects are unlikely to reverse the result.",
            )
        )
    return figures


def _unit(comparison: Comparison) -> str:
    return "subjects" if "group" in comparison.predictions else "samples"


def _word(metric: str) -> str:
    return find_metric(metric).label


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + "s" * (n != 1)


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"


def _brackets(low: float, high: float) -> str:
    return "–" if pd.isna(low) else f"[{low:+.3f}, {high:+.3f}]"

"""Cross-validation of estimators on the same folds, with results on disk as soon as they exist."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import is_classifier, is_regressor
from sklearn.utils.parallel import Parallel, delayed

from sk_brainmae.evaluation.fitting import Failure, fit_fold
from sk_brainmae.evaluation.folds import Fold, among_kept, describe, make_folds
from sk_brainmae.evaluation.journal import Journal, describe_call
from sk_brainmae.evaluation.results import Comparison
from sk_brainmae.evaluation.samples import check_samples, check_taken
from sk_brainmae.evaluation.scoring import make_score
from sk_brainmae.evaluation.tables import PREDICTION_COLUMNS, SCORE_COLUMNS, Contents, kind_of

TRANSDUCTIVE = " (transductive)"  # ends the names of estimators that saw the test scans


class ComparisonError(RuntimeError):
    """An estimator failed in a fold; the results of all other fits are in ``comparison``.

    Parameters
    ----------
    message : str
        Which estimators failed, in which folds, and what they raised.
    comparison : Comparison
        The results of all other fits.
    """

    def __init__(self, message: str, comparison: Comparison):
        super().__init__(message)
        self.comparison = comparison


def compare(
    estimators: Mapping[str, Any],
    X: Any,
    y: ArrayLike,
    *,
    cv: Any = None,
    groups: ArrayLike | None = None,
    confounds: Any = None,
    scoring: str | Sequence[str] | Mapping[str, Any] | None = None,
    transductive: Sequence[str] = (),
    drop_missing: bool = False,
    folder: str | PathLike | None = None,
    progress: Callable[[str, int], object] | None = None,
    n_jobs: int | None = None,
    random_state: Any = None,
) -> Comparison:
    """Cross-validate estimators on identical folds.

    The samples are split once. In every fold each estimator is cloned, fitted on the training
    part and asked once about the test part. All estimators of one fold come before the next fold.

    Parameters
    ----------
    estimators : dict of str to estimator
        Name and estimator, all classifiers or all regressors. Name yours first: it is compared
        with each of the others. Whatever is learned from data (pretraining, scaling, tuning)
        must happen inside ``fit``.
    X : list of scans or moments, or ndarray of shape (n_scans, n_timepoints, n_regions)
        The samples; a moment is a :class:`~sk_brainmae.timeseries.Window`.
    y : array-like of shape (n_samples,)
        Labels or target. Samples without one (NaN or None; -1 among classes of which no other is
        negative) are never tested. BrainMAE's classifier and regressor pretrain on them in every
        fold that tests no sample of their group or run; other estimators do not see them. They
        are an error where no estimator learns from them.
    cv : int, cross-validation splitter or iterable of (train, test) indices, optional
        As in :func:`sklearn.model_selection.cross_validate`. The default is five folds, repeated
        five times, stratified by class or by the target's quantiles, with whole groups. A
        number makes that many folds of the same kind, once. See :func:`repeated_folds`.
    groups : array-like of shape (n_samples,), optional
        The subject of each sample. Passed to ``cv``, and to the ``fit`` of estimators that take
        ``groups`` (by their signature, or by scikit-learn's metadata routing where that is
        enabled). No group may be in both parts of a fold.
    confounds : DataFrame of n_samples rows, or array-like of shape (n_samples, n_confounds)
        Age, sex, motion, site and the like. Passed to estimators that take ``confounds`` in
        ``fit`` or when they predict, such as :class:`ConfoundAdjusted`.
    scoring : str, list of str, or dict of name to str or scorer, optional
        Metrics, by scikit-learn's names; the first is the main one. The default for classifiers
        is "roc_auc" (of several classes the mean of each against the others),
        "balanced_accuracy", "f1" (of several classes their mean), and for two classes
        "sensitivity" and "specificity", where the second in sorted order is positive. The
        default for regressors is "r2" (against the training mean), "pearson_r" and
        "neg_mean_absolute_error". These names always mean these metrics.
    transductive : list of str, optional
        Names of BrainMAE estimators whose pretraining may see the scans of the test part,
        unlabelled. Their names end in "(transductive)" in all results.
    drop_missing : bool, default=False
        Leave out samples whose target is missing, with a warning that counts them. Indices, in
        ``cv`` and in the results, are those of X as passed.
    folder : path, optional
        Made if needed. Every finished fit is appended to ``scores.csv`` and ``predictions.csv``
        in it; :meth:`Comparison.from_csv` reads them. The same call resumes where an interrupted
        one ended, also with further estimators. Results of other data, folds or parameters are
        refused; changed code is not noticed.
    progress : callable, optional
        Called as ``progress(name, k)`` before an estimator is fitted on the k-th fold (with
        several jobs: before that fit is queued).
    n_jobs : int, optional
        How many fits run at a time, by joblib: in processes of this machine or, inside
        ``joblib.parallel_config("dask")``, on the workers of a cluster. Results do not depend on
        it. Use one job with one GPU.
    random_state : int, RandomState instance or None, default=None
        Shuffles the default folds.

    Returns
    -------
    Comparison
        Scores, predictions, table, paired differences and figures.

    Raises
    ------
    TypeError
        If ``estimators`` is not a dict of names to estimators.
    ValueError
        Before anything is fitted: if lengths or orders differ, a target or confound is missing,
        classifiers are mixed with regressors, a group is in both parts of a fold, a class is
        missing from one, or the folder holds results of other inputs.
    OSError
        If the folder cannot be written to, or another call is using it.
    ComparisonError
        If an estimator raised in a fold; its ``comparison`` holds the results of all others.

    Warns
    -----
    UserWarning
        If several samples are of one run or subject but ``groups`` is missing, samples without
        a target are left out or pretrained on, or a fit fails.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sk_brainmae.evaluation import compare
    >>> X = np.random.default_rng(0).normal(size=(12, 30, 4))  # 12 scans, 30 frames, 4 regions
    >>> comparison = compare({"chance": DummyClassifier()}, X, [0, 1] * 6, cv=3)
    >>> float(comparison.table.loc["roc_auc", "mean"].item())
    0.5
    """
    classification = _check_task(estimators)
    learners = [name for name, model in estimators.items() if _pretrains(model)]
    samples = check_samples(
        X,
        y,
        groups,
        confounds,
        drop_missing=drop_missing,
        classification=classification,
        learners=learners,
    )
    metrics, score = make_score(scoring, samples.y, classification=classification)
    folds = make_folds(
        among_kept(cv, samples.place, len(X)),
        samples.y,
        samples.metadata.get("groups"),
        classification=classification,
        random_state=random_state,
    )
    check_taken(samples, estimators.values())
    _check_transductive(transductive, estimators)
    named = {
        name + TRANSDUCTIVE * (name in transductive): estimator
        for name, estimator in estimators.items()
    }
    failures: dict[tuple[str, int], Failure] = {}
    with Journal() as journal:
        if folder is not None:
            kinds = {"y_true": kind_of(samples.y), "y_pred": kind_of(samples.y)}
            if "groups" in samples.metadata:
                kinds["group"] = kind_of(samples.metadata["groups"])
            contents = Contents(list(named), metrics, kinds)
            journal.keep_in(Path(folder), describe_call(named, samples, folds, scoring), contents)
        tasks = [
            (name, k)
            for k, fold in enumerate(folds)
            for name in named
            if (name, fold.repeat, fold.number) not in journal.finished
        ]

        def calls() -> Iterator[Any]:
            for name, k in tasks:
                if progress is not None:
                    progress(name, k)
                own = name.removesuffix(TRANSDUCTIVE)
                sees = {"pretrains": own in learners, "transductive": own in transductive}
                yield delayed(_fit_task)(name, k, named[name], samples, folds[k], score, **sees)

        for name, k, found in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(calls()):
            if isinstance(found, Failure):
                failures[name, k] = found
                message = f"estimator {name!r} failed in {describe(folds[k])}: {found.error}"
                warnings.warn(message, stacklevel=2)
            else:
                journal.add(name, folds[k], found)
    comparison = _collect(journal, list(named))
    if failures:
        raise ComparisonError(_describe_failures(failures, folds), comparison)
    return comparison


def _fit_task(name: str, k: int, *args: Any, **sees: Any) -> tuple[str, int, Any]:
    return name, k, fit_fold(*args, **sees)


def _check_task(estimators: Mapping[str, Any]) -> bool:
    """Return whether the estimators are classifiers; raise if they are not all of one kind."""
    if not isinstance(estimators, Mapping) or not estimators:
        raise TypeError(
            "estimators must be a dict of names to estimators, such as"
            f" {{'BrainMAE': BrainMAEClassifier()}}; got {estimators!r}"
        )
    for name in estimators:
        if not isinstance(name, str) or name.endswith(TRANSDUCTIVE):
            raise TypeError(
                f"names of estimators must be text that does not end in {TRANSDUCTIVE!r}; got"
                f" {name!r}"
            )
    classifiers = [name for name, estimator in estimators.items() if is_classifier(estimator)]
    regressors = [name for name, estimator in estimators.items() if is_regressor(estimator)]
    if len(estimators) not in (len(classifiers), len(regressors)):
        raise ValueError(
            "the estimators must be all classifiers or all regressors; classifiers are"
            f" {classifiers}, regressors {regressors}, of {list(estimators)}"
        )
    return bool(classifiers)


def _check_transductive(names: Sequence[str], estimators: Mapping[str, Any]) -> None:
    """Raise where an estimator that is to see the test scans learns from no unlabelled one."""
    for name in names:
        if name not in estimators or not _learns_unlabelled(estimators[name]):
            raise ValueError(
                f"transductive={name!r}: only BrainMAEClassifier and BrainMAERegressor learn from"
                f" unlabelled scans; the estimators are {list(estimators)}"
            )


def _pretrains(estimator: Any) -> bool:
    """Say whether ``fit`` pretrains: nothing was pretrained before."""
    return _learns_unlabelled(estimator) and estimator.get_params(deep=False)["pretrained"] is None


def _learns_unlabelled(estimator: Any) -> bool:
    """Say whether ``fit`` can pretrain on unlabelled scans: then it has ``pretrained``."""
    # Its own parameters are asked: a wrapper may pass on attributes of the estimator inside.
    return "pretrained" in estimator.get_params(deep=False)


def _collect(journal: Journal, names: list[str]) -> Comparison:
    """Return the results in the given order of estimators, whatever order they came in."""

    def in_order(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
        rows = pd.concat(tables) if tables else pd.DataFrame(columns=columns)
        place = rows["estimator"].map({name: i for i, name in enumerate(names)})
        rows = rows.assign(place=place).dropna(subset="place")  # the folder may hold others
        rows = rows.sort_values(["repeat", "fold", "place"], kind="stable", ignore_index=True)
        return rows.drop(columns="place")

    return Comparison(
        in_order(journal.scores, SCORE_COLUMNS),
        in_order(journal.predictions, PREDICTION_COLUMNS),
        names,
    )


def _describe_failures(failures: dict[tuple[str, int], Failure], folds: list[Fold]) -> str:
    lines = []
    for name in dict.fromkeys(name for name, _ in failures):
        where = sorted(k for failed, k in failures if failed == name)
        first = failures[name, where[0]]
        lines.append(
            f"estimator {name!r} failed in {len(where)} of {len(folds)} folds, first in"
            f" {describe(folds[where[0]])}: {first.error}\n{first.traceback}"
        )
    return "\n".join([*lines, "The results of all other fits are in this error's .comparison."])

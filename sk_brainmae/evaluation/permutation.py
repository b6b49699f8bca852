"""Is a score better than chance? The score of the true labels beside those of shuffled labels."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed

from sk_brainmae.evaluation.fitting import Failure, ScoreFold, fit_fold
from sk_brainmae.evaluation.folds import Fold, describe, make_folds
from sk_brainmae.evaluation.samples import Samples, check_samples, check_taken
from sk_brainmae.evaluation.scoring import make_score

ROUNDING = 1e-9  # relative difference below which scores are equal


class PermutationTest(NamedTuple):
    """The score of the true labels beside the scores of shuffled labels.

    Attributes
    ----------
    metric : str
        Name of the metric; larger is better.
    score : float
        Mean over the folds, with the true labels.
    null : ndarray of shape (n_permutations,)
        The same mean for each shuffling.
    p : float
        Share of all scores, the true one included, that are at least the true score.
    """

    metric: str
    score: float
    null: NDArray
    p: float


def permutation_test(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    cv: Any = 5,
    groups: ArrayLike | None = None,
    confounds: Any = None,
    scoring: str | None = None,
    n_permutations: int = 199,
    n_jobs: int | None = None,
    random_state: Any = None,
) -> PermutationTest:
    """Test whether an estimator finds anything, by fitting it to shuffled labels.

    Where all samples of a group have one label (a subject's diagnosis), groups exchange their
    labels. Where labels vary within groups (the trials of a subject), they are shuffled within
    each group, so that differences between groups stay. If labels vary within a minority of the
    groups, the test is refused: few labels would move, and the null would repeat the true score.
    Scans and confounds stay as they are. Every permutation is split, stratified by its own labels,
    and fitted anew.

    Parameters
    ----------
    estimator : estimator
        A classifier or regressor of scans.
    X : list of scans or moments, or ndarray of shape (n_scans, n_timepoints, n_regions)
        The samples.
    y : array-like of shape (n_samples,)
        Labels or target.
    cv : int, cross-validation splitter or iterable of (train, test) indices, default=5
        As for :func:`compare`, but one repeat by default, to save time.
    groups : array-like of shape (n_samples,), optional
        The subject of each sample.
    confounds : DataFrame of n_samples rows, optional
        As for :func:`compare`.
    scoring : str, optional
        One metric; by default the task's first, see :func:`compare`.
    n_permutations : int, default=199
        The smallest p possible is 1 / (n_permutations + 1).
    n_jobs : int, optional
        How many permutations run at a time, by joblib.
    random_state : int, RandomState instance or None, default=None
        Makes the folds and the shuffling.

    Returns
    -------
    PermutationTest
        Score, null distribution and p.

    Raises
    ------
    ValueError
        As :func:`compare`; also if labels vary within a minority of the groups, or the score of
        the true labels is NaN.
    RuntimeError
        If a fit fails.
    """
    classification = is_classifier(estimator)
    samples = check_samples(
        X, y, groups, confounds, drop_missing=False, classification=classification
    )
    check_taken(samples, [estimator])
    (metric, *others), score = make_score(scoring, samples.y, classification=classification)
    if others and scoring is not None:
        raise ValueError(f"one metric is tested at a time; scoring names {[metric, *others]}")
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1; got {n_permutations}")
    cv = list(cv) if isinstance(cv, Iterator) else cv  # every permutation needs it
    rng = check_random_state(random_state)
    seed = rng.randint(2**31 - 1)
    groups = samples.metadata.get("groups")
    labels = [samples.y, *(_shuffle(samples.y, groups, rng) for _ in range(n_permutations))]
    # Everything is split before anything is fitted, to find a fold without a class at once.
    task = {"classification": classification, "random_state": seed}
    calls = [
        (estimator, samples._replace(y=y), make_folds(cv, y, groups, **task), score, metric)
        for y in labels
    ]
    true = _mean_score(*calls[0])
    if np.isnan(true):
        raise ValueError(f"{metric} of the true labels is NaN, so there is nothing to test")
    null = np.array(Parallel(n_jobs=n_jobs)(delayed(_mean_score)(*call) for call in calls[1:]))
    # Equal scores may differ by rounding; an undefined score counts against the true one.
    reached = np.isnan(null) | (null >= true - ROUNDING * max(1, abs(true)))
    p = (1 + reached.sum()) / (1 + n_permutations)
    return PermutationTest(metric, true, null, float(p))


def _mean_score(
    estimator: Any, samples: Samples, folds: list[Fold], score: ScoreFold, metric: str
) -> float:
    """Return the mean of a metric over the folds."""
    values = []
    for fold in folds:
        found = fit_fold(estimator, samples, fold, score)
        if isinstance(found, Failure):
            raise RuntimeError(f"{describe(fold)}: {found.error}\n{found.traceback}")
        values.append(found.values[metric])
    return float(np.mean(values))


def _shuffle(y: NDArray, groups: NDArray | None, rng: np.random.RandomState) -> NDArray:
    """Shuffle labels between groups where each has one, else within each group."""
    if groups is None:
        return rng.permutation(y)
    names, first, member = np.unique(groups, return_index=True, return_inverse=True)
    mixed = np.unique(member[y != y[first][member]])  # groups whose labels vary
    if not len(mixed):
        return rng.permutation(y[first])[member]
    if np.isin(member, mixed).mean() < 0.5:
        raise ValueError(
            f"labels vary within {len(mixed)} of {len(names)} groups, the first is"
            f" {names[mixed[0]]}, and are the same within all others: give every group one label,"
            " so that groups exchange labels, or leave out the groups of one label, so that labels"
            " are shuffled within groups"
        )
    shuffled = y.copy()
    for group in range(len(names)):
        shuffled[member == group] = rng.permutation(y[member == group])
    return shuffled

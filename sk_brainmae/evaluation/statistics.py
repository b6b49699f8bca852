"""How sure a paired difference is: tests that know folds share their training samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


class CorrectedTTest(NamedTuple):
    """What :func:`corrected_t_test` found.

    Attributes
    ----------
    mean : float
        Mean difference, in units of the metric.
    std_error : float
        Corrected standard error of that mean.
    t : float
        ``mean / std_error``.
    df : int
        Degrees of freedom, n_differences - 1.
    p : float
        Two-sided p-value of no difference.
    low, high : float
        95 % confidence interval of the mean difference.
    """

    mean: float
    std_error: float
    t: float
    df: int
    p: float
    low: float
    high: float


class BayesianTTest(NamedTuple):
    """What :func:`bayesian_t_test` found: three probabilities that sum to 1.

    Attributes
    ----------
    better : float
        That the mean difference lies above the region of practical equivalence.
    equivalent : float
        That it lies within.
    worse : float
        That it lies below.
    """

    better: float
    equivalent: float
    worse: float


def corrected_t_test(differences: ArrayLike, test_train_ratio: float) -> CorrectedTTest:
    r"""Test a mean difference over folds by the corrected resampled t-test [1]_.

    Folds share training samples, so their differences :math:`d_j` are correlated, and the
    t-test's variance of a mean, :math:`s^2 / J`, is too small. Corrected, it is

    .. math::

        t = \frac{\bar d}{\sqrt{s^2 (1 / J + n_{test} / n_{train})}}, \quad
        s^2 = \frac{1}{J - 1} \sum_j (d_j - \bar d)^2,

    with :math:`J - 1` degrees of freedom. It holds for repeated cross-validation too, with J
    folds in all repeats together [2]_.

    Parameters
    ----------
    differences : array-like of shape (n_folds * n_repeats,)
        Value of ours - value of the opponent in every fold.
    test_train_ratio : float
        Samples tested on for each sample trained on, n_test / n_train: 1 / (k - 1) for k folds.

    Returns
    -------
    CorrectedTTest
        Mean, standard error, t, degrees of freedom, p and 95 % interval. What is not defined is
        NaN: all but the mean for a single difference, all for none or where one is NaN. If all
        differences are equal, the standard error is 0 and the interval the mean itself: then
        t is 0 and p 1 if they are zero, else t is infinite and p 0.

    Raises
    ------
    ValueError
        If ``differences`` is not 1-D or the ratio no positive number.

    References
    ----------
    .. [1] Nadeau & Bengio (2003). Inference for the generalization error. Machine Learning 52.
    .. [2] Bouckaert & Frank (2004). Evaluating the replicability of significance tests for
       comparing learning algorithms. PAKDD.

    Examples
    --------
    >>> from sk_brainmae.evaluation.statistics import corrected_t_test
    >>> test = corrected_t_test([0.02, 0.05, 0.01, 0.04, 0.03], test_train_ratio=1 / 4)
    >>> round(test.p, 3), round(test.low, 3), round(test.high, 3)
    (0.047, 0.001, 0.059)
    """
    mean, std_error, df = _moments(differences, test_train_ratio)
    if std_error == 0:
        t, p = (float(np.copysign(np.inf, mean)), 0.0) if mean else (0.0, 1.0)
        return CorrectedTTest(mean, std_error, t, df, p, low=mean, high=mean)
    t = mean / std_error
    p = float(2 * stats.t.sf(abs(t), df))
    margin = float(stats.t.ppf(0.975, df)) * std_error
    return CorrectedTTest(mean, std_error, t, df, p, low=mean - margin, high=mean + margin)


def bayesian_t_test(differences: ArrayLike, test_train_ratio: float, rope: float) -> BayesianTTest:
    r"""Say how probable a better, an equivalent and a worse mean is, by the correlated t-test.

    The posterior of the mean difference, under a flat prior and the correlation
    :math:`\rho = n_{test} / (n_{test} + n_{train})` between folds [1]_, is a Student t with
    :math:`J - 1` degrees of freedom, centred on :math:`\bar d`, of scale

    .. math::

        \sqrt{s^2 \left( \frac{1}{J} + \frac{\rho}{1 - \rho} \right)}, \quad
        \frac{\rho}{1 - \rho} = \frac{n_{test}}{n_{train}}.

    Its mass below, within and above ``[-rope, rope]`` gives the probabilities [2]_. Unlike a
    p-value it can say that two estimators are alike.

    Parameters
    ----------
    differences : array-like of shape (n_folds * n_repeats,)
        Value of ours - value of the opponent in every fold.
    test_train_ratio : float
        Samples tested on for each sample trained on, n_test / n_train: 1 / (k - 1) for k folds.
    rope : float
        Half the width of the region of practical equivalence, in units of the metric: the
        largest difference nobody would care about. 0.01 is usual for accuracies [2]_.

    Returns
    -------
    BayesianTTest
        The three probabilities; NaN of fewer than two differences or where one is NaN. If all
        differences are equal, the posterior is that one value; on the region's edge it counts
        as equivalent.

    Raises
    ------
    ValueError
        If ``differences`` is not 1-D, the ratio no positive number or ``rope`` negative.

    References
    ----------
    .. [1] Corani & Benavoli (2015). A Bayesian approach for comparing cross-validated
       algorithms on multiple data sets. Machine Learning 100.
    .. [2] Benavoli, Corani, Demsar & Zaffalon (2017). Time for a change: a tutorial for comparing
       multiple classifiers through Bayesian analysis. JMLR 18.

    Examples
    --------
    >>> from sk_brainmae.evaluation.statistics import bayesian_t_test
    >>> test = bayesian_t_test([0.02, 0.05, 0.01, 0.04, 0.03], test_train_ratio=1 / 4, rope=0.01)
    >>> [round(probability, 3) for probability in test]
    [0.934, 0.056, 0.01]
    """
    if not rope >= 0:
        raise ValueError(f"rope must be a difference of 0 or more; got {rope}")
    mean, std_error, df = _moments(differences, test_train_ratio)
    if std_error == 0:
        better, worse = float(mean > rope), float(mean < -rope)
        return BayesianTTest(better, 1 - better - worse, worse)
    above = stats.t.sf([-rope, rope], df, mean, std_error)
    below = stats.t.cdf(-rope, df, mean, std_error)  # not 1 - above: exact in its tail too
    return BayesianTTest(float(above[1]), float(above[0] - above[1]), float(below))


def holm(p_values: ArrayLike) -> NDArray:
    r"""Adjust p-values for their number by Holm's step-down method [1]_.

    With the p-values in rising order, :math:`\tilde p_i = \max_{j \le i} \min(1, (m - j + 1) p_j)`.
    Rejecting where :math:`\tilde p_i \le \alpha` keeps the probability of any false rejection
    below :math:`\alpha`, however the tests depend on each other.

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)
        One for each comparison of the family. NaN is no comparison: it stays NaN and does not
        count in m.

    Returns
    -------
    ndarray of shape (n_tests,)
        Adjusted p-values, in the order given.

    Raises
    ------
    ValueError
        If ``p_values`` is not 1-D or holds a value outside 0 to 1.

    References
    ----------
    .. [1] Holm (1979). A simple sequentially rejective multiple test procedure. Scandinavian
       Journal of Statistics 6.

    Examples
    --------
    >>> from sk_brainmae.evaluation.statistics import holm
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p_values = np.array(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(p_values))
    if p_values.ndim != 1 or not ((p_values[known] >= 0) & (p_values[known] <= 1)).all():
        raise ValueError(f"p_values must be a list of numbers from 0 to 1; got {p_values}")
    order = known[np.argsort(p_values[known])]
    factors = np.arange(len(order), 0, -1)
    p_values[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return p_values


def _moments(differences: ArrayLike, test_train_ratio: float) -> tuple[float, float, int]:
    """Return mean, corrected standard error (0 only if all are equal) and degrees of freedom."""
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"differences must be 1-D, one per fold; got shape {values.shape}")
    if not 0 < test_train_ratio < np.inf:
        raise ValueError(f"n_test / n_train must be a positive number; got {test_train_ratio}")
    n = len(values)
    if n < 2:
        return (float(values[0]) if n else np.nan), np.nan, 0
    if (values == values[0]).all():  # rounding would leave their variance above 0
        return float(values[0]), 0.0, n - 1
    variance = values.var(ddof=1) * (1 / n + test_train_ratio)
    return float(values.mean()), float(np.sqrt(variance)), n - 1

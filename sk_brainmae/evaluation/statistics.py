"""How sure is a paired difference? Tests that allow for training samples shared by the folds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


class CorrectedTTest(NamedTuple):
    """The result of :func:`corrected_t_test`."""

    mean: float  # difference, in units of the metric
    std_error: float  # corrected, of the mean
    t: float  # mean / std_error
    df: int  # degrees of freedom, n_differences - 1
    p: float  # two-sided, of no difference
    low: float  # 95 % confidence interval of the mean difference
    high: float


class BayesianTTest(NamedTuple):
    """The result of :func:`bayesian_t_test`: three probabilities that sum to 1."""

    better: float  # the mean difference lies above the region of practical equivalence
    equivalent: float  # within the region
    worse: float  # below the region


def corrected_t_test(differences: ArrayLike, test_train_ratio: float) -> CorrectedTTest:
    r"""Test a mean difference over folds by the corrected resampled t-test [1]_.

    Folds share training samples, so their differences :math:`d_j` (ours - opponent) are
    correlated, and the plain variance of the mean, :math:`s^2 / J`, is too small. Corrected:

    .. math::

        t = \frac{\bar d}{\sqrt{s^2 (1 / J + n_{test} / n_{train})}}, \quad
        s^2 = \frac{1}{J - 1} \sum_j (d_j - \bar d)^2,

    with :math:`J - 1` degrees of freedom, J being all folds of all repeats [2]_. The ratio
    n_test / n_train is 1 / (k - 1) for k folds. What is not defined is NaN: all but the mean of a
    single difference, and everything where there is none or one is NaN. If all differences are
    equal, the standard error is 0 and p is 0, or 1 where they are zero.

    References
    ----------
    .. [1] Nadeau & Bengio (2003). Inference for the generalization error. Machine Learning 52.
    .. [2] Bouckaert & Frank (2004). Evaluating the replicability of significance tests for
       comparing learning algorithms. PAKDD.
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
    r"""Return how probable a better, an equivalent and a worse mean is: the correlated t-test.

    The posterior of the mean difference, under a flat prior and the correlation
    :math:`\rho = n_{test} / (n_{test} + n_{train})` between folds [1]_, is a Student t with
    :math:`J - 1` degrees of freedom, centred on :math:`\bar d`, of scale

    .. math::

        \sqrt{s^2 \left( \frac{1}{J} + \frac{\rho}{1 - \rho} \right)}, \quad
        \frac{\rho}{1 - \rho} = \frac{n_{test}}{n_{train}}.

    Its mass below, within and above ``[-rope, rope]``, the region of practical equivalence in
    units of the metric, gives the probabilities [2]_; 0.01 is usual for accuracies. They are NaN
    for fewer than two differences or where one is NaN. If all differences are equal, the
    posterior is that one value; on the region's edge it counts as equivalent.

    References
    ----------
    .. [1] Corani & Benavoli (2015). A Bayesian approach for comparing cross-validated
       algorithms on multiple data sets. Machine Learning 100.
    .. [2] Benavoli, Corani, Demsar & Zaffalon (2017). Time for a change: a tutorial for comparing
       multiple classifiers through Bayesian analysis. JMLR 18.
    """
    if not rope >= 0:
        raise ValueError(f"rope must be 0 or more; got {rope}")
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
    below :math:`\alpha`, however the tests depend on each other. NaN stays NaN and does not count
    in m.

    References
    ----------
    .. [1] Holm (1979). A simple sequentially rejective multiple test procedure. Scandinavian
       Journal of Statistics 6.
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
    """Return mean, corrected standard error (0 only of equal values) and degrees of freedom."""
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"differences must be 1-D, one per fold; got shape {values.shape}")
    if not 0 < test_train_ratio < np.inf:
        raise ValueError(f"n_test / n_train must be a positive number; got {test_train_ratio}")
    n = len(values)
    if n < 2:
        return (float(values[0]) if n else np.nan), np.nan, 0
    if (values == values[0]).all():  # by rounding, their variance would not be 0
        return float(values[0]), 0.0, n - 1
    variance = values.var(ddof=1) * (1 / n + test_train_ratio)
    return float(values.mean()), float(np.sqrt(variance)), n - 1

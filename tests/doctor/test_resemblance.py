import numpy as np
from numpy.testing import assert_allclose

from sk_brainmae.doctor import check_scans


def test_resemblance_is_the_correlation_with_the_mean_fc_of_the_other_scans(clean):
    fc = np.array([np.corrcoef(scan.T)[np.triu_indices(40, 1)] for scan in clean])
    expected = [np.corrcoef(fc[i], np.delete(fc, i, 0).mean(axis=0))[0, 1] for i in range(12)]
    assert_allclose(check_scans(clean).table.resemblance, expected, atol=1e-6)

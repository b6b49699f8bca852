"""Settings of all tests."""

import os

# The models of the tests are tiny: threads cost more than they bring, and last digits depend on
# their number. The processes that run the tests take the cores. Libraries read these variables
# when they are loaded, so they come before any import; processes that tests start inherit them.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import pandas as pd  # noqa: E402
import pytest  # noqa: E402
import scipy.linalg  # noqa: E402, F401 (with a BLAS of its own, to be limited with the others)
import torch  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

torch.set_num_threads(1)
threadpool_limits(1)


@pytest.fixture(scope="session")
def from_values():
    """Make a comparison from its scores: name -> value in each fold; no predictions."""
    from sk_brainmae.evaluation import Comparison  # only where a test asks for it

    def make(values, metric="r2"):
        rows = [
            (name, 0, k, metric, value, 2.0 * k, 30, 10)
            for name, of_folds in values.items()
            for k, value in enumerate(of_folds)
        ]
        columns = ["estimator", "repeat", "fold", "metric", "value", "fit_time"]
        table = pd.DataFrame(rows, columns=[*columns, "n_train", "n_test"])
        return Comparison(table, pd.DataFrame(), list(values))

    return make

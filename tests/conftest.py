"""Settings of all tests."""

import os

# The models of the tests are tiny: threads cost more than they bring, and last digits depend on
# their number. The processes that run the tests take the cores. Libraries read these variables
# when they are loaded, so they come before any import; processes that tests start inherit them.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import scipy.linalg  # noqa: E402, F401 (with a BLAS of its own, to be limited with the others)
import torch  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

torch.set_num_threads(1)
threadpool_limits(1)

"""Settings of all tests."""

import torch
from threadpoolctl import threadpool_limits

# The models of the tests are tiny: threads cost more than they bring, and last digits depend on
# their number. The processes that run the tests take the cores.
torch.set_num_threads(1)
threadpool_limits(1)

"""Settings of all tests."""

import torch

# The models of the tests are tiny: threads cost more than they bring, and last digits depend on
# their number.
torch.set_num_threads(1)

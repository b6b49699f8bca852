import pytest
import torch
from torch import nn

from sk_brainmae.training.loop import Batches, Schedule, train

SCHEDULE = Schedule(max_epochs=1, batch_size=8, lr=0.1, weight_decay=0.0, patience=1, verbose=0)


class Crowded(nn.Module):
    """A line that has room for a few samples at a time."""

    def __init__(self, room, error):
        super().__init__()
        self.line, self.room, self.error = nn.Linear(1, 1), room, error

    def forward(self, x):
        if len(x) > self.room:
            raise self.error
        return self.line(x)


class Uneven(Batches):
    """A batch of three samples and one of a single sample."""

    def __len__(self):
        return 2

    def __iter__(self):
        for size in (3, 1):
            yield {"x": torch.ones(size, 1)}, torch.full((size, 1), float(size))


class OneBatch(Batches):
    """A batch of eight samples."""

    def __len__(self):
        return 1

    def __iter__(self):
        yield {"x": torch.ones(8, 1)}, torch.zeros(8, 1)


@pytest.fixture
def fit(observe):
    """Return a function that trains a module and returns its history."""

    def run(module, batches, **schedule):
        schedule = SCHEDULE._replace(**schedule)
        return train(module, nn.MSELoss(), batches, None, schedule, "cpu", observe)

    return run


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=repr)
@pytest.mark.parametrize(("room", "fits"), [(7, 4), (3, 2), (1, 1)])
def test_step_that_runs_out_of_memory_names_a_batch_size_that_fits(fit, error, room, fits):
    message = rf"batch_size=8 .*memory of 'cpu'; batch_size={fits} fits"
    with pytest.raises(MemoryError, match=message):
        fit(Crowded(room, error), OneBatch())


def test_step_that_never_fits_names_other_ways_out(fit):
    with pytest.raises(MemoryError, match=r"not even one crop fits.*crop_length"):
        fit(Crowded(0, MemoryError()), OneBatch())


def test_other_runtime_errors_of_a_step_propagate(fit):
    with pytest.raises(RuntimeError, match="shapes"):
        fit(Crowded(0, RuntimeError("shapes do not match")), OneBatch())


def test_the_loss_of_an_epoch_is_the_mean_over_samples(fit):
    module = Crowded(8, None)
    nn.init.zeros_(module.line.weight)
    nn.init.zeros_(module.line.bias)
    history = fit(module, Uneven(), lr=1e-12)
    assert history[0]["train_loss"] == pytest.approx((3 * 9 + 1 * 1) / 4)

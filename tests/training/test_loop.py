import math

import pytest
import torch
from torch import nn

from sk_brainmae.network import BrainMAE
from sk_brainmae.training.loop import MAX_GRADIENT_NORM, Batches, Schedule, compose, train

SCHEDULE = Schedule(max_epochs=10, batch_size=2, lr=0.1, weight_decay=0.0, patience=10, verbose=0)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class Line(Batches):
    """Points of y = slope * x, in four batches; counts how often it was passed over."""

    def __init__(self, slope, n_batches=4):
        self.x = torch.linspace(-1, 1, 2 * n_batches).view(n_batches, 2, 1)
        self.y = slope * self.x
        self.passes = 0

    def __len__(self):
        return len(self.x)

    def __iter__(self):
        self.passes += 1
        yield from zip(self.x, self.y, strict=True)


def flat_line():
    """Return a line through the origin, of slope 0."""
    line = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(line.weight)
    return line


@pytest.fixture
def fit(observe):
    """Return a function that trains a module and returns its history."""

    def run(module, batches, valid_batches=None, criterion=None, observe=observe, **schedule):
        return train(
            module,
            criterion or nn.MSELoss(),
            batches,
            valid_batches,
            SCHEDULE._replace(**schedule),
            "cpu",
            observe,
        )

    return run


def mse(module, line):
    with torch.no_grad():
        return nn.functional.mse_loss(module(line.x), line.y).item()


# The loop


def test_training_changes_the_module_in_place_and_returns_a_row_an_epoch(fit):
    module, line = flat_line(), Line(2)
    history = fit(module, line, max_epochs=60)
    assert [row["epoch"] for row in history] == list(range(1, 61))
    assert all(list(row) == ["epoch", "train_loss", "lr"] for row in history)
    assert history[0]["train_loss"] > 100 * history[-1]["train_loss"]
    assert module.weight.item() == pytest.approx(2, abs=0.05)
    assert line.passes == 60


def test_no_epochs_leave_the_module_as_it_was(fit):
    module, line = flat_line(), Line(2)
    assert fit(module, line, max_epochs=0) == []
    assert module.weight.item() == 0
    assert line.passes == 0


def test_training_ends_after_the_epoch_in_which_observe_returns_true(fit):
    epochs = []

    def observe(run_epoch):
        run_epoch()
        epochs.append(len(epochs) + 1)
        return len(epochs) == 3

    history = fit(flat_line(), Line(2), observe=observe)
    assert [row["epoch"] for row in history] == epochs == [1, 2, 3]


def test_a_keyboard_interrupt_inside_an_epoch_propagates(fit):
    class Interrupted(Line):
        def __iter__(self):
            yield from super().__iter__()
            if self.passes == 2:
                raise KeyboardInterrupt

    line = Interrupted(2)
    with pytest.raises(KeyboardInterrupt):
        fit(flat_line(), line)
    assert line.passes == 2


def test_verbose_prints_a_line_an_epoch_and_silence_is_the_rule(fit, capsys):
    fit(flat_line(), Line(2), max_epochs=2)
    assert capsys.readouterr().out == ""
    fit(flat_line(), Line(2), max_epochs=2, verbose=1)
    assert "train_loss" in capsys.readouterr().out


# Validation


def test_the_weights_of_the_best_epoch_come_back(fit):
    module, valid = flat_line(), Line(1)
    history = fit(module, Line(2), valid, max_epochs=60, patience=60)
    losses = [row["valid_loss"] for row in history]
    assert len(losses) == 61
    assert 0 < losses.index(min(losses)) < 30  # on its way from 0 to 2 the slope passes 1
    assert losses[-1] > 10 * min(losses)
    assert mse(module, valid) == pytest.approx(min(losses))


@pytest.mark.parametrize("patience", [1, 4])
def test_training_stops_when_the_validation_loss_has_not_improved_for_patience_epochs(
    fit, patience
):
    losses = [
        row["valid_loss"]
        for row in fit(flat_line(), Line(2), Line(1), max_epochs=60, patience=patience)
    ]
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + patience < 60


def test_an_observer_that_stops_training_gets_the_best_weights_too(fit):
    epochs = []

    def observe(run_epoch):
        run_epoch()
        epochs.append(None)
        return len(epochs) == 5

    module, valid = flat_line(), Line(0.1)  # the first step is long enough, the others lead away
    history = fit(module, Line(2), valid, observe=observe)
    losses = [row["valid_loss"] for row in history]
    assert len(losses) == 6
    assert losses[1:] == sorted(losses[1:])
    assert mse(module, valid) == pytest.approx(min(losses))


def test_with_validation_history_starts_with_the_untrained_module(fit):
    module, valid = flat_line(), Line(1)
    untrained = mse(module, valid)
    history = fit(module, Line(2), valid, max_epochs=2)
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert history[0]["valid_loss"] == pytest.approx(untrained)
    assert math.isnan(history[0]["train_loss"])
    assert history[0]["lr"] == 0


def test_a_module_that_training_only_makes_worse_stays_as_it_was(fit):
    module = flat_line()
    history = fit(module, Line(2), Line(-1), max_epochs=9, patience=3)  # every step leads away
    assert module.weight.item() == 0
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]


def test_the_validation_loss_of_the_start_is_a_mean_over_samples_not_batches(fit):
    class Uneven(Line):
        def __iter__(self):
            yield self.x[0], self.y[0]
            yield self.x[1:].flatten(0, 1), self.y[1:].flatten(0, 1)

    valid = Uneven(1)
    history = fit(flat_line(), Line(2), valid, max_epochs=1)
    assert history[0]["valid_loss"] == pytest.approx(mse(flat_line(), valid))


def test_validation_batches_are_not_trained_on(fit):
    alone, watched = flat_line(), flat_line()
    fit(alone, Line(2), max_epochs=3)
    history = fit(watched, Line(2), Line(2), max_epochs=3)
    assert history[0]["valid_loss"] > history[-1]["valid_loss"]  # the last epoch is the best
    assert torch.equal(alone.weight, watched.weight)


# The trial


class TwoSlopes(nn.Module):
    """A line whose slope is a sum of two."""

    def __init__(self):
        super().__init__()
        self.safe, self.other = (nn.Parameter(torch.zeros(())) for _ in range(2))

    def forward(self, x):
        return (self.safe + self.other) * x


def train_on_trial(observe, slope, valid_slope, max_epochs=60):
    module, schedule = TwoSlopes(), SCHEDULE._replace(max_epochs=max_epochs, patience=60)
    groups, data = [("safe", {"alone": 0.5})], (Line(slope), Line(valid_slope))
    history = train(module, nn.MSELoss(), *data, schedule, "cpu", observe, groups)
    return module, history


def test_a_module_on_trial_that_gains_nothing_comes_back_and_training_soon_ends(observe):
    module, history = train_on_trial(observe, 2, -1)
    assert module.safe.item() == module.other.item() == 0
    assert len(history) == 1 + 8 + 3  # the start, a trial of 30 steps, three epochs more


def test_a_module_on_trial_that_gains_trains_on_as_a_whole(observe):
    module, history = train_on_trial(observe, 2, 2)
    assert len(history) == 61
    assert module.other.item() == pytest.approx(module.safe.item())


def test_after_a_failed_trial_only_safe_parameters_learn_at_their_own_rate(observe):
    seen = []

    def watch(run_epoch):
        run_epoch()
        seen.append((module.safe.item(), module.other.item()))
        return False

    module, schedule = TwoSlopes(), SCHEDULE._replace(max_epochs=60, patience=60)
    groups = [("safe", {"alone": 0.5})]
    train(module, nn.MSELoss(), Line(2), Line(-1), schedule, "cpu", watch, groups)
    assert min(other for _, other in seen[:8]) > 0
    assert [other for _, other in seen[8:]] == [0, 0, 0]
    assert 0 < seen[8][0] < seen[9][0] < seen[10][0] < seen[7][0]


# Divergence


class TurnsBad(nn.Module):
    """A squared error that turns to a given value in its n-th call."""

    def __init__(self, value, call):
        super().__init__()
        self.value, self.calls_left = value, call

    def forward(self, output, target):
        self.calls_left -= 1
        loss = nn.functional.mse_loss(output, target)
        return loss * self.value if self.calls_left == 0 else loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_raises_with_its_epoch_and_a_way_out(fit, value):
    message = rf"loss became {value} in epoch 3: .*lower learning rate \(lr=0.1 now\).*scans"
    with pytest.raises(FloatingPointError, match=message):
        fit(flat_line(), Line(2), criterion=TurnsBad(value, call=3 * 4))


def test_a_learning_rate_that_is_far_too_high_raises(fit):
    module = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1))
    with pytest.raises(FloatingPointError, match="lower learning rate"):
        fit(module, Line(2), lr=1e30)


def test_a_validation_loss_that_is_not_finite_before_training_raises(fit):
    valid = Line(2)
    valid.y[0] = math.nan
    with pytest.raises(FloatingPointError, match=r"valid_loss is nan before training.*scans"):
        fit(flat_line(), Line(2), valid)


def test_a_validation_loss_that_training_turns_bad_is_the_one_that_is_named(fit):
    criterion = TurnsBad(math.nan, call=3 * 4)  # start, training of epoch 1, its validation
    with pytest.raises(FloatingPointError, match="valid_loss became nan in epoch 1"):
        fit(flat_line(), Line(2), Line(2), criterion=criterion)


# Learning rate, decay, clipping


def used_learning_rates(n_epochs):
    """Return the learning rate of each step of a real training with four steps an epoch."""
    line, schedule = Line(2), SCHEDULE._replace(max_epochs=n_epochs)
    net = compose(flat_line(), nn.MSELoss(), line, None, schedule, "cpu")
    net.fit_loop(line, epochs=n_epochs)
    used = [step["event_lr"] for epoch in net.history[:, "batches"] for step in epoch]
    return used, net.optimizer_.param_groups[0]["lr"]


def test_the_learning_rate_warms_up_linearly_then_falls_as_a_cosine_to_zero():
    used, left = used_learning_rates(n_epochs=10)
    assert len(used) == 40
    assert used[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])  # a tenth of the steps
    assert max(used) == used[4]
    assert used[22] == pytest.approx(0.05)  # half-way down
    assert used[13] == pytest.approx(0.1 * (1 + math.cos(math.pi / 4)) / 2)
    assert used[5:] == sorted(used[5:], reverse=True)
    assert 0 < used[-1] < 1e-3
    assert left == pytest.approx(0, abs=1e-12)


def test_history_tells_the_learning_rate_after_each_epoch(fit):
    used, left = used_learning_rates(n_epochs=3)
    history = fit(flat_line(), Line(2), max_epochs=3)
    assert [row["lr"] for row in history] == pytest.approx([used[4], used[8], left])


@pytest.mark.parametrize("attention", ["static", "adaptive", "vanilla"])
def test_norms_and_biases_do_not_decay_and_every_parameter_is_in_one_group(attention):
    network = BrainMAE(7, 5, dim=8, n_heads=2, n_layers=1, attention=attention)
    schedule = SCHEDULE._replace(weight_decay=0.3)
    net = compose(network, nn.MSELoss(), Line(2), None, schedule, "cpu")
    assert isinstance(net.optimizer_, torch.optim.AdamW)
    decay = [(p, g["weight_decay"]) for g in net.optimizer_.param_groups for p in g["params"]]
    exempt = {
        id(parameter)
        for module in network.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(module, nn.LayerNorm) or name == "bias"
    }
    assert sorted(id(p) for p, _ in decay) == sorted(id(p) for p in network.parameters())
    assert all(rate == (0.0 if id(p) in exempt else 0.3) for p, rate in decay)
    assert 0 < len(exempt) < len(decay)


def test_weight_decay_shrinks_weights_and_spares_biases(fit):
    plain, decayed = nn.Linear(1, 1), nn.Linear(1, 1)
    decayed.load_state_dict(plain.state_dict())
    line = Line(0)
    line.x.zero_()
    line.y[:] = plain.bias.item()  # nothing to learn: the gradient is 0
    fit(plain, line, max_epochs=2)
    fit(decayed, line, max_epochs=2, weight_decay=0.5)
    assert abs(decayed.weight.item()) < 0.9 * abs(plain.weight.item())
    assert decayed.bias.item() == plain.bias.item()


class Steep(nn.Module):
    """A loss with enormous gradients."""

    def forward(self, output, target):
        return 1e4 * nn.functional.mse_loss(output, target)


def test_gradients_are_clipped_to_a_norm_of_one(fit):
    module = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1))
    fit(module, Line(2), criterion=Steep(), max_epochs=1)
    last_step = torch.cat([p.grad.flatten() for p in module.parameters()])
    assert MAX_GRADIENT_NORM == 1
    assert last_step.norm().item() == pytest.approx(1, rel=1e-3)

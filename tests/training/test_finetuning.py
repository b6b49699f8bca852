import random

import numpy as np
import pytest
import torch
from torch import nn

from sk_brainmae.network import PredictionNetwork
from sk_brainmae.timeseries import Window, validate_scans
from sk_brainmae.training import Schedule, encode, finetune
from sk_brainmae.training.finetuning import LabelledCrops, SquaredError

WINDOW = 5
SCHEDULE = Schedule(max_epochs=12, batch_size=8, lr=1e-2, weight_decay=0.01, patience=12, verbose=0)


def make_trials(strength, seed=0):
    """Cut six runs of 40 frames into eight Windows each, where region 2 rises by ``strength``."""
    rng = np.random.default_rng(seed)
    runs = rng.normal(size=(6, 40, 7))
    runs[:, :, 2] += np.repeat(strength.reshape(6, 8), WINDOW, axis=1)
    return [Window(run, start, start + WINDOW) for run in runs for start in range(0, 40, WINDOW)]


@pytest.fixture
def classes():
    """A cohort of 48 trials and their classes."""
    y = np.random.default_rng(1).integers(0, 2, 48)
    return validate_scans(make_trials(4.0 * y)), y


@pytest.fixture
def values():
    """A cohort of 48 trials and their values."""
    rng = np.random.default_rng(1)
    y = np.concatenate([rng.permutation(np.linspace(-1.5, 1.5, 8)) for _ in range(6)])
    return validate_scans(make_trials(4.0 * y)), y.astype(np.float32)


def split(labelled):
    """Train on the first four runs, hold out the last two."""
    cohort, y = labelled
    parts = np.arange(32), np.arange(32, 48)
    return [(cohort.take(part), y[part]) for part in parts]


@pytest.fixture
def finetuned(observe):
    """Return a function that trains an encoder with a head, and returns the head and history."""

    def run(encoder, training, validation=None, reads_cls=False, n_windows=1, seed=0, **schedule):
        y = training[1]
        return finetune(
            encoder,
            training,
            validation,
            n_classes=y.max() + 1 if y.dtype.kind == "i" else None,
            reads_cls=reads_cls,
            window=WINDOW,
            n_windows=n_windows,
            schedule=SCHEDULE._replace(**schedule),
            seed=seed,
            device="cpu",
            observe=observe,
        )

    return run


def predict(encoder, weight, bias, cohort, reads_cls=False, n_windows=1):
    """Apply the returned head to what the tuned encoder says."""
    states, cls = encode(
        encoder, cohort, window=WINDOW, n_windows=n_windows, batch_size=8, device="cpu"
    )
    pooled = cls if reads_cls else np.stack([s.mean(axis=0) for s in states])
    return pooled @ weight.T + bias


def crops_of(labelled, n_windows=1, batch_size=8):
    return LabelledCrops(*labelled, WINDOW, n_windows, batch_size, "cpu", seed=0)


# Batches


def test_every_crop_is_visited_once_an_epoch_with_the_label_of_its_sample():
    scans = list(np.random.default_rng(0).normal(size=(6, 40, 7)))
    cohort = validate_scans(scans)
    sample_of = {value: i // 40 for i, value in enumerate(cohort.frames[:, 0].tolist())}
    batches = crops_of((cohort, np.arange(6) * 10), n_windows=3, batch_size=4)
    orders = set()
    for _ in range(3):
        seen = [
            (sample_of[value], label)
            for inputs, target in batches
            for value, label in zip(
                inputs["signal"][:, 0, 0, 0].tolist(), target.tolist(), strict=True
            )
        ]
        assert sorted(seen) == sorted((i, 10 * i) for i in range(6) for _ in range(3))
        orders.add(tuple(seen))
    assert len(orders) == 3
    assert len(batches) == len(list(batches)) == 5


def test_own_tells_the_trial_from_its_context(classes):
    cohort, y = classes
    own_of = {cohort.sample(i)[0, 0]: y[i] for i in range(48)}
    for inputs, target in crops_of((cohort, y), n_windows=3):
        assert (inputs["own"].sum(-1) == 1).all()
        assert inputs["visible"].all()
        firsts = inputs["signal"][inputs["own"]][:, 0, 0].numpy()
        assert [own_of[first] for first in firsts] == target.tolist()


# Learning


@pytest.mark.parametrize("reads_cls", [False, True])
def test_finetuning_learns_classes_and_its_head_predicts_new_runs(
    finetuned, make_network, classes, reads_cls
):
    training, (cohort, y) = split(classes)
    encoder = make_network()
    weight, bias, history = finetuned(encoder, training, reads_cls=reads_cls)
    assert weight.shape == (2, 8)
    assert bias.shape == (2,)
    assert [row["epoch"] for row in history] == list(range(1, 13))
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    output = predict(encoder, weight, bias, cohort, reads_cls)
    assert np.mean(output.argmax(axis=1) == y) > 0.9


@pytest.mark.parametrize("reads_cls", [False, True])
def test_finetuning_learns_values_and_its_head_predicts_new_runs(
    finetuned, make_network, values, reads_cls
):
    training, (cohort, y) = split(values)
    encoder = make_network()
    weight, bias, history = finetuned(encoder, training, reads_cls=reads_cls)
    assert weight.shape == (1, 8)
    assert bias.shape == (1,)
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    output = predict(encoder, weight, bias, cohort, reads_cls)
    assert np.corrcoef(output[:, 0], y)[0, 1] > 0.8


def test_the_head_reads_the_trial_not_its_context(finetuned, make_network, classes):
    training, (cohort, y) = split(classes)
    encoder = make_network()
    weight, bias, _ = finetuned(encoder, training, n_windows=3)
    output = predict(encoder, weight, bias, cohort, n_windows=3)
    assert np.mean(output.argmax(axis=1) == y) > 0.9


def test_three_classes_get_three_outputs(finetuned, make_network):
    y = np.arange(48) % 3
    cohort = validate_scans(make_trials(2.0 * y))
    weight, bias, _ = finetuned(make_network(), (cohort, y), max_epochs=1)
    assert weight.shape == (3, 8)
    assert bias.shape == (3,)


def test_training_moves_the_encoder_and_spares_the_decoder(finetuned, make_network, classes):
    encoder, start = make_network(), make_network().state_dict()
    finetuned(encoder, classes, max_epochs=1)
    moved = {name for name, value in encoder.state_dict().items() if (value != start[name]).any()}
    assert {"roi", "state_encoder.readout.weight", "sequence_norm.weight"} <= moved
    assert not [name for name in moved if name.startswith("decode")]


def test_no_epochs_give_the_untrained_encoder_and_a_head_of_zeros(finetuned, make_network, classes):
    encoder, start = make_network(), make_network().state_dict()
    weight, bias, history = finetuned(encoder, classes, max_epochs=0)
    assert history == []
    assert not weight.any()
    assert not bias.any()
    assert all(torch.equal(value, start[name]) for name, value in encoder.state_dict().items())


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    finetuned, make_network, classes
):
    encoders = [make_network() for _ in range(3)]
    heads = [
        finetuned(encoder, classes, seed=seed, max_epochs=2)[0]
        for encoder, seed in zip(encoders, (5, 5, 6), strict=True)
    ]
    roi, same, other = (encoder.roi for encoder in encoders)
    assert torch.equal(roi, same)
    assert not torch.equal(roi, other)
    assert np.array_equal(heads[0], heads[1])
    assert not np.array_equal(heads[0], heads[2])


def test_finetuning_leaves_labels_and_everything_random_but_its_head_alone(
    finetuned, make_network, classes
):
    cohort, y = classes
    labels, frames = y.copy(), cohort.frames.copy()
    before = repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    list(crops_of(classes))
    finetuned(make_network(), classes, max_epochs=2)
    assert before == (repr(np.random.get_state()), random.getstate())  # noqa: NPY002
    np.testing.assert_array_equal(y, labels)
    np.testing.assert_array_equal(cohort.frames, frames)


def test_batches_leave_the_global_torch_generator_alone(classes):
    before = torch.get_rng_state()
    list(crops_of(classes))
    assert torch.equal(before, torch.get_rng_state())


# Validation


def cross_entropy(output, y):
    return nn.functional.cross_entropy(torch.from_numpy(output), torch.from_numpy(y)).item()


def squared_error(output, y):
    return np.mean((output[:, 0] - y) ** 2)


@pytest.mark.parametrize(("kind", "loss"), [("classes", cross_entropy), ("values", squared_error)])
def test_validation_brings_back_the_best_encoder_and_head(
    finetuned, make_network, request, kind, loss
):
    training, (cohort, y) = split(request.getfixturevalue(kind))
    misleading = np.roll(y, 1)  # the better the fit, the worse in validation
    encoder = make_network()
    weight, bias, history = finetuned(encoder, training, (cohort, misleading), lr=3e-2)
    losses = [row["valid_loss"] for row in history]
    assert losses.index(min(losses)) < len(losses) - 1
    output = predict(encoder, weight, bias, cohort)
    assert loss(output, misleading) == pytest.approx(min(losses), rel=1e-4)


def test_patience_ends_finetuning_that_validation_does_not_follow(finetuned, make_network, classes):
    training, (cohort, y) = split(classes)
    _, _, history = finetuned(make_network(), training, (cohort, 1 - y), patience=2, lr=3e-2)
    losses = [row["valid_loss"] for row in history]
    assert len(losses) == losses.index(min(losses)) + 3 < 12


def test_squared_error_compares_outputs_with_values_one_to_one():
    output, target = torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 5.0])
    assert SquaredError()(output, target).item() == pytest.approx((1 + 4) / 2)


def test_the_head_starts_at_zero_so_the_first_loss_is_that_of_a_guess(make_network, classes):
    cohort, y = classes
    network = PredictionNetwork(make_network(), 2, reads_cls=False)
    ((inputs, target),) = crops_of((cohort, y), batch_size=48)
    loss = nn.CrossEntropyLoss()(network(**inputs), target)
    assert loss.item() == pytest.approx(np.log(2))

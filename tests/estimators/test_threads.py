"""Fits in threads find what they find alone, and nobody else notices."""

import threading

import joblib
import numpy as np
import pytest
import torch

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.device import seeded
from sk_brainmae.training.rng import DrawFrom

TINY = {
    "embedding_dim": 8,
    "n_heads": 2,
    "window_size": 10,
    "crop_length": 30,
    "max_epochs": 2,
    "validation_fraction": 0,
}
MODELS = [
    BrainMAETransformer(**TINY),
    BrainMAETransformer(**TINY, init="random"),
    BrainMAEClassifier(**TINY, strategy="finetune"),
]


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=6, n_timepoints=60, n_regions=10, random_state=0).scans


def fit(model, scans, seed):
    model.set_params(random_state=seed).fit(scans, [0, 1] * 3)
    encoder = getattr(model, "encoder_", model)
    return joblib.hash((encoder.weights_, encoder.transform(scans)))


def test_threads_find_the_same_models_as_one_after_another(scans):
    jobs = [(model, seed) for seed in range(2) for model in MODELS]
    alone = [fit(type(m)(**m.get_params()), scans, seed) for m, seed in jobs]
    together = joblib.Parallel(n_jobs=6, backend="threading")(
        joblib.delayed(fit)(type(m)(**m.get_params()), scans, seed) for m, seed in jobs
    )
    assert together == alone
    assert len(set(alone)) == len(jobs)


@pytest.mark.parametrize("model", MODELS, ids=["spectral", "random", "fine-tuned"])
def test_no_thread_sees_another_global_state_while_a_model_is_fitted(scans, model):
    before = torch.get_rng_state()
    drawn = []

    class Look:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context):
            drawn.append(torch.equal(torch.get_rng_state(), before))

    type(model)(**model.get_params()).set_callbacks(Look()).fit(scans, [0, 1] * 3)
    assert drawn
    assert all(drawn)


def test_layers_draw_from_the_generator_what_the_seed_would_give():
    with seeded(3):
        expected = torch.nn.Linear(4, 2).weight
    before = torch.get_rng_state()
    with DrawFrom(torch.Generator().manual_seed(3)):
        layer = torch.nn.Linear(4, 2)
    assert torch.equal(layer.weight, expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_threads_enter_one_after_another():
    def draw(seed):
        with seeded(seed):
            return [torch.rand(1).item() for _ in range(2000)]

    alone = [draw(seed) for seed in range(4)]
    found = [None] * 4

    def work(seed):
        found[seed] = draw(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found, alone)

"""Bad parameters and bad scans of BrainMAETransformer: clear errors, and no model left behind."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.datasets import make_cohort

TINY = {
    "embedding_dim": 8,
    "n_heads": 2,
    "window_size": 10,
    "crop_length": 30,
    "max_epochs": 1,
    "random_state": 0,
}
METHODS = ("transform", "transform_windows", "reconstruct", "score")


def tiny(**params):
    return BrainMAETransformer(**{**TINY, **params})


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=12, n_timepoints=60, n_regions=10, random_state=0).scans


@pytest.fixture(scope="module")
def fitted(scans):
    return tiny().fit(scans)


BAD_PARAMETERS = [
    ({"mask_ratio": 1.0}, "mask_ratio"),
    ({"mask_ratio": -0.1}, "mask_ratio"),
    ({"mask_ratio": (0.8, 0.2)}, r"mask_ratio=\(0.8, 0.2\)"),
    ({"mask_ratio": (0.2, 1.0)}, r"mask_ratio=\(0.2, 1.0\)"),
    ({"mask_ratio": (0.2,)}, "mask_ratio"),
    ({"mask_ratio": "half"}, "mask_ratio"),
    ({"attention": "sparse"}, "attention"),
    ({"pooling": "max"}, "pooling"),
    ({"window_size": 40}, "window_size=40 is longer than crop_length=30"),
    ({"window_size": 0.4, "t_r": 2}, "window_size=0.4 is less than one frame"),
    ({"n_heads": 3}, "embedding_dim=8 is no multiple of n_heads=3"),
    ({"device": "cuda:99"}, "device='cuda:99' cannot be used here"),
    ({"device": "abacus"}, "device='abacus' cannot be used here"),
    ({"max_epochs": -1}, "max_epochs"),
    ({"lr": 0}, "lr"),
    ({"validation_fraction": 1.0}, "validation_fraction"),
    ({"memory": 3}, "memory"),
]


@pytest.mark.parametrize(("params", "message"), BAD_PARAMETERS)
def test_bad_parameter_raises_before_the_scans_are_looked_at(params, message):
    with pytest.raises(ValueError, match=message):
        tiny(**params).fit(None)


BAD_SCANS = {
    "one 2-D scan": (lambda scans: scans[0], ValueError, r"pass \[X\]"),
    "no scans": (lambda scans: [], ValueError, "no scans"),
    "one odd scan": (lambda s: [*s, s[0, :, :9]], ValueError, "scan 12 has 9 regions"),
    "NaN": (lambda s: [*s, np.full((60, 10), np.nan)], ValueError, "scan 12 lacks 100%"),
    "infinite": (lambda s: [*s, np.full((60, 10), np.inf)], ValueError, "scan 12 has inf"),
    "strings": (lambda scans: scans.astype(str), TypeError, "not numbers"),
    "complex": (lambda scans: scans.astype(complex), ValueError, "Complex"),
    "too short": (lambda s: [*s[:, :, :9], s[0, :9, :9]], ValueError, "scan 12 has 9 frames, few"),
}


@pytest.mark.parametrize("case", BAD_SCANS)
def test_bad_scans_raise_and_leave_the_model_unfitted(scans, case):
    spoil, kind, message = BAD_SCANS[case]
    model = tiny()
    with pytest.raises(kind, match=message):
        model.fit(spoil(scans))
    with pytest.raises(NotFittedError):
        model.transform(scans)


class Interrupt:
    """A callback that ends the fit in its first epoch; KeyboardInterrupt stands for Ctrl-C."""

    def __init__(self, kind):
        self.kind = kind

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch":
            raise self.kind

    def on_fit_task_end(self, estimator, context): ...


FAILURES = {
    "bad scans": (lambda model, s: model.fit(np.full_like(s, np.inf)), ValueError),
    "bad groups": (lambda model, s: model.fit(s, groups=[0]), ValueError),
    "too many components": (lambda m, s: m.set_params(n_components=13).fit(s), ValueError),
    "divergence": (lambda m, s: m.set_params(lr=1e30, init="random").fit(s), FloatingPointError),
    "Ctrl-C": (
        lambda m, s: m.set_callbacks(Interrupt(KeyboardInterrupt)).fit(s),
        KeyboardInterrupt,
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_refit_that_fails_leaves_no_mix_of_two_models(scans, case):
    fail, kind = FAILURES[case]
    model = tiny(max_epochs=3, validation_fraction=0).fit(scans)
    with pytest.raises(kind):
        fail(model, scans)
    with pytest.raises(NotFittedError):
        model.transform(scans)
    with pytest.raises(NotFittedError):
        BrainMAEClassifier(pretrained=model).fit(scans, [0, 1] * 6)


@pytest.mark.parametrize(
    ("n_components", "n_regions", "message"),
    [(13, 10, "and there are 12"), (12, 2, "embedding has 8 features")],
)
def test_more_components_than_there_are_raise_before_training(
    scans, n_components, n_regions, message
):
    model = tiny(n_components=n_components, window_size=2)
    model.set_callbacks(Interrupt(AssertionError))
    with pytest.raises(ValueError, match=message):
        model.fit(scans[:, :, :n_regions])


@pytest.mark.parametrize("method", METHODS)
def test_another_region_count_than_in_fit_raises(scans, fitted, method):
    with pytest.raises(ValueError, match="have 9 regions, but the model was fitted on 10"):
        getattr(fitted, method)(scans[:, :, :9])


@pytest.mark.parametrize("method", METHODS)
def test_unfitted_use_raises_before_the_scans_are_looked_at(method):
    with pytest.raises(NotFittedError):
        getattr(tiny(), method)(None)
    with pytest.raises(NotFittedError):
        tiny().history_  # noqa: B018

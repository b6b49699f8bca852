"""scikit-learn's estimator checks, on the estimators as they are and on lifted ones.

On an estimator of 3-D input scikit-learn runs a single check. So the estimators are lifted: a
subclass turns every row of an ordinary table into a small scan, right at the validation seam, and
everything behind that seam is the code that users run.
"""

from functools import partial
from unittest import SkipTest

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator
from sklearn.utils.validation import check_is_fitted, validate_data

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.timeseries import Window

N_FRAMES = 24
# In the rest of its run every region is as strong as the strongest moments are.
REST = 3
# The smallest settings that still train, and tell two clouds of points apart.
SMALL = {
    "window_size": 8,
    "crop_length": N_FRAMES,
    "embedding_dim": 8,
    "n_heads": 2,
    "n_layers": 1,
    "n_states": 1,
    "batch_size": 64,
    "max_epochs": 1,
    "validation_fraction": 0,
    "views": ("connectivity", "innovations", "tempo"),
}
PROBED = SMALL | {"init": "random"}
FIRST_ORDER = SMALL | {"init": "random", "views": "state_mean", "validation_fraction": 0.1}
# Steps enough to learn both clouds of points and a line, with any of a few seeds.
FINETUNED = SMALL | {"views": "state_mean", "strategy": "finetune", "max_epochs": 7, "lr": 0.012}


def lift(rows):
    """Turn each row into a moment of a run of its own; a value is a region's strength in it.

    z-scoring over the run leaves the values visible, in variances and in correlations: enough
    for two features, as few as the checks learn from.
    """
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(N_FRAMES, 1))
    own, rest = rng.normal(size=(2, N_FRAMES, rows.shape[1]))
    strength = np.exp(np.clip(rows, -3, 3))
    runs = [np.concatenate([shared + s * own, REST * rest]) for s in strength]
    return [Window(run, 0, N_FRAMES) for run in runs]


class Lifted:
    """Mixin: a table of numbers in, where the estimator takes scans."""

    def _learn(self, record, X, t_r):
        return super()._learn(record, lift(validate_data(self, X, reset=True)), t_r)

    def _read(self, X, t_r=None, hidden=None):
        check_is_fitted(self)
        return super()._read(lift(validate_data(self, X, reset=False)), t_r, hidden)

    @property
    def n_features_in_(self):  # of the table: validate_data sets it
        if "_n_columns" not in vars(self):
            raise AttributeError("n_features_in_")
        return self._n_columns

    @n_features_in_.setter
    def n_features_in_(self, n_columns):
        self._n_columns = n_columns

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = False
        tags.input_tags.allow_nan = False  # of a table; scans may have gaps
        return tags


class LiftedTransformer(Lifted, BrainMAETransformer):
    pass


class LiftedRegressor(Lifted, BrainMAERegressor):
    pass


class LiftedClassifier(Lifted, BrainMAEClassifier):
    pass


# scikit-learn knows by this name alone for whom -1 is no class but marks unlabelled samples, and
# gives them 0 and 1 where the others get -1 and 1.
LiftedClassifier.__name__ = "SelfTrainingClassifier"


class FromTheStart:
    """Mixin: fine-tune the closed-form start; other batteries pretrain."""

    def _encoder_params(self, seed):
        return {**super()._encoder_params(seed), "max_epochs": 0}


class FinetunedRegressor(FromTheStart, LiftedRegressor):
    pass


class FinetunedClassifier(FromTheStart, LiftedClassifier):
    pass


FinetunedClassifier.__name__ = LiftedClassifier.__name__


NATIVE = [BrainMAETransformer(**SMALL), BrainMAERegressor(**SMALL), BrainMAEClassifier(**SMALL)]
# Each with the number of checks that there must be; none may fail or be skipped.
BATTERIES = {
    "transformer": (LiftedTransformer(**SMALL), 47),
    "regressor": (LiftedRegressor(**PROBED), 52),
    "classifier": (LiftedClassifier(**PROBED), 55),
    "transformer, first-order": (LiftedTransformer(**FIRST_ORDER), 45),
    "regressor, fine-tuned": (FinetunedRegressor(**FINETUNED), 50),
    "classifier, fine-tuned": (FinetunedClassifier(**FINETUNED), 53),
}
# What scikit-learn asks of its own estimators besides.
PARAMETERS = [estimator_checks.check_param_validation]
# check_transformer_get_feature_names_out_pandas is left out: the lift turns rows into arrays, which
# name no regions. test_region_names asks for the same.
OUTPUT = [
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_global_output_transform_pandas,
]
# These two ask for more digits than the network's float32 has: a sum's last ones depend on the
# size of the batch. test_embedding_does_not_depend_on_the_batch asks for the others.
FINER_THAN_FLOAT32 = {
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
}


def describe(check):
    """Name a check and its options."""
    options = []
    while isinstance(check, partial):
        options += [f"{key}={value}" for key, value in check.keywords.items()]
        check = check.func
    return ",".join([check.__name__, *options])


def collect_checks(battery):
    """Return the checks of a battery by name."""
    estimator, _ = BATTERIES[battery]
    left_out = set() if estimator.views != "state_mean" else FINER_THAN_FLOAT32
    checks = {describe(check): check for _, check in estimator_checks_generator(estimator)}
    return {name: check for name, check in checks.items() if name not in left_out}


CHECKS = {battery: collect_checks(battery) for battery in BATTERIES}


@pytest.fixture(autouse=True)
def _array_api(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it, that check is skipped


@pytest.fixture(autouse=True)
def _coarse_grid(monkeypatch):
    """Let heads choose among two strengths: most of the time of a fit goes there."""
    monkeypatch.setattr("sk_brainmae.heads.linear.STRENGTHS", np.array([1.0, 1e-2]))


@pytest.mark.parametrize(
    ("battery", "name"), [(battery, name) for battery in CHECKS for name in CHECKS[battery]]
)
def test_lifted_estimator_passes_check(battery, name):
    try:
        CHECKS[battery][name](BATTERIES[battery][0])
    except SkipTest as reason:  # would count as no failure
        pytest.fail(f"skipped: {reason}")


@pytest.mark.parametrize("battery", BATTERIES)
def test_there_are_no_fewer_checks_than_ever(battery):
    assert len(CHECKS[battery]) >= BATTERIES[battery][1]


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
@pytest.mark.parametrize(
    ("battery", "check"),
    [(battery, check) for battery in list(BATTERIES)[:3] for check in PARAMETERS]
    + [("transformer, first-order", check) for check in OUTPUT],
)
def test_lifted_estimator_passes_further_check(battery, check):
    estimator = BATTERIES[battery][0]
    check(type(estimator).__name__, estimator)


@pytest.mark.filterwarnings("ignore:Can't test estimator")
@pytest.mark.parametrize("estimator", NATIVE)
def test_estimator_as_it_is_passes_the_checks_for_3d_input(estimator):
    assert [result["status"] for result in check_estimator(estimator)] == ["passed"]


@pytest.mark.parametrize("estimator", NATIVE)
def test_fitted_attributes_are_the_documented_ones(estimator):
    rows = np.random.default_rng(0).normal(size=(8, 3))
    model = clone(estimator).fit(lift(rows), np.arange(8) % 2)
    fitted = {name for name in dir(model) if name.endswith("_") and not name.startswith("_")}
    assert fitted == {entry.name for entry in ClassDoc(type(model))["Attributes"]}


@pytest.mark.parametrize("views", ["state_mean", "cls"])
def test_embedding_does_not_depend_on_the_batch(views):
    rows = np.random.default_rng(0).normal(size=(20, 3))
    model = LiftedTransformer(**SMALL | {"views": views}, random_state=0).fit(rows)
    together = model.transform(rows)
    alone = [model.transform(row[None])[0] for row in rows]
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(model.transform(rows[::-1]), together[::-1], atol=1e-5)

"""Linear heads come back as they were; what makes none is refused."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_brainmae.persistence.heads import pack_head, unpack_head

FEATURES = np.random.default_rng(0).normal(size=(12, 5))
TEXTS = np.array(["rest", "task"] * 6)
LABELS = {
    "texts": TEXTS,
    "objects": TEXTS.astype(object),
    "numbers as objects": np.array([3, 5] * 6, dtype=object),
    "three integers": np.tile([3, 5, 7], 4),
    "unsigned": np.tile([3, 5], 6).astype(np.uint8),
    "floats": np.tile([1.0, 2.5], 6),
    "bools": TEXTS == "rest",
}


def scaled(model, with_std=True):
    return make_pipeline(StandardScaler(with_std=with_std), model)


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("wrap", [scaled, lambda model: model], ids=["scaled", "alone"])
def test_a_classification_head_comes_back(kind, wrap):
    classes, codes = np.unique(LABELS[kind], return_inverse=True)
    head = wrap(LogisticRegression(C=0.3)).fit(FEATURES, codes)
    model = head[-1] if wrap is scaled else head
    model.classes_ = classes
    config, arrays = pack_head(head)
    loaded = unpack_head(config, arrays, n_features=5)
    np.testing.assert_array_equal(loaded.predict(FEATURES), head.predict(FEATURES))
    np.testing.assert_array_equal(loaded.predict_proba(FEATURES), head.predict_proba(FEATURES))
    assert loaded.classes_.dtype.kind == classes.dtype.kind
    np.testing.assert_array_equal(loaded.classes_, classes)


@pytest.mark.parametrize(
    "wrap", [scaled, lambda model: scaled(model, with_std=False), lambda model: model]
)
def test_a_regression_head_comes_back(wrap):
    head = wrap(Ridge(alpha=2.0)).fit(FEATURES, FEATURES[:, 0])
    loaded = unpack_head(*pack_head(head), n_features=5)
    np.testing.assert_array_equal(loaded.predict(FEATURES), head.predict(FEATURES))


def test_labels_that_are_neither_texts_nor_numbers_cannot_be_saved():
    dates = np.array(["2020-01-01", "2021-01-01"] * 6, dtype="datetime64[D]")
    head = LogisticRegression().fit(FEATURES, dates)
    with pytest.raises(ValueError, match=r"datetime64.* cannot be saved"):
        pack_head(head)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": "rest"}, "must be a list"),
        ({"classes": ["rest", "rest"]}, "sorted and distinct"),
        ({"classes": ["task", "rest"]}, "sorted and distinct"),
        ({"classes": ["rest", 1]}, "all of a kind"),
        ({"classes": [["rest"], ["task"]]}, "all of a kind"),
        ({"classes": ["a", "b", "c"]}, "3 classes for 1 outputs"),
        ({"classes": None}, "has shape"),
        ({"classes": [-1, 1], "dtype": "uint64"}, "not of type uint64|sorted and distinct"),
        ({"dtype": "S10"}, "known type"),
        ({"strength": -1}, "strength"),
        ({"strength": True}, "strength"),
        ({"strength": "strong"}, "strength"),
    ],
)
def test_configurations_that_make_no_head_are_refused(change, message):
    config, arrays = pack_head(scaled(LogisticRegression()).fit(FEATURES, TEXTS))
    with pytest.raises(ValueError, match=message):
        unpack_head(config | change, arrays, n_features=5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coef": np.zeros((1, 4))}, r"head.coef has shape \(1, 4\), not \(1, 5\)"),
        ({"coef": np.array(1.0)}, "lacks its coefficients"),
        ({"intercept": np.zeros(2)}, "head.intercept has shape"),
        ({"mean": np.zeros(4)}, "head.mean has shape"),
        ({"scale": np.zeros((5, 1))}, "head.scale has shape"),
    ],
)
def test_arrays_that_make_no_head_are_refused(change, message):
    config, arrays = pack_head(scaled(LogisticRegression()).fit(FEATURES, TEXTS))
    with pytest.raises(ValueError, match=message):
        unpack_head(config, arrays | change, n_features=5)


def test_a_head_without_coefficients_is_refused():
    config, arrays = pack_head(Ridge().fit(FEATURES, FEATURES[:, 0]))
    del arrays["coef"]
    with pytest.raises(ValueError, match="lacks its coefficients"):
        unpack_head(config, arrays, n_features=5)

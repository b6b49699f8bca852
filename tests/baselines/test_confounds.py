import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from sk_brainmae.baselines import ConfoundsOnly

pytestmark = pytest.mark.usefixtures("coarse_heads")

N = 80


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.normal(50, 10, size=N),
            "sex": pd.Categorical(rng.choice(["f", "m"], size=N)),
            "motion": rng.exponential(0.2, size=N),
            "site": rng.choice(["Oslo", "Bonn", "York"], size=N),
        }
    )


@pytest.fixture
def scans():
    return np.random.default_rng(1).normal(size=(N, 20, 3))


def test_predictions_are_those_of_ridge_on_standardised_and_one_hot_columns(table, scans):
    y = table["age"] + 5 * (table["site"] == "Oslo") + np.random.default_rng(2).normal(size=N)
    model = ConfoundsOnly("regression", random_state=0).fit(scans, y, table)
    by_hand = pd.get_dummies(table[["sex", "site"]]).join(table[["age", "motion"]]).astype(float)
    by_hand = (by_hand - by_hand.mean()) / by_hand.std(ddof=0)
    expected = Ridge(alpha=model.head_[-1].alpha).fit(by_hand, y).predict(by_hand)
    np.testing.assert_allclose(model.predict(scans, table), expected)
    assert model.score(scans, y, table) > 0.9


def test_class_is_found_in_confounds_and_not_in_shuffled_ones(table, scans):
    y = np.where(table["site"] == "Oslo", "patient", "control")
    with sklearn.config_context(enable_metadata_routing=True):
        model = (
            ConfoundsOnly(random_state=0)
            .set_fit_request(confounds=True)
            .set_score_request(confounds=True)
        )
        shuffled = table.sample(frac=1, random_state=3).reset_index(drop=True)
        found, not_found = (
            cross_val_score(model, scans, y, cv=3, params={"confounds": columns}).mean()
            for columns in (table, shuffled)
        )
    assert found == 1
    assert not_found < 0.75  # the larger class has two thirds


def test_scans_have_no_influence(table, scans):
    y = table["sex"] == "f"
    model = ConfoundsOnly(random_state=0).fit(scans, y, table)
    again = ConfoundsOnly(random_state=0).fit([None] * N, y, table)
    np.testing.assert_array_equal(
        model.predict_proba(scans, table), again.predict_proba([None] * N, table)
    )


def test_probabilities_follow_classes_and_decisions(table, scans):
    y = np.where(table["age"] > 50, "old", "young")
    model = ConfoundsOnly(random_state=0).fit(scans, y, table)
    probability = model.predict_proba(scans, table)
    np.testing.assert_array_equal(model.classes_, ["old", "young"])
    np.testing.assert_array_equal(
        model.classes_[probability.argmax(axis=1)], model.predict(scans, table)
    )
    np.testing.assert_array_equal(
        model.decision_function(scans, table) > 0, probability[:, 1] > 0.5
    )


def test_unseen_category_and_plain_array_are_taken(table, scans):
    y = table["sex"] == "f"
    model = ConfoundsOnly(random_state=0).fit(scans, y, table)
    assert model.predict(scans[:1], table[:1].assign(site="Rome")).shape == (1,)
    model = ConfoundsOnly(random_state=0).fit(scans, y, table.to_numpy())
    assert model.score(scans, y, table.to_numpy()) == 1


def test_groups_choose_another_strength_than_samples_that_share_a_subject(table, scans):
    """Subjects are told by their age; within the same subjects it predicts their value."""
    subject = np.arange(N) // 8
    value = np.random.default_rng(5).normal(size=10)[subject]
    marks = np.random.default_rng(6).normal(size=(10, 30))[subject]
    grouped = ConfoundsOnly("regression", 0).fit(scans, value, marks, groups=subject)
    ungrouped = ConfoundsOnly("regression", 0).fit(scans, value, marks)
    assert grouped.head_[-1].alpha > 10 * ungrouped.head_[-1].alpha


def test_clone_pickle_tags_and_grid_search(table, scans):
    y = table["age"].to_numpy()
    model = ConfoundsOnly("regression", random_state=0)
    fitted = clone(model).fit(scans, y, table)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.predict(scans, table), fitted.predict(scans, table))
    assert is_regressor(model)
    assert is_classifier(ConfoundsOnly())
    assert not hasattr(model, "predict_proba")
    with sklearn.config_context(enable_metadata_routing=True):
        routed = model.set_fit_request(confounds=True).set_score_request(confounds=True)
        search = GridSearchCV(routed, {"random_state": [0, 1]}, cv=KFold(2), error_score="raise")
        search.fit(scans, y, confounds=table)
    assert search.best_score_ > 0.9


def test_missing_confounds_raise(table, scans):
    y = table["sex"] == "f"
    with pytest.raises(ValueError, match="pass confounds=, a table with one row per sample"):
        ConfoundsOnly().fit(scans, y)
    with pytest.raises(NotFittedError):
        ConfoundsOnly().predict(scans, table)
    model = ConfoundsOnly(random_state=0).fit(scans, y, table)
    with pytest.raises(ValueError, match="pass confounds="):
        model.predict(scans)
    with pytest.raises(ValueError, match=r"shape \(79, \d+\); there are 80 samples"):
        model.predict(scans, table[1:])
    table.loc[7, "motion"] = np.nan
    with pytest.raises(ValueError, match="confound 'motion' is missing for 1 samples, first 7"):
        model.fit(scans, y, table)


def test_samples_without_a_target_are_left_out_with_their_confounds():
    age = pd.DataFrame({"age": np.arange(20.0)})
    y = np.where(np.arange(20) % 5, np.arange(20) // 10, -1)
    with pytest.warns(UserWarning, match="4 of 20 scans are unlabelled.* are left out"):
        model = ConfoundsOnly(random_state=0).fit(np.zeros((20, 5, 3)), y, age)
    alone = ConfoundsOnly(random_state=0).fit(np.zeros((16, 5, 3)), y[y >= 0], age[y >= 0])
    np.testing.assert_array_equal(model.predict_proba(y, age), alone.predict_proba(y, age))

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV, GroupKFold

from sk_brainmae import BrainMAEClassifier
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import compare


def test_all_estimators_see_the_same_folds(mean_signal, compare_two):
    compare_two(cv=GroupKFold(4, shuffle=True, random_state=np.random.RandomState(0)))
    regions, trained_on, _ = zip(*mean_signal.seen, strict=True)
    assert regions == (0, 1) * 4
    assert trained_on[0::2] == trained_on[1::2]
    assert len({tuple(ids) for ids in trained_on}) == 4


def test_estimators_are_left_unfitted(trials, mean_signal):
    ours = mean_signal()
    compare({"ours": ours}, trials.X, trials.y, cv=GroupKFold(4), groups=trials.groups)
    assert not hasattr(ours, "classes_")


def test_column_of_decision_values_for_each_of_two_classes_is_that_of_the_second(
    trials, mean_signal
):
    class TwoColumns(mean_signal):
        def decision_function(self, X):
            return np.column_stack([-super().decision_function(X), super().decision_function(X)])

        def predict(self, X):
            return self.classes_[self.decision_function(X).argmax(axis=1)]

    kwargs = {"cv": GroupKFold(4), "groups": trials.groups}
    two = compare({"same": TwoColumns()}, trials.X, trials.y, **kwargs).predictions
    one = compare({"same": mean_signal()}, trials.X, trials.y, **kwargs).predictions
    pd.testing.assert_frame_equal(one, two)


class Unranked(ClassifierMixin, BaseEstimator):
    """Predicts "hot" and gives no scores."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), "hot")


@pytest.mark.parametrize("scoring", ["accuracy", "balanced_accuracy"])
def test_classifier_without_scores_leaves_their_column_empty(trials, mean_signal, scoring):
    models = {"ranks": mean_signal(), "does not": Unranked()}
    kwargs = {"cv": GroupKFold(4), "groups": trials.groups, "scoring": scoring}
    predictions = compare(models, trials.X, trials.y, **kwargs).predictions
    counts = predictions.groupby("estimator")["score"].count()
    assert counts.to_dict() == {"ranks": len(trials.X), "does not": 0}


class TellsByConfound(ClassifierMixin, BaseEstimator):
    """Predicts the confound it is given."""

    def fit(self, X, y, confounds=None):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X, confounds=None):
        return confounds["heat"].to_numpy()

    def predict(self, X, confounds=None):
        return self.classes_[(self.decision_function(X, confounds) > 0).astype(int)]


def test_confounds_reach_fit_and_predict_of_those_that_take_them(trials, mean_signal):
    heat = pd.DataFrame({"heat": np.where(trials.y == "warm", 1.0, -1.0)})
    estimators = {"told": TellsByConfound(), "blind": mean_signal()}
    kwargs = {"cv": GroupKFold(4), "groups": trials.groups, "confounds": heat}
    table = compare(estimators, trials.X, trials.y, **kwargs).table
    assert table.loc[("roc_auc", "told"), "mean"] == 1
    assert table.loc[("roc_auc", "blind"), "mean"] < 1


def test_groups_reach_a_fit_that_takes_them(trials, mean_signal, compare_two):
    compare_two()
    *_, groups = mean_signal.seen[0]
    assert len(groups) == len(trials.X) * 3 // 4
    assert len(set(groups)) == 6


def test_groups_reach_a_nested_search_by_metadata_routing(trials, mean_signal):
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            mean_signal().set_fit_request(groups=True), {"region": [0, 1]}, cv=GroupKFold(2)
        )
        kwargs = {"cv": GroupKFold(2), "groups": trials.groups}
        compare({"search": search}, trials.X, trials.y, **kwargs)
    inner = [set(groups) for _, _, groups in mean_signal.seen]
    # Two outer folds; in each two regions on two inner folds of two groups, then the refit.
    assert [len(groups) for groups in inner] == [2, 2, 2, 2, 4] * 2


@pytest.mark.parametrize(
    "classes",
    [[0, 1], [0.0, 1.0], [-2, 3], ["a", "b"], [False, True]],
)
def test_transductive_estimators_see_the_test_scans_and_are_marked(classes):
    scans = make_cohort(n_scans=12, n_timepoints=60, n_regions=8, random_state=0).scans
    y = np.tile(classes, 6)
    seen = []

    class Watched(BrainMAEClassifier):
        def fit(self, X, y, groups=None):
            seen.append((len(X), list(y)))
            return super().fit(X, y, groups)

    ours = Watched(
        window_size=10, crop_length=60, embedding_dim=8, n_heads=2, max_epochs=0, random_state=0
    )
    fold = (np.arange(6), np.arange(6, 12))
    given = {"inductive": ours, "sees all": ours}
    kwargs = {"transductive": ["sees all"], "scoring": "accuracy"}
    comparison = compare(given, scans, y, cv=[fold], **kwargs)
    assert comparison.estimators == ["inductive", "sees all (transductive)"]
    assert [n for n, _ in seen] == [6, 12]
    assert all(sum(label in classes for label in labels) == 6 for _, labels in seen)
    for n, labels in seen:
        assert pd.isna(labels).sum() == (6 if n == 12 else 0)

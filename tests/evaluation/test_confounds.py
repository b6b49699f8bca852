import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from sk_brainmae.evaluation import ConfoundAdjusted, ConfoundRemoval, compare

N = 60


@pytest.fixture
def confounds():
    rng = np.random.default_rng(0)
    site = rng.choice(["Oslo", "Rome", "Lima"], N)
    return pd.DataFrame({"age": rng.uniform(20, 80, N), "site": site})


def test_residuals_are_those_of_least_squares_on_numbers_and_indicators(confounds):
    features = np.random.default_rng(1).normal(size=(N, 4)) + confounds[["age"]].to_numpy()
    design = pd.get_dummies(confounds, columns=["site"], dtype=float).to_numpy()
    expected = features - LinearRegression().fit(design, features).predict(design)
    found = ConfoundRemoval().fit_transform(features, confounds=confounds)
    assert_allclose(found, expected, atol=1e-8)


def test_training_residuals_know_nothing_of_the_test_samples(confounds):
    features = np.random.default_rng(1).normal(size=(N, 4))
    train, changed = np.arange(40), features.copy()
    changed[40:] += 100
    removal = ConfoundRemoval().fit(features[train], confounds=confounds[:40])
    again = ConfoundRemoval().fit(changed[train], confounds=confounds[:40])
    rows = confounds[40:]
    assert_allclose(
        removal.transform(features[40:], rows) + 100, again.transform(changed[40:], rows)
    )


def test_unseen_category_raises_and_names_it(confounds):
    removal = ConfoundRemoval().fit(np.zeros((N, 2)), confounds=confounds)
    new = confounds.assign(site="Kyiv")
    with pytest.raises(ValueError, match=r"confound 'site' is 'Kyiv' in 60 samples.* leave this"):
        removal.transform(np.zeros((N, 2)), confounds=new)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda c: None, "confounds are needed"),
        (lambda c: c[:-1], r"shape \(59, 2\); there are 60 samples"),
        (lambda c: c.assign(age=c["age"].where(c["age"] < 70)), "confound 'age' is missing for"),
        (lambda c: c.assign(site=c["site"].where(c["age"] < 70)), "confound 'site' is missing for"),
        (lambda c: np.full(N, np.inf), "confound 'confound 0' is missing for 60"),
    ],
)
def test_confounds_with_gaps_raise(confounds, changed, message):
    with pytest.raises(ValueError, match=message):
        ConfoundRemoval().fit(np.zeros((N, 2)), confounds=changed(confounds))


def test_numbers_beside_words_in_one_array_are_continuous(confounds):
    given = confounds[["age", "site"]].to_numpy(dtype=object)
    features = confounds[["age"]].to_numpy()
    removal = ConfoundRemoval().fit(features, confounds=given)
    assert list(removal.regression_.categories_) == ["confound 1"]


@pytest.mark.filterwarnings("error")
def test_numbers_as_text_are_categories_with_a_warning_unless_marked_as_codes(confounds):
    years, features = confounds["age"].round().astype(int).astype(str), np.zeros((N, 2))
    with pytest.warns(UserWarning, match="'confound 0' holds numbers as text and counts as categ"):
        ConfoundRemoval().fit(
            features, confounds=np.column_stack([years, confounds["site"]]).astype(str)
        )
    ConfoundRemoval().fit(features, confounds=confounds.assign(age=years.astype("category")))


def test_regressing_before_the_split_inflates_a_null_score_and_inside_the_fold_does_not():
    """As many confounds as a clinical table has, features and target unrelated to each other."""
    before, inside = [], []
    with sklearn.config_context(enable_metadata_routing=True):
        for seed in range(10):
            rng = np.random.default_rng(seed)
            confounds = rng.normal(size=(N, 30))
            features, y = rng.normal(size=(N, 20)), rng.normal(size=N)
            cv = KFold(5)
            # The mistake: both sides freed of the confounds over all samples.
            model = LinearRegression()
            residuals = ConfoundRemoval().fit_transform(features, confounds=confounds)
            target = ConfoundRemoval().fit_transform(y[:, None], confounds=confounds).ravel()
            before.append(cross_val_score(model, residuals, target, cv=cv, scoring=_correlation))
            comparison = compare(
                {"inside": make_pipeline(ConfoundRemoval(), model)},
                features,
                y,
                cv=cv,
                confounds=confounds,
            )
            inside.append(comparison.table.loc["pearson_r", "mean"].item())
    naive, honest = np.mean(before), np.mean(inside)
    assert abs(honest) < 2 * np.std(inside) / np.sqrt(10) + 0.02
    assert abs(naive) > abs(honest)


def _correlation(model, X, y):
    return np.corrcoef(model.predict(X), y)[0, 1]


def test_target_adjusted_regressor_adds_the_confounds_part_again(confounds):
    design = pd.get_dummies(confounds, columns=["site"], dtype=float).to_numpy()
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(N, 3))
    X = noise - LinearRegression().fit(design, noise).predict(design)  # unrelated to confounds
    y = X[:, 0] + 0.1 * confounds["age"].to_numpy() + 3 * (confounds["site"] == "Rome")
    model = ConfoundAdjusted(LinearRegression()).fit(X, y, confounds=confounds)
    assert_allclose(model.predict(X, confounds=confounds), y)
    assert_allclose(model.regressor_.coef_, [1, 0, 0], atol=1e-8)
    assert model.score(X, y, confounds) == pytest.approx(1)


def test_target_adjusted_regressor_refuses_a_masked_target(confounds):
    masked = np.ma.masked_array(np.zeros(N), mask=np.arange(N) == 3)
    with pytest.raises(ValueError, match="y is masked for 1 samples"):
        ConfoundAdjusted(DummyRegressor()).fit(np.zeros((N, 2)), masked, confounds=confounds)


def test_target_adjusted_regressor_gets_groups_only_where_it_takes_them(confounds):
    groups = np.arange(N) // 2
    X, y = np.random.default_rng(0).normal(size=(N, 3)), confounds["age"]
    ConfoundAdjusted(LinearRegression()).fit(X, y, confounds, groups=groups)

    class Takes(LinearRegression):
        def fit(self, X, y, groups=None):
            self.groups_ = groups
            return super().fit(X, y)

    model = ConfoundAdjusted(Takes()).fit(X, y, confounds, groups=groups)
    assert model.regressor_.groups_ is groups


def test_target_adjusted_score_is_zero_where_scans_add_nothing(confounds):
    y = confounds["age"].to_numpy() + np.random.default_rng(0).normal(size=N)
    model = ConfoundAdjusted(DummyRegressor()).fit(np.zeros((N, 1)), y, confounds)
    assert model.score(np.zeros((N, 1)), y, confounds) == pytest.approx(0)


@pytest.mark.filterwarnings("ignore")
def test_removal_needs_confounds_like_any_supervised_step_needs_y():
    with pytest.raises(ValueError, match="confounds are needed"):
        check_estimator(ConfoundRemoval())

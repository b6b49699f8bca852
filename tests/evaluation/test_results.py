import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from sk_brainmae.evaluation import Comparison
from sk_brainmae.evaluation.bootstrap import bootstrap_intervals
from sk_brainmae.evaluation.statistics import bayesian_t_test, corrected_t_test, holm

mpl.use("Agg")

SHIFTS = {"ours": 1.5, "opponent": 0.5, "chance": 0.0}
N_SAMPLES, N_FOLDS = 60, 4


def make_comparison(shifts=SHIFTS, n_repeats=1, seed=0):
    """Scores and predictions of classifiers that shift the second class by so much."""
    rng = np.random.default_rng(seed)
    y = np.tile([0, 1], N_SAMPLES // 2)
    scores, predictions = [], []
    for repeat in range(n_repeats):
        for fold, test in enumerate(np.array_split(rng.permutation(N_SAMPLES), N_FOLDS)):
            for name, shift in shifts.items():
                score = rng.normal(size=len(test)) + shift * y[test]
                where = {"estimator": name, "repeat": repeat, "fold": fold}
                values = {
                    "roc_auc": roc_auc_score(y[test], score),
                    "balanced_accuracy": balanced_accuracy_score(y[test], score > 0.5),
                }
                sizes = {"fit_time": 2.0 * fold, "n_train": 45, "n_test": 15}
                scores += [{**where, "metric": m, "value": v, **sizes} for m, v in values.items()]
                given = {"sample": test, "y_true": y[test], "y_pred": (score > 0.5) * 1}
                predictions.append(pd.DataFrame({**given, "score": score}).assign(**where))
    return Comparison(pd.DataFrame(scores), pd.concat(predictions, ignore_index=True), list(shifts))


def test_table_agrees_with_a_computation_by_hand(from_values):
    values = {"ours": [0.9, 0.7, 0.8], "a": [0.8, 0.8, 0.8], "b": [0.5, 0.6, 0.7]}
    table = from_values(values, "roc_auc").table.loc["roc_auc"]
    assert_allclose(table["mean"], [0.8, 0.8, 0.6])
    assert_allclose(table["std"], [0.1, 0, 0.1], atol=1e-12)
    # ours - a: .1, -.1, 0; ours - b: .4, .1, .1
    assert_allclose(table["difference"], [np.nan, 0, 0.2], atol=1e-12)
    assert_allclose(table["difference_std"], [np.nan, 0.1, np.sqrt(0.03)])
    assert list(table["n_folds"]) == [3, 3, 3]
    assert_allclose(table["fit_time"], 2)


def test_table_compares_the_first_estimator_with_the_others_and_marks_the_best_of_them(from_values):
    table = from_values({"x": [0.9], "b": [0.2], "a": [0.3]}, "r2").table.loc["r2"]
    assert list(table.index) == ["x", "b", "a"]
    assert list(table["best_opponent"]) == [False, False, True]
    assert_allclose(table["difference"], [np.nan, 0.7, 0.6])


def test_table_of_one_estimator_has_no_opponent(from_values):
    comparison = from_values({"ours": [0.5, 0.6]}, "roc_auc")
    assert not comparison.table["best_opponent"].any()
    assert comparison.table["difference"].isna().all()
    with pytest.raises(ValueError, match="one estimator"):
        comparison.differences  # noqa: B018


def test_differences_are_those_of_the_tests():
    comparison = make_comparison(n_repeats=3)
    found = comparison.differences.loc["roc_auc"]
    wide = comparison.scores.query("metric == 'roc_auc'").pivot(
        index=["repeat", "fold"], columns="estimator", values="value"
    )
    paired = {name: (wide["ours"] - wide[name]).to_numpy() for name in found.index}
    assert list(found.index) == ["opponent", "chance"]
    for name, differences in paired.items():
        t_test = corrected_t_test(differences, 1 / 3)
        bayes = bayesian_t_test(differences, 1 / 3, 0.01)
        expected = [t_test.mean, t_test.low, t_test.high, t_test.p, *bayes]
        columns = ["difference", "low", "high", "p", "p_better", "p_equivalent", "p_worse"]
        assert_allclose(found.loc[name, columns].astype(float), expected)
    intervals = bootstrap_intervals(
        comparison.predictions, "ours", ["roc_auc"], np.arange(N_SAMPLES)
    )
    assert_allclose(found[["boot_low", "boot_high"]], intervals)
    assert_allclose(found["p_holm"], holm(found["p"].to_numpy()))
    assert found.loc["chance", "p_better"] > 0.95


@pytest.mark.parametrize(
    ("metric", "width"),
    [("r2", 0.01), ("neg_mean_absolute_error", 0.02), ("neg_mean_squared_error", 0.04)],
)
def test_practically_the_same_has_the_unit_of_the_metric(from_values, metric, width):
    values = {"ours": [0.0, 1, 2, 0], "worse": [-0.02, 0.99, 1.98, -0.01]}
    scores = from_values(values, metric).scores
    target = pd.DataFrame(
        {"y_true": np.sqrt(3) * np.array([-1, 1, -1, 1])}
    )  # of standard deviation 2
    differences = Comparison(scores, target, list(values)).differences.loc[(metric, "worse")]
    paired = np.subtract(values["ours"], values["worse"])
    assert differences["p_better"] == pytest.approx(bayesian_t_test(paired, 1 / 3, width).better)


def test_subjects_are_drawn_where_groups_are_given():
    comparison = make_comparison()
    by_row = comparison.differences.loc[("roc_auc", "chance")]
    grouped = comparison.predictions.assign(group=comparison.predictions["sample"] // 6)
    by_subject = Comparison(comparison.scores, grouped, list(SHIFTS)).differences.loc[
        ("roc_auc", "chance")
    ]
    assert by_subject["low"] == by_row["low"]
    assert by_subject["boot_low"] != by_row["boot_low"]


def test_first_estimator_without_pretraining_is_no_opponent(from_values):
    values = {"ours": [0.9, 0.7, 0.8], "a": [0.8, 0.8, 0.7], "b": [0.5, 0.6, 0.7]}
    alone = from_values(values)
    beside = from_values({**values, "ours, not trained": [0.9, 0.7, 0.9]})
    assert beside.table.query("best_opponent").index.to_list() == [("r2", "a")]
    p_holm = beside.differences.loc["r2", "p_holm"]
    assert np.isnan(p_holm["ours, not trained"])
    assert_allclose(p_holm[["a", "b"]], alone.differences.loc["r2", "p_holm"])


def test_metrics_of_other_names_have_no_bootstrap_interval(from_values):
    found = from_values({"ours": [0.9, 0.7, 0.8], "a": [0.8, 0.8, 0.7]}, "jaccard").differences
    assert found[["boot_low", "boot_high"]].isna().all(axis=None)
    assert found["low"].notna().all()


def test_to_csv_writes_all_tables(tmp_path):
    comparison = make_comparison()
    comparison.to_csv(tmp_path / "a" / "b")
    for name, index in {
        "scores": None,
        "predictions": None,
        "table": [0, 1],
        "differences": [0, 1],
    }.items():
        again = pd.read_csv(tmp_path / "a" / "b" / f"{name}.csv", index_col=index)
        pd.testing.assert_frame_equal(again, getattr(comparison, name))


@pytest.mark.parametrize(
    "ask",
    [lambda c: c.table, lambda c: c.differences, lambda c: c.plot(), lambda c: c.metrics],
    ids=["table", "differences", "plot", "metrics"],
)
def test_comparison_without_a_finished_fit_says_so(ask):
    full = make_comparison()
    with pytest.raises(ValueError, match="no fit has finished"):
        ask(Comparison(full.scores[:0], full.predictions[:0], full.estimators))


def test_full_disk_leaves_the_old_tables(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    make_comparison().to_csv(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left.*comparison\.json"):
        make_comparison(seed=1).to_csv(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_plot_names_metric_and_estimators():
    comparison = make_comparison()
    ax = comparison.plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == list(SHIFTS)
    assert ax.get_xlabel().startswith("roc_auc")
    assert comparison.plot("balanced_accuracy").get_xlabel().startswith("balanced_accuracy")
    top, bottom = (ax.transData.transform((0, y))[1] for y in (0, 1))
    assert top > bottom, "the first-named estimator is drawn on top"


def test_plot_joins_each_of_few_folds_and_marks_means():
    comparison = make_comparison()
    *folds, means = comparison.plot().get_lines()
    scores = comparison.scores.query("metric == 'roc_auc'")
    for k, line in enumerate(folds):
        assert_allclose(line.get_xdata(), scores.loc[scores["fold"] == k, "value"])
        assert line.get_linestyle() == "-"
    assert len(folds) == N_FOLDS
    assert_allclose(means.get_xdata(), comparison.table.loc["roc_auc", "mean"])


def test_plot_of_many_folds_has_dots_alone():
    *folds, _ = make_comparison(n_repeats=4).plot().get_lines()
    assert len(folds) == 16
    assert {line.get_linestyle() for line in folds} == {"None"}


def test_figure_grows_with_the_estimators():
    few = make_comparison().plot().figure
    many = make_comparison({f"estimator {i}": 1 for i in range(12)}).plot().figure
    assert many.get_figheight() > few.get_figheight() + 3


def test_plot_of_differences_has_both_intervals_of_every_opponent():
    comparison = make_comparison()
    ax = comparison.plot_differences()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["opponent", "chance"]
    found = comparison.differences.loc["roc_auc"]
    for lines, interval in zip(
        ax.collections, (["low", "high"], ["boot_low", "boot_high"]), strict=True
    ):
        ends = [segment[:, 0] for segment in lines.get_segments()]
        assert_allclose(ends, found[interval])


def test_first_estimator_without_any_fit_stays_the_reference(tmp_path):
    found = make_comparison()
    predictions = found.predictions.query("estimator != 'ours'")
    scores = found.scores.query("estimator != 'ours'")
    Comparison(scores, predictions, list(SHIFTS)).to_csv(tmp_path)
    read = Comparison.from_csv(tmp_path)
    table = read.table.loc["roc_auc"]
    assert list(table.index) == list(SHIFTS)
    assert list(table["n_folds"]) == [0, 4, 4]
    assert read.differences.isna().all(axis=None)


def test_plot_of_an_unknown_metric_raises():
    with pytest.raises(ValueError, match=r"no metric 'f1'.*roc_auc"):
        make_comparison().plot("f1")


def test_comparison_comes_back_from_its_folder_as_it_was(tmp_path):
    comparison = make_comparison()
    predictions = comparison.predictions
    predictions["y_true"] = predictions["y_true"].map({0: "None", 1: "NA"})  # classes, not missing
    predictions["score"] = predictions["score"].mask(predictions["score"] > 2)
    comparison.to_csv(tmp_path)
    read = Comparison.from_csv(tmp_path)
    pd.testing.assert_frame_equal(read.scores, comparison.scores)
    pd.testing.assert_frame_equal(read.predictions, predictions)


def test_folder_without_a_comparison_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"comparison\.json does not exist"):
        Comparison.from_csv(tmp_path)
    (tmp_path / "comparison.json").write_text("[]")
    with pytest.raises(ValueError, match=r"comparison\.json was not written by a"):
        Comparison.from_csv(tmp_path)
    make_comparison().to_csv(tmp_path)
    (tmp_path / "scores.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"scores\.csv does not exist"):
        Comparison.from_csv(tmp_path)
    (tmp_path / "scores.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column 'estimator'"):
        Comparison.from_csv(tmp_path)
    (tmp_path / "scores.csv").write_text("")
    with pytest.raises(ValueError, match=r"scores\.csv is not a table of a comparison"):
        Comparison.from_csv(tmp_path)

import html
import re

import numpy as np
import pytest

from sk_brainmae.evaluation import Comparison
from sk_brainmae.reporting import comparison_report


def flat(report):
    """What a reader reads, spaces aside."""
    text = re.sub(r"<style>.*?</style>|<[^>]*>", " ", report.to_html(), flags=re.DOTALL)
    return " ".join(html.unescape(text).split())


def test_report_shows_samples_subjects_folds_and_fit_times(comparison_page, comparison):
    text = flat(comparison_page)
    assert "samples tested on 12 subjects tested on 6" in text
    assert "control & <i>co</i> (6 samples), patientt" in text
    assert "folds 3" in text
    assert "scans 12" in text
    for row in comparison.table.loc["roc_auc"].itertuples():
        assert f"{row.mean:.3f} ± {row.std:.3f} 3 {row.fit_time:.1f} s" in text


def test_report_shows_paired_differences_and_what_intervals_mean(comparison_page, comparison):
    text = flat(comparison_page)
    row = comparison.differences.loc[("roc_auc", "chance")]
    assert f"chance {row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]" in text
    assert "bootstrap; the fitted models are kept" in text
    assert "over subjects" in text
    assert comparison_page.to_html().count("<img") == 2


def test_transductive_estimator_is_marked(comparison_page):
    text = flat(comparison_page)
    assert "BrainMAE (transductive)" in text
    assert "Warning BrainMAE saw the scans of the test part, without their labels" in text


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (0.1, "it is better by"),
        (0.9, "it is worse by"),
        (0.499, "they cannot be told apart"),
    ],
)
def test_verdict_follows_the_interval_of_the_best_opponent(from_values, theirs, words):
    noise = np.array([0.01, -0.01, 0.02, -0.02])
    values = {"ours": 0.5 + noise, "weak": noise, "best": theirs + noise[::-1]}
    text = flat(comparison_report(from_values(values)))
    assert words in text
    assert "best opponent, best" in text
    assert ("Warning ours scores lower than best" in text) == (words == "it is worse by")


def test_few_folds_and_missing_fits_are_warnings(from_values):
    comparison = from_values({"ours": [0.5, 0.6], "other": [0.4]})
    text = flat(comparison_report(comparison))
    assert "Warning Only 2 folds" in text
    assert "Warning 1 of 4 fits are missing" in text


def test_missing_value_is_a_warning(from_values):
    text = flat(
        comparison_report(from_values({"ours": [0.5, 0.6, 0.7], "other": [0.4, np.nan, 1]}))
    )
    assert "Warning other has no value for 1 score" in text


def test_first_estimator_without_any_fit_has_no_score_in_the_verdict(from_values):
    found = from_values({"other": [0.4, 0.5, 0.6]})
    text = flat(comparison_report(Comparison(found.scores, found.predictions, ["ours", "other"])))
    assert "ours has no R², so it cannot be compared" in text
    assert "3 of 6 fits are missing" in text
    assert "nan" not in text


def test_single_estimator_has_no_differences(from_values):
    text = flat(comparison_report(from_values({"ours": [0.5, 0.6, 0.7]})))
    assert "it was compared with nothing" in text
    assert "Differences from" not in text


def test_unknown_metric_keeps_its_name(from_values):
    assert "my_score (as scikit-learn defines it)" in flat(
        comparison_report(from_values({"ours": [0.5, 0.6, 0.7]}, "my_score"))
    )


def test_report_of_nothing_raises(from_values):
    with pytest.raises(ValueError, match="no fit"):
        comparison_report(from_values({}))


def test_to_html_is_the_report_and_survives_the_folder(comparison, tmp_path):
    comparison.to_csv(tmp_path)
    read = Comparison.from_csv(tmp_path)
    assert comparison.to_html() == comparison_report(comparison).to_html() == read.to_html()


@pytest.mark.parametrize(
    ("untrained", "words"),
    [
        ([0.4, 0.5, 0.3], "Pretraining added +0.100 [-0.251, +0.451] to the R²."),
        ([0.5, 0.5, 0.5], "Pretraining changed the R² in no fold."),
    ],
)
def test_report_says_what_pretraining_added(from_values, untrained, words):
    values = {"mine": [0.5] * 3, "mine, not trained": untrained, "chance": [0.0] * 3}
    report = comparison_report(from_values(values))
    assert words in flat(report)
    assert report.title == "mine against 1 opponent"
    assert "the best opponent, chance" in flat(report)


def test_report_without_an_untrained_estimator_says_nothing_of_pretraining(from_values):
    report = comparison_report(from_values({"mine": [0.5] * 3, "chance": [0.0] * 3}))
    assert "Pretraining" not in flat(report)


def test_views_are_shown_once_and_explained(comparison_page, comparison):
    text = flat(comparison_page)
    views = comparison.table.loc[("roc_auc", "BrainMAE (transductive)"), "views"]
    assert text.count(f" s {views} mean <signal>") == 1
    assert text.count("time of a fit views") == 1
    assert "Views are the readings of a scan" in text


def test_report_of_models_without_views_does_not_mention_them(from_values):
    text = flat(comparison_report(from_values({"ours": [0.5, 0.6, 0.7]})))
    assert "views" not in text.lower()

import copy
import html
import re

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.embedding import VIEWS
from sk_brainmae.embedding.signal import fit_signal
from sk_brainmae.embedding.source import Source
from sk_brainmae.reporting import generate_report
from sk_brainmae.reporting.model import OF_NETWORK
from sk_brainmae.timeseries import Window, validate_scans


def notices(report):
    """(severity, text) of each, in order."""
    found = re.findall(r'<li class="(\w+)"><strong>\w+</strong> (.*?)</li>', report.to_html())
    return [(severity, html.unescape(text)) for severity, text in found]


def flat(report):
    """What a reader reads, spaces aside."""
    text = re.sub(r"<style>.*?</style>|<[^>]*>", " ", report.to_html(), flags=re.DOTALL)
    return " ".join(html.unescape(text).split())


def test_report_shows_data_parameters_and_figures(model_report):
    text = flat(model_report)
    assert "scans 4 frames in a scan 90 regions 14" in text
    assert "window_size 10 15" in text
    assert "init 'random' 'spectral'" in text
    assert "BrainMAE" in text
    assert text.count("listens to") == 1
    assert model_report.to_html().count("<img") == 8


def test_model_worse_than_the_linear_predictor_is_announced_first(model_report):
    severity, text = notices(model_report)[0]
    assert severity == "warning"
    assert "fills in worse than a linear predictor" in text
    assert model_report.to_html().index(text[:20]) < model_report.to_html().index("<img")


def test_findings_of_the_doctor_come_with_the_scans(spectral, cohort):
    scans = [*cohort.scans[8:10], cohort.scans[9].copy()]
    severity, text = notices(generate_report(spectral, scans))[0]
    assert severity != "note"
    assert text.startswith("Duplicates, scan 2 is identical to 1")


def test_closed_form_start_is_noted_and_its_graph_not_drawn(spectral):
    report = generate_report(spectral)
    assert any("no epoch of pretraining was run" in text for _, text in notices(report))
    assert "the region graph has not been trained" in flat(report)
    assert "listens to" not in flat(report)


def test_collapse_and_useless_training_are_warned_of(spectral):
    model = copy.copy(spectral)
    model.effective_rank_ = 1.2
    model.held_out_r2_ = {"network": 0.1, "conditional_gaussian": 0.3}
    model._history = [
        {"epoch": 0, "train_loss": np.nan, "valid_loss": 0.3, "lr": 0.0},
        {"epoch": 1, "train_loss": 0.2, "valid_loss": 0.4, "lr": 0.0},
    ]
    (_, linear), (_, collapsed), (severity, start) = notices(generate_report(model))
    assert "R² 0.100, the conditional Gaussian with 0.300" in linear
    assert "1.2 directions" in collapsed
    assert "none of 1 epochs" in start
    assert severity == "note"


def test_well_trained_model_has_no_notice(spectral):
    model = copy.copy(spectral)
    model._history = [
        {"epoch": 0, "train_loss": np.nan, "valid_loss": 0.3, "lr": 0.0},
        {"epoch": 1, "train_loss": 0.2, "valid_loss": 0.2, "lr": 0.0},
    ]
    report = generate_report(model)
    assert notices(report) == []
    assert "Nothing stood out" in flat(report)


def test_without_scans_names_and_networks_the_report_says_what_is_missing(spectral):
    text = flat(generate_report(spectral))
    assert "No scans were handed to this report" in text
    assert "Not measured" in text
    assert "No network labels were given" in text


def test_windows_count_as_their_runs(spectral, cohort):
    windows = [Window(scan, k, k + 20) for scan in cohort.scans[8:10] for k in (0, 30)]
    text = flat(generate_report(spectral, windows))
    assert "scans 2 moments cut from them 4" in text
    assert "Regions of 2 scans" in text


def test_glass_brain_is_drawn_where_there_are_coordinates(paper):
    coordinates = np.random.default_rng(0).uniform(-50, 50, (14, 3))
    report = generate_report(paper, coordinates=coordinates)
    graph = re.findall(r"<img src.*?>", report.to_html())[-1]
    assert len(graph) > 200_000  # three views of a brain take as much


def test_report_of_a_classifier_names_classes_and_encoder(spectral, cohort, classes):
    model = BrainMAEClassifier(pretrained=spectral, max_epochs=0).fit(cohort.scans, classes)
    text = flat(model.generate_report(title="Mine & yours"))
    assert "Mine & yours" in text
    assert "predicts control & <i>co</i> or patientt" in text
    assert "pretrained BrainMAETransformer(" in text


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (
            {"connectivity": 0.9, "states": 0.1, "tempo": 0.0},
            "The head reads connectivity 90%, states 10%: 10% of it comes from the trained network."
            " Pretraining: epoch 1 is kept: held-out loss 25% below the start.",
        ),
        (
            {"connectivity": 1.0, "states": 0.0},
            "nothing of the trained network, so training changed no prediction. Pretraining:",
        ),
    ],
)
def test_views_that_speak_and_what_training_added_come_first(
    spectral, cohort, classes, weights, words
):
    model = BrainMAEClassifier(pretrained=spectral, max_epochs=0).fit(cohort.scans, classes)
    model.view_weights_ = weights
    model.encoder_._history = [
        {"epoch": 0, "train_loss": np.nan, "valid_loss": 0.4, "lr": 0.0},
        {"epoch": 1, "train_loss": 0.2, "valid_loss": 0.3, "lr": 0.0},
    ]
    report = generate_report(model)
    text = flat(report)
    assert words in text
    assert text.index(words) < text.index("The data")
    assert 'alt="Bars: connectivity' in report.to_html()


def test_report_of_an_encoder_shows_the_fixed_shares_of_its_views(spectral):
    text = flat(generate_report(spectral))
    assert "An embedding holds connectivity 75%, innovations 22%, states 2%, tempo 1%: 2%" in text
    assert "Training: no epoch was run." in text
    assert "They are fixed: no target has weighed them." in text


def test_start_that_was_kept_is_said_first(spectral):
    model = copy.copy(spectral)
    model._history = [
        {"epoch": 0, "train_loss": np.nan, "valid_loss": 0.3, "lr": 0.0},
        {"epoch": 1, "train_loss": 0.2, "valid_loss": 0.4, "lr": 0.0},
    ]
    text = flat(generate_report(model))
    assert "Pretraining: training changed nothing: the start was kept." in text


def test_views_of_the_network_are_those_that_ask_for_it(cohort):
    class AskedError(Exception):
        pass

    def load_network():
        raise AskedError

    scans = validate_scans(cohort.scans).as_runs()
    layout = {"window": 10, "n_windows": 6, "batch_size": 4, "device": "cpu"}
    asking = set()
    for name, view in VIEWS.items():
        try:
            view.fit(Source(scans, fit_signal(scans, 10), load_network, layout))
        except AskedError:
            asking.add(name)
    assert asking == set(OF_NETWORK)


def test_report_of_a_regressor_says_that_it_predicts_a_number(spectral, cohort):
    model = BrainMAERegressor(pretrained=spectral, max_epochs=0)
    model.fit(cohort.scans, cohort.traits["static"])
    assert "predicts a number" in flat(model.generate_report())


def test_vanilla_attention_has_no_graph_to_show(cohort):
    model = BrainMAETransformer(
        window_size=10, crop_length=60, embedding_dim=8, attention="vanilla", max_epochs=0
    ).fit(cohort.scans[:4])
    assert "attention='vanilla' has no static graph" in flat(generate_report(model))


@pytest.mark.parametrize(
    "model", [BrainMAETransformer(), BrainMAEClassifier(), BrainMAERegressor()]
)
def test_report_of_an_unfitted_model_raises(model):
    with pytest.raises(NotFittedError):
        model.generate_report()


def test_report_of_another_object_raises():
    with pytest.raises(TypeError, match="BrainMAETransformer"):
        generate_report("model")


@pytest.mark.parametrize("name", ["networks", "names"])
def test_wrong_number_of_labels_raises(spectral, name):
    with pytest.raises(ValueError, match=f"{name} has shape"):
        generate_report(spectral, **{name: ["a", "b"]})


def test_coordinates_of_another_shape_raise(paper):
    with pytest.raises(ValueError, match="coordinates has shape"):
        generate_report(paper, coordinates=np.zeros((14, 2)))


def test_scans_of_other_regions_raise(spectral):
    with pytest.raises(ValueError, match="fitted on 14"):
        generate_report(spectral, np.random.default_rng(0).normal(size=(2, 60, 5)))

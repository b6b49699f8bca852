"""The model card says what a model takes, and how it was trained."""

import json

import pytest

from sk_brainmae.persistence.card import model_card
from sk_brainmae.persistence.folder import CONFIG


@pytest.fixture
def config(saved):
    return json.loads((saved / CONFIG).read_text())


def test_the_card_says_what_a_model_of_unnamed_regions_takes(config):
    card = model_card(config)
    for fact in ("| regions | 10, unnamed |", "durations are in frames", "10 frames, 30 frames"):
        assert fact in card
    assert "with a linear head" not in card


def test_the_card_says_what_a_model_of_named_regions_takes(config):
    config["encoder"]["region_names"] = ["a|b", "c", "d", "e"]
    config["encoder"]["parameters"] |= {"t_r": 2.0, "window_size": 20, "crop_length": 60}
    card = model_card(config | {"head": {}})
    for fact in ("10: `a\\|b`, `c`, `d` ... (all in", "| 2 s |", "20 s, 60 s", "linear head"):
        assert fact in card


def test_the_card_says_how_a_model_was_trained(config):
    training = config["encoder"]["training"]
    training["history"] = [
        {"epoch": 0, "valid_loss": 2.0},
        {"epoch": 1, "valid_loss": 0.5},
        {"epoch": 2, "valid_loss": None},
    ]
    training["held_out_r2"] = {"conditional_gaussian": 0.25}
    card = model_card(config)
    for fact in (
        "| scans | 12 |",
        "| frames | 720 |",
        "| epochs | 2 |",
        "| best validation loss | 0.5 |",
        "| held-out R2, conditional gaussian | 0.250 |",
    ):
        assert fact in card


def test_a_model_trained_without_validation_has_no_best_loss(config):
    config["encoder"]["training"] |= {"history": [{"epoch": 0}], "held_out_r2": {}}
    card = model_card(config)
    assert "| epochs | 0 |" in card
    assert "trained without validation" in card
    assert "held-out R2" not in card

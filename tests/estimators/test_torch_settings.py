"""torch's global settings belong to other code: they change no result."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from sk_brainmae import BrainMAEClassifier


@contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SETTINGS = {
    "float64 as default": default_dtype,
    "another default device": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


def results(tiny, scans):
    """Return all that a transformer, and a classifier that fine-tunes it, give."""
    encoder = tiny(max_epochs=1).fit(scans)
    tuned = BrainMAEClassifier(
        pretrained=encoder, strategy="finetune", max_epochs=1, random_state=0
    ).fit(scans, np.arange(12) % 2)
    return [
        encoder.transform(scans),
        np.concatenate(encoder.transform_windows(scans)),
        np.concatenate(encoder.reconstruct(scans)),
        np.array([encoder.score(scans)]),
        tuned.predict_proba(scans),
    ]


@pytest.fixture(scope="module")
def expected(tiny, scans):
    return results(tiny, scans)


@pytest.mark.parametrize("name", SETTINGS)
def test_results_are_bit_equal_under_any_setting_of_torch(tiny, scans, expected, name):
    with SETTINGS[name]():
        found = results(tiny, scans)
    for ours, plain in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, plain)


def test_settings_of_torch_are_as_before_after_a_fit(tiny, scans):
    with default_dtype(), torch.inference_mode():
        tiny(max_epochs=1).fit(scans)
        assert torch.get_default_dtype() == torch.float64
        assert torch.is_inference_mode_enabled()


def test_a_device_without_data_is_refused_by_name(tiny, scans):
    with pytest.raises(ValueError, match="'meta' holds no data"):
        tiny(device="meta").fit(scans)

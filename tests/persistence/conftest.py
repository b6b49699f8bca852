"""One small transformer, fitted and saved once, and copies of its folder to damage."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.heads.linear import STRENGTHS
from sk_brainmae.persistence.folder import CONFIG, SEAL, digest

NAMES = [f"region {i}" for i in range(10)]


@pytest.fixture(scope="module", autouse=True)
def _few_strengths():
    """Let heads choose among few strengths: most of the time of a fit goes there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sk_brainmae.heads.linear.STRENGTHS", STRENGTHS[::4])
        yield


@pytest.fixture(scope="session")
def tiny():
    """Parameters of the fitted transformer."""
    return {
        "embedding_dim": 8,
        "n_heads": 2,
        "window_size": 10,
        "crop_length": 30,
        "max_epochs": 1,
        "random_state": 0,
    }


@pytest.fixture(scope="session")
def scans():
    """Twelve scans of 60 frames and ten regions."""
    return make_cohort(n_scans=12, n_timepoints=60, n_regions=10, random_state=0).scans


@pytest.fixture(scope="session")
def labels():
    """Two classes of scans."""
    return np.array(["rest", "task"] * 6)


@pytest.fixture(scope="session")
def values():
    """A number for every scan."""
    return np.random.default_rng(0).normal(size=12)


@pytest.fixture(scope="session")
def names():
    """Names of the ten regions."""
    return NAMES


@pytest.fixture(scope="session")
def as_frames():
    """Return a function that names the regions of scans."""
    return lambda scans, names=NAMES: [pd.DataFrame(scan, columns=names) for scan in scans]


@pytest.fixture(scope="session")
def fitted(scans, tiny):
    """A transformer, not to be changed, that was fitted on scans without names."""
    return BrainMAETransformer(**tiny).fit(scans)


@pytest.fixture(scope="session")
def named(scans, tiny, as_frames):
    """The same of scans with names."""
    return BrainMAETransformer(**tiny).fit(as_frames(scans))


@pytest.fixture(scope="session")
def saved(fitted, tmp_path_factory):
    """The folder of the fitted transformer, not to be changed."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    fitted.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of that folder, alone in its own."""
    return shutil.copytree(saved, tmp_path / "model")


@pytest.fixture(scope="session")
def edit():
    """Return a function that changes a value in a configuration, with a checksum that fits."""

    def set_value(folder, *path, value):
        config = json.loads((folder / CONFIG).read_text())
        at = config
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        config[SEAL] = digest(config)
        (folder / CONFIG).write_text(json.dumps(config))

    return set_value

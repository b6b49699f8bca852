"""One small cohort and a few small models, fitted once."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.datasets import make_cohort

mpl.use("Agg")

PARAMS = {
    "window_size": 10,
    "crop_length": 60,
    "embedding_dim": 8,
    "n_heads": 2,
    "random_state": 0,
}
N_SCANS, N_REGIONS = 12, 18


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def cohort():
    return make_cohort(
        n_scans=N_SCANS,
        n_timepoints=125,
        n_regions=N_REGIONS,
        n_networks=3,
        n_subjects=6,
        random_state=0,
    )


@pytest.fixture(scope="session")
def labels(cohort):
    return np.arange(N_SCANS) % 2


@pytest.fixture(scope="session")
def spectral(cohort):
    """A model at its closed-form start."""
    return BrainMAETransformer(**PARAMS, max_epochs=0).fit(cohort.scans)


@pytest.fixture(scope="session")
def paper(cohort):
    """The paper's network, hardly trained."""
    return BrainMAETransformer(**PARAMS, init="random", max_epochs=1, validation_fraction=0).fit(
        cohort.scans
    )


@pytest.fixture(scope="session")
def finetuned(cohort, labels):
    """A classifier that reads the CLS token."""
    return BrainMAEClassifier(
        **PARAMS,
        init="random",
        strategy="finetune",
        views="cls",
        max_epochs=2,
        validation_fraction=0,
    ).fit(cohort.scans, labels)


@pytest.fixture(scope="session")
def probe(spectral, cohort, labels):
    return BrainMAEClassifier(pretrained=spectral, max_epochs=0).fit(cohort.scans, labels)


@pytest.fixture(scope="session")
def regressor(spectral, cohort):
    model = BrainMAERegressor(pretrained=spectral, views="state_mean", max_epochs=0)
    return model.fit(cohort.scans, cohort.traits["static"])


@pytest.fixture(scope="session")
def params():
    return PARAMS


@pytest.fixture
def texts():
    """Returns everything that is written on the figure of axes."""

    def written(ax):
        return " | ".join(text.get_text() for text in ax.figure.findobj(mpl.text.Text))

    return written

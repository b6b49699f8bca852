"""One small cohort, models of it, and a comparison, made once."""

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import compare
from sk_brainmae.reporting import comparison_report, generate_report

mpl.use("Agg")

N_SCANS, N_REGIONS = 12, 14
PARAMS = {"window_size": 10, "crop_length": 60, "embedding_dim": 8, "n_heads": 2, "random_state": 0}
MEAN = FunctionTransformer(np.mean, kw_args={"axis": 1})
SCRIPT = "<script>alert({})</script>"


@pytest.fixture(scope="session")
def cohort():
    return make_cohort(
        n_scans=N_SCANS, n_timepoints=90, n_regions=N_REGIONS, n_networks=3, random_state=0
    )


@pytest.fixture(scope="session")
def labels():
    """Names and networks that are markup, formulas, or longer than a telephone is wide."""
    names = ["a" * 80, "$x^$", *(SCRIPT.format(i) for i in range(2, N_REGIONS))]
    networks = ['"><img src=x onerror=alert(0)>', "default & mode"]
    networks = np.array(networks)[np.arange(N_REGIONS) % 2]
    return {"names": names, "networks": networks}


@pytest.fixture(scope="session")
def spectral(cohort):
    """A model at its closed-form start."""
    return BrainMAETransformer(**PARAMS, max_epochs=0).fit(cohort.scans[:8])


@pytest.fixture(scope="session")
def paper(cohort):
    """The paper's network, hardly trained: worse than a linear predictor."""
    model = BrainMAETransformer(**PARAMS, init="random", max_epochs=2, validation_fraction=0)
    return model.fit(cohort.scans[:8])


@pytest.fixture(scope="session")
def classes():
    return np.array(["patient" + "t" * 80, "control & <i>co</i>"])[np.arange(N_SCANS) % 2]


@pytest.fixture(scope="session")
def comparison(cohort, classes):
    estimators = {
        "BrainMAE": BrainMAEClassifier(**PARAMS, max_epochs=0),
        "mean <signal>": make_pipeline(MEAN, LogisticRegression()),
        "chance": DummyClassifier(),
    }
    groups = np.arange(N_SCANS) // 2
    return compare(
        estimators,
        cohort.scans,
        classes,
        cv=3,
        groups=groups,
        transductive=["BrainMAE"],
        random_state=0,
    )


@pytest.fixture(scope="session")
def model_report(paper, cohort, labels):
    return generate_report(paper, cohort.scans[8:], **labels)


@pytest.fixture(scope="session")
def comparison_page(comparison, cohort):
    return comparison_report(comparison, cohort.scans)

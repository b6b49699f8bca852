"""Where there is nothing to find, nothing is found; slow, for it fits a lot of models."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor
from sk_brainmae.baselines import ConnectivityBaseline, make_opponents
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import compare

N_SEEDS = 20
SCANS = {"n_scans": 40, "n_timepoints": 100, "n_regions": 12, "t_r": 1.0}
OURS = {"t_r": 1.0, "crop_length": 100, "max_epochs": 1, "embedding_dim": 16, "random_state": 0}


@pytest.fixture(scope="module")
def values():
    """Scores of every estimator on cohorts whose target is drawn apart from them."""
    auc, r = {}, {}
    for seed in range(N_SEEDS):
        scans = make_cohort(**SCANS, random_state=seed).scans
        rng = np.random.default_rng(seed)
        classes, target = rng.permutation(np.tile([0, 1], 20)), rng.normal(size=40)
        for found, ours, task, y, metric in [
            (auc, BrainMAEClassifier(**OURS), "classification", classes, "roc_auc"),
            (r, BrainMAERegressor(**OURS), "regression", target, "pearson_r"),
        ]:
            models = {"BrainMAE": ours, **make_opponents(task, t_r=1.0, random_state=0)}
            # Forests on thousands of features take minutes and see what the others see.
            models = {name: model for name, model in models.items() if "forest" not in name}
            comparison = compare(models, scans, y, cv=5, random_state=seed)
            for name, mean in comparison.table.loc[metric, "mean"].items():
                found.setdefault(name, []).append(mean)
    return auc, r


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_estimator_stays_at_chance_on_twenty_null_cohorts(values):
    auc, r = values
    for found, chance in ((auc, 0.5), (r, 0.0)):
        for name, means in found.items():
            margin = 3 * np.std(means) / np.sqrt(N_SEEDS) + 0.02
            # Out-of-fold correlations lie a little below 0: a high test part means a low
            # training part.
            assert chance - margin - 0.1 < np.mean(means) < chance + margin, name


@pytest.fixture(scope="module")
def sites():
    """Scanners that differ in which regions are noisy; patients come mostly from one of them."""
    rng = np.random.default_rng(0)
    scans = make_cohort(n_scans=60, n_timepoints=100, n_regions=12, random_state=0).scans
    site = np.repeat(np.arange(6), 10)
    noise = rng.uniform(0, 3, (6, 12))[site]
    scans = scans + noise[:, None] * rng.normal(size=scans.shape)
    patient = (rng.uniform(size=60) < np.where(site % 2, 0.9, 0.1)).astype(int)
    return scans, patient, site


def test_labels_tied_to_site_are_decoded_until_whole_sites_are_held_out(sites):
    scans, patient, site = sites
    models = {
        "FC": ConnectivityBaseline("correlation", random_state=0),
        "chance": DummyClassifier(strategy="prior"),
    }
    mixed = compare(models, scans, patient, cv=5, random_state=0)
    grouped = compare(models, scans, patient, cv=3, groups=site, random_state=0)
    leaky, honest = (c.table.loc[("roc_auc", "FC"), "mean"] for c in (mixed, grouped))
    assert leaky > 0.75
    assert honest < leaky - 0.15

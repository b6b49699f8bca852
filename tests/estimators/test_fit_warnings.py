import warnings

import numpy as np
import pytest

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.datasets import make_cohort

SETTINGS = {"t_r": 1.0, "window_size": 10, "crop_length": 60, "max_epochs": 0, "random_state": 0}


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(n_scans=10, n_timepoints=120, n_regions=12, t_r=1.0, random_state=0)


def test_scan_that_is_there_twice_is_told_in_fit(cohort):
    scans = [*cohort.scans, cohort.scans[3]]
    with pytest.warns(UserWarning, match=r"scans look odd[\s\S]*(twice|duplicate|same)"):
        BrainMAETransformer(**SETTINGS).fit(scans)


def test_transposed_scans_are_told_in_fit(cohort):
    scans = np.swapaxes(cohort.scans[:, :100], 1, 2)  # 12 "frames" of 100 "regions"
    with pytest.warns(UserWarning, match=r"scans look odd[\s\S]*transposed"):
        BrainMAETransformer(**SETTINGS).fit(scans)


def test_classifiers_tell_it_once(cohort):
    scans = [*cohort.scans, cohort.scans[3]]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        BrainMAEClassifier(**SETTINGS).fit(scans, [0, 1] * 5 + [1])
    assert sum("look odd" in str(warning.message) for warning in told) == 1


def test_ordinary_scans_are_fitted_without_a_word(cohort):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BrainMAETransformer(**SETTINGS).fit(cohort.scans)

"""Scans without anything odd, and how the one finding in changed ones is asked for."""

import pytest

from sk_brainmae.datasets import make_cohort
from sk_brainmae.doctor import check_scans


@pytest.fixture(scope="session")
def clean():
    """Twelve scans of 200 frames and 40 regions, not to be changed."""
    cohort = make_cohort(n_scans=12, n_timepoints=200, n_regions=40, t_r=2.0, random_state=0)
    cohort.scans.flags.writeable = False
    return cohort.scans


@pytest.fixture
def scans(clean):
    """Copies of the clean scans, to be changed."""
    return [scan.copy() for scan in clean]


@pytest.fixture
def found():
    """Return the one finding of this kind, which must be the only one of any kind."""

    def check(X, kind, t_r=2.0, **kwargs):
        report = check_scans(X, t_r, **kwargs)
        assert [finding.kind for finding in report.findings] == [kind], str(report)
        return report.findings[0]

    return check

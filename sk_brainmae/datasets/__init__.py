"""Scans to work with: simulated cohorts, readers of preprocessed data, fetchers of public data."""

from sk_brainmae.datasets.abide import fetch_abide
from sk_brainmae.datasets.derivatives import load_derivatives
from sk_brainmae.datasets.development import fetch_development
from sk_brainmae.datasets.hcp_rest import fetch_hcp_rest
from sk_brainmae.datasets.pain import fetch_pain, pain_trials
from sk_brainmae.datasets.schaefer import fetch_schaefer_regions
from sk_brainmae.datasets.simulated import make_cohort

__all__ = [
    "fetch_abide",
    "fetch_development",
    "fetch_hcp_rest",
    "fetch_pain",
    "fetch_schaefer_regions",
    "load_derivatives",
    "make_cohort",
    "pain_trials",
]

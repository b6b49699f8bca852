"""Scans to work with: simulated cohorts with known truth, and fetchers of real data."""

from sk_brainmae.datasets.pain import fetch_pain, pain_trials
from sk_brainmae.datasets.simulated import make_cohort

__all__ = ["fetch_pain", "make_cohort", "pain_trials"]

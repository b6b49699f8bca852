"""Reports: one self-contained HTML file each, for people who did not run what it is about."""

from sk_brainmae.reporting.comparison import comparison_report
from sk_brainmae.reporting.model import generate_report
from sk_brainmae.reporting.page import Report

__all__ = ["Report", "comparison_report", "generate_report"]

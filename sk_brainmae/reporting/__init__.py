"""Reports: one self-contained HTML file each, for readers who did not run the analysis."""

from sk_brainmae.reporting.comparison import comparison_report
from sk_brainmae.reporting.model import generate_report
from sk_brainmae.reporting.page import Report

__all__ = ["Report", "comparison_report", "generate_report"]

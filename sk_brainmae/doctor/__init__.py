"""The input doctor: what is odd about scans, told before a model is fitted on them."""

from sk_brainmae.doctor.checks import check_scans, warn_findings
from sk_brainmae.doctor.report import Finding, ScanReport

__all__ = ["Finding", "ScanReport", "check_scans", "warn_findings"]

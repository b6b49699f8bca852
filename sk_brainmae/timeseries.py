"""Scans as users pass them: moments of scans, censored frames, and the check of both."""

from sk_brainmae.scans.validate import validate_scans
from sk_brainmae.scans.window import Window, censor

__all__ = ["Window", "censor", "validate_scans"]

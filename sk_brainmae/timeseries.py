"""Scans as users pass them: moments of scans, censored frames, and validation."""

from sk_brainmae.scans import Window, censor, validate_scans

__all__ = ["Window", "censor", "validate_scans"]

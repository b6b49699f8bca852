"""Scans at another repetition time."""

from sk_brainmae.scans import resample_scan

__all__ = ["resample_scan"]

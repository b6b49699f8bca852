"""Scans on another grid of times."""

from sk_brainmae.scans.resampling import resample_scan

__all__ = ["resample_scan"]

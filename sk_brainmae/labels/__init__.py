"""What is known of scans besides their signal, checked: targets, groups and confounds."""

from sk_brainmae.labels.confounds import check_confounds
from sk_brainmae.labels.groups import check_groups
from sk_brainmae.labels.targets import (
    known_classes,
    known_values,
    labelled_classes,
    labelled_values,
)

__all__ = [
    "check_confounds",
    "check_groups",
    "known_classes",
    "known_values",
    "labelled_classes",
    "labelled_values",
]

"""What is known of scans besides their signal, checked: targets, groups and confounds."""

from sk_brainmae.labels.confounds import check_confounds
from sk_brainmae.labels.groups import check_groups
from sk_brainmae.labels.targets import labelled_classes, labelled_values

__all__ = ["check_confounds", "check_groups", "labelled_classes", "labelled_values"]

"""What a scan is, and how scans are checked and standardised before a model reads them.

- *scan*: a matrix of BOLD signal, ``(n_timepoints, n_regions)``, as in nilearn.
- *region*: a column of a scan, one brain region (ROI) of an atlas.
- *run*: a distinct scan. It is z-scored once, however many samples are cut from it.
- *sample*: one element of ``X``, a whole run or a moment of one.
- *moment*: a stretch of a run, such as a trial, that users cut out with :class:`Window`.
- *window*: the stretch of signal that the network encodes as one vector, 15 s in the paper.
- *crop*: consecutive windows that the network reads together, 300 s in the paper.
- *window state*: the vector s_k of window k. *Brain state*: one of the K states of the network's
  prior or of a simulated cohort. *Mental state*: what a person did or felt in a moment, a label.
- *view*: one reading of a scan as numbers, such as connectivity; views make up an embedding.
"""

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.record import ScanRecord
from sk_brainmae.scans.resampling import resample_scan
from sk_brainmae.scans.validate import validate_scans
from sk_brainmae.scans.window import Window, censor

__all__ = ["Cohort", "ScanRecord", "Window", "censor", "resample_scan", "validate_scans"]

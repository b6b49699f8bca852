"""The parameters that all estimators share: what they mean, and what values they may have.

A description that several estimators share stands here once. ``@describe_parameters`` puts it in
the place of a line such as ``{parameters}`` in the docstrings of a class and of its methods.
"""

import os
import re
import textwrap
from numbers import Integral, Real
from typing import TypeVar

from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions

from sk_brainmae.network.state_encoder import ATTENTION

PARAMETERS = """\
t_r : float, default=None
    Repetition time in seconds. With it, ``window_size`` and ``crop_length`` are in seconds;
    without, in frames. Scans of another repetition time are resampled to it without aliasing: pass
    theirs as ``t_r`` to ``fit`` and the other methods. Choose the longest one, and fit on scans of
    every repetition time. Embeddings keep a trace of the scans' own, since aliased signal, filter
    edges and noise differ. If the repetition time is related to the target, treat it as a
    confound.
window_size : float, default=15
    Length of a window, the paper's 15 s; rounded to whole frames. Every scan needs at least one
    window; a shorter moment of a scan is widened evenly.
crop_length : float, default=300
    Length of the random crops that pretraining sees, the paper's 300 s. Shorter scans are used
    whole; longer ones are embedded crop by crop.
mask_ratio : float or (float, float), default=(0.0, 0.8)
    Share of regions hidden in each window. Of a range, every batch draws one ratio, as in the
    paper. 0 makes a plain autoencoder.
attention : {"static", "adaptive", "vanilla"}, default="static"
    How regions listen to each other. "static" (the paper's SG): by their ROI embeddings alone.
    "adaptive" (AG): one such block, then two that adapt to the signal. "vanilla": ordinary
    self-attention, the paper's ablation.
init : {"spectral", "random"}, default="spectral"
    Where training starts. "spectral": in closed form, from the covariances of the training scans.
    ROI embeddings then have full rank, and a Gaussian prior that adapts to each scan fills in
    what is hidden, corrected by the network. "random": the paper's network alone.
n_states : int, default=6
    Brain states that the prior tells apart once it is trained, each with a covariance of its own;
    of no use in stationary scans. Only with ``init="spectral"``.
embedding_dim : int, default=64
    Length of tokens and window states; with ``init="random"`` of ROI embeddings, too.
n_heads : int, default=4
    Attention heads; must divide ``embedding_dim``.
n_layers : int, default=2
    Transformer blocks of the sequence encoder, over the windows of a crop.
views : str or sequence of str, default="auto"
    Which readings of a scan make its embedding. Of the signal, in closed form: "connectivity",
    log-correlations of the regions, weighed by their reliability; "innovations", the same of what
    is new in each frame, which tells subjects apart in seconds; "tempo", how fast the signal
    varies; "response", the frames of a moment and the half window that follows, whitened by their
    run. Of the trained network: "states", log-covariance of its window states; "state_mean", their
    mean; "dynamics", how the brain states of the trained prior follow one another; "cls", its CLS
    token, which only fine-tuning gives a meaning. "auto": of scans, connectivity, innovations,
    tempo, states and dynamics; of moments (:class:`~sk_brainmae.timeseries.Window`), response and
    state_mean in place of tempo; "state_mean" where the network is fine-tuned. No single reading
    serves all targets: ``transform`` gives each view a fixed share of the squared norm, predictors
    find out which views speak.
max_epochs : int, default=100
    Epochs of each training stage (pretraining, fine-tuning), with one random crop a scan in each.
    0 leaves the network at its start. From a spectral start the whole network is on trial for 30
    steps. Where none of their epochs is better on held-out scans, the start comes back, the noise,
    share and kernels of the prior learn alone for three epochs, and training ends.
batch_size : int, default=8
    Crops in a step: small batches take more steps and stay in the processor's cache.
lr : float, default=0.006
    Highest learning rate of AdamW; it warms up, then falls as a cosine to 0. ROI embeddings and
    prior of a spectral start learn at twice this rate. To fine-tune, try a lower one.
weight_decay : float, default=0.05
    Decoupled weight decay; norms and biases are exempt.
validation_fraction : float, default=0.1
    Share of the scans (of the groups, where given) held out to choose the best epoch of a stage by
    its loss, the start included: training never makes it worse. With a single scan or group
    there is nothing to hold out. 0 trains on all scans for ``max_epochs``, unchecked.
patience : int, default=10
    Epochs without a better validation loss before a stage stops; only with
    ``validation_fraction``.
missing : {"mask", "raise"}, default="mask"
    What to do about missing values, NaN: censored frames (rows), missing regions (columns) or
    single values. "mask": warn, and leave them out of all means, covariances, losses and scores.
    A region's window that lacks more than half of its values is hidden from the network; a scan
    that lacks more than half is an error. "raise": any missing value is an error.
standardize : {"scan", False}, default="scan"
    "scan": each region is z-scored over its scan. False keeps the values, for scans that come
    standardised: trials that are plain arrays, cut from a run that was z-scored as a whole. To
    z-score a trial by itself would remove what it evoked; a :class:`~sk_brainmae.timeseries.Window`
    of the run needs no such care.
device : str, default="auto"
    "auto" takes a GPU (CUDA) where there is one; or a torch device such as "cpu".
random_state : int, RandomState instance or None, default=None
    Seeds weights, crops and masks. The global random state is left alone.
memory : None, str or object with the joblib.Memory interface, default=None
    Folder that keeps the result of pretraining for later fits. A fit finds it by scans,
    validation share, parameters of the network and its training, seed and version, so a grid over
    views or head pretrains once; the device does not matter. Then no epochs run and callbacks
    see none. A training that a callback ends early is not kept, nor is fine-tuning.
    ``random_state=None`` finds nothing.
checkpoint : str or PathLike, default=None
    Folder for one long pretraining: it keeps the state after each epoch. After a crash, a fit
    with the same scans and parameters continues there, to the same result (on a processor to the
    last bit). A fit with others is refused, and so is a second one at the same time: in a
    cross-validation every fit needs its own folder, or ``memory`` instead. Where both are given,
    ``memory`` is asked first. Needs an integer ``random_state``. Fine-tuning is not kept.
verbose : int, default=0
    1 prints a line for each epoch. For progress bars see :class:`sklearn.callback.ProgressBar`.
"""

PRETRAINED = """\
pretrained : BrainMAETransformer, str or PathLike, default=None
    A fitted encoder, or the folder of a saved one; it is used without being changed, and
    :func:`sklearn.base.clone` keeps it fitted. None pretrains one inside ``fit``, on the training
    scans alone, so that cross-validation is free of leakage. An encoder pretrained on scans that
    are later tested on has seen them, if unlabelled. Its ``t_r``, windows, network and
    ``n_components`` count here: asking for others is an error.
"""

PREDICTOR_ATTRIBUTES = """\
encoder_ : BrainMAETransformer
    The encoder in use; after fine-tuning, with its own weights.
history_ : DataFrame
    One row an epoch, with the stage it belongs to.
view_weights_ : dict of str to float
    Share of each view in the squared norm of the features that the head reads; they sum to 1.
    Inner cross-validation on the training scans chose them.
views_ : tuple of str
    The views with a weight.
device_ : str
    Where this process computes, after "auto".
n_features_in_ : int
    Number of regions.
region_names_ : list of str or None
    Their names, in order, where the scans of ``fit`` were DataFrames.
"""

FIT_SCANS = """\
X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
    Scans of shape (n_timepoints_i, n_regions), or Windows of runs. Pretraining uses the whole runs
    of the Windows, unlabelled.
"""

FIT_GROUPS = """\
groups : array-like of shape (n_scans,), default=None
    Which scans belong together (a subject's): they stay together in the inner cross-validation
    and in the validation share. None takes Windows of one run together.
t_r : float or array-like of shape (n_scans,), default=None
    Repetition time of the scans, or of each, in seconds; None: the estimator's.
"""

FIT_FAILURES = """\
Raises
------
ValueError
    If parameters, scans or targets cannot be used, or no scan is labelled.
NotFittedError
    If ``pretrained`` is not fitted.
FloatingPointError
    If the loss stops being finite.

Warns
-----
UserWarning
    If scans are unlabelled, but ``pretrained`` leaves no pretraining for them.
"""

REFERENCE = """\
References
----------
.. [1] Yang, Mao, Liu, Qi, Ting, Chen (2024). BrainMAE: A Region-aware Self-supervised Learning
   Framework for Brain Signals. arXiv:2406.17086.
"""

SHARED = {
    "parameters": PARAMETERS,
    "pretrained": PRETRAINED,
    "predictor attributes": PREDICTOR_ATTRIBUTES,
    "scans of fit": FIT_SCANS,
    "groups of fit": FIT_GROUPS,
    "failures of fit": FIT_FAILURES,
    "reference": REFERENCE,
}

CONSTRAINTS: dict[str, list] = {
    "t_r": [None, Interval(Real, 0, None, closed="neither")],
    "window_size": [Interval(Real, 0, None, closed="neither")],
    "crop_length": [Interval(Real, 0, None, closed="neither")],
    "mask_ratio": [Interval(Real, 0, 1, closed="left"), tuple, list],
    "attention": [StrOptions(set(ATTENTION))],
    "init": [StrOptions({"spectral", "random"})],
    "n_states": [Interval(Integral, 1, None, closed="left")],
    "embedding_dim": [Interval(Integral, 1, None, closed="left")],
    "n_heads": [Interval(Integral, 1, None, closed="left")],
    "n_layers": [Interval(Integral, 0, None, closed="left")],
    "views": [str, list, tuple],
    "max_epochs": [Interval(Integral, 0, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "patience": [Interval(Integral, 1, None, closed="left")],
    "missing": [StrOptions({"mask", "raise"})],
    "standardize": [StrOptions({"scan"}), Options(bool, {False})],
    "device": [str],
    "random_state": ["random_state"],
    "memory": [None, str, HasMethods(["cache"])],
    "checkpoint": [None, str, os.PathLike],
    "verbose": ["verbose"],
}

Described = TypeVar("Described", bound=type)


def describe_parameters(estimator: Described) -> Described:
    """Put the shared descriptions into the docstrings of a class and of its methods."""
    for documented in (estimator, *filter(callable, vars(estimator).values())):
        if documented.__doc__:  # python -OO has none
            documented.__doc__ = re.sub(
                r"^( +)\{([a-z ]+)\}\n",
                lambda line: textwrap.indent(SHARED[line[2]], line[1]),
                documented.__doc__,
                flags=re.MULTILINE,
            )
    return estimator

"""Simulated cohorts with known networks, brain states and subject traits."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state, check_scalar

BAND = (0.01, 0.1)  # Hz, where BOLD fluctuates at rest
STATE_LOADING = 0.5  # sd of a state's part in a region's loading on each network (which is 1)
INDIVIDUAL = 0.1  # sd of a subject's own coupling between two networks
STATIC_EFFECT = 0.04  # change of that coupling by one sd of the static trait, at strength 1
DYNAMIC_EFFECT = 0.5  # change of log dwell time by one sd of the dynamic trait, at strength 1


def make_cohort(
    n_scans: int = 100,
    n_timepoints: int = 300,
    n_regions: int = 60,
    n_networks: int = 6,
    n_states: int = 4,
    *,
    n_subjects: int | None = None,
    t_r: float = 1.0,
    dwell_time: float = 15.0,
    noise: float = 0.7,
    static_strength: float = 1.0,
    dynamic_strength: float = 1.0,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Simulate scans on known networks, with hidden brain states and two subject traits.

    Frame t of subject i, while the brain is in state k, is ``x = L_k G_i f(t) + noise * e(t)``.
    ``f`` holds one signal per network, band-limited to 0.01-0.1 Hz; ``e`` is white. ``L_k`` are
    the loadings of the regions in state k: each region loads on its own network in all states,
    and each state adds loadings on all networks, which average to zero over states. ``G_i`` is
    the subject's coupling between networks. States switch at random: a stay is geometrically
    distributed, and any other state follows with equal probability.

    Parameters
    ----------
    n_scans : int, default=100
        Number of scans.
    n_timepoints : int, default=300
        Frames per scan.
    n_regions : int, default=60
        Number of regions, divided evenly among the networks.
    n_networks : int, default=6
        Number of networks, 2 or more. Each region belongs to one.
    n_states : int, default=4
        Number of hidden brain states. With 1, a scan is a stationary Gaussian process and
        ``dynamic_strength`` must be 0.
    n_subjects : int, optional
        Scan i is of subject ``i % n_subjects``; scans of a subject share traits and coupling.
        None: each scan has its own subject.
    t_r : float, default=1.0
        Time between frames, in s.
    dwell_time : float, default=15.0
        Mean stay in a state, in s, of a subject whose dynamic trait is 0. The default is the
        window length of the BrainMAE paper.
    noise : float, default=0.7
        Standard deviation of the white noise. The signal's is 1 on average over regions and
        states.
    static_strength : float, default=1.0
        How much the static trait changes the coupling between networks. 0: not at all.
    dynamic_strength : float, default=1.0
        How much the dynamic trait changes the dwell time: it is
        ``dwell_time * exp(0.5 * dynamic_strength * trait)``. 0: not at all.
    random_state : int, RandomState instance or None, default=None
        Source of all randomness. With the same seed, cohorts that differ only in the strengths
        share their traits, signals and noise.

    Returns
    -------
    Bunch
        With the attributes

        - ``scans``: ndarray of shape (n_scans, n_timepoints, n_regions), float32.
        - ``networks``: ndarray of shape (n_regions,), the network of each region.
        - ``region_names``: list of n_regions str.
        - ``t_r``: float, in s.
        - ``subjects``: ndarray of shape (n_scans,), the subject of each scan.
        - ``traits``: DataFrame of shape (n_scans, 2) with the columns "static" and "dynamic",
          independent and standard normal over subjects, drawn whatever the strengths are.
        - ``states``: ndarray of shape (n_scans, n_timepoints), the hidden state of each frame.
        - ``loadings``: ndarray of shape (n_states, n_regions, n_networks), the ``L_k``.
        - ``couplings``: ndarray of shape (n_scans, n_networks, n_networks), the ``G_i``.
        - ``covariances``: ndarray of shape (n_states, n_regions, n_regions), the covariance of
          a frame given its state for the average subject, ``L_k L_k' + noise^2 I``. Scan i has
          exactly ``L_k G_i G_i' L_k' + noise^2 I``.

    Raises
    ------
    TypeError
        If a parameter is of the wrong type.
    ValueError
        If a parameter is out of range, if a scan is too short or ``t_r`` too long for any signal
        of 0.01-0.1 Hz, or if ``dynamic_strength`` is not 0 with a single state.

    Notes
    -----
    All states are equally likely at any frame, whatever the dwell time, so the dynamic trait does
    not change the expected covariance of a scan, nor its expected functional connectivity. Two
    traces remain. With long dwell times the *estimated* connectivity scatters more, so features
    that are not linear in the covariance (tangent space, squared edges) may learn a little. And
    switching widens the spectrum of each region, so autocorrelation carries the trait, too.

    The static trait acts on all states alike: it couples a random half of the pairs of networks
    more and the others less. Each subject also has a random coupling of their own.

    Examples
    --------
    >>> from sk_brainmae.datasets import make_cohort
    >>> cohort = make_cohort(n_scans=8, random_state=0)
    >>> cohort.scans.shape
    (8, 300, 60)
    >>> list(cohort.traits.columns)
    ['static', 'dynamic']
    """
    n_subjects = n_scans if n_subjects is None else n_subjects
    _check_integer("n_scans", n_scans, 1)
    _check_integer("n_timepoints", n_timepoints, 2)
    _check_integer("n_networks", n_networks, 2)
    _check_integer("n_regions", n_regions, n_networks)
    _check_integer("n_states", n_states, 1)
    _check_integer("n_subjects", n_subjects, 1, n_scans)
    _check_real("t_r", t_r, above=0)
    _check_real("dwell_time", dwell_time, at_least=t_r)
    _check_real("noise", noise, at_least=0)
    _check_real("static_strength", static_strength, at_least=0)
    _check_real("dynamic_strength", dynamic_strength, at_least=0)
    if n_states == 1 and dynamic_strength > 0:
        raise ValueError(
            f"dynamic_strength={dynamic_strength} needs n_states >= 2, got n_states=1: use more"
            " states, or dynamic_strength=0"
        )

    rng = check_random_state(random_state)
    subject = np.arange(n_scans) % n_subjects
    static, dynamic = rng.standard_normal((2, n_subjects))
    networks = np.sort(np.arange(n_regions) % n_networks)
    loadings = _state_loadings(networks, n_states, rng)
    couplings = _couplings(static_strength * static, n_networks, rng)[subject]
    dwell = dwell_time / t_r * np.exp(DYNAMIC_EFFECT * dynamic_strength * dynamic[subject])
    states = _switching_states(dwell, n_timepoints, n_states, rng)
    latents = _band_limited((n_scans, n_timepoints, n_networks), t_r, rng)
    latents = latents @ couplings.transpose(0, 2, 1)
    scans = _observe(latents, states, loadings)
    scans += noise * rng.standard_normal(scans.shape).astype(np.float32)

    index_in_network = np.arange(n_regions) - np.searchsorted(networks, networks)
    digits = len(str(n_subjects))
    return Bunch(
        scans=scans,
        networks=networks,
        region_names=[
            f"network{m}_region{j}" for m, j in zip(networks, index_in_network, strict=True)
        ],
        t_r=float(t_r),
        subjects=np.array([f"sub-{i + 1:0{digits}d}" for i in subject]),
        traits=pd.DataFrame({"static": static[subject], "dynamic": dynamic[subject]}),
        states=states,
        loadings=loadings,
        couplings=couplings,
        covariances=loadings @ loadings.transpose(0, 2, 1) + noise**2 * np.eye(n_regions),
    )


def _state_loadings(networks: NDArray, n_states: int, rng: np.random.RandomState) -> NDArray:
    """Draw the regions' loadings in each state, (n_states, n_regions, n_networks)."""
    n_regions, n_networks = len(networks), networks[-1] + 1
    membership = np.eye(n_networks)[networks] * rng.uniform(0.8, 1.2, (n_regions, 1))
    own = STATE_LOADING * rng.standard_normal((n_states, n_regions, n_networks))
    loadings = membership + own - own.mean(axis=0)
    return loadings / np.sqrt((loadings**2).sum(axis=-1).mean())  # signal variance 1


def _couplings(effect: NDArray, n_networks: int, rng: np.random.RandomState) -> NDArray:
    """Return each subject's symmetric coupling, (n_subjects, n_networks, n_networks)."""
    rows, columns = np.triu_indices(n_networks, k=1)
    direction = rng.permutation(np.where(np.arange(len(rows)) % 2, -1.0, 1.0))
    own = INDIVIDUAL * rng.standard_normal((len(effect), len(rows)))
    couplings = np.tile(np.eye(n_networks), (len(effect), 1, 1))
    couplings[:, rows, columns] = own + STATIC_EFFECT * effect[:, None] * direction
    couplings[:, columns, rows] = couplings[:, rows, columns]
    return couplings


def _switching_states(
    dwell: NDArray, n_timepoints: int, n_states: int, rng: np.random.RandomState
) -> NDArray:
    """Draw sequences of brain states, (n_scans, n_timepoints), for mean dwell times in frames."""
    shape = (len(dwell), n_timepoints)
    switches = rng.uniform(size=shape) < 1 / np.maximum(dwell[:, None], 1)
    steps = switches * rng.randint(1, n_states, shape) if n_states > 1 else np.zeros(shape, int)
    steps[:, 0] = rng.randint(n_states, size=len(dwell))
    return steps.cumsum(axis=1) % n_states


def _band_limited(shape: tuple[int, int, int], t_r: float, rng: np.random.RandomState) -> NDArray:
    """Draw Gaussian signals of unit variance within BAND, (n_scans, n_timepoints, n_networks)."""
    n_scans, n_timepoints, n_networks = shape
    n_drawn = 2 * n_timepoints  # twice as long as needed: the ends of a scan must not meet
    frequencies = np.fft.rfftfreq(n_drawn, t_r)
    inside = (frequencies >= BAND[0]) & (frequencies <= BAND[1])
    if not inside.any():
        raise ValueError(
            f"no signal of {BAND[0]}-{BAND[1]} Hz fits into {n_timepoints} frames of t_r={t_r} s:"
            " use more frames, or another t_r (in seconds)"
        )
    spectrum = np.fft.rfft(rng.standard_normal((n_scans, n_drawn, n_networks)), axis=1)
    signals = np.fft.irfft(spectrum * inside[:, None], n_drawn, axis=1)
    return signals[:, :n_timepoints] / signals.std(axis=1, keepdims=True)


def _observe(latents: NDArray, states: NDArray, loadings: NDArray) -> NDArray:
    """Map network signals to regions by each frame's state, (n_scans, n_timepoints, n_regions)."""
    n_states, n_regions, n_networks = loadings.shape
    active = np.eye(n_states, dtype=np.float32)[states]  # (n_scans, T, n_states)
    gated = active[..., None] * latents.astype(np.float32)[..., None, :]
    stacked = loadings.transpose(0, 2, 1).reshape(-1, n_regions).astype(np.float32)
    return gated.reshape(*states.shape, n_states * n_networks) @ stacked


def _check_integer(name: str, value: Any, low: int, high: int | None = None) -> None:
    check_scalar(value, name, Integral, min_val=low, max_val=high)


def _check_real(
    name: str, value: Any, above: float | None = None, at_least: float | None = None
) -> None:
    low, closed = (above, "neither") if at_least is None else (at_least, "left")
    check_scalar(value, name, Real, min_val=low, include_boundaries=closed)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")

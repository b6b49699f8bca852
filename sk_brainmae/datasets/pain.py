"""Heat-pain runs of 33 subjects, and their trials."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sk_brainmae.datasets.wheel import Wheel, fetch_from_wheel
from sk_brainmae.scans.window import Window

WHEEL = Wheel(
    requirement="connattractor==0.1.0",
    filename="connattractor-0.1.0-py3-none-any.whl",
    sha256="01172a7dfd28bfe18590c96d422cda08b1a9574a8364a911e41e12977f4440b1",
)
FOLDER = "sk_brainmae_pain"
T_R = 2.0  # s
SUBJECTS = [f"sub-{i:02d}" for i in range(1, 34)]
RUNS = (3, 7)  # run 1 is mislabelled in the wheel
SIGNALS = "{subject}_ts_run_{run:02d}.tsv"
EVENTS = "{subject}_task-heatpainwithregulationandratings_run-{run:02d}_events.tsv"
REGIONS = "MIST122_relabeled.tsv"
FIRST_ONSET = 10.216  # s into the run; the files count onsets from the session's start

HOT = 46.0  # degrees Celsius, at least
WARM = 43.5  # degrees Celsius, at most
TRIAL_DELAY = 2  # frames, 4 s: the haemodynamic lag
TRIAL_LENGTH = 8  # frames, 16 s: the heat lasts 12.5 s

DESCRIPTION = """\
Heat pain with self-regulation: 33 subjects, two runs each (3 and 7 of the session), 191 frames
every 2 s in 122 regions of the MIST atlas, band-passed at 0.008-0.08 Hz. A run has ten heat
trials of 12.5 s at 40.8 to 46.3 degrees Celsius, each rated afterwards; subjects were asked to
regulate their pain up or down. 16 runs have constant regions, which lie outside the field of
view.

Source: OpenNeuro ds000140 (Woo et al. 2015), as time series in the Python package connattractor
0.1.0, folder resources/ex_timeseries_task. The package is licensed GPL-3.0-or-later; the terms of
the data are those of ds000140 on OpenNeuro. Cite Woo et al. when you use them.
"""


def fetch_pain(data_dir: str | Path | None = None, verbose: int = 1) -> Bunch:
    """Fetch heat-pain runs of 33 subjects, two runs each.

    Pip downloads the package connattractor (24 MB, not installed). The time series (30 MB) are
    kept in the folder ``sk_brainmae_pain`` of nilearn's data directory. A second call needs no
    network.

    Parameters
    ----------
    data_dir : str or Path, optional
        Data directory. None: NILEARN_SHARED_DATA, NILEARN_DATA, or else ``~/nilearn_data``.
    verbose : int, default=1
        0 is silent; otherwise a download is announced on standard error.

    Returns
    -------
    Bunch
        With the attributes

        - ``scans``: list of 66 ndarrays of shape (191, 122), float32, without the files' global
          signal. 16 runs have constant regions.
        - ``subjects``: ndarray of shape (66,), such as "sub-01".
        - ``runs``: ndarray of shape (66,), 3 or 7.
        - ``t_r``: float, 2 s.
        - ``region_names``: list of 122 str. Four of the atlas' names stand for two regions each;
          the second of them ends in "_2".
        - ``networks``: ndarray of shape (122,), the atlas' network of each region.
        - ``events``: DataFrame, one row per heat trial, with the columns subject, run, scan
          (index into ``scans``), onset (s from the start of the run), temperature (degrees
          Celsius), rating (0-200) and regulation ("up" or "down").
        - ``description``: str, source and licence.

    Raises
    ------
    OSError
        If no data directory can be written; ConnectionError, if pip cannot download.
    ValueError
        If the download has another hash than expected, or the cache is damaged.

    References
    ----------
    .. [1] Woo, C.-W., Roy, M., Buhle, J. T., Wager, T. D. (2015). Distinct brain systems mediate
       the effects of nociceptive input and self-regulation on pain. PLoS Biology 13(1), e1002036.
    .. [2] Urchs, S. et al. (2019). MIST: a multi-resolution parcellation of functional brain
       networks. MNI Open Research 1:3.
    """
    names = [f.format(subject=s, run=r) for s in SUBJECTS for r in RUNS for f in (SIGNALS, EVENTS)]
    members = [f"resources/ex_timeseries_task/{name}" for name in names]
    folder = fetch_from_wheel(
        WHEEL, [f"resources/{REGIONS}", *members], FOLDER, data_dir=data_dir, verbose=verbose
    )
    return _read(folder, SUBJECTS)


def pain_trials(pain: Bunch, target: str = "hot") -> tuple[list[Window], NDArray, NDArray]:
    """Cut the heat trials out of the pain runs.

    A trial is 8 frames (16 s) from two frames after the one its heat begins in.

    Parameters
    ----------
    pain : Bunch
        As :func:`fetch_pain` returns it.
    target : {"hot", "rating"}, default="hot"
        What to decode. "hot": heat of at least 46 degrees Celsius (1) against at most 43.5 (0),
        without the trials in between. "rating": how painful the heat was, 0-200, in all rated
        trials.

    Returns
    -------
    X : list of Window
        The trials, moments of their runs; 400 for "hot", 660 for "rating".
    y : ndarray of shape (n_trials,)
        The target, int for "hot" and float for "rating".
    groups : ndarray of shape (n_trials,)
        The subject of each trial.

    Raises
    ------
    ValueError
        If ``target`` is neither "hot" nor "rating".

    Warns
    -----
    UserWarning
        If trials end after their run and are left out; in the fetched data none does.

    Examples
    --------
    >>> from sk_brainmae.datasets import fetch_pain, pain_trials
    >>> X, y, groups = pain_trials(fetch_pain())  # doctest: +SKIP
    """
    events = pain.events
    if target == "hot":
        events = events[(events.temperature >= HOT) | (events.temperature <= WARM)]
        y = (events.temperature >= HOT).to_numpy(dtype=int)
    elif target == "rating":
        events = events[events.rating.notna()]
        y = events.rating.to_numpy(dtype=float)
    else:
        raise ValueError(f"target must be 'hot' or 'rating', got {target!r}")

    start = np.rint(events.onset / pain.t_r).to_numpy(dtype=int) + TRIAL_DELAY
    length = np.array([len(scan) for scan in pain.scans])[events.scan]
    fits = start + TRIAL_LENGTH <= length
    if not fits.all():
        cut = events[~fits]
        places = ", ".join(f"{s} run {r}" for s, r in zip(cut.subject, cut.run, strict=True))
        warnings.warn(
            f"{len(cut)} of {len(events)} trials end after their run and are left out: {places}",
            stacklevel=2,
        )
    X = [
        Window(pain.scans[scan], int(first), int(first) + TRIAL_LENGTH)
        for scan, first in zip(events.scan[fits], start[fits], strict=True)
    ]
    return X, y[fits], events.subject.to_numpy(dtype=str)[fits]


def _read(folder: Path, subjects: list[str]) -> Bunch:
    """Read the cached runs of these subjects."""
    places = [(subject, run) for subject in subjects for run in RUNS]
    regions = pd.read_csv(folder / REGIONS, sep="\t")
    events = [_read_events(folder, *place, scan=i) for i, place in enumerate(places)]
    return Bunch(
        scans=[_read_signals(folder / SIGNALS.format(subject=s, run=r)) for s, r in places],
        subjects=np.array([subject for subject, _ in places]),
        runs=np.array([run for _, run in places]),
        t_r=T_R,
        region_names=_unique(regions["labels"]),
        networks=regions["modules"].to_numpy(dtype=str),
        events=pd.concat(events, ignore_index=True),
        description=DESCRIPTION,
    )


def _read_signals(path: Path) -> NDArray:
    """Return a run, (n_timepoints, n_regions), without the first column, the global signal."""
    signals = pd.read_csv(path, sep="\t", dtype=np.float32).to_numpy()
    return np.ascontiguousarray(signals[:, 1:])


def _read_events(folder: Path, subject: str, run: int, scan: int) -> pd.DataFrame:
    """Return a run's heat trials; in the file, the row after a trial's holds its rating."""
    table = pd.read_csv(folder / EVENTS.format(subject=subject, run=run), sep="\t")
    # One file has two columns of that name, the first of them empty.
    regulation = table.filter(like="regulate").bfill(axis=1).iloc[:, 0]
    trials = pd.DataFrame(
        {
            "subject": subject,
            "run": run,
            "scan": scan,
            "onset": table["onset"] - table["onset"].iloc[0] + FIRST_ONSET,
            "temperature": table["temperature"],
            "rating": table["ratings"].shift(-1),
            "regulation": regulation,
        }
    )
    return trials[table["temperature"].notna()]


def _unique(names: pd.Series) -> list[str]:
    """Return the names, the n-th region of a name marked by the ending ``_n`` from 2 on."""
    count = names.groupby(names).cumcount() + 1
    return [name if n == 1 else f"{name}_{n}" for name, n in zip(names, count, strict=True)]

"""Whatever is passed as scans, it becomes a clean cohort or raises the documented errors."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from sk_brainmae.scans import Window, validate_scans

N_CASES = {"a few": 100, "many": 2000}
AMOUNTS = ["a few", pytest.param("many", marks=pytest.mark.slow)]
DTYPES = ["f2", "f4", "f8", "i1", "i8", "u2", "?", ">f4", ">i4"]
ODD_DTYPES = ["c8", "U3", "S2", "M8[s]", "m8[s]", "O"]
ODD_VALUES = [np.nan, np.inf, -np.inf, 1e300, -1e300, 1e38, 1e-300, 5e-324, 0.0]


@st.composite
def matrices(draw):
    """Draw scans of mostly sensible shape and type, with some values that are not."""
    n_frames, n_regions = draw(st.integers(1, 12)), draw(st.sampled_from([3] * 20 + [2, 1]))
    seed = draw(st.integers(0, 2**16))
    scan = np.random.default_rng(seed).normal(size=(n_frames, n_regions))
    scan = scan * draw(st.sampled_from([1, 1e-30, 1e30, 1e5])) + draw(st.sampled_from([0, 1e4]))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        rows, columns = (draw(st.integers(0, n - 1)) for n in scan.shape)
        where = draw(st.sampled_from([np.s_[rows], np.s_[:, columns], np.s_[rows, columns]]))
        scan[where] = draw(st.sampled_from(ODD_VALUES))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scan.astype(draw(st.sampled_from(DTYPES)))


@st.composite
def odd_arrays(draw):
    """Draw arrays of any type and of none to three dimensions."""
    shape = draw(st_np.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    dtype = np.dtype(draw(st.sampled_from(DTYPES + ODD_DTYPES)))
    if dtype.hasobject:
        return np.full(shape, draw(st.sampled_from(["x", None, 1.5, {}])), dtype=object)
    return draw(st_np.arrays(dtype, shape))


@st.composite
def contained(draw, scans):
    """Draw a scan in one of the containers people use."""
    scan = draw(scans)
    kind = draw(st.sampled_from(["array", "list", "frame", "masked", "window", "fortran", "view"]))
    if kind == "list":
        return scan.tolist()
    if kind == "frame" and scan.ndim == 2:
        return pd.DataFrame(scan)
    if kind == "masked" and scan.dtype.kind == "f":
        return np.ma.masked_invalid(scan)
    if kind == "window" and scan.ndim == 2 and len(scan):
        start = draw(st.integers(0, len(scan) - 1))
        return Window(scan, start, draw(st.integers(start + 1, len(scan))))
    if kind == "fortran":
        return np.asfortranarray(scan)
    return scan[::-1] if kind == "view" and scan.ndim else scan


ODD_THINGS = st.sampled_from([None, "scan.npy", 3, {}, b"", [[]], [[1, 2], [3]], object(), np.nan])
SCANS = contained(matrices())
ANYTHING = (
    st.lists(SCANS | contained(odd_arrays()) | ODD_THINGS, max_size=3)
    | st_np.arrays(st.sampled_from(["f4", "f8", "i2"]), st.tuples(*[st.integers(0, 5)] * 3))
    | odd_arrays()
    | ODD_THINGS
)
COHORTS = {"nearly clean": st.lists(SCANS, min_size=1, max_size=4), "anything": ANYTHING}
TIMES = st.sampled_from([2.0, 1.0, 0.72, 0, -1, np.nan, 1e6, "2", True, [1.0], [0.5, 2.0]])
OPTIONS = st.just({}) | st.fixed_dictionaries(
    {},
    optional={
        "t_r": TIMES,
        "grid": st.sampled_from([1.0, 2.0, None]),
        "missing": st.sampled_from(["mask", "raise", "drop"]),
        "n_regions": st.sampled_from([3, 2]),
        "standardize": st.sampled_from(["scan", False, True, None, "zscore"]),
    },
)


def validate(X, options):
    """Validate: no other errors, no other warnings, and no other values than clean ones."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", UserWarning)
            cohort = validate_scans(X, **options)
    except (TypeError, ValueError):
        return "refused"
    assert np.isfinite(cohort.frames).all()
    assert np.isfinite(cohort.mean).all()
    assert np.isfinite(cohort.scale).all()
    assert (cohort.scale > 0).all()
    assert len(cohort) == len(X)
    for run, (first, length) in enumerate(zip(cohort.run_start, cohort.run_length, strict=True)):
        signal = cohort.frames[first : first + length]
        known = np.broadcast_to(cohort.known_frames(run, 0, length), signal.shape)
        assert (signal[~known] == 0).all()
        if options.get("standardize") is False:
            assert np.isfinite(np.square(signal)).all()
            continue
        for region in np.flatnonzero(cohort.observed[run]):
            values = signal[known[:, region], region]
            assert abs(values.mean()) < 1e-3
            assert abs(values.std() - 1) < 1e-3
    return "taken"


@pytest.mark.parametrize("cohorts", COHORTS)
@pytest.mark.parametrize("amount", AMOUNTS)
def test_any_scans_become_a_clean_cohort_or_raise_the_documented_errors(amount, cohorts):
    outcomes = []

    @settings(
        max_examples=N_CASES[amount],
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(COHORTS[cohorts], OPTIONS)
    def fuzz(X, options):
        outcomes.append(validate(X, options))

    fuzz()
    counts = {outcome: outcomes.count(outcome) for outcome in ("taken", "refused")}
    print(cohorts, counts)
    assert counts["taken"] > (0.1 * len(outcomes) if cohorts == "nearly clean" else 0)
    assert counts["refused"] > 0.1 * len(outcomes)

"""Columns that are no regions are refused in tables; regions that drift are not."""

import numpy as np
import pandas as pd
import pytest

from sk_brainmae.scans import Window, validate_scans
from sk_brainmae.scans.time_columns import is_no_region, time_columns

pytestmark = pytest.mark.filterwarnings("error")
NAMES = [
    *("Unnamed: 0", "time", "Time (s)", "frame", "frame_idx", "index", "TR", "TRs", "volume"),
    *("level_0", "run", "session", "subject_id", "participant_id", "onset", "epoch", "trial"),
    *("condition", "label", " Time"),
]
REGIONS = [
    *("Temporal_Mid_L", "Frontal Pole", "Subthalamic nucleus", "Indusium", "Traverse", "ID1"),
    *("7Networks_LH_Vis_1", "1", "V1", "index_finger", "LabelA", "Runway"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_column_named_as_no_region_is_refused_wherever_it_is(cohort_of, name, place):
    names = [*"abcd"]
    names.insert(place, name)
    X = [pd.DataFrame(np.insert(scan, place, 0.5, axis=1), columns=names) for scan in cohort_of()]
    with pytest.raises(ValueError, match=r"scan 0 has a column .*not a region: drop it"):
        validate_scans(X)


@pytest.mark.parametrize("name", REGIONS)
def test_names_of_regions_are_taken(name):
    assert not is_no_region(name)


CLOCKS = {
    "count": np.arange(30),
    "count from 1": np.arange(1, 31, dtype=float),
    "seconds": np.arange(30) * 0.72,
    "float32 seconds": (np.arange(30) * 0.72).astype(np.float32),
    "far from 0": 1e6 + 2 * np.arange(30),
    "gaps": np.delete(np.arange(34), [5, 6, 20, 30]),
    "two runs": np.tile(np.arange(15), 2),
}


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
@pytest.mark.parametrize("moments", [False, True])
def test_a_column_that_counts_in_every_table_is_refused(cohort_of, clock, moments):
    X = [
        pd.DataFrame(scan, columns=list("abcd")).assign(k=clock)[list("abkcd")]
        for scan in cohort_of()
    ]
    X = [Window(X[0], i, i + 5) for i in range(0, 25, 5)] if moments else X
    with pytest.raises(ValueError, match=r"column 'k' rises from frame to frame in every scan"):
        validate_scans(X)


def test_a_plain_table_with_a_counting_column_is_refused_by_its_number(scan):
    table = pd.DataFrame(np.column_stack([scan(), np.arange(30)]))
    with pytest.raises(ValueError, match="column '4' rises"):
        validate_scans([table])


def test_times_in_uneven_steps_are_refused_at_the_edge_of_long_tables(scan):
    times = np.random.default_rng(0).uniform(0.5, 3, size=60).cumsum()
    for place in (0, 4):
        table = pd.DataFrame(np.insert(scan(60), place, times, axis=1)).add_prefix("r")
        with pytest.raises(ValueError, match=f"column 'r{place}' rises"):
            validate_scans([table])


def test_a_region_that_rises_in_one_scan_alone_is_taken(cohort_of):
    arrays = cohort_of()
    arrays[1, :, 2] = np.arange(30)
    X = [pd.DataFrame(array, columns=list("abcd")) for array in arrays]
    assert len(validate_scans(X)) == 3


def test_arrays_are_taken_and_the_column_is_found_for_who_asks(cohort_of):
    arrays = cohort_of()
    arrays[:, :, 2] = np.arange(30)
    assert len(validate_scans(arrays)) == 3
    assert time_columns(arrays[0]).tolist() == [False, False, True, False]


@pytest.mark.parametrize("make", ["smooth", "drift", "noise", "whole numbers"])
def test_signals_are_no_times(make):
    rng = np.random.default_rng(0)
    for n_frames in (5, 8, 20, 50, 200):
        frames = rng.standard_normal((n_frames, 400))
        if make == "smooth":
            frames = frames.cumsum(axis=0).cumsum(axis=0)
        elif make == "drift":
            frames += np.linspace(0, 3 * n_frames, n_frames)[:, None]
            frames[:, 0] = rng.standard_normal(n_frames)
        elif make == "whole numbers":
            frames = np.round(1000 + 300 * frames)
        assert not time_columns(frames)[1:-1].any()


def test_columns_that_all_rise_are_a_drift(cohort_of):
    ramp = np.arange(120.0).reshape(30, 4)
    assert not time_columns(ramp).any()
    assert not time_columns(np.arange(30.0)[:, None]).any()

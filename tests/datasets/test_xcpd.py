"""Frames that XCP-D censored, and its repetition times."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets import load_derivatives


def test_missing_region_stays_nan(xcpd, signal, write, first_file):
    frames = signal(0)
    frames[:, 1] = np.nan
    write(first_file, frames)
    assert "n/a" in first_file.read_text()
    assert_array_equal(np.isnan(load_derivatives(xcpd).scans[0]).all(axis=0), [False, True, False])


def test_censored_frames_come_back_as_nan(xcpd, signal, first_file):
    path = first_file.with_name("sub-01_ses-1_task-nback_outliers.tsv")
    censored = np.zeros(23, dtype=int)
    censored[[4, 5, 22]] = 1
    path.write_text("framewise_displacement\n" + "\n".join(map(str, censored)))
    scan = load_derivatives(xcpd).scans[0]
    assert_array_equal(np.isnan(scan).all(axis=1), censored == 1)
    assert_allclose(scan[censored == 0], signal(0), rtol=1e-6)


def test_interpolated_frames_are_nan_like_removed_ones(xcpd, signal, first_file):
    path = first_file.with_name("sub-01_ses-1_task-nback_outliers.tsv")
    path.write_text("framewise_displacement\n1\n0\n1\n" + "0\n" * 17)
    scan = load_derivatives(xcpd).scans[0]
    assert np.isnan(scan[[0, 2]]).all()
    kept = [1, *range(3, 20)]
    assert_allclose(scan[kept], signal(0)[kept], rtol=1e-6)


def test_outliers_that_do_not_fit_the_series_raise(xcpd, first_file):
    path = first_file.with_name("sub-01_ses-1_task-nback_outliers.tsv")
    path.write_text("framewise_displacement\n" + "0\n" * 25)
    with pytest.raises(ValueError, match=r"has 20 frames, but sub-01.* has 25, 0 of them"):
        load_derivatives(xcpd)


def test_header_of_numbers_is_still_a_header_in_xcpd(xcpd, signal, write):
    for path in xcpd.rglob("*_stat-mean_timeseries.tsv"):
        write(path, signal(0), ["2001", "2002", "2101"])
    data = load_derivatives(xcpd)
    assert data.region_names == ["2001", "2002", "2101"]
    assert data.scans[0].shape == (20, 3)


def test_sidecar_of_the_series_wins_over_that_of_the_image(xcpd):
    for path in xcpd.rglob("*_stat-mean_timeseries.tsv"):
        path.with_suffix(".json").write_text('{"RepetitionTime": 2.0}')
    assert load_derivatives(xcpd).t_r == 2.0


def test_broken_sidecar_raises_and_names_it(xcpd):
    sorted(xcpd.rglob("*_bold.json"))[0].write_text("{")
    with pytest.raises(ValueError, match=r"its sidecar sub-01_ses-1_task-nback.*bold\.json is"):
        load_derivatives(xcpd)


def test_censored_frames_of_cifti_come_back_as_nan(tmp_path, signal, write):
    write(tmp_path / "sub-01_task-rest_space-fsLR_timeseries.ptseries.nii", signal(0))
    censored = np.zeros(23, dtype=int)
    censored[[4, 5, 22]] = 1
    outliers = tmp_path / "sub-01_task-rest_outliers.tsv"
    outliers.write_text("framewise_displacement\n" + "\n".join(map(str, censored)))
    scan = load_derivatives(tmp_path).scans[0]
    assert_array_equal(np.isnan(scan).all(axis=1), censored == 1)
    assert_array_equal(scan[censored == 0], signal(0))


def test_sidecar_of_another_acquisition_tells_no_repetition_time(tmp_path, write):
    write(tmp_path / "sub-01_task-rest_timeseries.tsv")
    other = tmp_path / "sub-01_task-rest_acq-mb_desc-denoised_bold.json"
    other.write_text(json.dumps({"RepetitionTime": 0.5}))
    assert load_derivatives(tmp_path).t_r is None
    own = tmp_path / "sub-01_task-rest_desc-denoised_bold.json"
    own.write_text("\ufeff" + json.dumps({"RepetitionTime": 2}), encoding="utf-8")
    assert load_derivatives(tmp_path).t_r == 2


@pytest.mark.parametrize("part", ["part-mag", "echo-2", "acq-mb", "setting-slow"])
def test_censored_frames_are_those_of_the_same_acquisition(tmp_path, part, write):
    write(tmp_path / f"sub-01_task-rest_{part}_space-MNI_timeseries.tsv")
    source = "sub-01_task-rest" if part == "setting-slow" else f"sub-01_task-rest_{part}"
    marks = "".join(f"{int(i == 4)}\n" for i in range(21))
    (tmp_path / f"{source}_outliers.tsv").write_text(f"fd\n{marks}")
    scan = load_derivatives(tmp_path).scans[0]
    assert np.flatnonzero(np.isnan(scan).all(axis=1)).tolist() == [4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"outliers\.tsv beside it is damaged"),
        ("fd\nhigh\n", r"outliers\.tsv beside it has no number in row 1 of fd"),
        ("fd\n0\nn/a\n", r"outliers\.tsv beside it has no number in row 2"),
    ],
)
def test_damaged_outliers_raise_and_are_named(tmp_path, text, message, write):
    write(tmp_path / "sub-01_task-rest_timeseries.tsv")
    (tmp_path / "sub-01_task-rest_outliers.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_derivatives(tmp_path)


N_FRAMES = 30
MARKED = {"framewise_displacement": [3, 4, 9, 20], "dvars": [0, 3, 11, 12, 13, 28, 29]}


def write_outliers(folder, columns):
    table = pd.DataFrame({name: np.zeros(N_FRAMES, dtype=int) for name in columns})
    for name in set(columns) & set(MARKED):
        table.loc[MARKED[name], name] = 1
    for name, values in columns.items():
        if values is not None:
            table[name] = values
    table.to_csv(folder / "sub-01_task-rest_outliers.tsv", sep="\t", index=False)


@pytest.mark.parametrize("names", [list(MARKED), list(MARKED)[::-1]])
def test_frames_that_any_column_of_outliers_marks_are_nan(tmp_path, signal, write, names):
    write(tmp_path / "sub-01_task-rest_timeseries.tsv", signal(0, N_FRAMES))
    write_outliers(tmp_path, dict.fromkeys(names))
    gone = np.isnan(load_derivatives(tmp_path).scans[0]).all(axis=1)
    assert np.flatnonzero(gone).tolist() == sorted({*MARKED[names[0]], *MARKED[names[1]]})


def test_random_subsets_of_equal_length_censor_nothing(tmp_path, signal, write):
    write(tmp_path / "sub-01_task-rest_timeseries.tsv", signal(0, N_FRAMES))
    exact = np.arange(N_FRAMES) % 2
    write_outliers(tmp_path, {"exact_15": exact, "framewise_displacement": None})
    gone = np.isnan(load_derivatives(tmp_path).scans[0]).all(axis=1)
    assert np.flatnonzero(gone).tolist() == MARKED["framewise_displacement"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"trans_x": 0.1, "framewise_displacement": None},
            "a column 'trans_x', which is not known to mark",
        ),
        ({"0": 1}, "a column '0', which"),
        ({"exact_15": 0}, "has no column of outliers"),
        ({"framewise_displacement": np.linspace(0, 0.9, N_FRAMES)}, "holds 0.031.* are 0 or 1"),
        ({"framewise_displacement": ["n/a"] + [0] * 29}, "no number in row 1 of framewise_disp"),
    ],
)
def test_outliers_that_are_no_marks_are_refused(tmp_path, signal, write, columns, message):
    write(tmp_path / "sub-01_task-rest_timeseries.tsv", signal(0, N_FRAMES))
    write_outliers(tmp_path, columns)
    with pytest.raises(ValueError, match=message) as raised:
        load_derivatives(tmp_path)
    assert "sub-01_task-rest_outliers.tsv" in str(raised.value)

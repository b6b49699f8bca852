"""Which first line of a table names the regions, and which tables are refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets import load_derivatives

FRAMES = np.random.default_rng(0).normal(size=(12, 3))


def loaded(tmp_path, text, name="anna.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return load_derivatives(tmp_path)


def as_text(frames, names=None):
    return pd.DataFrame(frames).to_csv(index=False, header=names or False)


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1", "2"],
        ["1.0", "2.0", "3.0"],
        ["1_1", "1_2", "a"],
        ["2", "4", "5", "7", "2001", "2002", "11101"],
        ["V1", "4", "3b"],  # of Glasser
    ],
)
@pytest.mark.parametrize("cells", [0.5, 7, np.nan])
def test_names_that_look_like_numbers_are_told_from_frames(tmp_path, names, cells):
    frames = np.full((12, len(names)), cells)
    frames[-1] = 3
    data = loaded(tmp_path, as_text(frames, names))
    assert data.region_names == names
    assert_array_equal(data.scans[0], frames)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2001,2002\n7,8\n9,9\n", [[2001, 2002], [7, 8], [9, 9]]),
        ("11,17,12,9,30,31\n7,8,5,5,5,5\n", [[11, 17, 12, 9, 30, 31], [7, 8, 5, 5, 5, 5]]),
        ("5,5\n1.5,2.5\n", [[5, 5], [1.5, 2.5]]),
        ("1\n2\n\n3\n\n", [[1], [2], [np.nan], [3]]),
        ("n/a,1.5\n2.5,NULL\nNA, nan\n", [[np.nan, 1.5], [2.5, np.nan], [np.nan, np.nan]]),
    ],
)
def test_first_line_of_numbers_is_a_frame(tmp_path, text, expected):
    data = loaded(tmp_path, text)
    assert data.region_names is None
    assert_array_equal(data.scans[0], np.array(expected, dtype=np.float32))


def test_names_in_a_comment_as_numpy_writes_them_are_names(tmp_path):
    np.savetxt(tmp_path / "anna.csv", FRAMES, delimiter=",", header="A,B,C")
    data = load_derivatives(tmp_path)
    assert data.region_names == ["A", "B", "C"]
    assert_allclose(data.scans[0], FRAMES, rtol=1e-6)


def test_empty_rows_at_the_end_of_a_csv_are_left_out_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match=r"anna\.csv: empty rows at its end, .* left out \(2\)"):
        data = loaded(tmp_path, "A,B\n1,2\n,\n3,n/a\n,\n, \n\n")
    assert_array_equal(data.scans[0], [[1, 2], [np.nan, np.nan], [3, np.nan]])


def test_byte_order_mark_quotes_and_line_ends_of_windows_are_no_part_of_cells(tmp_path):
    data = loaded(tmp_path, '\ufeff"A","B, left"\r\n1,2\r\n3,\r\n')
    assert data.region_names == ["A", "B, left"]
    assert_array_equal(data.scans[0], [[1, 2], [3, np.nan]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.5,oops,2.5\n1,2,3\n", r"line 1 is neither names nor numbers: .*'oops' and '1.5'"),
        ("A,B,\n1,2,\n", r"column 3 has no name"),
        ("V1,4,5\n1,2,3\n", r"line 1 is neither names nor numbers: .*'V1' and '4'"),
        ("A,B,1.5\n1,2,3\n", r"line 1 is neither names nor numbers: .*'A' and '1.5'"),
        (
            "1,3,4\n1.5,2,3\n",
            r"line 1 holds different whole numbers, 1 first, above numbers",
        ),
        (
            "17,4,-1\n1.5,2,3\n",
            r"line 1 holds different whole numbers, 17 first, above numbers",
        ),
        ("1.5,2.5,\n3.5,4.5,\n", r"all its lines end with a separator"),
        (",1.5,2.5\n,3.5,4.5\n", r"all its lines begin with a separator"),
        ("A,Time (s)\n1,2\n", r"its last column is named 'Time \(s\)', which is not a region"),
        ("participant_id,age\n1,20\n", r"'participant_id', which is not a region: .* not a scan"),
        ("Unnamed: 0,A\n1,2\n", r"its first column is named 'Unnamed: 0', which is not a region"),
        ("A,time,B\n1,2,3\n", r"its column 2 is named 'time', which is not a region"),
        ("A,B\n1_1,2\n", r"line 2, column 'A' holds '1_1', which is not a number"),
        ("A,B\n1,2\n\n3,4\n", r"line 3 has 1 cells, the first line has 2"),
    ],
)
def test_tables_that_could_be_read_in_two_ways_raise(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        loaded(tmp_path, text)


@pytest.mark.parametrize(
    "times",
    [
        np.arange(12),
        np.arange(12) * 0.72,
        np.round(np.arange(40) * 0.72, 1),
        [0, 1, 2, 5, 6, 7, 9, 10, 11, 15, 16, 18],  # some frames were left out
        [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6],  # two runs
        [np.nan, *range(1, 12)],
    ],
)
@pytest.mark.parametrize(("place", "name"), [(0, "first"), (3, "last")])
def test_a_column_of_frame_numbers_or_times_raises(tmp_path, times, place, name):
    frames = np.random.default_rng(0).normal(size=(len(times), 3))
    table = np.insert(frames, place, times, axis=1)
    with pytest.raises(
        ValueError, match=rf"{name} column rises from frame to frame, up to .* do: write"
    ):
        loaded(tmp_path, as_text(table, list("tuvw")))


def test_a_column_of_frame_numbers_between_regions_raises(tmp_path):
    table = np.insert(np.random.default_rng(0).normal(size=(30, 3)), 2, np.arange(30), axis=1)
    with pytest.raises(ValueError, match="its column 3 rises from frame to frame, up to 29, as"):
        loaded(tmp_path, as_text(table, list("tuvw")))


def test_a_scan_in_which_all_regions_drift_evenly_is_read(tmp_path):
    drift = np.arange(36.0).reshape(12, 3) + 0.5
    assert_allclose(loaded(tmp_path, as_text(drift)).scans[0], drift)


def test_a_region_that_rises_over_a_short_scan_is_read(tmp_path):
    rising = np.column_stack([np.round(100 * np.sin(np.linspace(-1.5, 1.5, 12))), FRAMES])
    assert loaded(tmp_path, as_text(rising)).scans[0].shape == (12, 4)


def test_commas_in_the_numbers_of_a_tsv_raise(tmp_path):
    with pytest.raises(ValueError, match=r"line 2 holds ',': .* decimals with a point"):
        loaded(tmp_path, "1,5\t2,5\n2,5\t3,5\n", "anna.tsv")


@pytest.mark.parametrize("first", [0.5, np.nan])
def test_a_bids_table_without_names_as_halfpipe_writes_it_is_read(tmp_path, first):
    frames = FRAMES.copy()
    frames[0, 0] = first
    path = tmp_path / "sub-01" / "func" / "sub-01_task-rest_feature-fc_atlas-a_timeseries.tsv"
    path.parent.mkdir(parents=True)
    np.savetxt(path, frames, delimiter="\t")
    data = load_derivatives(tmp_path)
    assert data.region_names is None
    assert_allclose(data.scans[0], frames, rtol=1e-6)


@pytest.mark.parametrize("lines_before", [0, 20])
def test_text_in_another_encoding_raises_and_says_which_is_read(tmp_path, lines_before):
    content = b"A,B\n" + b"1.5,2.5\n" * lines_before + b"\xb5,2\n"
    (tmp_path / "anna.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"anna\.csv: it is no UTF-8 text .*: save it as UTF-8"):
        load_derivatives(tmp_path)


@pytest.mark.parametrize("names", [["Vis_1", "Vis_2", "Mot_1"], ["0", "1", "2"], ["1", "2", "3"]])
def test_header_of_a_plain_table_is_told_from_numbers(tmp_path, names, signal, write):
    write(tmp_path / "anna.csv", signal(0), names)
    data = load_derivatives(tmp_path)
    assert data.region_names == names
    assert data.scans[0].shape == (20, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3,high\n", r"line 3, column 'b' holds 'high', which is not a number"),
        ("1,2\n3,x\n", r"line 2, column '2' holds 'x', which"),
        ("a,b\n1,True\n", r"line 2, column 'b' holds 'True'"),
        ("a,b\n1,2\n3\n", r"line 3 has 1 cells, the first line has 2"),
        ("a,b\n1,2\n3,4,5\n", r"line 3 has 3 cells"),
        (",a,b\n0,1,2\n", r"first column has no name, as the index"),
        ("a,a\n1,2\n", r"two of its columns are named 'a'"),
        ("a,b\n", r"holds no frames"),
        ("", r"holds no frames"),
        ("a;b\n1,5;2\n", r"line 2 holds ';': separate cells by ','"),
        ("1,5;2,5\n1,5;2,5\n", r"line 2 holds ';': separate cells by ','"),
        ("a\tb\n1.5\t2\n", r"line 2 holds '\\t': separate cells by ','"),
        ("1.5 2.5\n1.5 -2.5\n", r"line 2 holds ' ': separate cells by ','"),
        ("\na,b\n1,2\n", r"its first line is empty"),
    ],
)
def test_damaged_table_raises_and_names_the_place(tmp_path, content, message):
    (tmp_path / "anna.csv").write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        load_derivatives(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'anna.csv'}: ")


def test_a_table_with_the_index_of_pandas_raises(tmp_path):
    pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3))).to_csv(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="first column has no name"):
        load_derivatives(tmp_path)


def test_last_frames_without_values_are_frames(tmp_path):
    scan = np.random.default_rng(0).normal(size=(20, 3))
    scan[-3:] = np.nan
    pd.DataFrame(scan, columns=list("abc")).to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    assert_allclose(load_derivatives(tmp_path).scans[0], scan, rtol=1e-6)

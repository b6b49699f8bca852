import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets.files import read_scan, read_scans
from sk_brainmae.timeseries import validate_scans

SIGNALS = np.random.default_rng(0).normal(size=(6, 3))


def written(path, text):
    path.write_text(text)
    return path


def table(path, signals=SIGNALS, **options):
    sep = "\t" if path.suffix == ".tsv" else ","
    pd.DataFrame(signals, columns=["A", "B", "C"]).to_csv(path, sep=sep, index=False, **options)
    return path


def test_npy_is_memory_mapped_and_keeps_its_numbers(tmp_path):
    np.save(tmp_path / "a.npy", SIGNALS)
    scan = read_scan(tmp_path / "a.npy")
    assert_array_equal(scan, SIGNALS)
    assert not np.asarray(scan).flags.writeable


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.TSV"])
@pytest.mark.parametrize("header", [True, False])
def test_table_is_read_with_and_without_a_header(tmp_path, name, header):
    sep = "," if name == "a.csv" else "\t"
    frame = pd.DataFrame(SIGNALS, columns=["A", "B", "C"])
    frame.to_csv(tmp_path / name, sep=sep, index=False, header=header)
    scan = read_scan(tmp_path / name)
    assert_allclose(scan, SIGNALS)
    assert list(scan.columns) == (["A", "B", "C"] if header else [0, 1, 2])


def test_header_that_counts_regions_is_no_frame(tmp_path):
    pd.DataFrame(SIGNALS).to_csv(tmp_path / "a.csv", index=False)
    assert read_scan(tmp_path / "a.csv").shape == (6, 3)


def test_missing_cells_become_nan(tmp_path):
    scan = read_scan(written(tmp_path / "a.csv", "A,B\n1,n/a\n,2\nNaN,3\n"))
    assert_array_equal(scan, [[1, np.nan], [np.nan, 2], [np.nan, 3]])


def test_byte_order_mark_and_quotes_are_no_part_of_a_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('"A","B, left"\r\n1,2\r\n', encoding="utf-8-sig")
    assert list(read_scan(path).columns) == ["A", "B, left"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A,B\n1,2\n3,x4\n", r"'x4' in row 3, column 2 \(B\) is no number"),
        ("5,2\n3,oops\n", "'oops' in row 2, column 2 is no number"),
        ("A,B\n1,2\n3\n", "row 3 has 1 columns, the first has 2"),
        ("A,B\n1,2,3\n", "row 2 has 3 columns, the first has 2"),
        ("A,A\n1,2\n", "columns 1 and 2 are both called 'A'"),
        (",A\n0,2\n", "column 1 has no name"),
        ("A,B\n", "holds no frames"),
        ("", "holds no frames"),
    ],
)
def test_bad_table_raises_naming_the_place(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_scan(written(tmp_path / "a.csv", text))


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        (np.array([["a"]]), "no real numbers"),
        (np.array([[1j]]), "no real numbers"),
        (np.array([[None]]), "no npy file of numbers"),
    ],
)
def test_npy_that_is_no_scan_raises(tmp_path, signals, message):
    np.save(tmp_path / "a.npy", signals, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        read_scan(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a.npy", "a.tsv"])
def test_file_of_other_bytes_raises(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00\x01" * 9)
    with pytest.raises(ValueError, match=rf"{name} is no"):
        read_scan(tmp_path / name)


def test_missing_and_unknown_files_raise(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*a\.npy"):
        read_scan(tmp_path / "a.npy")
    with pytest.raises(ValueError, match=r"must end in \.npy, \.csv, \.tsv"):
        read_scan(written(tmp_path / "a.txt", "1 2"))


def test_folder_is_read_in_order_and_enters_as_a_cohort(tmp_path):
    np.save(tmp_path / "sub-03.npy", SIGNALS)
    table(tmp_path / "sub-01.tsv")
    table(tmp_path / "sub-02.csv")
    written(tmp_path / "participants.json", "{}")
    scans, ids = read_scans(tmp_path)
    assert ids == ["sub-01", "sub-02", "sub-03"]
    assert len(validate_scans(scans)) == 3


def test_files_are_read_in_the_order_given(tmp_path):
    paths = [table(tmp_path / name) for name in ("b.tsv", "a.tsv")]
    assert read_scans(paths)[1] == ["b", "a"]
    assert read_scans(str(paths[1]))[1] == ["a"]


def test_region_names_in_another_order_raise_naming_both_files(tmp_path):
    table(tmp_path / "a.tsv")
    written(tmp_path / "b.tsv", "A\tC\tB\n1\t2\t3\n")
    written(tmp_path / "c.tsv", "X\tY\n1\t2\n")  # another count is left to the doctor
    with pytest.raises(ValueError, match=r"b.tsv calls its region 2 'C', but .*a.tsv calls it 'B'"):
        read_scans(tmp_path)


def test_two_files_of_one_id_raise(tmp_path):
    table(tmp_path / "a.tsv")
    table(tmp_path / "a.csv")
    with pytest.raises(ValueError, match=r"id a: .*a.csv and .*a.tsv"):
        read_scans(tmp_path)


def test_folder_without_scans_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no scans"):
        read_scans(tmp_path)
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        read_scans(tmp_path / "nowhere")


def test_a_table_with_the_index_of_pandas_raises(tmp_path):
    pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3))).to_csv(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="column 1 has no name"):
        read_scan(tmp_path / "a.csv")

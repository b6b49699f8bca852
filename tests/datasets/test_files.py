import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from sk_brainmae.datasets.files import read_scans
from sk_brainmae.timeseries import validate_scans

SIGNALS = np.random.default_rng(0).normal(size=(6, 3))


def written(path, text):
    path.write_text(text)
    return path


def table(path, signals=SIGNALS, **options):
    sep = "\t" if path.suffix == ".tsv" else ","
    pd.DataFrame(signals, columns=["A", "B", "C"]).to_csv(path, sep=sep, index=False, **options)
    return path


def test_folder_is_read_in_order_and_enters_as_a_cohort(tmp_path):
    np.save(tmp_path / "sub-03.npy", SIGNALS)
    table(tmp_path / "sub-01.tsv", header=False)
    table(tmp_path / "sub-02.csv", header=False)
    written(tmp_path / "participants.json", "{}")
    scans, ids = read_scans(tmp_path)
    assert ids == ["sub-01", "sub-02", "sub-03"]
    assert len(validate_scans(scans)) == 3


def test_npy_is_memory_mapped_and_tables_bring_their_names(tmp_path):
    np.save(tmp_path / "a.npy", SIGNALS[:, :2])
    table(tmp_path / "b.csv")
    (mapped, named), _ = read_scans(tmp_path)
    assert not np.asarray(mapped).flags.writeable
    assert_allclose(named, SIGNALS, rtol=1e-6)
    assert (list(mapped.columns), list(named.columns)) == ([0, 1], ["A", "B", "C"])


def test_phenotypes_and_hidden_files_in_the_folder_are_no_scans(tmp_path):
    table(tmp_path / "a.tsv")
    written(tmp_path / "._a.tsv", "of another system")
    written(tmp_path / "ages.csv", "id,age\na,30\n")
    assert read_scans(tmp_path, tmp_path / "ages.csv")[1] == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A\tC\tB\n1\t2\t3\n", "order: region 1 is 'C', but 'B' in"),
        ("1.5\t2\t3\n", "its regions have no names, unlike those of"),
    ],
)
def test_regions_named_otherwise_or_not_at_all_raise_naming_both_files(tmp_path, text, message):
    table(tmp_path / "a.tsv")
    written(tmp_path / "b.tsv", text)
    written(tmp_path / "c.tsv", "X\tY\n1\t2\n")  # another count is left to the doctor
    with pytest.raises(ValueError, match=rf"b.tsv: .*{message} .*a.tsv"):
        read_scans(tmp_path)


def test_two_files_of_one_id_raise(tmp_path):
    table(tmp_path / "a.tsv")
    table(tmp_path / "a.csv")
    with pytest.raises(ValueError, match=r"id a: .*a.csv and .*a.tsv"):
        read_scans(tmp_path)


def test_folder_without_scans_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no scans"):
        read_scans(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        read_scans(tmp_path / "nowhere")

"""What a file name tells."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sk_brainmae.datasets import load_derivatives


@pytest.mark.parametrize("layout", ["xcpd", "plain"])
def test_a_dash_in_the_id_of_a_subject_is_kept(tmp_path, layout, write):
    for name in ("sub-A-01_timeseries.tsv", "sub-A-02_timeseries.tsv"):
        write(tmp_path / name)
    assert load_derivatives(tmp_path, layout=layout).subjects.tolist() == ["sub-A-01", "sub-A-02"]


def test_sidecar_is_found_by_the_whole_stem(tmp_path, write):
    write(tmp_path / "anna.1.npy")
    write(tmp_path / "anna.2.npy")
    (tmp_path / "anna.1.json").write_text('{"RepetitionTime": 1}')
    (tmp_path / "anna.2.json").write_text('{"RepetitionTime": 2}')
    assert load_derivatives(tmp_path).t_r.tolist() == [1, 2]


def test_bids_names_below_folders_of_groups_tell_the_subject(tmp_path, write):
    for name in ("controls/sub-01_ses-1.npy", "controls/sub-02_ses-1.npy", "patients/sub-03.npy"):
        write(tmp_path / name)
    data = load_derivatives(tmp_path)
    assert data.subjects.tolist() == ["sub-01", "sub-02", "sub-03"]
    assert data.entities["ses"].tolist()[:2] == ["1", "1"]


def test_plain_files_with_bids_names_are_scans_of_a_subject(tmp_path, signal):
    for i, stem in enumerate(("sub-01_ses-a_bold", "sub-01_ses-b_bold", "sub-02")):
        np.save(tmp_path / f"{stem}.npy", signal(i))
    data = load_derivatives(tmp_path)
    assert_array_equal(data.subjects, ["sub-01", "sub-01", "sub-02"])
    assert data.entities["ses"].tolist()[:2] == ["a", "b"]

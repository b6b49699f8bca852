import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets import abide, fetch_abide

LABELS = ["2001", "2002", "2101"]
QUALITY = {
    "qc_rater_1": "OK",
    "qc_anat_rater_2": "maybe",
    "qc_func_rater_2": "OK",
    "qc_anat_rater_3": "OK",
    "qc_func_rater_3": "OK",
}


def subject(sub_id, site, **cells):
    """A row as in the phenotypic file; only the columns that are read."""
    row = {"SUB_ID": sub_id, "SITE_ID": site, "FILE_ID": f"{site.title()}_{sub_id:07d}"}
    row |= {"DX_GROUP": 1, "AGE_AT_SCAN": 24.5, "SEX": 1, "func_mean_fd": 0.1} | QUALITY
    return row | {"COMMENT": 'late, but "fine"'} | cells


@pytest.fixture
def data_dir(tmp_path):
    """What nilearn's fetcher leaves on disk: it finds all files and downloads none."""
    rows = [
        subject(50002, "PITT"),
        subject(50003, "PITT", DX_GROUP=2, SEX=2, func_mean_fd=-9999),
        subject(50004, "PITT", FILE_ID="no_filename"),
        subject(50601, "SBL", AGE_AT_SCAN=-9999),
        subject(51607, "UCLA_1", qc_rater_1="fail"),
    ]
    folder = tmp_path / "ABIDE_pcp"
    folder.mkdir()
    pd.DataFrame(rows).to_csv(folder / "Phenotypic_V1_0b_preprocessed1.csv")
    for strategy in ("nofilt_noglobal", "filt_global"):
        for i, row in enumerate(rows):
            path = folder / "cpac" / strategy / f"{row['FILE_ID']}_rois_aal.1D"
            path.parent.mkdir(parents=True, exist_ok=True)
            header = "\t".join(f"#{label}" for label in LABELS)
            np.savetxt(path, signal(i, strategy), header=header, comments="", delimiter="\t")
    return tmp_path


def signal(i, strategy="nofilt_noglobal"):
    return np.random.default_rng([i, len(strategy)]).normal(size=(20 + i, 3))


def fetch(data_dir, **parameters):
    return fetch_abide(data_dir, atlas="aal", verbose=0, **parameters)


def test_scans_and_phenotypes_of_checked_subjects_are_aligned(data_dir):
    data = fetch(data_dir)
    assert_array_equal(data.subjects, ["50002", "50003", "50601"])
    for scan, i in zip(data.scans, (0, 1, 3), strict=True):
        assert scan.dtype == np.float32
        assert_allclose(scan, signal(i), rtol=1e-6)
    expected = pd.DataFrame(
        {
            "participant_id": ["50002", "50003", "50601"],
            "age": [24.5, 24.5, np.nan],
            "sex": ["male", "female", "male"],
            "site": ["PITT", "PITT", "SBL"],
            "diagnosis": ["autism", "control", "autism"],
            "mean_fd": [0.1, np.nan, 0.1],
        }
    )
    pd.testing.assert_frame_equal(data.phenotypes, expected, check_dtype=False)


def test_repetition_time_goes_by_site_and_is_nan_where_unknown(data_dir):
    assert_array_equal(fetch(data_dir).t_r, [1.5, 1.5, np.nan])
    assert fetch(data_dir, quality_checked=False).t_r[-1] == 3.0


def test_regions_are_named_by_the_labels_on_file(data_dir):
    assert fetch(data_dir).region_names == ["aal_2001", "aal_2002", "aal_2101"]


def test_filtered_signals_come_from_their_own_files(data_dir):
    data = fetch(data_dir, band_pass_filtering=True, global_signal_regression=True, n_subjects=1)
    assert_allclose(data.scans[0], signal(0, "filt_global"), rtol=1e-6)
    assert len(data.scans) == len(data.phenotypes) == len(data.t_r) == 1
    assert "(filter 0.01-0.1 Hz: True; global signal regressed: True)" in data.description


def test_file_with_other_regions_raises_and_is_named(data_dir):
    path = data_dir / "ABIDE_pcp" / "cpac" / "nofilt_noglobal" / "Sbl_0050601_rois_aal.1D"
    np.savetxt(path, np.zeros((20, 2)))
    with pytest.raises(ValueError, match=r"Sbl_0050601_rois_aal\.1D has shape \(20, 2\)"):
        fetch(data_dir)


def test_unknown_atlas_raises_before_any_download(tmp_path):
    with pytest.raises(ValueError, match=r"'cc200'.*got 'schaefer-100'"):
        fetch_abide(tmp_path / "new", atlas="schaefer-100")
    assert not (tmp_path / "new").exists()


def test_all_sites_but_one_have_a_repetition_time():
    assert len(abide.T_R) == 19
    assert all(1.5 <= t_r <= 3 for t_r in abide.T_R.values())

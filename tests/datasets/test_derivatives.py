import pickle

import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel.cifti2 import BrainModelAxis, ParcelsAxis, SeriesAxis
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets import load_derivatives
from sk_brainmae.timeseries import Window, validate_scans

REGIONS = ["LH_Vis_1", "LH_Vis_2", "RH_Vis_1"]
XCPD_NAME = "{sub}_{scan}_space-MNI152NLin2009cAsym_seg-{atlas}_stat-mean_timeseries.tsv"


def signal(seed, n_frames=20, n_regions=3):
    return np.random.default_rng(seed).normal(size=(n_frames, n_regions)).astype(np.float32)


def write_table(path, frames, names=REGIONS):
    path.parent.mkdir(parents=True, exist_ok=True)
    sep = "," if path.suffix == ".csv" else "\t"
    header = names if names else False
    pd.DataFrame(frames).to_csv(path, sep=sep, index=False, header=header, na_rep="n/a")


def write_ptseries(path, frames, names=REGIONS, t_r=0.72):
    mask = np.ones((len(names), 1, 1), dtype=bool)
    models = [BrainModelAxis.from_mask(mask[[i]], affine=np.eye(4)) for i in range(len(names))]
    parcels = ParcelsAxis.from_brain_models(list(zip(names, models, strict=True)))
    series = SeriesAxis(start=0, step=t_r, size=len(frames))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Cifti2Image(frames, header=(series, parcels)).to_filename(path)


@pytest.fixture
def xcpd(tmp_path):
    """XCP-D's folder: two subjects, two tasks, one in two runs; fMRIPrep's confounds too."""
    folder = tmp_path / "xcp_d"
    seed = 0
    for sub in ("sub-01", "sub-02"):
        func = folder / sub / "ses-1" / "func"
        for scan in ("ses-1_task-nback", "ses-1_task-rest_run-01", "ses-1_task-rest_run-02"):
            write_table(
                func / XCPD_NAME.format(sub=sub, scan=scan, atlas="4S156Parcels"), signal(seed)
            )
            (func / f"{sub}_{scan}_space-X_desc-denoised_bold.json").write_text(
                '{"RepetitionTime": 0.8}'
            )
            write_table(func / f"{sub}_{scan}_desc-confounds_timeseries.tsv", signal(99))
            seed += 1
    folder.joinpath("participants.tsv").write_text(
        "participant_id\tage\tsex\nsub-02\t31\tF\nsub-01\tn/a\tM\nsub-03\t40\tF\n"
    )
    return folder


def first_file(folder):
    return sorted(folder.rglob("*_stat-mean_timeseries.tsv"))[0]


# -------------------------------------------------------------------------------------------- XCP-D


def test_xcpd_scans_come_with_names_times_and_phenotypes(xcpd):
    data = load_derivatives(xcpd)
    assert len(data.scans) == len(data.files) == 6
    for i, scan in enumerate(data.scans):
        assert_allclose(scan, signal(i), rtol=1e-6)
        assert scan.dtype == np.float32
    assert data.region_names == REGIONS
    assert data.t_r == 0.8
    assert_array_equal(data.subjects, ["sub-01"] * 3 + ["sub-02"] * 3)
    assert data.phenotypes["sex"].tolist() == ["M"] * 3 + ["F"] * 3
    assert_array_equal(data.phenotypes["age"], [np.nan] * 3 + [31] * 3)
    assert data.entities["task"].tolist() == ["nback", "rest", "rest"] * 2
    assert data.left_out == {"files": [], "participants": ["sub-03"]}
    assert data.description == f"6 scans of 2 subjects in {xcpd} (xcpd, 0 files left out)"
    validate_scans(data.scans)


@pytest.mark.parametrize(
    ("chosen", "scans"),
    [
        ({"task": "rest"}, [1, 2, 4, 5]),
        ({"task": "task-rest", "run": 2}, [2, 5]),
        ({"run": "01"}, [1, 4]),
        ({"session": "1", "task": "nback"}, [0, 3]),
        ({"session": "ses-01", "task": "nback"}, [0, 3]),
    ],
)
def test_xcpd_scans_are_chosen_by_their_entities(xcpd, chosen, scans):
    data = load_derivatives(xcpd, **chosen)
    assert_allclose(data.scans, [signal(i) for i in scans], rtol=1e-6)
    assert len(data.left_out["files"]) == 6 - len(scans)
    assert not set(data.left_out["files"]) & set(data.files)


def test_label_that_no_file_has_raises_and_lists_those_there_are(xcpd):
    with pytest.raises(FileNotFoundError, match=r"task 'movie', but 'nback', 'rest'; the first is"):
        load_derivatives(xcpd, task="movie")


def test_two_atlases_raise_until_one_is_chosen(xcpd):
    other = XCPD_NAME.format(sub="sub-01", scan="ses-1_task-nback", atlas="Gordon")
    write_table(xcpd / "sub-01" / "ses-1" / "func" / other, signal(9, n_regions=2), ["a", "b"])
    with pytest.raises(ValueError, match=r"differ in atlas \('4S156Parcels', 'Gordon'\).*atlas="):
        load_derivatives(xcpd)
    assert len(load_derivatives(xcpd, atlas="4S156Parcels").scans) == 6
    gordon = load_derivatives(xcpd, atlas="Gordon")
    assert gordon.region_names == ["a", "b"]
    assert len(gordon.left_out["files"]) == 6


def test_missing_region_stays_nan(xcpd):
    frames = signal(0)
    frames[:, 1] = np.nan
    write_table(first_file(xcpd), frames)
    assert "n/a" in first_file(xcpd).read_text()
    assert_array_equal(np.isnan(load_derivatives(xcpd).scans[0]).all(axis=0), [False, True, False])


def test_censored_frames_come_back_as_nan(xcpd):
    path = first_file(xcpd).with_name("sub-01_ses-1_task-nback_outliers.tsv")
    censored = np.zeros(23, dtype=int)
    censored[[4, 5, 22]] = 1
    path.write_text("framewise_displacement\n" + "\n".join(map(str, censored)))
    scan = load_derivatives(xcpd).scans[0]
    assert_array_equal(np.isnan(scan).all(axis=1), censored == 1)
    assert_allclose(scan[censored == 0], signal(0), rtol=1e-6)


def test_interpolated_frames_are_nan_as_those_that_were_removed(xcpd):
    path = first_file(xcpd).with_name("sub-01_ses-1_task-nback_outliers.tsv")
    path.write_text("framewise_displacement\n1\n0\n1\n" + "0\n" * 17)
    scan = load_derivatives(xcpd).scans[0]
    assert np.isnan(scan[[0, 2]]).all()
    kept = [1, *range(3, 20)]
    assert_allclose(scan[kept], signal(0)[kept], rtol=1e-6)


def test_outliers_that_do_not_fit_the_series_raise(xcpd):
    path = first_file(xcpd).with_name("sub-01_ses-1_task-nback_outliers.tsv")
    path.write_text("framewise_displacement\n" + "0\n" * 25)
    with pytest.raises(ValueError, match=r"has 20 frames, but sub-01.* has 25, 0 of them"):
        load_derivatives(xcpd)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["LH_Vis_2", "LH_Vis_1", "RH_Vis_1"], r"another order: region 0 is 'LH_Vis_2', but 'LH_"),
        (["LH_Vis_1", "LH_Vis_2"], r"lacks the region 'RH_Vis_1' \(1 in all\)"),
        ([*REGIONS, "RH_Vis_2"], r"has the region 'RH_Vis_2' \(1 in all\), unknown to"),
    ],
)
@pytest.mark.parametrize("lazy", [True, False])
def test_other_regions_raise_and_name_file_and_region(xcpd, names, message, lazy):
    path = sorted(xcpd.rglob("*_stat-mean_timeseries.tsv"))[4]
    write_table(path, signal(0, n_regions=len(names)), names)
    with pytest.raises(ValueError, match=message) as raised:
        load_derivatives(xcpd, lazy=lazy)
    assert str(path) in str(raised.value)
    assert str(first_file(xcpd)) in str(raised.value)


def test_header_of_numbers_is_still_a_header_in_xcpd(xcpd):
    for path in xcpd.rglob("*_stat-mean_timeseries.tsv"):
        write_table(path, signal(0), ["2001", "2002", "2101"])
    data = load_derivatives(xcpd)
    assert data.region_names == ["2001", "2002", "2101"]
    assert data.scans[0].shape == (20, 3)


def test_tables_and_cifti_of_the_same_series_are_read_once(xcpd):
    for path in xcpd.rglob("*_stat-mean_timeseries.tsv"):
        write_ptseries(path.with_suffix(".ptseries.nii"), signal(50))
    assert_allclose(load_derivatives(xcpd).scans[0], signal(0), rtol=1e-6)
    assert_array_equal(load_derivatives(xcpd, layout="cifti").scans[0], signal(50))


def test_joined_runs_beside_their_runs_warn_until_one_kind_is_chosen(xcpd):
    joined = XCPD_NAME.format(sub="sub-02", scan="ses-1_task-rest", atlas="4S156Parcels")
    write_table(xcpd / "sub-02" / "ses-1" / "func" / joined, signal(8, n_frames=40))
    with pytest.warns(
        UserWarning, match=r"1 scans without run or direction lie beside.*sub-02_ses-1_task-rest_sp"
    ):
        assert len(load_derivatives(xcpd).scans) == 7
    assert load_derivatives(xcpd, run="", task="rest").scans[0].shape == (40, 3)


def test_echoes_raise_until_one_is_chosen(tmp_path):
    for echo in (1, 2):
        write_table(tmp_path / f"sub-01_task-rest_echo-{echo}_timeseries.tsv", signal(echo))
    with pytest.raises(ValueError, match=r"differ in echo \('1', '2'\)"):
        load_derivatives(tmp_path)
    assert_allclose(
        load_derivatives(tmp_path, entities={"echo": "2"}).scans, [signal(2)], rtol=1e-6
    )


# ---------------------------------------------------------------------------------------------- t_r


def test_own_sidecar_goes_before_that_of_the_image(xcpd):
    for path in xcpd.rglob("*_stat-mean_timeseries.tsv"):
        path.with_suffix(".json").write_text('{"RepetitionTime": 2.0}')
    assert load_derivatives(xcpd).t_r == 2.0


def test_different_repetition_times_come_one_per_scan(xcpd):
    first_file(xcpd).with_suffix(".json").write_text('{"RepetitionTime": 2.0}')
    assert_array_equal(load_derivatives(xcpd).t_r, [2.0, 0.8, 0.8, 0.8, 0.8, 0.8])


def test_unknown_repetition_times_are_nan_or_none(xcpd):
    sidecars = sorted(xcpd.rglob("*_bold.json"))
    sidecars[0].unlink()
    assert_array_equal(load_derivatives(xcpd).t_r, [np.nan, 0.8, 0.8, 0.8, 0.8, 0.8])
    for path in sidecars[1:]:
        path.write_text("{}")
    assert load_derivatives(xcpd).t_r is None
    assert load_derivatives(xcpd, t_r=1).t_r == 1.0


def test_t_r_of_the_user_is_used_with_a_warning_where_files_tell_another(xcpd):
    with pytest.warns(
        UserWarning, match=r"t_r=2 is used, but 6 of 6 files .* first 0\.8 s: .*sub-01"
    ):
        assert load_derivatives(xcpd, t_r=2).t_r == 2.0


def test_broken_sidecar_raises_and_names_it(xcpd):
    sorted(xcpd.rglob("*_bold.json"))[0].write_text("{")
    with pytest.raises(ValueError, match=r"its sidecar sub-01_ses-1_task-nback.*bold\.json is"):
        load_derivatives(xcpd)


@pytest.mark.parametrize("t_r", [0, -1, float("nan")])
def test_t_r_that_is_not_positive_raises(xcpd, t_r):
    with pytest.raises(ValueError, match="positive number of seconds"):
        load_derivatives(xcpd, t_r=t_r)


# --------------------------------------------------------------------------------- layouts and lazy


def test_empty_folder_raises_and_says_what_was_looked_for(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"holds no scans.*xcpd: sub-\*_timeseries\.tsv.*plain"
    ):
        load_derivatives(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"Looked for cifti: sub-\*\.ptseries\.nii$"):
        load_derivatives(tmp_path, layout="cifti")


def test_hidden_files_are_no_scans_but_links_to_nowhere_raise(tmp_path):
    for path in (".git/sub-01_timeseries.tsv", "a/.cache/b.npy", "._anna.npy"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("none")
    with pytest.raises(FileNotFoundError, match="holds no scans"):
        load_derivatives(tmp_path)
    (tmp_path / "anna.npy").symlink_to(tmp_path / "not_fetched.npy")
    with pytest.raises(ValueError, match=r"anna\.npy: .*No such file"):
        load_derivatives(tmp_path)


def test_missing_folder_and_unknown_layout_raise(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_derivatives(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"layout must be 'auto' or one of \['cifti'.*got 'bids'"):
        load_derivatives(tmp_path, layout="bids")


def test_two_layouts_raise_until_one_is_chosen(xcpd, write_image):
    write_image(xcpd / "sub-01" / "sub-01_desc-preproc_bold.nii.gz")
    with pytest.raises(ValueError, match=r"'xcpd' \(6 files\), 'fmriprep' \(1 files\): choose"):
        load_derivatives(xcpd)
    assert len(load_derivatives(xcpd, layout="xcpd").scans) == 6


def test_confounds_for_time_series_raise(xcpd):
    with pytest.raises(ValueError, match="confounds= is for images"):
        load_derivatives(xcpd, confounds={})


def test_lazy_scans_behave_as_scans(xcpd):
    lazy, eager = load_derivatives(xcpd, lazy=True).scans, load_derivatives(xcpd).scans
    assert isinstance(lazy, list)
    assert (len(lazy[0]), lazy[0].shape, lazy[0].ndim) == (20, (20, 3), 2)
    assert_array_equal(validate_scans(lazy).frames, validate_scans(eager).frames)
    window = [Window(scan, 2, 10) for scan in lazy]
    assert_array_equal(validate_scans(window).frames, validate_scans(eager).frames)
    assert_array_equal(np.asarray(pickle.loads(pickle.dumps(lazy[3]))), eager[3])


def test_lazy_scans_are_read_when_asked(xcpd):
    lazy = load_derivatives(xcpd, lazy=True).scans
    write_table(first_file(xcpd), signal(77))
    assert_allclose(np.asarray(lazy[0]), signal(77), rtol=1e-6)
    first_file(xcpd).unlink()
    with pytest.raises(ValueError, match=r"task-nback_.*No such file"):
        np.asarray(lazy[0])


def test_lazy_npy_is_mapped_and_eager_npy_is_not(tmp_path):
    np.save(tmp_path / "anna.npy", signal(0))
    assert isinstance(load_derivatives(tmp_path, lazy=True).scans[0].read(), np.memmap)
    eager = load_derivatives(tmp_path).scans[0]
    assert not isinstance(eager, np.memmap)
    assert eager.flags.writeable


# ------------------------------------------------------------------------------------- participants


def test_subjects_without_phenotypes_are_kept_and_named(xcpd):
    table = pd.DataFrame({"participant_id": ["02", "7"], "age": [31, 40]})
    with pytest.warns(
        UserWarning,
        match=r"no row for 1 of 2 subjects: sub-01; .*ids in the table are '02', '7', \.\.\.\)",
    ):
        data = load_derivatives(xcpd, participants=table)
    assert_array_equal(data.phenotypes["age"], [np.nan] * 3 + [31] * 3)
    assert data.phenotypes["participant_id"].tolist() == data.subjects.tolist()
    assert data.left_out["participants"] == ["7"]
    assert table["participant_id"].tolist() == ["02", "7"]


def test_ids_keep_their_leading_zeros(xcpd):
    xcpd.joinpath("participants.tsv").write_text("participant_id\tage\n01\t20\n02\t30\n")
    assert load_derivatives(xcpd).phenotypes["age"].tolist() == [20] * 3 + [30] * 3


def test_folder_without_participants_has_ids_alone(xcpd):
    xcpd.joinpath("participants.tsv").unlink()
    data = load_derivatives(xcpd)
    assert data.phenotypes.columns.tolist() == ["participant_id"]
    assert data.left_out["participants"] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("participant_id\tage\nsub-01\t1\n01\t2\n", r"participants\.tsv has '01' more than once"),
        ("subject\tage\nsub-01\t1\n", r"no column .participant_id., only \[.subject', 'age'\]"),
    ],
)
def test_unusable_participants_raise(xcpd, content, message):
    xcpd.joinpath("participants.tsv").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_derivatives(xcpd)

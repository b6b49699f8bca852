"""Model folders: one replaces another whole, and what is damaged or foreign says so."""

import os

import numpy as np
import pytest

from sk_brainmae.persistence import Contents, read_folder, write_folder
from sk_brainmae.persistence.folder import CARD, CONFIG, FILES, MAX_CONFIG, WEIGHTS


@pytest.fixture
def contents(saved):
    return read_folder(saved)


@pytest.fixture
def other(contents):
    """The contents of another model."""
    arrays = {name: array + 1 for name, array in contents.arrays.items()}
    return contents._replace(model="Other", arrays=arrays)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same(found, expected):
    assert found[:3] == expected[:3]
    assert set(found.arrays) == set(expected.arrays)
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


# --- writing ------------------------------------------------------------------------------------


def test_what_is_written_comes_back_in_a_new_folder(contents, tmp_path):
    write_folder(tmp_path / "deep" / "inside", contents)
    assert_same(read_folder(tmp_path / "deep" / "inside"), contents)


def test_a_tilde_is_the_home_folder(contents, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder("~/model", contents)
    assert sorted(files(tmp_path / "model")) == sorted(FILES)
    assert_same(read_folder("~/model"), contents)


def test_another_model_replaces_the_one_in_a_folder(folder, other):
    write_folder(folder, other)
    assert_same(read_folder(folder), other)
    assert [path.name for path in folder.parent.iterdir()] == ["model"], "nothing is left beside it"


def test_other_files_are_never_replaced(contents, tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(FileExistsError, match=r"holds other files \('thesis.tex'\)"):
        write_folder(tmp_path, contents)
    with pytest.raises(FileExistsError, match="is not a folder"):
        write_folder(tmp_path / "thesis.tex", contents)
    assert (tmp_path / "thesis.tex").read_text() == "years"


def test_files_that_only_have_the_names_of_a_model_are_never_replaced(contents, tmp_path):
    (tmp_path / CONFIG).write_text('{"model_type": "bert"}')
    (tmp_path / WEIGHTS).write_text("of another library")
    with pytest.raises(FileExistsError, match=f"holds other files \\('{CONFIG}'\\)"):
        write_folder(tmp_path, contents)
    assert (tmp_path / WEIGHTS).read_text() == "of another library"


@pytest.mark.parametrize("step", range(6))
def test_a_writer_killed_at_any_step_leaves_no_mix(folder, contents, other, monkeypatch, step):
    n_steps = 0

    def killed_in(call):
        def run(*arguments):
            nonlocal n_steps
            n_steps += 1
            if n_steps > step:
                raise KeyboardInterrupt
            return call(*arguments)

        return run

    for name in ("fsync", "replace"):  # three files are written, then take their places
        monkeypatch.setattr(f"os.{name}", killed_in(getattr(os, name)))
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, other)
    monkeypatch.undo()
    if step <= 3:
        assert_same(read_folder(folder), contents)
    else:
        with pytest.raises(ValueError, match="save again"):
            read_folder(folder)
    write_folder(folder, other)
    assert_same(read_folder(folder), other)


def test_a_full_disk_leaves_the_old_model(folder, other, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = files(folder)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left.*\.model\.safetensors\.part"):
        write_folder(folder, other)
    assert files(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("bad", [np.array([1.0, np.inf]), np.array([np.nan]), np.arange(3)])
def test_arrays_that_are_not_finite_floats_are_not_written(contents, tmp_path, bad):
    arrays = {**contents.arrays, "weights.cls": bad}
    with pytest.raises(ValueError, match=r"weights\.cls holds values that are not finite floats"):
        write_folder(tmp_path / "model", contents._replace(arrays=arrays))
    assert not (tmp_path / "model").exists()


def test_a_configuration_too_large_to_be_read_is_not_written(contents, tmp_path):
    encoder = {**contents.encoder, "region_names": ["x" * MAX_CONFIG]}
    with pytest.raises(ValueError, match="history or its region names are too long"):
        write_folder(tmp_path / "model", contents._replace(encoder=encoder))


# --- reading ------------------------------------------------------------------------------------


def test_no_folder_and_missing_files_say_so(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no model folder"):
        read_folder(tmp_path / "nowhere")
    for name in (CONFIG, WEIGHTS):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"it lacks {name}"):
            read_folder(folder)
        (folder / name).write_bytes(content)
    (folder / CARD).unlink()
    assert isinstance(read_folder(folder), Contents), "the card is for people alone"


def test_a_newer_format_asks_for_an_upgrade(folder, edit):
    edit(folder, "format_version", value=3)
    edit(folder, "package_version", value="9.0")
    with pytest.raises(ValueError, match=r"format version 3, written by sk_brainmae 9.0.*upgrade"):
        read_folder(folder)


def test_a_format_from_before_views_asks_to_fit_again(folder, edit):
    edit(folder, "format_version", value=1)
    with pytest.raises(ValueError, match=r"format version 1, .*without views: fit it again"):
        read_folder(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_truncated_files_are_refused(folder, name, share):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"not a whole safetensors file|not JSON"):
        read_folder(folder)


def test_a_flipped_bit_in_a_weight_is_refused(folder):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-100] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        read_folder(folder)


def test_a_changed_digit_in_the_configuration_is_refused(folder):
    text = (folder / CONFIG).read_text()
    (folder / CONFIG).write_text(text.replace('"crop_length": 30', '"crop_length": 70'))
    with pytest.raises(ValueError, match="damaged or was edited"):
        read_folder(folder)


@pytest.mark.parametrize("length", [2**63, 10**8, 2**32])
def test_a_huge_header_length_is_refused(folder, length):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(length.to_bytes(8, "little") + content[8:])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        read_folder(folder)


def test_a_huge_configuration_is_refused_unread(folder):
    (folder / CONFIG).write_text(" " * (MAX_CONFIG + 1))
    with pytest.raises(ValueError, match="is not a configuration"):
        read_folder(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "[" * 10**5,
        lambda text: text.replace('"lr": 0.006', '"lr": 1e999'),
        lambda text: text.replace('"lr": 0.006', '"lr": NaN'),
        lambda text: "\x00\xff",
        lambda text: "[1]",
    ],
    ids=["too deep", "infinite", "NaN", "no text", "a list"],
)
def test_json_that_is_no_configuration_is_refused(folder, change):
    (folder / CONFIG).write_text(change((folder / CONFIG).read_text()))
    with pytest.raises(ValueError, match=r"not JSON|not a configuration"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("more", 1, "unknown keys"),
        ("format", "other", "not a configuration of an sk_brainmae model"),
        ("format_version", "1", "positive integer"),
        ("format_version", True, "positive integer"),
        ("model", 3, "model must be a string"),
        ("package_version", None, "package_version must be a string"),
    ],
)
def test_configurations_of_no_model_folder_are_refused(folder, edit, key, value, message):
    edit(folder, key, value=value)
    with pytest.raises(ValueError, match=message):
        read_folder(folder)

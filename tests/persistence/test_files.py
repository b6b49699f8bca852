"""Files of arrays and JSON: they come back to the last bit, or say what is wrong."""

import numpy as np
import pytest

from sk_brainmae.persistence.files import (
    pack_tensors,
    parse_json,
    read_sealed,
    replace_file,
    unpack_tensors,
    write_sealed,
)

ARRAYS = {
    "weights": np.arange(12, dtype=np.float32).reshape(3, 4).T,  # not contiguous
    "step": np.array(7),
    "none": np.zeros((0, 2)),
}
NOTE = {"epoch": 3, "losses": [0.5, None]}


def test_sealed_arrays_and_their_note_come_back_writable(tmp_path):
    write_sealed(tmp_path / "state", ARRAYS, NOTE)
    arrays, note = read_sealed(tmp_path / "state")
    assert note == NOTE
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    arrays["weights"][0, 0] = 1


@pytest.mark.parametrize("place", [0, 20, -40, -1])
def test_a_flipped_bit_anywhere_in_a_sealed_file_is_refused(tmp_path, place):
    write_sealed(tmp_path / "state", ARRAYS, NOTE)
    content = bytearray((tmp_path / "state").read_bytes())
    content[place] ^= 1
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged.*remove it"):
        read_sealed(tmp_path / "state")


def test_an_empty_or_missing_sealed_file_is_refused(tmp_path):
    (tmp_path / "state").touch()
    with pytest.raises(ValueError, match="is damaged"):
        read_sealed(tmp_path / "state")
    with pytest.raises(FileNotFoundError):
        read_sealed(tmp_path / "other")


def test_a_note_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_sealed(tmp_path / "state", ARRAYS, {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_arrays_without_a_note_have_none(tmp_path):
    arrays, note = unpack_tensors(pack_tensors(ARRAYS), tmp_path)
    assert note is None
    np.testing.assert_array_equal(arrays["weights"], ARRAYS["weights"])


def test_what_is_no_safetensors_file_says_which_file(tmp_path):
    for content in (b"", b"{}", b"\xff" * 40, pack_tensors(ARRAYS)[:-1]):
        with pytest.raises(ValueError, match="weights is not a whole safetensors file"):
            unpack_tensors(content, tmp_path / "weights")


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    replace_file(tmp_path / "table.csv", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*table\.csv"):
        replace_file(tmp_path / "table.csv", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("text", ["NaN", "[-Infinity]", "1e999", "[", "", "[" * 10**5])
def test_json_that_is_broken_or_not_finite_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_json(text)

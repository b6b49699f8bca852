"""Arrays with JSON in one safetensors file; files that are there whole or not at all."""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

# Under which the JSON stands in a safetensors header.
NOTE = "sk_brainmae"

# Bytes of a SHA-256.
SEAL = 32

Arrays = dict[str, NDArray]


def pack_tensors(arrays: Arrays, note: Any = None) -> bytes:
    """Return arrays as the content of a safetensors file.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Numbers.
    note : Any, default=None
        JSON to go with them; finite.

    Returns
    -------
    bytes
        For :func:`unpack_tensors`.
    """
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return save(contiguous, {NOTE: json.dumps(note, allow_nan=False)})


def unpack_tensors(content: bytes, path: Path) -> tuple[Arrays, Any]:
    """Return the arrays of a safetensors file; nothing in it is ever run.

    Parameters
    ----------
    content : bytes
        Of the file.
    path : Path
        What it is called, for the error.

    Returns
    -------
    arrays : dict of str to ndarray
        Writable copies.
    note : Any
        The JSON that went with them; None where there is none.

    Raises
    ------
    ValueError
        If it is no safetensors file, is truncated, or holds numbers that numpy has no type for.
    """
    try:
        arrays = {name: array.copy() for name, array in load(content).items()}
        header = content[8 : 8 + int.from_bytes(content[:8], "little")]
        note = parse_json(header).get("__metadata__", {}).get(NOTE, "null")
    except (SafetensorError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is no whole safetensors file: {error}") from None
    return arrays, parse_json(note)


def write_sealed(path: Path, arrays: Arrays, note: Any) -> None:
    """Write arrays into a safetensors file, in one step, and the SHA-256 of it all after them.

    Parameters
    ----------
    path : Path
        Its folder exists. An older file is replaced, or stays whole where writing fails.
    arrays : dict of str to ndarray
        Numbers.
    note : Any
        JSON to go with them; finite.

    Raises
    ------
    OSError
        If it cannot be written, as on a full disk.
    """
    content = pack_tensors(arrays, note)
    replace_file(path, content + hashlib.sha256(content).digest())


def read_sealed(path: Path) -> tuple[Arrays, Any]:
    """Read what :func:`write_sealed` wrote, to the last bit.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    arrays : dict of str to ndarray
        Writable copies.
    note : Any
        The JSON that went with them.

    Raises
    ------
    ValueError
        If a single bit of it has changed.
    OSError
        If it cannot be read.
    """
    sealed = path.read_bytes()
    content, digest = sealed[:-SEAL], sealed[-SEAL:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError(f"{path} is damaged: its SHA-256 is not the one at its end: remove it")
    return unpack_tensors(content, path)


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text, or raise ValueError, also where a number is not finite."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: at any moment there is the old one or the new one, whole.

    Parameters
    ----------
    path : Path
        Its folder exists; nobody else writes it at the same time.
    content : bytes
        What it shall hold.

    Raises
    ------
    OSError
        If it cannot be written, as on a full disk; the old one then stays.
    """
    replace_files({path: content})


def replace_files(contents: dict[Path, bytes]) -> None:
    """Write files, each in one step, after the content of all of them has reached the disk.

    Parameters
    ----------
    contents : dict of Path to bytes
        What they shall hold, in the order in which they take their places. Their folders exist;
        nobody else writes them at the same time.

    Raises
    ------
    OSError
        If one cannot be written, as on a full disk; the old ones then stay.
    """
    parts = {path: part_of(path) for path in contents}
    try:
        for path, part in parts.items():
            with naming(part), part.open("wb") as file:
                file.write(contents[path])
                file.flush()
                os.fsync(file.fileno())  # the name must not reach the disk before the content
        for path, part in parts.items():
            os.replace(part, path)
    except BaseException:
        for part in parts.values():
            part.unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an error of the disk say which file it is about; that of a full one does not.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    None
        Once.
    """
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def part_of(path: Path) -> Path:
    """Return where the content of a file is written before it takes its place."""
    return path.with_name(f".{path.name}.part")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value

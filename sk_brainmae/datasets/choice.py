"""One file of each scan, where a folder holds several: choose by entities, or raise."""

import re
import warnings
from collections.abc import Iterable

from sk_brainmae.datasets.names import ACQUISITION, PARTS, ScanFile, plain_label

# Entities that tell how a scan was processed, in the order in which differences are reported.
PROCESSING = ("atlas", "space", "desc", "res", "den", "cohort", "stat", *PARTS)
RUN_OF_HCP = re.compile(r"(?<=[A-Za-z])\d_[A-Z]{2}$")  # rfMRI_REST1_LR is part of rfMRI_REST


def choose(files: list[ScanFile], wanted: dict[str, str]) -> list[ScanFile]:
    """Return the files whose entities have these labels; raise unless each is another scan."""
    chosen = files
    for entity, label in wanted.items():
        before = chosen
        chosen = [file for file in before if _has(file, entity, label)]
        if not chosen:
            raise FileNotFoundError(
                f"none of {len(before)} files has {entity} {label!r}, but"
                f" {_listed(file.label(entity) for file in before)}; the first is {before[0].path}"
            )
    _check_processing(chosen)
    _check_scans_differ(chosen)
    _warn_if_concatenated(chosen)
    return chosen


def _has(file: ScanFile, entity: str, label: str) -> bool:
    """Tell whether a file has this label, given as 01, 1 or run-01."""
    found = file.label(entity)
    if entity == "atlas":
        if not found:  # a name that is not BIDS; 100 is not in 1000
            return re.search(rf"{re.escape(label)}(?!\d)", file.path.name) is not None
        label = label.removeprefix("atlas-").removeprefix("seg-")
    return plain_label(found) == plain_label(label.removeprefix(f"{entity}-"))


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(repr(label) if label else "none" for label in sorted(set(labels)))


def _check_processing(files: list[ScanFile]) -> None:
    """Raise if the files were processed in more than one way."""
    for entity in PROCESSING:
        labels = {file.label(entity) for file in files}
        if len(labels) > 1:
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
                how = "load their folders one by one, or give them BIDS names"
            else:
                how += "a part of the name (atlas=)"
            raise ValueError(
                f"two files hold the same scan of subject {file.subject}: {other.path} and"
                f" {file.path}: {how}"
            )


def _warn_if_concatenated(files: list[ScanFile]) -> None:
    """Warn if scans without run or direction may be the runs beside them joined together."""
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
            f" first {whole[0].path}. If they are these runs joined together, every frame is there"
            " twice: choose the joined ones by run='', entities={'dir': ''} or session=",
            stacklevel=4,
        )

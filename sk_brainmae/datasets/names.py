"""File names: their format by the suffix, and what a BIDS name tells about its scan."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

PTSERIES = ".ptseries.nii"
# BIDS' entities that tell scans of a subject apart.
ACQUISITION = ("ses", "task", "acq", "ce", "rec", "dir", "run", "recording", "chunk")
# Further parts of one acquisition, with censored frames of their own; one of each is read.
PARTS = ("echo", "part")


def suffix_of(path: Path) -> str:
    """Return the suffix that tells the format, in lower case."""
    name = path.name.lower()
    double = (suffix for suffix in (PTSERIES, ".nii.gz") if name.endswith(suffix))
    return next(double, path.suffix.lower())


def stem_of(path: Path) -> str:
    """Return the file's name without the suffix that tells the format."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def source_name(path: Path) -> str:
    """Return a BIDS name without its suffix and without entities that tell the processing."""
    kept = ("sub", *ACQUISITION, *PARTS)
    return "_".join(part for part in path.name.split("_")[:-1] if part.split("-")[0] in kept)


def plain_label(label: str) -> str:
    """Return a label, without leading zeros if it is a number: run 01 is run 1."""
    return str(int(label)) if label.isdecimal() else label


@dataclass(frozen=True)
class ScanFile:
    """A file that holds one scan, and what its name tells."""

    path: Path
    subject: str  # "sub-01", or the name that a folder without BIDS gives
    entities: dict[str, str] = field(default_factory=dict)  # others, by short names such as "ses"

    @classmethod
    def from_bids(cls, path: Path) -> Self:
        """Return the file at ``path``, whose name begins with sub-<label>."""
        named = (part.partition("-") for part in stem_of(path).split("_"))
        entities = {name: label for name, dash, label in named if dash}
        return cls(path, f"sub-{entities.pop('sub')}", entities)

    def label(self, entity: str) -> str:
        """Return the label of an entity, "" where the name has none; "seg" counts as "atlas"."""
        names = ("atlas", "seg") if entity == "atlas" else (entity,)
        return next((self.entities[name] for name in names if name in self.entities), "")

    @property
    def key(self) -> tuple:
        """What tells scans apart: subject, session, task, run, ..."""
        scan = [(k, plain_label(v)) for k, v in self.entities.items() if k in ACQUISITION]
        return self.subject.removeprefix("sub-"), *sorted(scan)

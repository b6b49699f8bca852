"""One scan in its file, read when it is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.datasets.formats import Format, check_is_scan, sidecar_t_r
from sk_brainmae.datasets.names import stem_of


@dataclass(eq=False)
class LazyScan:
    """A scan that stays in its file: read each time its frames are used, never kept.

    Accepted wherever a scan is; ``np.asarray(scan)`` reads it. Frames of .npy files are mapped
    into memory, so using some of them reads no more than these.
    """

    path: Path
    format: Format
    n_regions: int | None = None  # that it must have; None: any
    ndim: ClassVar[int] = 2
    _shape: tuple[int, int] | None = field(default=None, init=False, repr=False)

    def read(self) -> NDArray:
        """Return the frames, shape (n_timepoints, n_regions), or raise naming the file."""
        with self._named_in_errors():
            frames = self.format.read(self.path)
            check_is_scan(frames)
        if self.n_regions not in (None, frames.shape[1]):
            raise ValueError(
                f"{self.path}: it has {frames.shape[1]} regions ({frames.shape[0]} frames), the"
                f" first scan has {self.n_regions}. A scan is (n_timepoints, n_regions): transpose"
                " files that are not"
            )
        self._shape = frames.shape
        return frames

    def region_names(self) -> list[str] | None:
        """Return the names of the regions without reading the frames; None: the file has none."""
        with self._named_in_errors():
            return self.format.regions(self.path)

    def t_r(self) -> float | None:
        """Return the repetition time in s, of the sidecar or else the header; None: unknown."""
        with self._named_in_errors():
            told = sidecar_t_r(self.path.with_name(f"{stem_of(self.path)}.json"))
            return self.format.t_r(self.path) if told is None else told

    @contextmanager
    def _named_in_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # damage makes parsers raise anything
            raise ValueError(f"{self.path}: {str(error) or type(error).__name__}") from error

    @property
    def shape(self) -> tuple[int, int]:
        """Frames and regions, ``(n_timepoints, n_regions)``; the first use reads the file."""
        return self._shape or self.read().shape

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return np.array(self.read(), dtype=dtype, copy=copy)


def difference_of_regions(names: list[str] | None, first: list[str] | None) -> str:
    """Say how a scan's region names differ from those of the first scan, which is named next."""
    if names is None or first is None:
        return "its regions have no names, unlike those of" if first else "it has names, unlike"
    if missing := [name for name in first if name not in set(names)]:
        return f"it lacks the region {missing[0]!r} ({len(missing)} in all) of"
    if extra := [name for name in names if name not in set(first)]:
        return f"it has the region {extra[0]!r} ({len(extra)} in all), unknown to"
    i = next(i for i, (a, b) in enumerate(zip(names, first, strict=True)) if a != b)
    return f"its regions are in another order: region {i} is {names[i]!r}, but {first[i]!r} in"

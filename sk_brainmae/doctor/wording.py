"""How findings name scans and regions."""

from collections.abc import Sequence

SHOWN = 3  # scans, or regions, that a text names


class Wording:
    """Names of scans (their places where ``names`` is None) and of their regions."""

    def __init__(self, items: list, names: Sequence[str] | None):
        if names is not None and len(names) != len(items):
            raise ValueError(f"{len(names)} names for {len(items)} scans: give one name per scan")
        self.items = items
        self.names = names

    def scan(self, place: int) -> str:
        """Return the name of a scan."""
        return str(place if self.names is None else self.names[place])

    def scans(self, places: Sequence[int]) -> str:
        """Return "scan 3", "scans 3, 4, 5 and 7 more", or "all 66 scans"."""
        if len(places) == len(self.items) > 1:
            return f"all {len(places)} scans"
        return f"scan{'s' * (len(places) != 1)} {some([self.scan(p) for p in places])}"

    def first(self, places: Sequence[int], detail: str) -> str:
        """Return a detail of the first scan in brackets, with its name where there are more."""
        return f"({detail})" if len(places) == 1 else f"(scan {self.scan(places[0])}: {detail})"

    def regions(self, place: int, regions: Sequence[int]) -> str:
        """Return the names of some regions of a scan: a DataFrame's columns, else numbers."""
        item = self.items[place] if self.items else None
        columns = getattr(getattr(item, "scan", item), "columns", None)
        return some([str(r if columns is None else columns[r]) for r in regions])


def some(words: Sequence[str]) -> str:
    """Return the first three words, and how many more there are."""
    shown = ", ".join(words[:SHOWN])
    return shown + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")

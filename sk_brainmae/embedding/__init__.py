"""From a scan to one vector: views by name, what each learned, and how they are put together.

A *view* is one reading of a scan: a frozen dataclass with ``fit``, ``embed`` and ``feature_names``.
To add one, write such a class and give it a line in ``VIEWS`` and in ``SHARES``. Estimators then
offer it by its name, heads weigh it, and saved models hold it.
"""

from sk_brainmae.embedding.registry import SHARES, VIEWS

__all__ = ["SHARES", "VIEWS"]

"""From a scan to one vector: poolings by name, and the spaces that they learn.

A *pooling* embeds samples. It reads the trained network, or a *space*: statistics of the training
scans, learned in closed form. To add one, give ``POOLINGS`` a :class:`Pooling`, and ``SPACES`` a
:class:`Space` where it learns something new. Estimators then offer it by its name, and saved models
hold its space.
"""

from sk_brainmae.embedding.registry import POOLINGS, SPACES, Pooling, Space

__all__ = ["POOLINGS", "SPACES", "Pooling", "Space"]

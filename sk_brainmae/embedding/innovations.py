"""The view "innovations": how what is new in each frame varies together over regions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from numpy.typing import NDArray

from sk_brainmae.embedding.signal import innovations, read_sample
from sk_brainmae.embedding.source import Source
from sk_brainmae.embedding.tangent import SHRINKAGE, TangentView, correlation


@dataclass(frozen=True)
class Innovations(TangentView):
    """Log-correlation of innovations. Seconds of signal tell subjects apart here.

    With P the correlation of a scan's innovations and V the whitening of the training scans' mean
    P, the features are the entries of log((1 - b) n(V' P V) + b I), b = 0.2, minus their mean over
    the training scans: shrunk in units of the training cohort. Where a covariance is separable
    into time and regions, this is maximum likelihood (Dutilleul 1999).
    """

    shrinkage: ClassVar[float] = SHRINKAGE

    @staticmethod
    def correlations(source: Source) -> Iterator[NDArray]:
        """Yield the correlation of the innovations of each sample, (N, N)."""
        for i in range(len(source.cohort)):
            sample = read_sample(source.cohort, i, source.signal)
            yield correlation(innovations(sample, source.signal), sample.unexplained)

    @classmethod
    def fit(cls, source: Source) -> "Innovations":
        """Learn the tangent space of whole training scans."""
        return cls(*cls.learn_space(source))

    def embed(self, source: Source) -> NDArray:
        """Embed every sample, (n_samples, n_features)."""
        source.warn_of_stop_bands()
        return super().embed(source)

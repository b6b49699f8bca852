"""Does an embedding tell who a subject is, whatever the repetition time, or tell the scanner?

Scans of two repetition times are brought to the longer one's grid, 2.6 s.

Identification: runs 3 and 7 of the heat-pain data, as recorded every 2 s and as recorded every
2.6 s. Models learn from half of the subjects, at one repetition time or at both; each held-out
subject's run looks for its nearest neighbour among those of the other run, by the cosine of
embeddings of 64 s.

Decoding: moments of 36 s of the HCP runs, half of them as recorded every 0.72 or 2 s and half every
2.6 s. A linear classifier tells which, on sessions that neither it nor the model has seen, from the
whole embedding and from its tempo alone; chance is .5, and what is above is a trace of the scanner:
what its sampling has aliased, the edge of the filter, and noise (simulated: white, of the variance
of the signal).
"""

import warnings

import numpy as np
import pandas as pd
from identification import identification_accuracy, moments
from nilearn.signal import clean
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import fetch_hcp_rest, fetch_pain

GRID = 2.6  # s
PASS_BAND = (0.008, 0.08)  # Hz
SECONDS = 64  # of a moment that is identified
SCAN = 36.0  # s of HCP signal
N_DRAWS = 4  # of which scans are of which repetition time
MODEL = BrainMAETransformer(t_r=GRID, max_epochs=0, random_state=0)


def record(scan: NDArray, t_r: float, to: float) -> NDArray:
    """Read a scan at other times, by its Fourier series: what is too fast for them is aliased."""
    n_frames = len(scan)
    mirrored = np.concatenate([scan, scan[::-1]]).astype(float)  # has no jump at the ends
    frequency = np.fft.rfftfreq(2 * n_frames)  # cycles per frame
    weight = np.where((frequency > 0) & (frequency < 0.5), 2, 1) / (2 * n_frames)
    frames = np.arange(0, n_frames - 1, to / t_r)
    waves = np.exp(2j * np.pi * frames[:, None] * frequency) * weight
    return np.real(waves @ np.fft.rfft(mirrored, axis=0))


def band_pass(scan: NDArray, t_r: float) -> NDArray:
    """Filter as denoising pipelines do, at the repetition time of the scan."""
    low, high = PASS_BAND
    return clean(scan, t_r=t_r, high_pass=low, low_pass=high, standardize=False)


def identify() -> pd.DataFrame:
    """Share of subjects found again, by what the model learned from and what it looks at."""
    pain = fetch_pain(verbose=0)
    times = {"2 s": pain.t_r, "2.6 s": GRID}
    runs = {
        "2 s": pain.scans,
        "2.6 s": [band_pass(record(scan, pain.t_r, GRID), GRID) for scan in pain.scans],
    }
    order = np.random.default_rng(0).permutation(len(pain.scans) // 2)
    train, test = np.split(order, 2 * [len(order) // 2])[::2]
    rows = {}
    for name, share in {"all 2.6 s": 0.0, "all 2 s": 1.0, "half each": 0.5}.items():
        kinds = np.where(np.arange(len(train)) < share * len(train), "2 s", "2.6 s")
        of_run = [
            (kind, 2 * s + run) for kind, s in zip(kinds, train, strict=True) for run in (0, 1)
        ]
        scans = [runs[kind][i] for kind, i in of_run]
        t_r = [times[kind] for kind, _ in of_run]
        model = MODEL.fit(scans, t_r=t_r)
        centre = model.transform(scans, t_r=t_r).mean(axis=0)
        embedded = {
            (kind, run): model.transform(
                moments([runs[kind][2 * s + run] for s in test], 0.5, round(SECONDS / times[kind])),
                t_r=times[kind],
            )
            - centre
            for kind in runs
            for run in (0, 1)
        }
        rows[name] = {
            f"{one} / {other}": identification_accuracy(embedded[one, 0], embedded[other, 1])
            for one, other in (("2 s", "2 s"), ("2 s", "2.6 s"), ("2.6 s", "2.6 s"))
        }
    return pd.DataFrame(rows).T


def decode() -> pd.DataFrame:
    """Accuracy of telling the repetition time of HCP scans, by what was done to them."""
    hcp = fetch_hcp_rest(accept_terms=True, verbose=0)
    n_pieces = int(len(hcp.scans[0]) * hcp.t_r / SCAN)
    of_run = np.repeat(np.arange(len(hcp.scans)), n_pieces)
    rng = np.random.default_rng(0)
    rows = {}
    for fast in (0.72, 2.0):
        for name in ("unfiltered", "band-passed", "band-passed, noise"):
            pieces = {}
            for t_r in (fast, GRID):
                for run, whole in enumerate(hcp.scans):
                    scan = record(whole - whole.mean(axis=0), hcp.t_r, t_r)
                    if "noise" in name:
                        scan += whole.std(axis=0) * rng.normal(size=scan.shape)
                    if "band" in name:
                        scan = band_pass(scan, t_r)
                    edges = np.round(SCAN * np.arange(1, n_pieces) / t_r).astype(int)
                    pieces[t_r, run] = np.split(scan, edges)
            scores = []
            for _ in range(N_DRAWS):
                slow = rng.permutation(np.arange(len(of_run)) % 2)
                t_r = np.where(slow, GRID, fast)
                scans = [
                    pieces[time, run][i % n_pieces]
                    for i, (run, time) in enumerate(zip(of_run, t_r, strict=True))
                ]
                scores += [score_of(scans, t_r, slow, of_run % 2 == fold) for fold in (0, 1)]
            rows[f"{fast:g} or {GRID:g} s, {name}"] = np.mean(scores, axis=0)
    return pd.DataFrame(rows, index=["embedding", "tempo"]).T


def score_of(
    scans: list[NDArray], t_r: NDArray, slow: NDArray, held_out: NDArray
) -> tuple[float, float]:
    """Accuracy of linear classifiers on held-out scans: of whole embeddings, and of their tempo."""

    def part(chosen: NDArray) -> dict:
        return {"X": [scans[i] for i in np.flatnonzero(chosen)], "t_r": t_r[chosen]}

    model = MODEL.fit(**part(~held_out))
    train, test = model.transform(**part(~held_out)), model.transform(**part(held_out))
    n_tempo = round(model.window_size / GRID)
    scores = []
    for features, strength in ((slice(None), 1e-3), (slice(-n_tempo, None), 1.0)):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        probe.fit(train[:, features], slow[~held_out])
        scores.append(probe.score(test[:, features], slow[held_out]))
    return scores[0], scores[1]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("Subjects found again, 64 s; models learned from (rows)")
    print(identify().round(2).to_string())
    print("\nRepetition time told by a linear classifier, chance .5")
    print(decode().round(2).to_string())

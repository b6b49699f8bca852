"""How much embeddings depend on the repetition time.

All scans are resampled to the longer repetition time, 2.6 s.

Identification: runs 3 and 7 of the heat-pain data, sampled every 2 s and every 2.6 s. Models are
fitted on half of the subjects, at one repetition time or at both. For each held-out subject, the
most similar view of innovations (cosine, of 64 s) among those of the other run is taken; the score
is how often it belongs to the same subject.

Decoding: pieces of 36 s of the HCP runs, half of them sampled every 0.72 s or 2 s, the others every
2.6 s. A linear classifier predicts the repetition time, on sessions that neither it nor the model
has seen, from the whole embedding and from its tempo alone. Chance is .5. A higher score means that
embeddings keep a trace of the repetition time: aliased signal, the edge of the filter, or scanner
noise (simulated: white, with the variance of the signal).
"""

import warnings

import numpy as np
import pandas as pd
from identification import cut_pieces, identification_accuracy
from nilearn.signal import clean
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import fetch_hcp_rest, fetch_pain

GRID = 2.6  # s
PASS_BAND = (0.008, 0.08)  # Hz
SECONDS = 64  # of signal by which a subject is recognised
SCAN = 36.0  # s of HCP signal
N_DRAWS = 4  # of the repetition time of each scan
MODEL = BrainMAETransformer(t_r=GRID, max_epochs=0, random_state=0)
RECOGNISER = clone(MODEL).set_params(views="innovations")  # the view that tells subjects apart


def record(scan: NDArray, t_r: float, to: float) -> NDArray:
    """Sample a scan at another repetition time by its Fourier series; fast signal is aliased."""
    n_frames = len(scan)
    mirrored = np.concatenate([scan, scan[::-1]]).astype(float)  # periodic without a jump
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
    """Return the share of subjects recognised, by repetition times in training and in test."""
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
        model = RECOGNISER.fit(scans, t_r=t_r)
        centre = model.transform(scans, t_r=t_r).mean(axis=0)
        embedded = {
            (kind, run): model.transform(
                cut_pieces(
                    [runs[kind][2 * s + run] for s in test], 0.5, round(SECONDS / times[kind])
                ),
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
    """Return the accuracy of predicting the repetition time, by preprocessing of the HCP scans."""
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
    """Return the accuracy on held-out scans, from whole embeddings and from their tempo."""

    def part(chosen: NDArray) -> dict:
        return {"X": [scans[i] for i in np.flatnonzero(chosen)], "t_r": t_r[chosen]}

    model = MODEL.fit(**part(~held_out))
    train, test = model.transform(**part(~held_out)), model.transform(**part(held_out))
    tempo = np.array([name.startswith("tempo_") for name in model.get_feature_names_out()])
    scores = []
    for features, strength in ((slice(None), 1e-3), (tempo, 1.0)):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        probe.fit(train[:, features], slow[~held_out])
        scores.append(probe.score(test[:, features], slow[held_out]))
    return scores[0], scores[1]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("Share of subjects recognised from 64 s, by training scans (rows)")
    print(identify().round(2).to_string())
    print("\nAccuracy of a linear classifier of the repetition time, chance .5")
    print(decode().round(2).to_string())

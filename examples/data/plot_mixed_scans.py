"""
Mixed scans: other repetition times, censored frames, missing regions
=====================================================================

Real cohorts are mixed. Scans of one parcellation pretrain one model whatever their repetition
time, which frames were censored and which regions a field of view missed; scans of different
parcellations do not mix, and the error says so. What is mixed in is paid for with quality: the
script prints how much, on sessions that no model has seen.

Two subjects of the HCP are enough to see what works, and too few for a score to be quoted.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import fetch_hcp_rest, fetch_pain
from sk_brainmae.timeseries import censor

parser = argparse.ArgumentParser(description="One model of mixed scans")
parser.add_argument("--quick", action="store_true", help="no training")
parser.add_argument("--output", default="mixed_scans.png", help="where the figure goes")
options = parser.parse_args()
warnings.filterwarnings("ignore", message=".*(missing values|longer t_r|constant regions)")

SLOW = 2.0  # s between frames of the models and of half of the scans; HCP has 0.72 s

# %%
# Pain runs come in 122 regions, HCP scans in 100: there is no model of both.

pain, hcp = fetch_pain(verbose=0), fetch_hcp_rest(accept_terms=True, verbose=0)
model = BrainMAETransformer(
    t_r=SLOW, window_size=16, max_epochs=0 if options.quick else 3, random_state=0
)
try:
    model.fit([*pain.scans, *hcp.scans])
except ValueError as error:
    print(f"pain and HCP scans together: {error}\n")

# %%
# The first sessions of both subjects, in four pieces each, are there to learn from, the second
# ones to score. Every other piece is read off at 2 s, as a slower scanner would: what is faster
# than its 0.25 Hz is folded into what is slower, since no scanner filters before it samples.


def in_pieces(session: str) -> list[np.ndarray]:
    """Cut the scans of a session into four."""
    scans = [scan for scan, of in zip(hcp.scans, hcp.sessions, strict=True) if of == session]
    return [piece for scan in scans for piece in np.array_split(scan, 4)]


def read_slowly(scan: np.ndarray) -> np.ndarray:
    """Read a scan off every 2 s."""
    times = hcp.t_r * np.arange(len(scan))
    return CubicSpline(times, scan)(np.arange(0, times[-1], SLOW))


learned, held_out = in_pieces("REST1_LR"), in_pieces("REST2_LR")
mixed = [read_slowly(scan) if i % 2 else scan for i, scan in enumerate(learned)]
mixed_t_r = [SLOW if i % 2 else hcp.t_r for i in range(len(learned))]

# %%
# Damage: 10 % of the frames are censored, and 5 of the 100 regions were outside the field of view,
# others in every scan. Both are NaN, and enter the model as masked tokens.

random = np.random.default_rng(0)


def damaged(scan: np.ndarray) -> np.ndarray:
    """Censor frames and lose regions of a scan."""
    scan = censor(scan, random.uniform(size=len(scan)) < 0.1)
    scan[:, random.choice(scan.shape[1], 5, replace=False)] = np.nan
    return scan


TRAINING = {
    "all at 0.72 s": (learned, hcp.t_r),
    "half at 0.72 s, half at 2 s": (mixed, mixed_t_r),
    "the same, damaged": ([damaged(scan) for scan in mixed], mixed_t_r),
}

# %%
# Every model fills in half of the regions of unseen sessions (R²; 0 is the mean), whole ones and
# damaged ones, and embeds both: how much the damaged scan resembles the whole one tells whether
# damage can be mistaken for a subject.

slow = [read_slowly(scan) for scan in held_out]
damaged_slow = [damaged(scan) for scan in slow]
rows = {}
for name, (scans, t_r) in TRAINING.items():
    model.fit(scans, t_r=t_r)
    whole, broken = (model.transform(X, t_r=SLOW) for X in (slow, damaged_slow))
    cosine = (whole @ broken.T) / np.outer(*(np.linalg.norm(e, axis=1) for e in (whole, broken)))
    rows[name] = {
        "R² whole": model.score(slow, t_r=SLOW),
        "R² damaged": model.score(damaged_slow, t_r=SLOW),
        "cosine to itself": np.diag(cosine).mean(),
        "cosine to others": cosine[~np.eye(len(slow), dtype=bool)].mean(),
    }
table = pd.DataFrame(rows).T
print(table.round(3).to_string())
loss = table["R² whole"] - table["R² whole"].iloc[0]
print(f"\nR² lost by mixing {-loss.iloc[1]:.3f}, by mixing and damage {-loss.iloc[2]:.3f}")

# %%
# The same as a picture.

fig, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained", sharey=True)
for ax, columns, label in zip(
    axes,
    (["R² whole", "R² damaged"], ["cosine to itself", "cosine to others"]),
    ("R² of hidden regions, unseen sessions", "Cosine of a damaged scan's embedding"),
    strict=True,
):
    table[columns].plot.barh(ax=ax, width=0.7)
    ax.set_xlabel(label)
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("learned from scans")
axes[0].invert_yaxis()
fig.savefig(options.output, dpi=110)
plt.show()

"""
Fit one model on scans that differ in repetition time, frames and regions
=========================================================================

Real cohorts are mixed. One model can be fitted on scans that differ in repetition time, in censored
frames and in missing regions. Their parcellation must be the same, otherwise ``fit`` raises an
error. This script measures what mixing costs, on sessions that no model has seen.

The data are two subjects of the HCP. They show that mixing works; they are too few for scores to
quote. By running this you accept the HCP's data use terms, see
:func:`sk_brainmae.datasets.fetch_hcp_rest`.
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
parser.add_argument("--quick", action="store_true", help="fewer scans, no training")
parser.add_argument("--output", default="mixed_scans.png", help="where the figure goes")
options = parser.parse_args()
warnings.filterwarnings("ignore", message=".*(missing values|longer t_r|constant regions)")

SLOW = 2.0  # seconds between frames, of the models and of half of the scans; HCP has 0.72 s

# %%
# Pain runs have 122 regions and HCP scans have 100. One model cannot take both.

pain, hcp = fetch_pain(verbose=0), fetch_hcp_rest(accept_terms=True, verbose=0)
model = BrainMAETransformer(
    t_r=SLOW, window_size=16, max_epochs=0 if options.quick else 3, random_state=0
)
try:
    model.fit([*pain.scans, *hcp.scans])
except ValueError as error:
    print(f"pain and HCP scans together: {error}\n")

# %%
# The models are fitted on the first session of both subjects and scored on the second. Each session
# is cut into four pieces. Every other training piece is sampled every 2 s, as a slower scanner
# would. No scanner filters before it samples, so signal above 0.25 Hz is aliased.


def in_pieces(session: str) -> list[np.ndarray]:
    """Cut the scans of a session into four pieces each; with --quick, keep every other one."""
    scans = [scan for scan, of in zip(hcp.scans, hcp.sessions, strict=True) if of == session]
    pieces = [piece for scan in scans for piece in np.array_split(scan, 4)]
    return pieces[:: 2 if options.quick else 1]


def read_slowly(scan: np.ndarray) -> np.ndarray:
    """Sample a scan every 2 s."""
    times = hcp.t_r * np.arange(len(scan))
    return CubicSpline(times, scan)(np.arange(0, times[-1], SLOW))


learned, held_out = in_pieces("REST1_LR"), in_pieces("REST2_LR")
mixed = [read_slowly(scan) if i % 2 else scan for i, scan in enumerate(learned)]
mixed_t_r = [SLOW if i % 2 else hcp.t_r for i in range(len(learned))]

# %%
# Damage: in every scan 10 % of the frames are censored, and 5 of the 100 regions are missing. Both
# are drawn anew for each scan. They are NaN in the data, and masked in the model.

random = np.random.default_rng(0)


def damaged(scan: np.ndarray) -> np.ndarray:
    """Censor frames of a scan and remove regions."""
    scan = censor(scan, random.uniform(size=len(scan)) < 0.1)
    scan[:, random.choice(scan.shape[1], 5, replace=False)] = np.nan
    return scan


TRAINING = {
    "all at 0.72 s": (learned, hcp.t_r),
    "half at 0.72 s, half at 2 s": (mixed, mixed_t_r),
    "the same, damaged": ([damaged(scan) for scan in mixed], mixed_t_r),
}

# %%
# Every model fills in half of the regions of unseen scans, whole and damaged (R²; the mean has 0).
# It also embeds both. The embedding of a damaged scan should be similar to the embedding of the
# same scan without damage, and not to the embeddings of other scans.

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
table = pd.DataFrame(rows).T.rename_axis("training scans")
print(table.round(3).to_string())
loss = table["R² whole"] - table["R² whole"].iloc[0]
print(f"\nR² lost by mixing {-loss.iloc[1]:.3f}, by mixing and damage {-loss.iloc[2]:.3f}")

# %%
# The same numbers as a figure.

fig, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained", sharey=True)
for ax, columns, label in zip(
    axes,
    (["R² whole", "R² damaged"], ["cosine to itself", "cosine to others"]),
    ("R² in hidden regions, unseen sessions", "cosine of a damaged scan's embedding"),
    strict=True,
):
    table[columns].plot.barh(ax=ax, width=0.7)
    ax.set_xlabel(label)
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("training scans")
axes[0].invert_yaxis()
fig.savefig(options.output, dpi=110)
plt.show()

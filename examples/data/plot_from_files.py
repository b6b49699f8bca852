"""
Read a folder of XCP-D files, check the scans and embed them
============================================================

This script reads scans from a folder that XCP-D wrote, checks them, fits a model, saves it and
loads it again. The check finds an error that is easy to miss: one scan is there twice, under two
names. The first cell writes the folder from simulated scans. Start from the second cell with your
own folder.
"""

import argparse
import json
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import load_derivatives, make_cohort
from sk_brainmae.doctor import check_scans

parser = argparse.ArgumentParser(description="From files to embeddings")
parser.add_argument("--quick", action="store_true", help="hardly any training")
parser.add_argument("--output", default="from_files.png", help="where the figure goes")
options = parser.parse_args()

# %%
# Ten subjects with two sessions of 6 minutes each.
#
# * Frames of high motion are censored. XCP-D leaves them out of the table and lists them in another
#   file.
# * In one scan a region is outside the field of view; its values are n/a.
# * One session also has a task run.
# * One participant was never scanned.
# * The second session of sub-07 is a copy of the second session of sub-03.

cohort = make_cohort(
    n_scans=20, n_subjects=10, n_timepoints=180, n_regions=30, t_r=2.0, noise=0.4, random_state=0
)
random = np.random.default_rng(0)
motion = random.uniform(size=(20, 180)) < 0.05
motion[0, 60:66] = True
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name, "xcp_d")
measured = cohort.scans.copy()
measured[0, :, 2] = np.nan  # outside the field of view


def write_scan(frames, censored, subject, session, task="rest"):
    """Write one scan as XCP-D does."""
    func = folder / subject / f"ses-{session}" / "func"
    func.mkdir(parents=True, exist_ok=True)
    start = f"{func}/{subject}_ses-{session}_task-{task}"
    table = pd.DataFrame(frames[~censored], columns=cohort.region_names)
    path = f"{start}_seg-Demo_stat-mean_timeseries.tsv"
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    outliers = pd.DataFrame({"framewise_displacement": censored.astype(int)})
    outliers.to_csv(f"{start}_outliers.tsv", sep="\t", index=False)
    sidecar = Path(f"{start}_desc-denoised_bold.json")
    sidecar.write_text(json.dumps({"RepetitionTime": cohort.t_r}))


for i, subject in enumerate(cohort.subjects):
    source = 12 if i == 16 else i  # the copy
    write_scan(measured[source], motion[source], subject, 1 + i // 10)
write_scan(measured[0, ::-1], motion[0], "sub-01", 1, task="nback")
participants = [*cohort.subjects[:10], "sub-11"]
ages = pd.DataFrame({"participant_id": participants, "age": random.integers(20, 70, 11)})
ages.to_csv(folder / "participants.tsv", sep="\t", index=False)

# %%
# One call reads the folder, and recognises which software wrote it. Censored frames become rows of
# NaN in their places, missing regions become columns of NaN. ``left_out`` lists the files and
# participants that were not read. Check that you meant to leave them out.

data = load_derivatives(folder, task="rest")
print(f"{len(data.scans)} scans of {len(set(data.subjects))} subjects")
print(f"t_r {data.t_r} s; {len(data.region_names)} regions, the first {data.region_names[0]}")
print(f"files left out: {[file.name for file in data.left_out['files']]}")
print(f"participants without a scan: {data.left_out['participants']}")
print(data.phenotypes.join(data.entities["ses"]).head(3).to_string(index=False))

# %%
# ``check_scans`` reads every scan and changes none. It finds the copy: the same scan could lie on
# both sides of a fold, and scores would be too good. It also reports the missing values, which are
# meant to be missing here.

report = check_scans(data.scans, t_r=data.t_r, names=[file.name[:12] for file in data.files])
print(report)

# %%
# The files do not tell which of the two subjects was scanned, so both copies are removed.

copies = {i for finding in report.findings if finding.kind == "duplicates" for i in finding.scans}
kept = [i for i in range(len(data.scans)) if i not in copies]
scans, subjects = [data.scans[i] for i in kept], data.subjects[kept]
sessions = data.entities["ses"].to_numpy()[kept]
print(check_scans(scans, t_r=data.t_r).one_line)

# %%
# ``groups`` keeps the sessions of a subject together, so that training is validated on other
# subjects. Missing values are masked, with a warning that counts them. The check has reported them
# already, so the warning is switched off.

warnings.filterwarnings("ignore", message=".*missing values")
model = BrainMAETransformer(t_r=data.t_r, max_epochs=1 if options.quick else 3, random_state=0)
model.fit(scans, groups=subjects)
for name, r2 in model.held_out_r2_.items():
    print(f"R² in hidden regions, held-out subjects, {name}: {r2:.3f}")

# %%
# The model is saved with the names of its regions. A loaded model brings the columns of DataFrames
# into its own order, and refuses scans of other regions.

model.save_pretrained(Path(temporary.name, "model"), region_names=data.region_names)
loaded = BrainMAETransformer.from_pretrained(Path(temporary.name, "model"))
tables = [pd.DataFrame(scan, columns=data.region_names) for scan in scans]
shuffled = [table[random.permutation(data.region_names)] for table in tables]
embeddings = model.transform(scans)
print(f"embeddings: {embeddings.shape}")
same = np.array_equal(embeddings, loaded.transform(shuffled))
print(f"equal when the columns are shuffled: {same}")
try:
    loaded.transform([table.rename(columns={"network0_region0": "Amygdala"}) for table in tables])
except ValueError as error:
    print(f"a scan of other regions: {error}")

# %%
# The model fills in the missing region of the first scan from the other regions, in standard
# deviations. The scans are simulated, so the true signal is known. In censored frames all regions
# are missing, so do not use what is filled in there.

filled = loaded.reconstruct(scans[:1])[0][:, 2]
truth = cohort.scans[0, :, 2] / cohort.scans[0, :, 2].std()
print(f"missing region: r = {np.corrcoef(filled, truth)[0, 1]:.2f} with the true signal")

# %%
# Are the two sessions of a subject more similar than sessions of different subjects? The mean
# embedding is subtracted before cosines are taken, because all brains have much in common.

centred = embeddings - embeddings.mean(axis=0)
centred /= np.linalg.norm(centred, axis=1, keepdims=True)
cosine = pd.DataFrame(centred @ centred.T, [subjects, sessions], [subjects, sessions])
second = cosine.xs("2", level=1, axis=1)
between = second.xs("1", level=1).loc[second.columns]
own = np.eye(len(between), dtype=bool)
values = between.to_numpy()
print(f"cosine, same subject {values[own].mean():.2f}, different {values[~own].mean():.2f}")
found = (values.argmax(axis=1) == np.arange(len(values))).mean()
print(f"subjects recognised in their other session: {found:.0%}, by chance {1 / len(values):.0%}")

# %%
# Left: the missing region, with censored frames in grey. Right: similarity of the sessions; the
# diagonal holds the two sessions of a subject.

fig, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", gridspec_kw={"width_ratios": [1.7, 1]}
)
time = data.t_r * np.arange(len(truth))
left.plot(time, truth, color="0.5", linewidth=1, label="true signal")
left.plot(time, filled, color="C0", label="filled in")
for frame in np.flatnonzero(motion[0]):
    edges = data.t_r * (frame - 0.5), data.t_r * (frame + 0.5)
    left.axvspan(*edges, color="0.88", linewidth=0, label="censored" if frame == 60 else None)
left.set_xlabel("time (s)")
left.set_ylabel("signal (SD)")
title = f"{data.region_names[2]}, missing in {data.files[0].name[:12]}"
left.set_title(title, loc="left", fontsize="medium")
left.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15))
left.margins(x=0.01)
left.spines[["top", "right"]].set_visible(False)
image = right.imshow(between, cmap="RdBu_r", vmin=-0.5, vmax=0.5)
right.set_xticks(range(len(between)), between.columns, rotation=90)
right.set_yticks(range(len(between)), between.index)
right.set_xlabel("second session")
right.set_ylabel("first session")
right.set_title("Similarity of embeddings", loc="left", fontsize="medium")
fig.colorbar(image, ax=right, label="cosine, mean embedding subtracted")
fig.savefig(options.output, dpi=110)
temporary.cleanup()
plt.show()

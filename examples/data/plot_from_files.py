"""
From a folder of files to embeddings
====================================

Scans lie in the folder that XCP-D wrote; a model is to be fitted on them and passed on. Between the
two comes a check: here one scan was exported twice under two names, and nobody has noticed.
The folder is written by this script, from simulated scans; start from the second cell with yours.
"""

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

# %%
# Ten subjects with two sessions of 6 minutes each. Frames of high motion were censored: XCP-D
# leaves them out of the table, and says so in another file. In one scan a region is outside the
# field of view, n/a. One session has a task run as well, one participant was never scanned, and
# the second session of sub-07 is a copy of that of sub-03.

cohort = make_cohort(
    n_scans=20, n_subjects=10, n_timepoints=180, n_regions=30, t_r=2.0, noise=0.4, random_state=0
)
random = np.random.default_rng(0)
motion = random.uniform(size=(20, 180)) < 0.05
motion[0, 60:66] = True
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name, "xcp_d")
measured = cohort.scans.copy()
measured[0, :, 2] = np.nan  # the field of view


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
# One call reads the folder, whatever wrote it; censored frames come back in their places, as rows
# of NaN, and missing regions as columns. Look at what was left out, too: is it what you meant to?

data = load_derivatives(folder, task="rest")
print(f"{len(data.scans)} scans of {len(set(data.subjects))} subjects")
print(f"t_r {data.t_r} s; {len(data.region_names)} regions, the first {data.region_names[0]}")
print(f"left out: {[file.name for file in data.left_out['files']]}")
print(f"without a scan: {data.left_out['participants']}")
print(data.phenotypes.join(data.entities["ses"]).head(3).to_string(index=False))

# %%
# The doctor reads every scan and changes none. A copy would put the same scan on both sides of
# a fold, and scores would be too good. What is missing here is meant to be.

report = check_scans(data.scans, t_r=data.t_r, names=[file.name[:12] for file in data.files])
print(report)

# %%
# Whose scan it is the files cannot tell, so both go.

copies = {i for finding in report.findings if finding.kind == "duplicates" for i in finding.scans}
kept = [i for i in range(len(data.scans)) if i not in copies]
scans, subjects = [data.scans[i] for i in kept], data.subjects[kept]
sessions = data.entities["ses"].to_numpy()[kept]
print(check_scans(scans, t_r=data.t_r).one_line)

# %%
# Sessions of a subject stay together, so that training is checked on other subjects. What is
# missing is masked, with a warning that says in how many scans; this is known by now.

warnings.filterwarnings("ignore", message=".*missing values")
model = BrainMAETransformer(t_r=data.t_r, max_epochs=3, random_state=0)
model.fit(scans, groups=subjects)
for name, r2 in model.held_out_r2_.items():
    print(f"R² of hidden regions, held-out subjects, {name}: {r2:.3f}")

# %%
# Saved with the names of its regions, the model knows them wherever it is loaded: columns of
# DataFrames may come in any order, and a scan of other regions is refused.

model.save_pretrained(Path(temporary.name, "model"), region_names=data.region_names)
loaded = BrainMAETransformer.from_pretrained(Path(temporary.name, "model"))
tables = [pd.DataFrame(scan, columns=data.region_names) for scan in scans]
shuffled = [table[random.permutation(data.region_names)] for table in tables]
embeddings = model.transform(scans)
print(f"embeddings: {embeddings.shape}")
print(f"the same of shuffled columns: {np.array_equal(embeddings, loaded.transform(shuffled))}")
try:
    loaded.transform([table.rename(columns={"network0_region0": "Amygdala"}) for table in tables])
except ValueError as error:
    print(f"other regions: {error}")

# %%
# The missing region of the first scan is filled in from the others, in standard deviations. How
# well can be told here, as the scans are simulated. Censored frames have no other regions: what
# comes back there is a guess.

filled = loaded.reconstruct(scans[:1])[0][:, 2]
truth = cohort.scans[0, :, 2] / cohort.scans[0, :, 2].std()
print(f"missing region: r = {np.corrcoef(filled, truth)[0, 1]:.2f} with what was there")

# %%
# Do the sessions of a subject resemble each other more than those of others? Cosines of embeddings
# are taken from their mean, as all brains have much in common.

centred = embeddings - embeddings.mean(axis=0)
centred /= np.linalg.norm(centred, axis=1, keepdims=True)
cosine = pd.DataFrame(centred @ centred.T, [subjects, sessions], [subjects, sessions])
second = cosine.xs("2", level=1, axis=1)
between = second.xs("1", level=1).loc[second.columns]
own = np.eye(len(between), dtype=bool)
values = between.to_numpy()
print(f"cosine of sessions: own {values[own].mean():.2f}, others' {values[~own].mean():.2f}")
found = (values.argmax(axis=1) == np.arange(len(values))).mean()
print(f"most similar is one's own: {found:.0%}, by chance {1 / len(values):.0%}")

# %%
# On the left the missing region, with the censored frames in grey; on the right the sessions. A
# subject's own are on the diagonal.

fig, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", gridspec_kw={"width_ratios": [1.7, 1]}
)
time = data.t_r * np.arange(len(truth))
left.plot(time, truth, color="0.5", linewidth=1, label="what was there")
left.plot(time, filled, color="C0", label="filled in")
for frame in np.flatnonzero(motion[0]):
    edges = data.t_r * (frame - 0.5), data.t_r * (frame + 0.5)
    left.axvspan(*edges, color="0.88", linewidth=0, label="censored" if frame == 60 else None)
left.set_xlabel("time (s)")
left.set_ylabel("signal (SD)")
left.set_title(f"{data.region_names[2]}, missing in {data.files[0].name[:12]}", loc="left")
left.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15))
left.margins(x=0.01)
left.spines[["top", "right"]].set_visible(False)
image = right.imshow(between, cmap="RdBu_r", vmin=-0.5, vmax=0.5)
right.set_xticks(range(len(between)), between.columns, rotation=90)
right.set_yticks(range(len(between)), between.index)
right.set_xlabel("second session")
right.set_ylabel("first session")
right.set_title("Similarity of embeddings", loc="left")
fig.colorbar(image, ax=right, label="cosine, from the mean")
temporary.cleanup()
plt.show()

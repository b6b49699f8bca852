"""
8. When does it matter?
=======================

The paper reads from the attention of the CLS token when a subject's state mattered. Attention
tells where a network looks, not what its prediction depends on. So it is held here against
occlusion, which hides one window after the other and measures what that takes from the
prediction. The encoder is fine-tuned to tell hot from warm heat trials, seeing 64 s of the run
around each; if it learned what matters, it should look at the trial. It starts in closed form: from
the paper's random start, eight epochs each of pretraining and fine-tuning left it at chance.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.datasets import fetch_pain, pain_trials
from sk_brainmae.inspection import (
    attention_agreement,
    average_over_time,
    cls_attention,
    occlusion,
    plot_over_time,
)

parser = argparse.ArgumentParser(description="Attention over time, and occlusion as its check")
parser.add_argument("--quick", action="store_true", help="few subjects, one epoch")
parser.add_argument("--output", default="8_attention.png", help="where the figure goes")
options = parser.parse_args()
warnings.simplefilter("ignore")  # constant regions; a random start falls behind linear predictors

# %%
# Windows of 8 s, so that a trial of 16 s has two of them, with six around it.

pain = fetch_pain()
X, y, groups = pain_trials(pain)
train, test = next(GroupKFold(5, shuffle=True, random_state=0).split(X, y, groups))
n_epochs = 12
if options.quick:
    train, test, n_epochs = train[:60], test[:20], 1
training = [X[i] for i in train]
start = BrainMAETransformer(
    t_r=pain.t_r, window_size=8, crop_length=64, max_epochs=0, random_state=0
).fit(training)
model = BrainMAEClassifier(
    pretrained=start,
    strategy="finetune",
    pooling="cls",
    max_epochs=n_epochs,
    validation_fraction=0.0,
    random_state=0,
)
model.fit(training, y[train], groups=groups[train])
held_out, label = [X[i] for i in test], y[test]
auc = roc_auc_score(label, model.predict_proba(held_out)[:, 1])

# %%
# Attention to each window, and by how much the probability of the right class falls without it, in
# 40 of the held-out trials.

shown = slice(0, 40)
attention = cls_attention(model, held_out[shown])
effect = occlusion(model, held_out[shown], label[shown])
agreement = attention_agreement(attention, effect)
table = pd.DataFrame(
    {
        "attention": average_over_time(attention)["mean"],
        "SD ": average_over_time(attention)["std"],
        "occlusion": average_over_time(effect)["mean"],
        "SD": average_over_time(effect)["std"],
    }
)
uniform = 1 / attention.groupby("sample").size().mean()
inside = attention[attention["time"].between(0, 16)].groupby("sample")["attention"].sum().mean()
expected = attention["time"].between(0, 16).mean()
print(f"{len(test)} held-out trials, AUC {auc:.2f}")
print(f"attention inside the trial: {inside:.2f}, if it were uniform {expected:.2f}")
print(
    f"attention against effect of occlusion, Spearman over the windows of a trial:"
    f" mean {agreement.mean():.2f}, SD {agreement.std():.2f}"
)
n = average_over_time(attention)["n"]
print(table[n >= n.max() / 2].to_string(float_format="{:.4f}".format))

# %%
# Dotted lines: where the trial begins and ends.

fig, (above, below) = plt.subplots(2, 1, figsize=(9, 7.5), layout="constrained", sharex=True)
plot_over_time(attention, events=[0, 16], ax=above)
plot_over_time(effect, events=[0, 16], ax=below)
above.set_xlabel("")
below.set_xlabel("time from the start of the trial (s)")
fig.savefig(options.output, dpi=110)
plt.show()

"""
3. Compare ROI embeddings with the brain's networks
===================================================

The paper shows that ROI embeddings learned from HCP scans look like functional connectivity (FC)
and group into its networks. This script repeats it on four resting-state scans of two HCP subjects.
That is enough to look at, and too little to conclude from. A spectral start computes the embeddings
from connectivity, so the two must agree. The paper's random start has to learn them.

By running this you accept the HCP's data use terms, see
:func:`sk_brainmae.datasets.fetch_hcp_rest`.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import fetch_hcp_rest, fetch_schaefer_regions
from sk_brainmae.inspection import (
    group_connectivity,
    network_agreement,
    plot_region_graph,
    plot_roi_map,
    region_graph,
    roi_similarity,
    strongest_edges,
)
from sk_brainmae.inspection.style import entitle, mark_networks, matrix

parser = argparse.ArgumentParser(description="ROI embeddings of HCP rest scans")
parser.add_argument("--quick", action="store_true", help="parts of the scans, hardly any training")
parser.add_argument("--output", default="3_roi_embeddings.png", help="where the figure goes")
options = parser.parse_args()
warnings.simplefilter("ignore")  # models that fall behind linear predictors warn of it

# %%
# Four scans of 14 minutes in the 100 regions of Schaefer et al. An epoch is one crop of 5 minutes
# from each scan. All scans are used for training, because nothing is scored on new ones here.

hcp = fetch_hcp_rest(accept_terms=True)
scans = [scan[:450] for scan in hcp.scans] if options.quick else hcp.scans
regions = fetch_schaefer_regions(100)
yeo = ["Vis", "SomMot", "DorsAttn", "SalVentAttn", "Limbic", "Cont", "Default"]
network = np.array([f"{1 + yeo.index(name)} {name}" for name in hcp.networks])  # in Yeo's order
settings = {"t_r": hcp.t_r, "validation_fraction": 0.0, "random_state": 0}
random = {**settings, "init": "random", "batch_size": 2, "embedding_dim": 32}
n_epochs = 1 if options.quick else 200
models = {
    "spectral start": BrainMAETransformer(**settings, max_epochs=0),
    "random start": BrainMAETransformer(**random, max_epochs=n_epochs),
    "not trained": BrainMAETransformer(**random, max_epochs=0),
}
for model in models.values():
    model.fit(scans)

# %%
# Agreement with Yeo's networks: of clusters (ARI), and the share of each region's five most similar
# regions that belong to its network (kNN purity).

found = {name: network_agreement(model, network, scans) for name, model in models.items()}
table = pd.DataFrame({name: rows.loc["ROI embeddings"] for name, rows in found.items()}).T
table.loc["functional connectivity"] = found["spectral start"].loc["connectivity"]
table.loc["chance", ["ari", "knn_purity"]] = found["spectral start"].loc["chance"]
print(table.astype(object).fillna("").to_string(float_format="{:.2f}".format))

# %%
# The graph of the trained random start: how much attention each region pays to each other one.
# How many of the 50 strongest edges lie within one network?

trained = models["random start"]
graph = region_graph(trained)
edges = strongest_edges(graph, 50, names=np.arange(100))
within = np.mean(network[edges["region"].astype(int)] == network[edges["listens_to"].astype(int)])
by_chance = np.mean([np.mean(network == own) for own in network])
print(
    f"\n50 strongest edges: {within:.0%} within a network, {by_chance:.0%} by chance;"
    f" the strongest has {edges['ratio'].iloc[0]:.1f} times uniform attention"
)

# %%
# Above: connectivity, and similarity of the embeddings. Middle: maps of the embeddings. Below: the
# graph on a glass brain.

fig = plt.figure(figsize=(13, 13), layout="constrained")
top, middle, bottom = fig.add_gridspec(3, 1, height_ratios=[0.85, 1, 0.75])
top, middle = top.subgridspec(1, 3), middle.subgridspec(1, 2)
order = np.argsort(network, kind="stable")
views = {
    "Functional connectivity": group_connectivity(scans),
    "ROI embeddings, spectral start": roi_similarity(models["spectral start"]),
    "ROI embeddings, random start": roi_similarity(trained),
}
for k, (title, view) in enumerate(views.items()):
    ax = fig.add_subplot(top[k])
    matrix(ax, view[np.ix_(order, order)], "cosine" if k else "correlation")
    mark_networks(ax, network[order], names=k == 0)
    entitle(ax, title)
for k, name in enumerate(("spectral start", "random start")):
    ax = fig.add_subplot(middle[k])
    plot_roi_map(models[name], network, ax=ax)
    ax.set_title(f"t-SNE of ROI embeddings: {name}", loc="left", fontsize="medium")
    ax.get_legend().set_visible(k == 1)
plot_region_graph(graph, regions[["x", "y", "z"]], network, ax=fig.add_subplot(bottom))
fig.savefig(options.output, dpi=110)
plt.show()

"""
3. ROI embeddings and the brain's networks
==========================================

The paper shows that ROI embeddings learned from HCP scans look like functional connectivity (FC),
and fall into its networks. Four resting-state scans of two HCP subjects are enough to look, not
to conclude. A spectral start makes the embeddings out of connectivity, so its agreement is built
in; what the paper's random start learns is a finding.

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
parser.add_argument("--quick", action="store_true", help="hardly any training")
parser.add_argument("--output", default="3_roi_embeddings.png", help="where the figure goes")
options = parser.parse_args()
warnings.simplefilter("ignore")  # that random starts fall behind linear predictors is known

# %%
# Four scans of 14 minutes in the 100 regions of Schaefer et al. An epoch is one crop of 5 minutes
# a scan; all are trained on, as nothing is scored on new ones here.

hcp = fetch_hcp_rest(accept_terms=True)
regions = fetch_schaefer_regions(100)
yeo = ["Vis", "SomMot", "DorsAttn", "SalVentAttn", "Limbic", "Cont", "Default"]
network = np.array([f"{1 + yeo.index(name)} {name}" for name in hcp.networks])  # Yeo's numbers
settings = {"t_r": hcp.t_r, "validation_fraction": 0.0, "random_state": 0}
random = {**settings, "init": "random", "batch_size": 2, "embedding_dim": 32}
n_epochs = 1 if options.quick else 200
models = {
    "spectral start": BrainMAETransformer(**settings, max_epochs=0),
    "random start": BrainMAETransformer(**random, max_epochs=n_epochs),
    "not trained": BrainMAETransformer(**random, max_epochs=0),
}
for model in models.values():
    model.fit(hcp.scans)

# %%
# Agreement with Yeo's networks: clusters (ARI), and the share of each region's five most similar
# regions that are of its network (kNN purity).

found = {name: network_agreement(model, network, hcp.scans) for name, model in models.items()}
table = pd.DataFrame({name: rows.loc["ROI embeddings"] for name, rows in found.items()}).T
table.loc["functional connectivity"] = found["spectral start"].loc["connectivity"]
table.loc["chance", ["ari", "knn_purity"]] = found["spectral start"].loc["chance"]
print(table.astype(object).fillna("").to_string(float_format="{:.2f}".format))

# %%
# The graph of the trained random start: who listens to whom. How often is an edge within one
# network, or between the same places of the two hemispheres?

trained = models["random start"]
graph = region_graph(trained)
edges = strongest_edges(graph, 50, names=np.arange(100))
within = np.mean(network[edges["region"].astype(int)] == network[edges["listens_to"].astype(int)])
by_chance = np.mean([np.mean(network == own) for own in network])
print(
    f"\n50 strongest edges: {within:.0%} within a network, {by_chance:.0%} by chance;"
    f" the strongest is {edges['ratio'].iloc[0]:.1f} times uniform attention"
)

# %%
# Similarity beside connectivity, the maps, and the graph on the glass brain.

fig = plt.figure(figsize=(13, 13), layout="constrained")
top, middle, bottom = fig.add_gridspec(3, 1, height_ratios=[0.85, 1, 0.75])
top, middle = top.subgridspec(1, 3), middle.subgridspec(1, 2)
order = np.argsort(network, kind="stable")
views = {
    "Functional connectivity": group_connectivity(hcp.scans),
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

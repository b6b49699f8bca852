"""Look at what a model has learned: numbers first, and a plot beside each.

Functions return arrays and DataFrames. ``plot_...`` draw them on the matplotlib axes ``ax``, with
None on a new figure, and return the axes. Nothing here trains or changes a model. Scans are taken
to have its repetition time.
"""

from sk_brainmae.inspection.attention import (
    attention_agreement,
    average_over_time,
    cls_attention,
    plot_over_time,
)
from sk_brainmae.inspection.embedding import (
    embedding_spectrum,
    identify,
    plot_identification,
    plot_reliability,
    plot_spectrum,
    reliability,
)
from sk_brainmae.inspection.graph import plot_region_graph, region_graph, strongest_edges
from sk_brainmae.inspection.occlusion import occlusion, plot_occlusion
from sk_brainmae.inspection.phenotypes import phenotype_correlations, plot_phenotypes
from sk_brainmae.inspection.reconstruction import (
    Filled,
    fill_in,
    plot_reconstruction,
    plot_reconstruction_scores,
    plot_region_scores,
    reconstruction_scores,
)
from sk_brainmae.inspection.roi import (
    group_connectivity,
    network_agreement,
    plot_roi_map,
    plot_roi_similarity,
    roi_map,
    roi_similarity,
)
from sk_brainmae.inspection.states import (
    WindowStates,
    latent_connectivity,
    plot_latent_connectivity,
    plot_states,
    separation,
    state_map,
    window_states,
)
from sk_brainmae.training import effective_rank

__all__ = [
    "Filled",
    "WindowStates",
    "attention_agreement",
    "average_over_time",
    "cls_attention",
    "effective_rank",
    "embedding_spectrum",
    "fill_in",
    "group_connectivity",
    "identify",
    "latent_connectivity",
    "network_agreement",
    "occlusion",
    "phenotype_correlations",
    "plot_identification",
    "plot_latent_connectivity",
    "plot_occlusion",
    "plot_over_time",
    "plot_phenotypes",
    "plot_reconstruction",
    "plot_reconstruction_scores",
    "plot_region_graph",
    "plot_region_scores",
    "plot_reliability",
    "plot_roi_map",
    "plot_roi_similarity",
    "plot_spectrum",
    "plot_states",
    "reconstruction_scores",
    "region_graph",
    "reliability",
    "roi_map",
    "roi_similarity",
    "separation",
    "state_map",
    "strongest_edges",
    "window_states",
]

"""The report of a model: its data, its parameters, its training, and what it has learned."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from sk_brainmae import inspection
from sk_brainmae.doctor.reading import distinct_runs
from sk_brainmae.embedding.registry import OF_NETWORK, SHARES
from sk_brainmae.evaluation.views import in_words, percent
from sk_brainmae.inspection.filling import BRAINMAE
from sk_brainmae.inspection.model import (
    Encoder,
    assumed_t_r,
    fitted_encoder,
    one_each,
    region_names,
    was_finetuned,
)
from sk_brainmae.reporting.data import look_at
from sk_brainmae.reporting.figures import (
    Figure,
    draw,
    epoch_kept,
    plot_history,
    plot_view_weights,
    stages_of,
    what_changed,
)
from sk_brainmae.reporting.page import Notice, Report, Table, render
from sk_brainmae.training.scoring import SMALLEST_RANK

MOST_SCANS = 64  # that are filled in; more would hardly change the scores
MOST_NAMES = 40  # of regions; more would hide the points of a map, and their rows fill a page
N_EDGES = 10  # in the table of the region graph


class Regions(NamedTuple):
    """Labels of the regions, each None where it was not given."""

    names: NDArray | None  # (n_regions,)
    networks: NDArray | None  # (n_regions,)
    coordinates: ArrayLike | None  # (n_regions, 3), in mm
    few: bool  # whether a figure has room for a name at each region


class Section(NamedTuple):
    """Figures and tables of one part of the page, in order."""

    figures: list[Figure]
    tables: list[Table]


def generate_report(
    model: Any,
    scans: Any = None,
    *,
    networks: ArrayLike | None = None,
    names: ArrayLike | None = None,
    coordinates: ArrayLike | None = None,
    title: str | None = None,
) -> Report:
    """Report on a fitted model: warnings, data, parameters, training, and what it learned.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted; nothing in it is changed.
    scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions), default=None
        Best scans that the model has not seen: it looks better than it is on those it was fitted
        on. Windows count as their whole runs. None leaves out the sections that need scans: the
        state of the data, and reconstruction.
    networks : array-like of shape (n_regions,), default=None
        The network of each region; None: regions are shown in their own order.
    names : array-like of shape (n_regions,), default=None
        Names of the regions; None: their indices.
    coordinates : array-like of shape (n_regions, 3), default=None
        Centres of the regions in MNI space, in mm, for the glass brain; None: none is drawn.
    title : str, default=None
        Title of the page; None: the class of the model and its number of regions.

    Returns
    -------
    Report
        One HTML file: ``save`` writes it, a notebook shows it.

    Raises
    ------
    TypeError
        If ``model`` is not a BrainMAE model.
    NotFittedError
        If it is not fitted.
    ValueError
        If scans, names, networks or coordinates do not fit the model.

    Examples
    --------
    >>> from sk_brainmae import BrainMAETransformer
    >>> from sk_brainmae.datasets import make_cohort
    >>> from sk_brainmae.reporting import generate_report
    >>> cohort = make_cohort(n_scans=6, n_timepoints=60, n_regions=8, random_state=0)
    >>> model = BrainMAETransformer(embedding_dim=8, max_epochs=0).fit(cohort.scans[:4])
    >>> generate_report(model, cohort.scans[4:]).title
    'BrainMAETransformer, 8 regions'
    """
    encoder = fitted_encoder(model)
    n_regions = encoder.n_features_in_
    regions = Regions(
        None if names is None else region_names(names, n_regions),
        None if networks is None else one_each(networks, n_regions, "networks", "region"),
        coordinates,
        n_regions <= MOST_NAMES,
    )
    if scans is not None:
        encoder._read(scans, t_r=assumed_t_r(encoder))
    with warnings.catch_warnings():
        # Given above already, or by the doctor in the report.
        warnings.filterwarnings("ignore", message="constant regions")
        warnings.filterwarnings("ignore", message=".* more regions than frames")
        warnings.filterwarnings("ignore", message="fit saw scans of several t_r")
        graph = _graph_section(model, regions)
        data, notices = ({}, []) if scans is None else look_at(scans, encoder.t_r)
        runs = None if scans is None else _some_runs(scans)
        filling, losses = _filling_section(model, runs, regions)
        maps = _maps_section(encoder, runs, regions)
    kind = type(model).__name__
    return render(
        "model.html",
        title or f"{kind}, {n_regions} regions",
        [*notices, *_training_notices(encoder), *losses],
        kind=kind,
        verdict=_verdict(model, encoder),
        data=data,
        n_filled=0 if runs is None else len(runs),
        facts=_facts(model, encoder),
        parameters=_parameters(model),
        views=_views(model, encoder),
        curves=_curves(model),
        filling=filling,
        maps=maps,
        graph=graph,
        has_networks=networks is not None,
    )


def _some_runs(scans: Any) -> list:
    """Return the runs of samples, each once; at most 64, evenly spaced."""
    runs = distinct_runs(list(scans))[1]
    chosen = np.linspace(0, len(runs) - 1, min(len(runs), MOST_SCANS)).round().astype(int)
    return [runs[i] for i in chosen]


def _training_notices(encoder: Encoder) -> list[Notice]:
    """Warn of a model that is worse than linear, collapsed, or untrained."""
    notices = []
    r2 = encoder.held_out_r2_
    if r2 and r2["network"] < r2["conditional_gaussian"]:
        text = (
            "The model is worse than a linear predictor: on the scans held out in training it"
            f" fills in hidden regions with R² {r2['network']:.3f}, the conditional Gaussian with"
            f" {r2['conditional_gaussian']:.3f}. Train longer, or use init='spectral'."
        )
        notices.append(Notice("warning", text))
    if encoder.effective_rank_ < SMALLEST_RANK:
        text = (
            "The embeddings have collapsed: those of the training scans vary in only"
            f" {encoder.effective_rank_:.1f} directions (effective rank), and hardly tell scans"
            " apart. With a handful of training scans this is to be expected."
        )
        notices.append(Notice("warning", text))
    if (untrained := _why_untrained(encoder)) is not None:
        if encoder.init == "spectral":
            severity, start = "note", "its closed-form start"
            result = "it shows covariances of the training scans, not what training learned"
        else:
            severity, start = "warning", "its random start"
            result = "its network has learned nothing"
        notices.append(Notice(severity, f"The model is {start}: {untrained}; {result}."))
    return notices


def _why_untrained(encoder: Encoder) -> str | None:
    """Say why the weights are still those of the start; None where they are not."""
    history = encoder.history_
    if history.empty:
        return "no epoch of pretraining was run"
    if epoch_kept(history) == history.index[0]:
        return f"none of {len(history) - 1} epochs of pretraining made it better on held-out scans"
    return None


def _view_weights(model: Any, encoder: Encoder) -> dict[str, float]:
    """Return what the head reads of each view, or the fixed shares of an embedding."""
    if model is not encoder:
        return model.view_weights_
    total = sum(SHARES[name] for name in encoder.views_)
    return {name: SHARES[name] / total for name in encoder.views_}


def _verdict(model: Any, encoder: Encoder) -> str:
    """Say which views speak, and what training added."""
    weights = _view_weights(model, encoder)
    trained = sum(weight for name, weight in weights.items() if name in OF_NETWORK)
    share = f"{percent(trained)} of it comes from the trained network"
    if model is encoder:
        views = f"An embedding holds {in_words(weights)}: {share}."
    elif trained:
        views = f"The head reads {in_words(weights)}: {share}."
    else:
        views = (
            f"The head reads {in_words(weights)}: nothing of the trained network, so training"
            " changed no prediction."
        )
    changed = [
        f"{stage.capitalize()}: {what_changed(rows)}."
        for stage, rows in stages_of(model.history_).items()
    ]
    return " ".join([views, *(changed or ["Training: no epoch was run."])])


def _facts(model: Any, encoder: Encoder) -> dict[str, str]:
    facts = {"regions": str(encoder.n_features_in_)}
    if model is not encoder:
        classes = getattr(model, "classes_", None)
        facts["predicts"] = "a number" if classes is None else " or ".join(map(str, classes))
        facts["how"] = (
            "encoder and head trained together"
            if was_finetuned(model)
            else "a linear head, tuned by cross-validation, on the frozen encoder"
        )
    facts["weights of the network"] = f"{sum(w.size for w in encoder.weights_.values()):,}"
    facts["effective rank of the training scans' embeddings"] = f"{encoder.effective_rank_:.1f}"
    if r2 := encoder.held_out_r2_:
        facts["R² on scans held out in training, half of the regions hidden"] = (
            f"{r2['network']:.3f} (conditional Gaussian: {r2['conditional_gaussian']:.3f})"
        )
    return facts


def _parameters(model: Any) -> tuple[Table | None, Table]:
    """Return a table of the parameters that differ from their defaults, and one of all."""
    defaults = type(model)().get_params(deep=False)
    params = model.get_params(deep=False)
    rows = [(name, repr(value), repr(defaults[name])) for name, value in params.items()]
    header = ("parameter", "value", "default")
    table = Table("All parameters", header, rows, words=True)
    changed = [row for row in rows if row[1] != row[2]]
    if not changed:
        return None, table
    return Table("Parameters that differ from their defaults", header, changed, words=True), table


def _views(model: Any, encoder: Encoder) -> Figure:
    weights = _view_weights(model, encoder)
    chosen = (
        "Shares in an embedding's squared norm. They are fixed: no target has weighed them."
        if model is encoder
        else "Shares in the squared norm of what the head reads. Where there are several views,"
        " cross-validation inside the training scans chose them."
    )
    return draw(
        lambda: plot_view_weights(weights, OF_NETWORK),
        f"Bars: {in_words(weights)}",
        f"{chosen} Training can change the blue ones.",
    )


def _curves(model: Any) -> Figure | None:
    history = model.history_
    if history.empty:
        return None
    changed = "; ".join(f"{s}: {what_changed(rows)}" for s, rows in stages_of(history).items())
    return draw(
        lambda: plot_history(history),
        f"Learning curves by epoch. {changed.capitalize()}",
        "Loss on the training scans, and on scans that were held out, where there are any. The"
        " epoch with the smallest held-out loss is kept; the start counts as epoch 0. The two"
        " losses are measured on different masks.",
    )


def _filling_section(
    model: Any, runs: list | None, regions: Regions
) -> tuple[Section | None, list[Notice]]:
    """Compare reconstruction with simple predictors."""
    if runs is None:
        return None, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", category=ConvergenceWarning)
        scores = inspection.reconstruction_scores(model, runs, networks=regions.networks)
    why = ". Fine-tuning does not train the decoder." if was_finetuned(model) else "."
    lost = [w.message for w in caught if issubclass(w.category, ConvergenceWarning)]
    wide = scores[scores["scope"] == "all"].pivot(index="predictor", columns="ratio", values="r2")
    wide = wide.sort_values(wide.columns[len(wide.columns) // 2], ascending=False)
    table = Table(
        "R² in hidden cells, by share of hidden regions",
        ["predictor", *(f"{ratio:.0%} hidden" for ratio in wide)],
        [[str(name), *(f"{value:.3f}" for value in row)] for name, *row in wide.itertuples()],
        list(wide.index).index(BRAINMAE),
    )
    figures = [
        draw(
            lambda: inspection.plot_reconstruction_scores(scores),
            "R² of BrainMAE and three simple predictors by the share of hidden regions; the"
            " numbers are in the table",
            "R² is 1 where the hidden signal is rebuilt exactly, and 0 where it is rebuilt no"
            " better than by the region's mean.",
        )
    ]
    if regions.networks is not None or regions.few:
        figures.append(
            draw(
                lambda: inspection.plot_region_scores(scores),
                "R² of each network or region, BrainMAE's beside the linear predictor's",
                "Where BrainMAE lies left of the linear predictor, it fills in worse.",
            )
        )
    filled = inspection.fill_in(model, runs[0])
    figures.append(
        draw(
            lambda: inspection.plot_reconstruction(filled, names=regions.names),
            "Signal of five regions of the first scan over time, with reconstructions of hidden"
            " windows by BrainMAE and the linear predictor",
            "The first scan, with half of its regions hidden in every window.",
        )
    )
    return Section(figures, [table]), [Notice("warning", f"{message}{why}") for message in lost]


def _maps_section(encoder: Encoder, runs: list | None, regions: Regions) -> Section:
    """Show which regions have similar embeddings."""
    networks, names = regions.networks, regions.names if regions.few else None
    beside = "" if runs is None else ", beside the functional connectivity of the scans"
    figures = [
        draw(
            lambda: inspection.plot_roi_map(encoder, networks, names),
            "Map of the regions: those with similar ROI embeddings lie near each other",
            "Each point is a region. Near means alike; distances between far groups mean nothing.",
        ),
        draw(
            lambda: inspection.plot_roi_similarity(encoder, networks, runs),
            f"Matrix of the similarity of any two regions' embeddings{beside}",
            "Red: alike, blue: opposite. A spectral start computes embeddings from the covariance"
            " of the training scans, so they are expected to look like connectivity.",
        ),
    ]
    if networks is None or len(np.unique(networks)) < 2:
        return Section(figures, [])
    found = inspection.network_agreement(encoder, networks, runs)
    rows = [
        [str(name), *("–" if pd.isna(value) else f"{value:.2f}" for value in row)]
        for name, *row in found.itertuples()
    ]
    header = ["", "ARI", "NMI", "purity of 5 neighbours", "correlation with connectivity"]
    return Section(figures, [Table("Agreement with the given networks", header, rows, 0)])


def _graph_section(model: Any, regions: Regions) -> tuple[Section | None, str]:
    """Show the region graph, or say why there is none."""
    if fitted_encoder(model).attention == "vanilla":
        return None, "Not shown: attention='vanilla' has no static graph between regions."
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graph = inspection.region_graph(model)
    if caught:
        return None, f"Not shown: {caught[0].message}."
    figure = draw(
        lambda: inspection.plot_region_graph(graph, regions.coordinates, regions.networks),
        "The region graph: how much each region listens to each other region; the strongest edges"
        " are in the table",
        "Static attention, averaged over heads and blocks: it depends on ROI embeddings alone, not"
        " on the signal.",
    )
    edges = inspection.strongest_edges(graph, N_EDGES, regions.names)
    rows = [(str(e.region), str(e.listens_to), f"{e.ratio:.2f}") for e in edges.itertuples()]
    header = ("region", "listens to", "times uniform attention")
    table = Table(f"The {len(edges)} strongest edges", header, rows, words=True)
    return Section([figure], [table]), ""

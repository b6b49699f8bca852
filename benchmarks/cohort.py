"""A scoreboard for a cohort of your own: BrainMAE and its opponents on scans and a table.

    python benchmarks/cohort.py FOLDER --targets age,sex --strata site [PART ...] [--quick]

FOLDER holds scans and a ``participants.tsv``, as :func:`sk_brainmae.datasets.load_derivatives`
reads them. Scans that lack a region, a target or a confound, or repeat another scan, are left out.
The parts are:

    table      subjects held out, folds stratified by the columns of --strata
    sites      whole sites held out (--site)
    confounds  confounds removed from features inside the fold, and the confounds alone
    null       the table again with targets shuffled within the strata: every row at chance
    curve      from how few subjects: pretrained on them, and on all scans of the training part
    length     scans cut to their first 1, 2 and 4 minutes
    cost       seconds and memory of a fit

Scores are means over folds. A difference is BrainMAE minus the row: its interval over folds is that
of the corrected resampled t-test, p is Holm's over the rows, and the second interval is over
subjects drawn anew. "pooled" is the score of all out-of-fold predictions of a repeat together.
The encoder of a fold is pretrained once, without labels, and every target reads it. Finished fits
are kept in --output, and an interrupted call goes on there.
"""

import argparse
import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from joblib import Memory
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
)
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.baselines import (
    ConfoundsOnly,
    ConnectivityBaseline,
    ConnectivityFeatures,
    FeatureBaseline,
    PeerBaseline,
    make_opponents,
)
from sk_brainmae.datasets import load_derivatives
from sk_brainmae.evaluation import Comparison, ConfoundRemoval, compare

N_FOLDS = 5
EPOCHS, PAPER_EPOCHS, PEER_EPOCHS = 8, 10, 20  # more would take hours of two cores
CURVE = (40, 80, 160, 320, 540)  # subjects
MINUTES = (1, 2, 4)
LINEAR = {"classification": "logistic", "regression": "ridge"}
METRIC = {"classification": "roc_auc", "regression": "pearson_r"}
PENALTIES = np.logspace(0, 6, 13)

Folds = list[tuple[NDArray, NDArray]]
Rows = Callable[[str], dict[str, Any]]  # of a task


class Cohort:
    """Scans, their table, and what the call asks of them."""

    def __init__(self, options: argparse.Namespace):
        data = load_derivatives(options.folder, t_r=options.t_r)
        scans = [np.asarray(scan, dtype=np.float32) for scan in data.scans]
        whole = np.array([bool((scan.std(axis=0) > 0).all()) for scan in scans])
        once = ~pd.Series([scan.tobytes() for scan in scans]).duplicated().to_numpy()
        asked = [*self.columns(options.targets), *self.columns(options.confounds)]
        known = data.phenotypes[asked].notna().all(axis=1).to_numpy()
        keep = np.flatnonzero(whole & once & known)
        self.t_r, self.options = data.t_r, options
        self.cache = str(options.output / "cache")
        self.scans, self.table = scans, data.phenotypes
        if options.quick:  # a few of each stratum
            keep = keep[pd.Series(self.strata()[keep]).groupby(self.strata()[keep]).cumcount() < 5]
        print(data.description)
        print(
            f"{len(keep)} scans are read: {(~whole).sum()} lack a region, {(~once).sum()} repeat"
            f" another scan, {(~known).sum()} lack a target or a confound"
        )
        self.scans = [scans[i] for i in keep]
        self.table = data.phenotypes.iloc[keep].reset_index(drop=True)

    def target(self, name: str) -> tuple[NDArray, str]:
        """Return a column, and its task: numbers are a regression."""
        column = self.table[name]
        if pd.api.types.is_numeric_dtype(column):
            return column.to_numpy(float), "regression"
        return column.to_numpy(object), "classification"

    def columns(self, names: str) -> list[str]:
        """Return the columns that an option names."""
        return [name for name in names.split(",") if name]

    def strata(self) -> NDArray:
        """Return the combination of the stratifying columns of each scan, (n_scans,)."""
        rows = self.table[self.columns(self.options.strata)].astype(str)
        return rows.agg("/".join, axis=1).to_numpy() if rows.size else np.zeros(len(rows), int)

    def folds(self, n_repeats: int) -> Folds:
        """Hold out subjects; the strata are alike in all folds."""
        splitter = RepeatedStratifiedKFold(n_splits=N_FOLDS, n_repeats=n_repeats, random_state=0)
        folds = list(splitter.split(self.scans, self.strata()))
        return folds[:1] if self.options.quick else folds


def fit_once(transformer: Any, scans: list) -> tuple[Any, NDArray]:
    """Fit on scans alone and transform them; joblib's memory finds the result again."""
    fitted = clone(transformer)
    return fitted, fitted.fit_transform(scans)


class Kept(TransformerMixin, BaseEstimator):
    """Features that all targets and heads of a fold share, as no target changes them."""

    def __init__(self, features: Any, cache: str):
        self.features = features
        self.cache = cache

    def fit(self, X: list, y: Any = None) -> Self:
        self.fit_transform(X)
        return self

    def fit_transform(self, X: list, y: Any = None) -> NDArray:
        found = Memory(self.cache, verbose=0).cache(fit_once)(self.features, list(X))
        self.fitted_, transformed = found
        return transformed

    def transform(self, X: list) -> NDArray:
        return self.fitted_.transform(X)


class OnKept(BaseEstimator):
    """A head of BrainMAE on an encoder that is kept."""

    def __init__(self, head: Any, encoder: Kept):
        self.head = head
        self.encoder = encoder

    def fit(self, X: list, y: NDArray, groups: Any = None) -> Self:
        pretrained = clone(self.encoder).fit(X).fitted_
        self.model_ = clone(self.head).set_params(pretrained=pretrained).fit(X, y, groups=groups)
        self.view_weights_ = self.model_.view_weights_
        return self

    def predict(self, X: list) -> NDArray:
        return self.model_.predict(X)


class Regressor(RegressorMixin, OnKept):
    """Predicts numbers."""


class Classifier(ClassifierMixin, OnKept):
    """Predicts classes."""

    @property
    def classes_(self) -> NDArray:
        return self.model_.classes_

    def predict_proba(self, X: list) -> NDArray:
        return self.model_.predict_proba(X)


def encoders(cohort: Cohort) -> dict[str, tuple[BrainMAETransformer, str]]:
    """Return our rows: an encoder, and the views that its head reads."""
    quick = cohort.options.quick
    make = partial(BrainMAETransformer, t_r=cohort.t_r, random_state=0)
    paper = make(max_epochs=1 if quick else PAPER_EPOCHS, init="random", lr=1e-3)
    return {
        "BrainMAE": (make(max_epochs=1 if quick else EPOCHS), "auto"),
        "BrainMAE, not trained": (make(max_epochs=0), "auto"),
        "paper's network": (paper, "states"),
    }


def ours(cohort: Cohort, task: str) -> dict[str, Any]:
    """Return BrainMAE trained, not trained, and in the paper's configuration."""
    head, kind = {
        "regression": (BrainMAERegressor, Regressor),
        "classification": (BrainMAEClassifier, Classifier),
    }[task]
    return {
        name: kind(head(views=views), Kept(encoder, cohort.cache))
        for name, (encoder, views) in encoders(cohort).items()
    }


def opponents(cohort: Cohort, task: str) -> dict[str, Any]:
    """Return what a cohort is usually read with; ``--heads all`` adds every head on FC."""
    rows = make_opponents(task, t_r=cohort.t_r, random_state=0)
    if cohort.options.heads == "linear":
        rows = {name: m for name, m in rows.items() if name.endswith((LINEAR[task], "chance"))}
    rows = {name: share_features(model, cohort.cache) for name, model in rows.items()}
    if cohort.options.peers:
        shortest = min(map(len, cohort.scans))  # these networks need scans of equal length
        cut = FunctionTransformer(first_frames, kw_args={"n": shortest})
        network = PeerBaseline("meanMLP", task, max_epochs=PEER_EPOCHS, random_state=0)
        rows["meanMLP"] = make_pipeline(cut, network)
    return rows


def first_frames(scans: list, n: int) -> list:
    """Cut scans to their first frames."""
    return [scan[:n] for scan in scans]


def share_features(model: Any, cache: str) -> Any:
    """Let all heads and targets of a fold share an opponent's features."""
    if isinstance(model, ConnectivityBaseline):
        features = ConnectivityFeatures(model.kind)
    elif isinstance(model, FeatureBaseline):
        features = model.features
    else:
        return model
    return FeatureBaseline(Kept(features, cache), model.task, model.head, model.random_state)


def contest(
    cohort: Cohort,
    part: str,
    make_rows: Callable[[str], dict[str, Any]],
    folds: Folds,
    **given: Any,
) -> None:
    """Compare all rows for every target, and print a table each."""
    for name in cohort.columns(cohort.options.targets):
        started = time.perf_counter()
        y, task = cohort.target(name)
        found = compare_rows(cohort, f"{part}-{name}", make_rows(task), y, folds, **given)
        print(f"\n{part}: {name}, {METRIC[task]} ({time.perf_counter() - started:.0f} s)")
        print(summarise(found).to_string(), flush=True)


def compare_rows(
    cohort: Cohort, name: str, rows: dict[str, Any], y: NDArray, folds: Folds, **given: Any
) -> Comparison:
    """Compare rows in folds; finished fits are kept under ``name``."""
    X = given.pop("X", cohort.scans)
    output = cohort.options.output / name
    return compare(rows, X, y, cv=folds, folder=output, **given)


def summarise(found: Comparison) -> pd.DataFrame:
    """Return a row an estimator, best first."""
    metric = "roc_auc" if "roc_auc" in found.metrics else "pearson_r"
    table = found.table.loc[metric].drop(columns=["difference", "difference_std"])
    pooled = {name: pooled_score(rows) for name, rows in found.predictions.groupby("estimator")}
    table.insert(1, "pooled", pd.Series(pooled))
    shown = ["difference", "low", "high", "p_holm", "boot_low", "boot_high"]
    table = table.join(found.differences.loc[metric][shown]).round(3)
    columns = ["mean", "pooled", "std", *shown, "fit_time", "views"]
    return table[[name for name in columns if name in table]].sort_values("mean", ascending=False)


def pooled_score(rows: pd.DataFrame) -> float:
    """Score all out-of-fold predictions of a repeat together; mean over repeats."""
    scores = []
    for _, once in rows.groupby("repeat"):
        if "score" in once:
            scores.append(roc_auc_score(once["y_true"], once["score"]))
        else:
            scores.append(np.corrcoef(once["y_true"], once["y_pred"])[0, 1])
    return float(np.mean(scores))


def table(cohort: Cohort) -> None:
    """Hold out subjects; folds are alike in the strata."""
    rows = partial(all_rows, cohort)
    contest(cohort, "table", rows, cohort.folds(cohort.options.repeats))


def all_rows(cohort: Cohort, task: str) -> dict[str, Any]:
    """Return our rows and the opponents'."""
    return {**ours(cohort, task), **opponents(cohort, task)}


def sites(cohort: Cohort) -> None:
    """Hold out whole sites, in the inner folds too."""
    site = cohort.table[cohort.options.site].to_numpy()
    folds = list(GroupKFold(N_FOLDS).split(cohort.scans, groups=site))
    rows = partial(all_rows, cohort)
    contest(cohort, "sites", rows, folds[:1] if cohort.options.quick else folds, groups=site)


def confounds(cohort: Cohort) -> None:
    """Remove confounds from features, inside the fold."""

    def rows(task: str) -> dict[str, Any]:
        model = RidgeCV(PENALTIES) if task == "regression" else LogisticRegressionCV(max_iter=1000)
        head = make_pipeline(ConfoundRemoval(), StandardScaler(), model)
        ours = {name: encoder for name, (encoder, _) in encoders(cohort).items()}
        features = {**ours, "FC tangent": ConnectivityFeatures("tangent")}
        features["FC correlation"] = ConnectivityFeatures("correlation")
        cleaned = {
            f"{name}, cleaned": make_pipeline(Kept(transformer, cohort.cache), *clone(head))
            for name, transformer in features.items()
        }
        return {**cleaned, "confounds only": ConfoundsOnly(task, 0)}

    names = cohort.columns(cohort.options.confounds)
    with sklearn.config_context(enable_metadata_routing=True):
        contest(cohort, "confounds", rows, cohort.folds(1), confounds=cohort.table[names])


def null(cohort: Cohort) -> None:
    """Shuffle targets within the strata: how far does chance go in each row?"""
    strata = pd.Series(cohort.strata())
    for name in cohort.columns(cohort.options.targets):
        y, task = cohort.target(name)
        means = {}
        for shuffle in range(cohort.options.shuffles):
            rng = np.random.default_rng(shuffle)
            order = strata.groupby(strata).transform(
                lambda rows, rng=rng: rng.permutation(rows.index)
            )
            found = compare_rows(
                cohort,
                f"null-{shuffle}-{name}",
                all_rows(cohort, task),
                y[order.to_numpy(int)],
                cohort.folds(1),
            )
            means[shuffle] = found.table.loc[METRIC[task]]["mean"]
        print(f"\nnull: {name}, {METRIC[task]} of shuffled targets, a column a shuffling")
        print(pd.DataFrame(means).round(3).to_string(), flush=True)


def curve(cohort: Cohort) -> None:
    """Label few subjects of the training part; pretrain on these, or on all of the part."""
    for name in cohort.columns(cohort.options.targets):
        y, task = cohort.target(name)
        scores = []
        for k, (train, test) in enumerate(cohort.folds(1)):
            order = np.random.default_rng(k).permutation(train)
            encoder = clone(ours(cohort, task)["BrainMAE"].encoder)
            whole = encoder.fit([cohort.scans[i] for i in train]).fitted_
            for n in [n for n in CURVE if n <= len(order)]:
                rows = all_rows(cohort, task)
                rows = {row: rows[row] for row in ("BrainMAE", f"FC tangent, {LINEAR[task]}")}
                rows["BrainMAE, all scans"] = clone(rows["BrainMAE"].head).set_params(
                    pretrained=whole
                )
                label = f"curve-{name}-{k}-{n}"
                found = compare_rows(cohort, label, rows, y, [(order[:n], test)])
                scores.append(found.table.loc[METRIC[task]]["mean"].rename((n, k)))
        print(f"\ncurve: {name}, {METRIC[task]} by labelled subjects, mean over folds")
        by_subjects = pd.DataFrame(scores).groupby(level=0)
        print(by_subjects.mean().round(3).to_string(), flush=True)
        plot_curve(by_subjects, f"{name}: {METRIC[task]}", cohort.options.output)


def plot_curve(by_subjects: Any, title: str, output: Path) -> None:
    """Draw means over folds, with their standard deviation, against the number of subjects."""
    mean, spread = by_subjects.mean(), by_subjects.std()
    fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for k, row in enumerate(mean):
        subjects = mean.index * 1.02 ** (k - 1)  # beside each other
        ax.errorbar(subjects, mean[row], spread[row], marker="o", capsize=3, label=row)
    ax.set_xscale("log", base=2)
    ax.set_xticks(mean.index, mean.index)
    ax.set_xlabel("labelled training subjects")
    ax.set_ylabel(f"{title} (mean ± SD of folds)")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    fig.savefig(output / f"curve-{title.split(':')[0]}.png", dpi=150)


def length(cohort: Cohort) -> None:
    """Cut scans to their first minutes."""
    for minutes in MINUTES:
        n = round(minutes * 60 / (cohort.t_r or 1))
        rows = partial(all_rows, cohort)
        cut = first_frames(cohort.scans, n)
        contest(cohort, f"length-{minutes}min", rows, cohort.folds(1), X=cut)


def cost(cohort: Cohort) -> None:
    """Fit each row once on the first training part, in a process of its own."""
    name = cohort.columns(cohort.options.targets)[0]
    y, task = cohort.target(name)
    train = cohort.folds(1)[0][0]
    print(f"\ncost: a fit on {len(train)} scans for {name}, the data included in the memory")
    for row, model in all_rows(cohort, task).items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak = pool.apply(
                fit_timed, (model, [cohort.scans[i] for i in train], y[train])
            )
        print(f"{row:40s} {seconds:8.1f} s {peak / 1e6:8.2f} GB", flush=True)


def fit_timed(model: Any, X: list, y: NDArray) -> tuple[float, int]:
    """Return seconds of a fit, without what other fits have kept, and the peak of memory in kB."""
    for part in model.get_params():
        if part.split("__")[-1] == "cache":
            model.set_params(**{part: None})
    started = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


PARTS = {part.__name__: part for part in (table, sites, confounds, null, curve, length, cost)}


def main() -> None:
    """Print the parts asked for, and the time of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all")
    parser.add_argument("--targets", required=True, help="columns, such as age,sex")
    parser.add_argument("--t-r", type=float, help="s between frames, if no file tells it")
    parser.add_argument("--strata", default="", help="columns whose mix is alike in all folds")
    parser.add_argument("--site", default="site", help="column of what is held out as a whole")
    parser.add_argument("--confounds", default="", help="columns, such as site,mean_fd")
    parser.add_argument("--repeats", type=int, default=2, help="of the five folds of the table")
    parser.add_argument("--shuffles", type=int, default=3, help="of the null")
    parser.add_argument("--heads", choices=["linear", "all"], default="linear")
    parser.add_argument("--peers", action="store_true", help="add a published network, meanMLP")
    parser.add_argument("--output", type=Path, default=Path("brainmae-cohort"))
    parser.add_argument("--quick", action="store_true", help="few scans, one fold: a first look")
    options = parser.parse_intermixed_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {unknown.pop()!r}; they are {', '.join(PARTS)}")
    warnings.filterwarnings("ignore")
    cohort = Cohort(options)
    for name in options.parts or PARTS:
        started = time.perf_counter()
        PARTS[name](cohort)
        print(f"{name} took {(time.perf_counter() - started) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()

"""Which views of a scan speak about which target, and what training adds.

Four kinds of cohorts, each with its own kind of target:

    python benchmarks/views.py abide FOLDER      age, sex, diagnosis, intelligence; sites apart too
    python benchmarks/views.py song FOLDER       which of six sustained states, from 20 s
    python benchmarks/views.py pain              hot or warm, and how painful, from trials
    python benchmarks/views.py simulated         a static and a dynamic trait of subjects

FOLDER holds scans as :func:`sk_brainmae.datasets.load_derivatives` reads them; nothing is written.
An encoder is pretrained once a fold, on its training scans alone, and every head reads it. Heads
are tuned inside the fold. Scores are means over folds: r for numbers, AUC for two classes, balanced
accuracy for more.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.baselines import ConnectivityBaseline, FeatureBaseline, FlatWindow
from sk_brainmae.datasets import fetch_pain, make_cohort, pain_trials
from sk_brainmae.timeseries import Window

N_FOLDS = 5
TRAINED = {"max_epochs": 8}  # of two cores' patience; most encoders stop before
PAPER = {"init": "random", "max_epochs": 10, "lr": 1e-3}
STEP, MOMENT = 80, 20  # frames between moments of sustained states, and in one


class Task(NamedTuple):
    """One target of some samples; NaN and None are unlabelled."""

    name: str
    y: NDArray
    groups: NDArray | None  # what stays together in inner folds

    @property
    def is_regression(self) -> bool:
        """Whether the target is a number."""
        return self.y.dtype == float


class Study(NamedTuple):
    """Samples, targets and outer folds."""

    X: list
    tasks: list[Task]
    folds: list[tuple[NDArray, NDArray]]
    t_r: float


def abide(folder: Path, sites_apart: bool) -> Study:
    """Scans without missing regions; folds are stratified by site, or hold out whole sites."""
    table = pd.read_csv(folder / "participants.tsv", sep="\t")
    paths = [next(folder.glob(f"{name}_*.npy")) for name in table["participant_id"]]
    scans = [np.load(path).astype(np.float32) for path in paths]
    whole = np.array([(scan.std(axis=0) > 0).all() for scan in scans])
    X, table = [scan for scan, keep in zip(scans, whole, strict=True) if keep], table[whole]
    site = table["site"].to_numpy()
    if sites_apart:
        folds = list(GroupKFold(N_FOLDS).split(X, groups=site))
    else:
        folds = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(X, site))
    groups = site if sites_apart else None
    tasks = [
        Task("age", table["age"].to_numpy(float), groups),
        Task("sex", table["sex"].to_numpy(object), groups),
        Task("autism", table["diagnosis"].to_numpy(object), groups),
        Task("FIQ", table["fiq"].where(table["fiq"] > 0).to_numpy(float), groups),
    ]
    return Study(X, tasks, folds, 2.0)


def song(folder: Path) -> Study:
    """Moments of runs in six states; folds hold people out."""
    X, state, person = [], [], []
    for path in sorted(folder.glob("*.npy")):
        who, task = path.name.split("_")[:2]
        run = np.load(path).astype(np.float32)
        for start in range(10, len(run) - MOMENT, STEP):
            X.append(Window(run, start, start + MOMENT))
            state.append("rest" if "rest" in task else task)
            person.append(who)
    groups = np.array(person)
    folds = list(GroupKFold(N_FOLDS, shuffle=True, random_state=0).split(X, groups=groups))
    return Study(X, [Task("state", np.array(state, object), groups)], folds, 1.0)


def pain(target: str) -> Study:
    """Trials of heat pain, "hot" or warm, or their "rating"; folds hold people out."""
    X, y, groups = pain_trials(fetch_pain(verbose=0), target)
    y = np.asarray(y, float) if target == "rating" else np.asarray(y).astype(str).astype(object)
    folds = list(GroupKFold(N_FOLDS, shuffle=True, random_state=0).split(X, groups=groups))
    return Study(X, [Task(target, y, groups)], folds, 2.0)


def simulated() -> Study:
    """Subjects with a static trait, in their coupling, and a dynamic one, in their dwell times."""
    cohort = make_cohort(n_scans=200, n_timepoints=300, n_regions=60, random_state=0)
    tasks = [Task(name, cohort.traits[name].to_numpy(float), None) for name in cohort.traits]
    folds = list(KFold(N_FOLDS, shuffle=True, random_state=0).split(cohort.scans))
    return Study(list(cohort.scans), tasks, folds, 1.0)


def heads(task: Task, study: Study, encoders: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every row of the table: its name and an unfitted head, or opponent."""
    ours = BrainMAERegressor if task.is_regression else BrainMAEClassifier
    kind = "regression" if task.is_regression else "classification"
    trained, untrained, paper = encoders.values()
    yield "BrainMAE", ours(pretrained=trained)
    yield "BrainMAE, not trained", ours(pretrained=untrained)
    yield "BrainMAE, fixed shares", _Shares(trained, task.is_regression)
    for view in [name for name in trained._views if name in trained.views_]:
        yield f"view {view}", ours(pretrained=trained, views=view)
    if "states" in untrained._views:
        yield "view states, not trained", ours(pretrained=untrained, views="states")
    yield "paper: random start, view states", ours(pretrained=paper, views="states")
    for fc in ("tangent", "correlation"):
        yield f"{fc} FC", ConnectivityBaseline(fc, kind, random_state=0)
    if isinstance(study.X[0], Window):
        yield "flat window", FeatureBaseline(FlatWindow(), kind, random_state=0)


class _Shares:
    """What a plain linear model of scikit-learn makes of the transformer's embedding."""

    def __init__(self, encoder: BrainMAETransformer, is_regression: bool):
        self.encoder, self.is_regression = encoder, is_regression

    def fit(self, X: list, y: NDArray, groups: Any = None) -> "_Shares":
        model = RidgeCV() if self.is_regression else LogisticRegressionCV(max_iter=1000)
        self.model_ = model.fit(self.encoder.transform(X), y)
        return self

    def predict(self, X: list) -> NDArray:
        return self.model_.predict(self.encoder.transform(X))

    def predict_proba(self, X: list) -> NDArray:
        return self.model_.predict_proba(self.encoder.transform(X))


def score(model: Any, X: list, y: NDArray, task: Task, groups: NDArray | None) -> float:
    """Score a fitted model on held-out samples: r, AUC or balanced accuracy."""
    if task.is_regression:
        predicted = model.predict(X)
        if task.name == "rating":  # within people
            people = [groups == who for who in np.unique(groups)]
            return float(np.mean([np.corrcoef(predicted[own], y[own])[0, 1] for own in people]))
        return float(np.corrcoef(predicted, y)[0, 1])
    probabilities = model.predict_proba(X)
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(y == np.unique(y)[1], probabilities[:, 1]))
    return float(balanced_accuracy_score(y, model.predict(X)))


def run(study: Study, n_folds: int) -> None:
    """Score every row and target in the first folds; print the means over folds as they come."""
    rows: list[dict[str, Any]] = []
    for fold, (train, test) in enumerate(study.folds[:n_folds]):
        encoders, seconds = {}, {}
        for name, params in {
            "BrainMAE": TRAINED,
            "not trained": {"max_epochs": 0},
            "paper": PAPER,
        }.items():
            started = time.perf_counter()
            model = BrainMAETransformer(t_r=study.t_r, random_state=0, **params)
            encoders[name] = model.fit([study.X[i] for i in train])
            seconds[name] = time.perf_counter() - started
        print(f"fold {fold}: seconds of an encoder", {k: round(v) for k, v in seconds.items()})
        for task in study.tasks:
            known = ~pd.isna(task.y)
            inside, outside = train[known[train]], test[known[test]]
            groups = [
                None if task.groups is None else task.groups[part] for part in (inside, outside)
            ]
            X, X_test = ([study.X[i] for i in part] for part in (inside, outside))
            for name, head in heads(task, study, encoders):
                started = time.perf_counter()
                model = head.fit(X, task.y[inside], groups=groups[0])
                row = {"fold": fold, "target": task.name, "model": name}
                row["score"] = score(model, X_test, task.y[outside], task, groups[1])
                row["seconds"] = time.perf_counter() - started
                row["views"] = getattr(model, "view_weights_", "")
                rows.append(row)
                if name == "BrainMAE":
                    weights = {view: round(w, 2) for view, w in row["views"].items() if w}
                    print(f"  {task.name}: {row['score']:.3f}, reads {weights}", flush=True)
        print(f"mean of {fold + 1} folds\n{tabulate(pd.DataFrame(rows)).round(3).to_string()}")


def tabulate(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean scores over folds, a row a model and a column a target, and seconds of a head."""
    order = list(dict.fromkeys(scores["model"]))
    table = scores.pivot_table(index="model", columns="target", values="score", sort=False)
    table["seconds of a head"] = scores.groupby("model")["seconds"].mean()
    return table.loc[order]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", choices=["abide", "song", "pain", "simulated"])
    parser.add_argument("folder", nargs="?", type=Path, help="of abide and song")
    parser.add_argument("--folds", type=int, default=N_FOLDS, help="how many of the five are run")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    studies = {
        "abide": lambda: {
            "folds of subjects": abide(arguments.folder, sites_apart=False),
            "folds of sites": abide(arguments.folder, sites_apart=True),
        },
        "song": lambda: {"20 s of unseen people": song(arguments.folder)},
        "pain": lambda: {"hot or warm": pain("hot"), "rating": pain("rating")},
        "simulated": lambda: {"200 subjects": simulated()},
    }
    for title, study in studies[arguments.cohort]().items():
        print(f"\n{title}, {len(study.X)} samples")
        run(study, arguments.folds)

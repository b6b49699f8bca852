"""The finished fits of a comparison, in memory and on disk, so that a later call can resume."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from pickle import PicklingError
from typing import Any, Self

import joblib
import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from sklearn.base import BaseEstimator, clone
from sklearn.utils import _safe_indexing

from sk_brainmae.evaluation.fitting import Fitted
from sk_brainmae.evaluation.folds import Fold
from sk_brainmae.evaluation.samples import Samples
from sk_brainmae.evaluation.tables import (
    SCORE_COLUMNS,
    VIEWS,
    WHERE,
    Contents,
    read_finished,
    replace,
)
from sk_brainmae.persistence.files import naming
from sk_brainmae.scans.runs import forget
from sk_brainmae.scans.tables import labels_of
from sk_brainmae.scans.window import Window
from sk_brainmae.version import __version__

TABLES = ("scores.csv", "predictions.csv")


class Journal:
    """The finished fits of a comparison, in memory and, after ``keep_in``, in a folder too.

    As a context it locks the folder, and frees it for other processes at the end.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.scores: list[pd.DataFrame] = []  # a table for each finished fit
        self.predictions: list[pd.DataFrame] = []
        self.finished: set[tuple[str, int, int]] = set()  # (estimator, repeat, fold)
        self._locks = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._locks.close()

    def keep_in(self, folder: Path, call: dict[str, str], contents: Contents) -> None:
        """Resume from the fits in a folder, made if needed, and append new ones there.

        Refuses results of another ``call``, and a folder in which another process writes; the
        system frees its lock when that process dies.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._locks.enter_context(FileLock(folder / "lock", timeout=0, thread_local=False))
            self._take_over(folder, call, contents)
        except Timeout:
            raise BlockingIOError(
                f"folder={str(folder)!r} is in use by another call of compare: wait for its end, or"
                " choose another"
            ) from None
        except OSError as error:
            message = f"folder={str(folder)!r} cannot keep results, choose another: {error}"
            raise type(error)(message) from None
        self.folder = folder

    def add(self, name: str, fold: Fold, fitted: Fitted) -> None:
        """Keep the results of an estimator in a fold."""
        where: dict[str, Any] = {"estimator": name, "repeat": fold.repeat, "fold": fold.number}
        predictions = fitted.predictions.assign(**where)
        predictions = predictions[[*where, *fitted.predictions.columns]]
        sizes = (fitted.fit_time, len(fold.train), len(fold.test))
        views = json.dumps(fitted.views)
        rows = [(*where.values(), *score, *sizes, views) for score in fitted.values.items()]
        scores = pd.DataFrame(rows, columns=[*SCORE_COLUMNS, VIEWS])
        self.predictions.append(predictions)
        self.scores.append(scores)
        self.finished.add((name, fold.repeat, fold.number))
        if self.folder is not None:
            # Scores come last: they mark a fit as finished.
            _append(self.folder / "predictions.csv", predictions)
            _append(self.folder / "scores.csv", scores)

    def _take_over(self, folder: Path, call: dict[str, str], contents: Contents) -> None:
        """Read what an interrupted call left, and drop the fit that it wrote in part."""
        path = folder / "call.json"
        if path.exists():
            earlier = json.loads(path.read_text(encoding="utf-8"))
            _check_same(folder, earlier, call)
            call = earlier | call
            others = [n for n in Contents.read(folder).estimators if n not in contents.estimators]
            contents = contents._replace(estimators=contents.estimators + others)
        elif found := [name for name in TABLES if (folder / name).exists()]:
            raise ValueError(
                f"{folder} holds {found[0]}, but no call.json that says which call wrote it;"
                f" choose another folder, or remove {found[0]}"
            )
        contents.write(folder)
        replace(path, json.dumps(call, indent=1))
        if not all(_has_a_line(folder / name) for name in TABLES):
            for name in TABLES:
                (folder / name).unlink(missing_ok=True)
            return
        scores, predictions = read_finished(folder, contents)
        if VIEWS not in scores:
            scores[VIEWS] = "{}"
        replace(folder / "scores.csv", scores.to_csv(index=False))
        replace(folder / "predictions.csv", predictions.to_csv(index=False))
        self.scores, self.predictions = [scores], [predictions]
        self.finished = set(scores[WHERE].itertuples(index=False, name=None))


def describe_call(
    estimators: Mapping[str, Any], samples: Samples, folds: list[Fold], metrics: Any
) -> dict[str, str]:
    """Return what results depend on: a hash of every input, the parameters of every estimator."""
    call = {
        "version": __version__,
        "X": _hash_scans(samples.X),
        "y": joblib.hash(samples.y),
        "folds": joblib.hash([(fold.train, fold.test) for fold in folds]),
        "scoring": repr(metrics),
    }
    call |= {name: _hash_rows(values) for name, values in samples.metadata.items()}
    if samples.unlabelled is not None:
        X, metadata = samples.unlabelled
        parts = [_hash_scans(X), *(_hash_rows(rows) for rows in metadata.values())]
        call["unlabelled"] = str(joblib.hash(parts))
    for name, model in estimators.items():
        try:
            # Only what a clone keeps of an earlier fit matters: the rest is learned in every fold.
            call[f"estimator {name}"] = _describe(clone(model))
        except PicklingError as error:
            raise ValueError(
                f"estimator {name!r} cannot be pickled, so a folder cannot tell it from others"
                f" ({error.args[0]}): define its functions in a module, or leave folder out"
            ) from None
    return call


def _hash_scans(X: Any) -> str:
    """Hash the values of scans, reading one at a time; moments of a run share its hash."""
    known: dict[int, str] = {}
    parts: list[tuple] = []
    for i in range(len(X)):
        sample = _safe_indexing(X, i)
        if not isinstance(sample, Window):
            parts.append((_hash_scan(sample),))
            continue
        run = id(sample.scan)
        known[run] = known.get(run) or _hash_scan(sample.scan)
        parts.append((known[run], sample.start, sample.stop))
    return str(joblib.hash(parts))


def _hash_scan(scan: Any) -> str:
    values = joblib.hash(np.asarray(scan))
    forget(scan)
    regions = [str(name) for name in labels_of(scan, 0) or ()]
    return str(joblib.hash((values, regions)))


def _hash_rows(values: Any) -> str:
    if isinstance(values, pd.DataFrame):  # pandas may store equal tables in unequal ways
        values = (values.to_csv(), list(values.select_dtypes(np.number)))
    return str(joblib.hash(values))


def _describe(value: Any) -> str:
    """Write out parameters; arrays among them, and what a fit learned, become hashes."""
    if isinstance(value, BaseEstimator):
        parameters = sorted(value.get_params(deep=False).items())
        inside = ", ".join(f"{name}={_describe_parameter(name, item)}" for name, item in parameters)
        learned = f" fitted {joblib.hash(value)}" if _is_fitted(value) else ""
        return f"{type(value).__name__}({inside}){learned}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_describe(item) for item in value)}]"
    if isinstance(value, (str, int, float, bool, type(None))):
        return repr(value)
    return str(joblib.hash(value))


def _describe_parameter(name: str, value: Any) -> str:
    if name == "pretrained" and isinstance(value, (str, PathLike)) and Path(value).is_dir():
        files = sorted(path for path in Path(value).rglob("*") if path.is_file())
        return f"{str(value)!r} of {joblib.hash([path.read_bytes() for path in files])}"
    return _describe(value)


def _is_fitted(estimator: BaseEstimator) -> bool:
    return any(name.endswith("_") and not name.startswith("_") for name in vars(estimator))


def _check_same(folder: Path, earlier: dict[str, str], call: dict[str, str]) -> None:
    for name in sorted(earlier.keys() | call.keys()):
        then, now = earlier.get(name), call.get(name)
        one_estimator = name.startswith("estimator ")
        if one_estimator and (then is None or now is None):
            continue  # an estimator more or less does not change the others' results
        if then != now:
            detail = f" ({then} then, {now} now)" if one_estimator else ""
            raise ValueError(
                f"{folder} holds the results of another comparison: {name} differs{detail};"
                " choose another folder, or remove it"
            )


def _has_a_line(path: Path) -> bool:
    return path.exists() and b"\n" in path.read_bytes()


def _append(path: Path, rows: pd.DataFrame) -> None:
    """Append whole lines; an empty file gets a header first."""
    with naming(path), path.open("a", encoding="utf-8", newline="") as file:
        file.write(rows.to_csv(index=False, header=file.tell() == 0))

"""What a comparison has found so far, on disk: whole lines, appended as fits end, to go on from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from sklearn.base import BaseEstimator

from sk_brainmae import __version__
from sk_brainmae.evaluation.fitting import Fitted, Samples
from sk_brainmae.evaluation.folds import Fold

SCORE_COLUMNS = ["estimator", "repeat", "fold", "metric", "value", "fit_time", "n_train", "n_test"]


class Journal:
    """Scores and predictions of an unfinished comparison, in memory and, if wanted, in a folder.

    Attributes
    ----------
    scores, predictions : list of DataFrame
        One of each for every finished fit.
    finished : set of (estimator, repeat, fold)
        Which fits those are.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.scores: list[pd.DataFrame] = []
        self.predictions: list[pd.DataFrame] = []
        self.finished: set[tuple[str, int, int]] = set()

    def keep_in(self, folder: Path, call: dict[str, str]) -> None:
        """Go on from what a folder holds, and keep there what is added.

        Parameters
        ----------
        folder : Path
            Of ``scores.csv``, ``predictions.csv`` and ``call.json``; made if needed.
        call : dict of str to str
            What the results depend on, see :func:`describe_call`.

        Raises
        ------
        ValueError
            If the folder holds results of a call that differs in more than further estimators.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._take_over(folder, call)
        self.folder = folder

    def add(self, name: str, fold: Fold, fitted: Fitted) -> None:
        """Keep what came of an estimator and a fold.

        Parameters
        ----------
        name : str
            The estimator's.
        fold : Fold
            Which.
        fitted : Fitted
            Scores and predictions.
        """
        where: dict[str, Any] = {"estimator": name, "repeat": fold.repeat, "fold": fold.number}
        predictions = fitted.predictions.assign(**where)
        predictions = predictions[[*where, *fitted.predictions.columns]]
        scores = pd.DataFrame(
            [
                {
                    **where,
                    "metric": metric,
                    "value": value,
                    "fit_time": fitted.fit_time,
                    "n_train": len(fold.train),
                    "n_test": len(fold.test),
                }
                for metric, value in fitted.values.items()
            ],
            columns=SCORE_COLUMNS,
        )
        self.predictions.append(predictions)
        self.scores.append(scores)
        self.finished.add((name, fold.repeat, fold.number))
        if self.folder is not None:
            # Scores last: they say that a fit is finished.
            _append(self.folder / "predictions.csv", predictions)
            _append(self.folder / "scores.csv", scores)

    def _take_over(self, folder: Path, call: dict[str, str]) -> None:
        """Read what an interrupted call left, and drop what it had not finished writing."""
        path = folder / "call.json"
        if path.exists():
            earlier = json.loads(path.read_text())
            _check_same(folder, earlier, call)
            call = earlier | call
        elif (folder / "scores.csv").exists():
            raise ValueError(
                f"{folder} holds scores.csv, but no call.json that says what they are of; choose"
                " another folder, or remove it"
            )
        path.write_text(json.dumps(call, indent=1))
        scores = _read_whole_lines(folder / "scores.csv")
        if scores is None:
            (folder / "predictions.csv").unlink(missing_ok=True)
            return
        # Every fit has all metrics: one with fewer was being written.
        keys = ["estimator", "repeat", "fold"]
        complete = scores.groupby(keys)["metric"].transform("size") == scores["metric"].nunique()
        scores = scores[complete]
        predictions = _read_whole_lines(folder / "predictions.csv")
        if predictions is None:
            predictions = pd.DataFrame(columns=[*keys, "sample"])
        done = pd.MultiIndex.from_frame(scores[keys].drop_duplicates())
        finished = pd.MultiIndex.from_frame(predictions[keys]).isin(done)
        predictions = predictions[finished]
        scores.to_csv(folder / "scores.csv", index=False)
        predictions.to_csv(folder / "predictions.csv", index=False)
        self.scores, self.predictions = [scores], [predictions]
        self.finished = {(name, int(repeat), int(fold)) for name, repeat, fold in done}


def describe_call(
    estimators: Mapping[str, Any], samples: Samples, folds: list[Fold], metrics: Any
) -> dict[str, str]:
    """Say in short what the results of a comparison depend on.

    Parameters
    ----------
    estimators : dict of str to estimator
        By name.
    samples : Samples
        Scans, target and metadata.
    folds : list of Fold
        All of them.
    metrics : Any
        ``scoring`` as it was given.

    Returns
    -------
    dict of str to str
        A hash of every input, and the parameters of every estimator.
    """
    call = {
        "version": __version__,
        "X": joblib.hash(samples.X),
        "y": joblib.hash(samples.y),
        "folds": joblib.hash([(fold.train, fold.test) for fold in folds]),
        "scoring": repr(metrics),
    }
    call |= {name: _hash_rows(values) for name, values in samples.metadata.items()}
    return call | {f"estimator {name}": _describe(model) for name, model in estimators.items()}


def _hash_rows(values: Any) -> str:
    # Pandas may store equal tables in unequal ways.
    return str(joblib.hash(values.to_csv() if isinstance(values, pd.DataFrame) else values))


def _describe(value: Any) -> str:
    """Write out parameters; data among them (a pretrained encoder, an array) as their hash."""
    if isinstance(value, BaseEstimator) and not hasattr(value, "weights_"):
        parameters = sorted(value.get_params(deep=False).items())
        inside = ", ".join(f"{name}={_describe(item)}" for name, item in parameters)
        return f"{type(value).__name__}({inside})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_describe(item) for item in value)}]"
    if isinstance(value, (str, int, float, bool, type(None))):
        return repr(value)
    return str(joblib.hash(value))


def _check_same(folder: Path, earlier: dict[str, str], call: dict[str, str]) -> None:
    for name in sorted(earlier.keys() | call.keys()):
        if name.startswith("estimator ") and (name not in earlier or name not in call):
            continue  # one more, or one less, changes nothing of the others
        if earlier.get(name) != call.get(name):
            detail = ""
            if name in earlier and name in call and name.startswith("estimator "):
                detail = f" ({earlier[name]} then, {call[name]} now)"
            raise ValueError(
                f"{folder} holds the results of another comparison: {name} differs{detail};"
                " choose another folder, or remove it"
            )


def _read_whole_lines(path: Path) -> pd.DataFrame | None:
    """Read a table without the line that an interruption may have cut."""
    if not path.exists():
        return None
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole.count("\n") < 2:
        return None
    if len(whole) < len(text):
        path.write_text(whole)
    return pd.read_csv(path, dtype={"estimator": str})


def _append(path: Path, rows: pd.DataFrame) -> None:
    """Append whole lines in one write, below a header where there is none yet."""
    with path.open("a", newline="") as file:
        file.write(rows.to_csv(index=False, header=file.tell() == 0))

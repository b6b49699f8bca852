"""The tables of a comparison on disk: plain csv, and beside them what csv cannot tell."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd

from sk_brainmae.persistence import replace_file

WHERE = ["estimator", "repeat", "fold"]
SCORE_COLUMNS = [*WHERE, "metric", "value", "fit_time", "n_train", "n_test"]
PREDICTION_COLUMNS = [*WHERE, "sample", "y_true", "y_pred"]
COUNTS = ("repeat", "fold", "sample", "n_train", "n_test")

# What labels and groups may be: what of their type survives as text.
KINDS = ("string", "integer", "floating", "boolean")


class Contents(NamedTuple):
    """What the tables of a folder hold, as they cannot say it themselves.

    Attributes
    ----------
    estimators : list of str
        In the given order: the others are held against the first.
    metrics : list of str
        Of every finished fit.
    kinds : dict of str to str
        Of the columns of labels and groups, see :func:`kind_of`.
    """

    estimators: list[str]
    metrics: list[str]
    kinds: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``comparison.json``.

        Parameters
        ----------
        folder : Path
            Where it is.

        Returns
        -------
        Contents
            As written.
        """
        path = folder / "comparison.json"
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path} does not exist: name the folder that a comparison was written to"
            ) from None
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is not of a comparison: {error}") from None

    def write(self, folder: Path) -> None:
        """Write ``comparison.json``.

        Parameters
        ----------
        folder : Path
            Where to.
        """
        replace(folder / "comparison.json", json.dumps(self._asdict(), indent=1))


def kind_of(values: Any) -> str:
    """Say what labels or groups are.

    Parameters
    ----------
    values : array-like of shape (n,)
        None missing.

    Returns
    -------
    str
        One of ``KINDS``, or another name that pandas has for them.
    """
    return pd.api.types.infer_dtype(values, skipna=False)


def read_finished(folder: Path, contents: Contents) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the scores and predictions of all fits that are there to the last row.

    Parameters
    ----------
    folder : Path
        Of ``scores.csv`` and ``predictions.csv``; a call that is running, or was killed, may have
        written one fit in part.
    contents : Contents
        What they hold.

    Returns
    -------
    scores, predictions : DataFrame
        As they were written, values and types.
    """
    scores = _read(folder / "scores.csv", SCORE_COLUMNS, {"metric": "string"})
    predictions = _read(folder / "predictions.csv", PREDICTION_COLUMNS, contents.kinds)
    fits = pd.MultiIndex.from_frame(scores[WHERE])
    n_metrics = scores.groupby(WHERE)["metric"].size().reindex(fits).to_numpy()
    n_predicted = predictions.groupby(WHERE).size().reindex(fits).to_numpy()
    whole = (n_metrics == len(contents.metrics)) & (n_predicted == scores["n_test"].to_numpy())
    of_whole = pd.MultiIndex.from_frame(predictions[WHERE]).isin(fits[whole])
    return scores[whole].reset_index(drop=True), predictions[of_whole].reset_index(drop=True)


def replace(path: Path, text: str) -> None:
    """Write a file in one step: whoever is killed, or out of disk, leaves the old one.

    Parameters
    ----------
    path : Path
        Which file.
    text : str
        All of it.
    """
    replace_file(path, text.encode())


def _read(path: Path, columns: list[str], kinds: dict[str, str]) -> pd.DataFrame:
    """Read the whole lines of a table; text stays as it is, "None" and "007" too."""
    try:
        lines = path.read_bytes()
        lines = lines[: lines.rfind(b"\n") + 1]
        table = pd.read_csv(BytesIO(lines), dtype=str, keep_default_na=False)
        if missing := [name for name in columns if name not in table]:
            raise ValueError(f"it has no column {missing[0]!r}")
        kinds = {"estimator": "string", **dict.fromkeys(COUNTS, "integer"), **kinds}
        for name in table:
            table[name] = _restored(table[name], kinds.get(str(name), "floating"))
        return table
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} does not exist: name the folder that a comparison was written to"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} is no table of a comparison: {error}") from None


def _restored(text: pd.Series, kind: str) -> pd.Series:
    if kind == "integer":
        return text.astype(int)
    if kind == "floating":
        return text.replace("", "nan").astype(float)
    return text == "True" if kind == "boolean" else text

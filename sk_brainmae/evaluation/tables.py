"""The tables of a comparison on disk: csv files, and a json of what csv cannot tell."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd

from sk_brainmae.persistence.files import replace_file

WHERE = ["estimator", "repeat", "fold"]
SCORE_COLUMNS = [*WHERE, "metric", "value", "fit_time", "n_train", "n_test"]
VIEWS = "views"  # a further column of scores: JSON; folders of earlier versions have none
PREDICTION_COLUMNS = [*WHERE, "sample", "y_true", "y_pred"]
COUNTS = ("repeat", "fold", "sample", "n_train", "n_test")

# The types that labels and groups may have: those that can be read back from text.
KINDS = ("string", "integer", "floating", "boolean")


class Contents(NamedTuple):
    """What the csv files of a folder cannot tell about themselves."""

    estimators: list[str]  # in the given order: the others are compared with the first
    metrics: list[str]  # of every finished fit
    kinds: dict[str, str]  # column of labels or groups -> its type, one of KINDS

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``comparison.json`` in a folder."""
        path = folder / "comparison.json"
        try:
            return cls(**json.loads(_read_bytes(path)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} was not written by a comparison: {error}") from None

    def write(self, folder: Path) -> None:
        """Write ``comparison.json`` to a folder."""
        replace(folder / "comparison.json", json.dumps(self._asdict(), indent=1))


def kind_of(values: Any) -> str:
    """Return the type of labels or groups: one of ``KINDS``, or pandas' name for another."""
    return pd.api.types.infer_dtype(values, skipna=False)


def read_finished(folder: Path, contents: Contents) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the scores and predictions of all fits that were written to their last row.

    A call that is running, or was killed, may have written one fit in part.
    """
    kinds = {"metric": "string", VIEWS: "string"}
    scores = _read(folder / "scores.csv", SCORE_COLUMNS, kinds)
    predictions = _read(folder / "predictions.csv", PREDICTION_COLUMNS, contents.kinds)
    fits = pd.MultiIndex.from_frame(scores[WHERE])
    n_metrics = scores.groupby(WHERE)["metric"].size().reindex(fits).to_numpy()
    n_predicted = predictions.groupby(WHERE).size().reindex(fits).to_numpy()
    whole = (n_metrics == len(contents.metrics)) & (n_predicted == scores["n_test"].to_numpy())
    of_whole = pd.MultiIndex.from_frame(predictions[WHERE]).isin(fits[whole])
    return scores[whole].reset_index(drop=True), predictions[of_whole].reset_index(drop=True)


def replace(path: Path, text: str) -> None:
    """Write a file in one step: a killed process or a full disk leaves the old file."""
    replace_file(path, text.encode())


def _read(path: Path, columns: list[str], kinds: dict[str, str]) -> pd.DataFrame:
    """Read the whole lines of a table; text stays as it is, "None" and "007" too."""
    try:
        lines = _read_bytes(path)
        lines = lines[: lines.rfind(b"\n") + 1]
        table = pd.read_csv(BytesIO(lines), dtype=str, keep_default_na=False)
        if missing := [name for name in columns if name not in table]:
            raise ValueError(f"it has no column {missing[0]!r}")
        kinds = {"estimator": "string", **dict.fromkeys(COUNTS, "integer"), **kinds}
        for name in table:
            table[name] = _restored(table[name], kinds.get(str(name), "floating"))
        return table
    except ValueError as error:
        raise ValueError(f"{path} is not a table of a comparison: {error}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} does not exist: name the folder that a comparison was written to"
        ) from None


def _restored(text: pd.Series, kind: str) -> pd.Series:
    if kind == "integer":
        return text.astype(int)
    if kind == "floating":
        return text.replace("", "nan").astype(float)
    return text == "True" if kind == "boolean" else text

"""What a grid of head settings costs with and without a memory, against a single setting.

A ridge on BrainMAE's embeddings, searched over its strength in three folds; all in one process,
each search with a folder of its own.
"""

import tempfile
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import make_cohort

COHORT = {"n_scans": 60, "n_timepoints": 200, "n_regions": 60}
ALPHAS = np.logspace(0, 5, 10)
N_FOLDS = 3


def seconds_of_search(scans: Any, y: Any, alphas: Any, memory: str | None) -> float:
    """Duration of a search over the strength of the head."""
    encoder = BrainMAETransformer(random_state=0, memory=memory)
    pipeline = make_pipeline(encoder, StandardScaler(), Ridge())
    search = GridSearchCV(pipeline, {"ridge__alpha": alphas}, cv=N_FOLDS, error_score="raise")
    begun = time.perf_counter()
    search.fit(scans, y)
    return time.perf_counter() - begun


def main() -> None:
    """Print the seconds of each search, and over those of a single setting."""
    warnings.simplefilter("ignore")
    cohort = make_cohort(**COHORT, random_state=0)
    scans, y = cohort.scans, cohort.traits["static"]
    searches = {
        "1 setting": (ALPHAS[:1], False),
        "1 setting, memory": (ALPHAS[:1], True),
        "10 settings, memory": (ALPHAS, True),
        "10 settings": (ALPHAS, False),
    }
    seconds = {}
    for name, (alphas, remembers) in searches.items():
        with tempfile.TemporaryDirectory() as folder:
            seconds[name] = seconds_of_search(scans, y, alphas, folder if remembers else None)
    table = pd.DataFrame({"seconds": seconds})
    table["ratio"] = table["seconds"] / table.loc["1 setting", "seconds"]
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()

"""The cost of a grid over a head, with and without ``memory``, relative to a single setting.

The head is a ridge on BrainMAE's embeddings. Its strength is searched in three folds, and the best
model is refitted. All searches run in one process, each with its own folder.
"""

import argparse
import tempfile
import time
import warnings
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import make_cohort

COHORT = {"n_scans": 60, "n_timepoints": 200, "n_regions": 60}
ALPHAS = np.logspace(0, 5, 10)
N_FOLDS = 3


def seconds_of_search(
    scans: Any, y: Any, alphas: Any, memory: str | None, max_epochs: int
) -> float:
    """Return the processor time of a search over the strength of the head."""
    encoder = BrainMAETransformer(max_epochs=max_epochs, random_state=0, memory=memory)
    pipeline = make_pipeline(encoder, StandardScaler(), Ridge())
    search = GridSearchCV(pipeline, {"ridge__alpha": alphas}, cv=N_FOLDS, error_score="raise")
    begun = time.process_time()
    search.fit(scans, y)
    return time.process_time() - begun


def main() -> None:
    """Print the seconds of each search, and the ratio to a single setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10 epochs instead of 100")
    max_epochs = 10 if parser.parse_args().quick else 100
    warnings.simplefilter("ignore")
    cohort = make_cohort(**COHORT, random_state=0)
    scans, y = cohort.scans, cohort.traits["static"]
    searches = {
        "1 setting": (ALPHAS[:1], False),
        "10 settings, memory": (ALPHAS, True),
        "10 settings": (ALPHAS, False),
    }
    one = None
    for name, (alphas, remembers) in searches.items():
        with tempfile.TemporaryDirectory() as folder:
            memory = folder if remembers else None
            seconds = seconds_of_search(scans, y, alphas, memory, max_epochs)
        one = one or seconds
        print(f"{name:20} {seconds:7.1f} s   {seconds / one:5.2f}", flush=True)


if __name__ == "__main__":
    main()

"""The seam refuses and warns alike, through whichever door scans come."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.baselines import make_opponents
from sk_brainmae.datasets import load_derivatives, make_cohort
from sk_brainmae.datasets.files import read_scans
from sk_brainmae.evaluation import compare
from sk_brainmae.inspection import group_connectivity
from sk_brainmae.scans import Window

Y = np.tile([0, 1], 6)
TINY = {"embedding_dim": 8, "max_epochs": 0, "random_state": 0, "window_size": 10}
FC = next(iter(make_opponents("classification").values()))


def scores(X, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of estimators that fail in a fold
        return compare({"FC": clone(FC)}, X, Y, cv=2, **options)


DOORS = {
    "transformer": lambda X: BrainMAETransformer(**TINY).fit(X),
    "classifier": lambda X: BrainMAEClassifier(**TINY).fit(X, Y),
    "baseline": lambda X: clone(FC).fit(X, Y),
    "compare": scores,
    "connectivity": group_connectivity,
}


@pytest.fixture(scope="module")
def arrays():
    return list(make_cohort(n_scans=12, n_timepoints=60, n_regions=6, random_state=0).scans)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.assign(time=np.arange(60) * 2.0), "a column 'time', which is not a region"),
        (lambda t: t.assign(k=np.arange(60) * 2.0), "column 'k' rises from frame to frame"),
        (lambda t: t.rename(columns={"r3": 0.5}), "labels its column 3 0.5, which is neither"),
    ],
    ids=["named time", "counts", "not understood"],
)
def test_what_is_no_region_is_refused_through_every_door(arrays, door, spoil, message):
    X = [spoil(pd.DataFrame(scan).add_prefix("r")) for scan in arrays]
    with pytest.raises((ValueError, RuntimeError), match=message):
        door(X)


@pytest.mark.parametrize("reader", [read_scans, load_derivatives])
@pytest.mark.parametrize("place", [0, 3, 6])
@pytest.mark.parametrize("name", ["time", "k"])
def test_files_with_a_column_that_counts_are_refused_too(arrays, tmp_path, reader, place, name):
    table = pd.DataFrame(arrays[0]).add_prefix("r")
    table.insert(place, name, np.arange(60) * 2.0)
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match=r"a\.csv: its .*column .*(rises|not a region)"):
        reader(tmp_path)


@pytest.mark.parametrize("kind", [[*map(float, range(1, 7))], [b"a", b"b", b"c", b"d", b"e", b"f"]])
def test_models_and_baselines_read_labels_of_every_kind_in_any_order(arrays, kind):
    X = [pd.DataFrame(scan, columns=kind) for scan in arrays]
    turned = [table.iloc[:, ::-1] for table in X]
    model = BrainMAETransformer(**TINY).fit(X)
    np.testing.assert_array_equal(model.transform(turned), model.transform(X))
    baseline = clone(FC).fit(X, Y)
    np.testing.assert_array_equal(baseline.predict_proba(turned), baseline.predict_proba(X))


def test_models_and_baselines_that_know_names_warn_once_of_scans_without(arrays):
    X = [pd.DataFrame(scan).add_prefix("r") for scan in arrays]
    model, baseline = BrainMAETransformer(**TINY).fit(X), clone(FC).fit(X, Y)
    uses = (model.transform, model.transform_windows, model.reconstruct, baseline.predict)
    for use in uses:
        with pytest.warns(UserWarning, match="X does not have valid feature names") as caught:
            use(arrays)
        told = [w for w in caught if "valid feature names" in str(w.message)]
        assert len(told) == 1


def test_comparison_sees_that_views_are_of_one_run(arrays):
    runs = np.stack(arrays[:2])
    X = [Window(runs[i % 2], 5 * (i // 2), 5 * (i // 2) + 20) for i in range(12)]
    with pytest.warns(UserWarning, match="12 samples are of 2 runs, but no groups are given"):
        compare({"FC": clone(FC)}, X, Y, cv=2)

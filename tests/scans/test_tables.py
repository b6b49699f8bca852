"""Tables of several libraries: their labels become names, and what cannot be read is refused."""

import narwhals
import numpy as np
import pandas as pd
import pytest

from sk_brainmae.scans import Window, validate_scans
from sk_brainmae.scans.regions import region_orders

pytestmark = pytest.mark.filterwarnings("error")


def as_polars(array, names):
    return pytest.importorskip("polars").DataFrame(array, schema=list(names))


def as_narwhals(array, names):
    """Make a table that has names, as polars has them, and no ``iloc``."""
    return narwhals.from_native(pd.DataFrame(array, columns=list(names)))


def as_xarray(array, names):
    xarray = pytest.importorskip("xarray")
    return xarray.DataArray(array, dims=("time", "region"), coords={"region": list(names)})


def as_pandas(array, names):
    return pd.DataFrame(array, columns=list(names))


KINDS = [as_pandas, as_narwhals, as_polars, as_xarray]


# --- names --------------------------------------------------------------------------------------

LABELS = {
    "bytes": [b"a", b"b\xc3\xa9", b"c"],
    "NumPy bytes": list(np.array(["a", "b", "c"], dtype="S")),
    "NumPy text": list(np.array(["a", "b", "c"])),
    "whole floats": [1.0, 2.0, 3.0],
    "labels of an image": list(np.unique(np.array([[7, 0, 2], [2, 7, 9]], dtype=np.float32))[1:]),
    "whole numbers of NumPy": list(np.array([1, 2, 3], dtype=np.uint16)),
    "tuples": [("LH", "Vis", 1), ("LH", "Vis", 2), ("RH", "", 1)],
    "MultiIndex": pd.MultiIndex.from_product([["LH"], ["a", "b", "c"]]),
    "categories": pd.CategoricalIndex(["a", "b", "c"]),
    "texts and numbers": ["a", 1, 2.0],
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_scans_are_brought_into_one_order_by_labels_of_every_kind(scan, labels):
    X = [pd.DataFrame(scan(n_regions=3, seed=seed), columns=labels) for seed in range(3)]
    cohort = validate_scans(X)
    assert all(type(name) is str for name in cohort.region_names)
    moved = validate_scans([X[0], *(table.iloc[:, [2, 0, 1]] for table in X[1:])])
    np.testing.assert_array_equal(moved.frames, cohort.frames)
    with pytest.raises(ValueError, match=r"scan 1 has other regions .* it lacks"):
        validate_scans([X[0].iloc[:, 1:], X[1].iloc[:, :2]])


def test_a_label_has_one_name_whatever_its_type():
    kinds = ([1, 2, 3], [1.0, 2.0, 3.0], ["1", "2", "3"], [b"1", b"2", b"3"])
    X = [pd.DataFrame(np.eye(3), columns=labels) for labels in kinds]
    assert region_orders(X) == (["1", "2", "3"], [None] * 4)
    assert region_orders([pd.DataFrame(np.eye(3), columns=LABELS["tuples"])])[0] == [
        "LH_Vis_1",
        "LH_Vis_2",
        "RH_1",
    ]


@pytest.mark.parametrize(
    "label", [0.5, None, np.nan, np.inf, True, pd.Timestamp("2020-01-01"), ("a", 0.5), b"\xff", 1j]
)
def test_a_label_that_names_no_region_raises_naming_its_column(scan, label):
    labels = pd.Index(["a", "b", label, "c"], dtype=object)
    table = pd.DataFrame(scan(), columns=labels)
    with pytest.raises(ValueError, match=r"scan 1 labels its column 2 .*neither text nor a whole"):
        validate_scans([scan(), Window(table, 0, 9)])


def test_texts_that_count_are_names_and_numbers_that_count_are_none(cohort_of):
    texts = [pd.DataFrame(scan, columns=list("0123")) for scan in cohort_of()]
    assert validate_scans(texts).region_names == list("0123")
    assert validate_scans([pd.DataFrame(scan) for scan in cohort_of()]).region_names is None
    floats = [pd.DataFrame(scan, columns=np.arange(4.0)) for scan in cohort_of()]
    assert validate_scans(floats).region_names is None


def test_columns_counted_from_0_are_read_in_the_order_of_their_numbers(cohort_of):
    plain = [pd.DataFrame(scan) for scan in cohort_of()]
    turned = [table.iloc[:, ::-1] for table in plain]
    expected = validate_scans(plain).frames
    for X in (turned, [plain[0], *turned[1:]], [turned[0], *plain[1:]]):
        cohort = validate_scans(X, n_regions=4)
        assert cohort.region_names is None
        np.testing.assert_array_equal(cohort.frames, expected)


def test_counted_columns_out_of_order_are_no_match_for_other_names(scan):
    with pytest.raises(ValueError, match="scan 0 has other regions than the 4 of the model"):
        validate_scans([pd.DataFrame(scan()).iloc[:, ::-1]], region_names=list("abcd"))


# --- libraries ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", KINDS)
def test_tables_of_every_library_are_read_by_their_names(cohort_of, make):
    arrays = cohort_of()
    expected = validate_scans([as_pandas(array, "abcd") for array in arrays])
    X = [make(array, "abcd") for array in arrays]
    turned = [make(array[:, [3, 0, 2, 1]], "dacb") for array in arrays]
    for scans in (X, [X[0], *turned[1:]]):
        cohort = validate_scans(scans)
        assert cohort.region_names == list("abcd")
        np.testing.assert_array_equal(cohort.frames, expected.frames)
    moments = [Window(turned[0], 0, 10), Window(turned[0], 10, 30)]
    cohort = validate_scans(moments, region_names=list("abcd"))
    assert cohort.runs.tolist() == [0, 0]
    np.testing.assert_array_equal(cohort.frames, expected.frames[:30])
    hidden = np.zeros((30, 4), dtype=bool)
    hidden[:, 0] = True  # of "d"
    cohort = validate_scans(turned[:1], region_names=list("abcd"), hidden=[hidden])
    assert cohort.hidden.all(axis=0).tolist() == [False, False, False, True]


@pytest.mark.parametrize("make", KINDS)
def test_other_regions_and_times_of_every_library_are_refused(cohort_of, make):
    arrays = cohort_of()
    with pytest.raises(ValueError, match=r"scan 1 .* it lacks 'd' and it has in addition 'z'"):
        validate_scans([make(arrays[0], "abcd"), make(arrays[1], "abcz")])
    with pytest.raises(ValueError, match="scan 0 has a column 'time', which is not a region"):
        validate_scans([make(array, ["time", "b", "c", "d"]) for array in arrays])
    arrays[:, :, 2] = np.arange(30)
    with pytest.raises(ValueError, match="column 'c' rises from frame to frame in every scan"):
        validate_scans([make(array, "abcd") for array in arrays])


@pytest.mark.parametrize("make", KINDS)
def test_a_single_table_is_no_cohort(scan, make):
    with pytest.raises(ValueError, match=r"X is a single scan of shape \(30, 4\)"):
        validate_scans(make(scan(), "abcd"))


@pytest.mark.parametrize("make", KINDS)
def test_missing_values_of_every_library_are_masked(scan, make):
    array = scan()
    array[3, 1] = np.nan
    with pytest.warns(UserWarning, match="scan 0: 1 other values"):
        cohort = validate_scans([make(array, "abcd")])
    assert np.argwhere(cohort.missing).tolist() == [[3, 1]]


def test_a_query_is_no_table(scan):
    table = as_polars(scan(), "abcd").lazy()
    with pytest.raises(TypeError, match=r"scan 0 is a LazyFrame.*collect\(\)"):
        validate_scans([table])


def test_null_of_polars_is_missing(scan):
    pl = pytest.importorskip("polars")
    table = as_polars(scan(), "abcd")
    table = table.with_columns(pl.when(pl.int_range(30) == 3).then(None).otherwise("b").alias("b"))
    table = table.with_columns(pl.col("a").cast(pl.Int32))
    with pytest.warns(UserWarning, match="scan 0: 1 other values"):
        cohort = validate_scans([table])
    assert np.argwhere(cohort.missing).tolist() == [[3, 1]]


# --- xarray -------------------------------------------------------------------------------------


def test_array_of_scans_keeps_the_labels_of_its_regions(cohort_of):
    xarray = pytest.importorskip("xarray")
    X = xarray.DataArray(
        cohort_of(), dims=("subject", "time", "region"), coords={"region": list("abcd")}
    )
    expected = validate_scans(X)
    assert expected.region_names == list("abcd")
    turned = validate_scans(X[:, :, ::-1], region_names=list("abcd"))
    np.testing.assert_array_equal(turned.frames, expected.frames)
    assert region_orders(X[:, :, ::-1], list("abcd"))[1][2].tolist() == [3, 2, 1, 0]


def test_labels_beside_the_axis_of_regions_name_them(scan):
    xarray = pytest.importorskip("xarray")
    dims = ("time", "roi")
    one = {"time": np.arange(30) * 2.0, "roi": range(4), "name": ("roi", list("abcd"))}
    assert validate_scans([xarray.DataArray(scan(), one, dims)]).region_names == list("abcd")
    assert validate_scans([xarray.DataArray(scan(), dims=dims)]).region_names is None
    two = one | {"network": ("roi", ["v", "v", "m", "m"])}
    with pytest.raises(ValueError, match="scan 0 labels its roi by 'name', 'network': choose"):
        validate_scans([xarray.DataArray(scan(), two, dims)])


@pytest.mark.parametrize("axes", [("region", "time"), ("ROIs", "frames"), ("x", "time")])
@pytest.mark.parametrize("make", [as_pandas, as_xarray])
def test_axes_in_the_wrong_order_raise(scan, axes, make):
    table = make(scan(), "abcd")
    if make is as_pandas:
        table = table.rename_axis(index=axes[0], columns=axes[1])
    else:
        table = table.rename(time="t", region="r").rename(t=axes[0], r=axes[1])
    with pytest.raises(ValueError, match=rf"scan 0 has the axes '{axes[0]}' and '{axes[1]}'"):
        validate_scans([table])


@pytest.mark.parametrize("axes", [("time", "region"), (None, "label"), ("TR", "id"), ("t", None)])
def test_axes_in_the_right_order_are_read(scan, axes):
    table = pd.DataFrame(scan(), columns=list("abcd")).rename_axis(index=axes[0], columns=axes[1])
    assert validate_scans([table]).region_names == list("abcd")

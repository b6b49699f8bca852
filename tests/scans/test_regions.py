"""Regions by name: orders, Windows that share a run, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from sk_brainmae.scans import Window
from sk_brainmae.scans.regions import region_orders, reorder_columns, reorder_regions

SCAN = np.arange(12.0).reshape(4, 3)


def named(*names):
    return pd.DataFrame(SCAN, columns=list(names))


def test_columns_go_to_the_order_of_the_first_named_scan_and_back():
    X = [named("a", "b", "c"), named("c", "a", "b")]
    names, orders = region_orders(X)
    assert names == ["a", "b", "c"]
    first, second = reorder_regions(X, orders)
    assert first is X[0]
    assert list(second.columns) == names
    np.testing.assert_array_equal(second["c"], SCAN[:, 0])
    back = reorder_columns([first, second], orders, back=True)
    np.testing.assert_array_equal(back[1], SCAN)


def test_numbers_of_an_atlas_are_names_and_counted_columns_are_none():
    names, orders = region_orders([named(1, 2, 3), named(3, 1, 2), named("2", "1", "3")])
    assert names == ["1", "2", "3"]
    assert [order if order is None else order.tolist() for order in orders] == [
        None,
        [1, 2, 0],
        [1, 0, 2],
    ]
    assert region_orders([named(0, 1, 2)]) == (None, [None])


def test_windows_of_one_run_still_share_it():
    run = named("c", "a", "b")
    X = [Window(run, 0, 2), Window(run, 2, 4)]
    first, second = reorder_regions(X, region_orders(X, ["a", "b", "c"])[1])
    assert first.scan is second.scan
    np.testing.assert_array_equal(np.asarray(second), SCAN[2:, [1, 2, 0]])


@pytest.mark.parametrize("name", ["a\xa0b", "a\x07", "a\n", "\ud800", "", " "], ids=ascii)
def test_names_that_cannot_be_printed_are_not_learned(name):
    with pytest.raises(ValueError, match=r"scan 1 names a region .*: rename it"):
        region_orders([SCAN, named("a", name, "c")])


@pytest.mark.parametrize(
    "X", [np.zeros((2, 4, 3)), [SCAN, SCAN], [pd.DataFrame(SCAN)], (SCAN,), "scans", None, 3]
)
def test_without_names_nothing_is_moved(X):
    names, orders = region_orders(X)
    assert names is None
    assert reorder_regions(X, orders) is X


def test_scans_without_names_among_named_ones_are_told():
    with pytest.warns(UserWarning, match="1 of 2 scans name their regions"):
        names, orders = region_orders([SCAN, named("a", "b", "c")])
    assert names == ["a", "b", "c"]
    assert orders == [None, None]


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        (named("a", "b", "b"), "scan 1 has two regions named 'b': rename one"),
        (named("a", 0, 0), "scan 1 has two regions named '0'"),
        (named("a", "b", "d"), "scan 1 .* lacks 'c' and it has in addition 'd'"),
        (named("a", "b", "c").iloc[:, :2], "scan 1 .* it lacks 'c'"),
    ],
)
def test_other_regions_are_refused(scan, message):
    with pytest.raises(ValueError, match=message):
        region_orders([named("a", "b", "c"), scan])


def test_columns_of_another_shape_are_left_to_the_seam():
    orders = region_orders([named("c", "b", "a")], ["a", "b", "c"])[1]
    for parts in (None, [], [np.zeros((4, 2))], [np.zeros(4)]):
        moved = reorder_columns(parts, orders)
        assert moved is parts or moved[0] is parts[0]

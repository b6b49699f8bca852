"""Whatever numbers a scan holds, the doctor reports on them."""

import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_brainmae.doctor import check_scans, warn_findings

SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 12))
KINDS = st.sampled_from(
    ["normal", "constant", "integer", "huge", "tiny", "walk", "bool", "spiky", "holes"]
)


def drawn(shape, kind, seed):
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=shape)
    return {
        "normal": normal,
        "constant": np.full(shape, normal[0, 0]),
        "integer": rng.integers(-3, 3, shape),
        "huge": normal * 1e307,
        "tiny": normal * 5e-324,
        "walk": normal.cumsum(axis=0).astype(np.float32),
        "bool": normal > 0,
        "holes": np.where(rng.uniform(size=shape) < 0.4, [[np.nan], [-np.inf]][seed % 2], normal),
        "spiky": np.where(rng.uniform(size=shape) < 0.02, 1e200, normal),
    }[kind]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(SHAPES, KINDS, st.integers(0, 3)), min_size=1, max_size=9),
    st.sampled_from([None, 1e-3, 2.0, 1e6]),
    st.booleans(),
)
def test_no_matrix_of_numbers_crashes_the_doctor(recipes, t_r, same_shape):
    shape = recipes[0][0]
    X = [drawn(shape if same_shape else own, kind, seed) for own, kind, seed in recipes]
    report = check_scans(X, t_r)
    assert len(report.table) == len(X)
    assert all(place in range(len(X)) for f in report.findings for place in f.scans)
    assert all("\n" not in f.text and "nan" not in f.text for f in report.findings)
    assert str(report)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warn_findings(X, t_r)

"""The table of views says what is true of them, and all of them keep one contract."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from sk_brainmae.embedding import SHARES, VIEWS
from sk_brainmae.embedding.registry import (
    MEAN_SQUARED_NORM,
    OF_MOMENTS,
    OF_SCANS,
    TRAINABLE,
    check_trainable,
    check_views,
    embed_views,
    fit_views,
    resolve_views,
    scales_of,
)
from sk_brainmae.embedding.source import Source
from sk_brainmae.timeseries import Window, censor, validate_scans

N_REGIONS, WINDOW = 10, 8
REGIONS = [f"r{i}" for i in range(N_REGIONS)]
CLOSED_FORM = ("connectivity", "innovations", "tempo", "response")
OF_NETWORK = ("states", "state_mean", "dynamics", "cls")
SECOND_ORDER = CLOSED_FORM[:3]


# --- names --------------------------------------------------------------------------------------


def test_every_view_has_a_share_and_is_of_the_signal_or_of_the_network():
    assert set(VIEWS) == set(SHARES) == {*CLOSED_FORM, *OF_NETWORK}
    assert {*OF_SCANS, *OF_MOMENTS, *TRAINABLE} <= set(VIEWS)
    assert min(SHARES.values()) > 0


@pytest.mark.parametrize("views", ["tempo", ["tempo"], ("tempo",), np.array(["tempo"])])
def test_one_view_may_be_named_alone_or_in_a_sequence(views):
    assert check_views(views) == ("tempo",)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ([], "views is empty: name at least one of connectivity"),
        ((), "views is empty"),
        ("covariance", "unknown view 'covariance': choose from connectivity, .*'auto'"),
        (["tempo", "cls", "mean"], "unknown view 'mean'"),
        (["tempo", "auto"], "unknown view 'auto'"),
        ([3], "unknown view 3"),
        (("tempo", "cls", "tempo"), "names a view twice"),
    ],
)
def test_names_that_choose_no_views_are_refused(views, message):
    with pytest.raises(ValueError, match=message):
        check_views(views)


def test_auto_is_what_suits_scans_moments_or_fine_tuning(scans):
    whole = validate_scans(scans)
    moments = validate_scans([Window(scan, 10, 20) for scan in scans])
    assert resolve_views("auto", whole) == OF_SCANS
    assert resolve_views("auto", moments) == OF_MOMENTS
    assert resolve_views("auto", moments, finetuned=True) == ("state_mean",)
    assert resolve_views("auto", whole, finetuned=True) == ("state_mean",)
    assert "response" not in OF_SCANS
    assert "tempo" not in OF_MOMENTS


def test_named_views_are_read_whatever_the_samples_are(scans):
    for cohort in (validate_scans(scans), validate_scans([Window(scans[0], 10, 20)])):
        assert resolve_views(["response", "tempo"], cohort) == ("response", "tempo")
        assert resolve_views("cls", cohort, finetuned=True) == ("cls",)


def test_only_one_view_that_is_linear_in_the_network_can_be_fine_tuned():
    for views in ("auto", "state_mean", "cls", ["cls"]):
        check_trainable(views)
    for views in (*CLOSED_FORM, "states", "dynamics", ("state_mean", "cls"), ["cls", "tempo"]):
        with pytest.raises(ValueError, match="cannot be fine-tuned: use 'state_mean' or 'cls'"):
            check_trainable(views)
    with pytest.raises(ValueError, match="unknown view 'mean'"):
        check_trainable("mean")


# --- what all views keep to ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def read(scans, source, load_network):
    return source(scans, load_network=load_network)


@pytest.fixture(scope="module")
def fitted(read):
    return fit_views(VIEWS, read)


@pytest.fixture(scope="module")
def embedded(fitted, read):
    return embed_views(fitted, VIEWS, read)


@pytest.mark.parametrize("name", VIEWS)
def test_features_are_finite_float32_and_each_has_a_name(fitted, embedded, name):
    names = fitted[name].feature_names(REGIONS)
    assert embedded[name].dtype == np.float32
    assert embedded[name].shape == (12, len(names))
    assert len(set(names)) == len(names)
    assert np.isfinite(embedded[name]).all()
    assert embedded[name].std(axis=0).max() > 0


@pytest.mark.parametrize("name", [name for name in VIEWS if name != "response"])
def test_training_scans_have_mean_0(embedded, name):
    np.testing.assert_allclose(embedded[name].mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize("name", VIEWS)
def test_arrays_have_the_axes_that_the_view_tells(fitted, name):
    view = fitted[name]
    assert list(vars(view)) == list(VIEWS[name].axes)
    sizes = {"N": N_REGIONS, "T": WINDOW, "D": 4, "F": len(view.feature_names(REGIONS))}
    for field, letters in view.axes.items():
        array = vars(view)[field]
        assert array.dtype == float
        known = [sizes.setdefault(k, n) for k, n in zip(letters, array.shape, strict=True)]
        assert known == list(array.shape), field


@pytest.mark.parametrize("name", CLOSED_FORM)
def test_embedding_of_a_scan_does_not_depend_on_what_else_is_embedded(scans, source, name):
    view = VIEWS[name].fit(source(scans[:6]))
    X = [*scans[6:], Window(scans[0], 20, 50), Window(scans[1], 3, 5)]
    together = view.embed(source(X, scans[:6]))
    for i, sample in enumerate(X):
        np.testing.assert_array_equal(view.embed(source([sample], scans[:6]))[0], together[i])


@pytest.mark.parametrize("name", CLOSED_FORM)
def test_units_do_not_matter(scans, source, name):
    units = np.geomspace(0.1, 1e3, N_REGIONS)
    view = VIEWS[name].fit(source(scans))
    ours, theirs = (view.embed(source(X, scans)) for X in (40 + units * scans, scans))
    np.testing.assert_allclose(ours, theirs, atol=5e-4)


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_a_moment_shorter_than_a_window_is_widened_evenly(scans, source, name):
    view = VIEWS[name].fit(source(scans))
    short = [Window(scans[0], 21, 23), Window(scans[0], 0, 1), Window(scans[0], 79, 80)]
    wide = [Window(scans[0], 18, 26), Window(scans[0], 0, 8), Window(scans[0], 72, 80)]
    np.testing.assert_array_equal(*(view.embed(source(X, scans)) for X in (short, wide)))


@pytest.mark.filterwarnings("ignore:constant regions")
@pytest.mark.parametrize("value", [-3.3, 1e5])
@pytest.mark.parametrize("name", SECOND_ORDER)
def test_the_constant_of_a_missing_region_never_matters(scans, source, name, value):
    zero, other = scans.copy(), scans.copy()
    zero[:4, :, 0], other[:4, :, 0] = 0, value
    ours, theirs = (VIEWS[name].fit(source(X)).embed(source(X)) for X in (zero, other))
    np.testing.assert_array_equal(ours, theirs)


# --- few frames, few regions, few scans ---------------------------------------------------------

ODD = {
    "fewer frames than regions": lambda s: s[:, :WINDOW],
    "shorter than the prediction": lambda s: s[:, :12],
    "one scan": lambda s: s[:1],
    "one subject": lambda s: np.concatenate([s[:1], s[:1] + 1]),
    "one subject, many scans": lambda s: np.concatenate([s[:1] + i for i in range(24)]),
    "two regions": lambda s: s[:, :, :2],
    "duplicate regions": lambda s: s[:, :, [0, 0, 1, 2, 2, 3]],
    "region missing in all scans": lambda s: s * (np.arange(s.shape[2]) != 3),
    "one region with signal": lambda s: s * (np.arange(s.shape[2]) == 3),
    "random walks": lambda s: np.cumsum(s, axis=1),
    "straight lines": lambda s: np.arange(s.shape[1])[:, None] + 0 * s,
    "censored frames": lambda s: np.stack([censor(x, [2, 5]) for x in s]),
}


@pytest.mark.filterwarnings(
    "ignore:constant regions", "ignore:.*more regions than frames", "ignore:.*missing values"
)
@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("name", CLOSED_FORM)
def test_odd_cohorts_embed_finitely(scans, source, case, name):
    odd = ODD[case](scans.astype(float))
    view = VIEWS[name].fit(source(odd))
    assert np.isfinite(view.embed(source(odd))).all()
    new = ODD[case](scans[::-1].astype(float) + np.random.default_rng(0).normal(size=scans.shape))
    assert np.isfinite(view.embed(source(new, odd))).all()


@pytest.mark.parametrize("name", CLOSED_FORM)
def test_a_moment_without_any_change_embeds_finitely(scans, source, name):
    flat = scans[0].copy()
    flat[20:40] = scans[0].mean(axis=0)
    view = VIEWS[name].fit(source(scans))
    assert np.isfinite(view.embed(source([Window(flat, 20, 40)], scans))).all()


# --- shares -------------------------------------------------------------------------------------


def test_scales_give_views_their_fixed_shares_of_the_mean_squared_norm(embedded):
    for names in (OF_SCANS, ("response", "cls"), ("tempo",)):
        some = {name: embedded[name] for name in names}
        scales = scales_of(some)
        assert list(scales) == list(names)
        total = sum(SHARES[name] for name in names)
        for name, scale in scales.items():
            norm = np.square(scale * embedded[name]).sum(axis=1).mean()
            assert norm == pytest.approx(MEAN_SQUARED_NORM * SHARES[name] / total, rel=1e-4)


def test_a_view_that_does_not_vary_over_the_training_scans_keeps_its_units(embedded):
    scales = scales_of({"tempo": embedded["tempo"], "cls": np.zeros((12, 4))})
    share = SHARES["cls"] / (SHARES["cls"] + SHARES["tempo"])
    assert scales["cls"] == pytest.approx((MEAN_SQUARED_NORM * share) ** 0.5)


# --- a new view ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Length:
    """Number of frames of a sample, around that of the training scans."""

    axes: ClassVar[dict[str, str]] = {"mean": "F"}

    mean: np.ndarray

    @classmethod
    def fit(cls, source: Source):
        return cls(np.array([(source.cohort.stop - source.cohort.start).mean()]))

    def embed(self, source: Source):
        return ((source.cohort.stop - source.cohort.start)[:, None] - self.mean).astype(np.float32)

    def feature_names(self, regions):
        return ["frames"]


def test_a_new_view_is_one_line_in_the_table(scans, source, monkeypatch):
    monkeypatch.setitem(VIEWS, "length", Length)
    ragged = source([scan[: 80 - 2 * i] for i, scan in enumerate(scans)])
    views = fit_views(check_views(["length", "tempo"]), ragged)
    embedded = embed_views(views, views, ragged)
    np.testing.assert_array_equal(embedded["length"][:, 0], np.arange(11.0, -13, -2))


def test_a_view_with_nothing_to_read_is_left_out(scans, source, monkeypatch):
    monkeypatch.setitem(VIEWS, "nothing", type("Nothing", (Length,), {"fit": lambda source: None}))
    assert list(fit_views(["nothing", "tempo"], source(scans))) == ["tempo"]

"""Models that travel: what comes back from a folder is what was saved, or a clear error."""

import hashlib
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from safetensors.numpy import load_file, save_file
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.persistence.folder import FILES, WEIGHTS
from sk_brainmae.timeseries import Window

TRANSFORMERS = {
    "defaults": {},
    "adaptive": {"init": "random", "attention": "adaptive"},
    "some views": {"views": ["tempo", "states", "dynamics"], "validation_fraction": 0},
    "seconds": {
        "views": "response",
        "t_r": np.float64(2.0),
        "window_size": 20.0,
        "crop_length": 60,
    },
    "one ratio": {"views": ("cls",), "mask_ratio": 0.5},
    "untrained": {"max_epochs": 0, "n_layers": 0, "random_state": np.random.RandomState(0)},
    "numpy numbers": {
        **dict.fromkeys(("embedding_dim", "batch_size"), np.int64(8)),
        "n_heads": np.int64(2),
        "max_epochs": np.int64(1),
        "n_layers": np.int32(1),
        "n_states": np.int16(2),
        "patience": np.uint8(3),
        "lr": np.float32(0.006),
        "weight_decay": np.float32(0.05),
        "t_r": np.float32(1.5),
        "crop_length": np.float32(45),
        "mask_ratio": [np.float32(0), np.float32(0.5)],
        "random_state": np.int64(0),
    },
    "numpy ratio": {"mask_ratio": np.float32(0.5)},
}


# --- round trips --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", TRANSFORMERS)
def test_a_loaded_transformer_gives_the_same_output(scans, values, tiny, tmp_path, case):
    params = TRANSFORMERS[case]
    model = BrainMAETransformer(**{**tiny, **params}).fit(scans)
    model.save_pretrained(tmp_path / "model")
    loaded = BrainMAETransformer.from_pretrained(str(tmp_path / "model"))
    BrainMAERegressor(pretrained=loaded, **params).fit(scans, values)  # asks for the same ones
    np.testing.assert_array_equal(loaded.transform(scans), model.transform(scans))
    assert loaded.views_ == model.views_
    np.testing.assert_array_equal(loaded.get_feature_names_out(), model.get_feature_names_out())
    assert loaded.score(scans) == model.score(scans)
    assert joblib.hash(loaded.weights_) == joblib.hash(model.weights_)
    pd.testing.assert_frame_equal(loaded.history_, model.history_)
    assert loaded.held_out_r2_ == model.held_out_r2_
    assert loaded.training_size_ == {"n_scans": 12, "n_frames": 720}


@pytest.mark.parametrize(
    ("strategy", "y"),
    [
        ("probe", np.array(["rest", "task"] * 6, dtype=object)),
        ("finetune", np.array([True, False] * 6)),
        ("finetune", np.tile([3, 5, 7], 4)),
    ],
    ids=["frozen", "fine-tuned", "fine-tuned, three classes"],
)
def test_a_loaded_classifier_gives_the_same_output(scans, tiny, tmp_path, strategy, y):
    model = BrainMAEClassifier(**tiny, strategy=strategy).fit(scans, y)
    model.save_pretrained(tmp_path / "model")
    loaded = BrainMAEClassifier.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(scans), model.predict_proba(scans))
    np.testing.assert_array_equal(loaded.predict(scans), model.predict(scans))
    assert loaded.classes_.dtype == model.classes_.dtype
    assert loaded.view_weights_ == model.view_weights_
    assert loaded.views_ == model.views_
    pd.testing.assert_frame_equal(loaded.history_, model.history_)


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
def test_a_loaded_regressor_gives_the_same_output(scans, values, tiny, tmp_path, strategy):
    model = BrainMAERegressor(**tiny, strategy=strategy).fit(scans, values)
    model.save_pretrained(tmp_path / "model")
    loaded = BrainMAERegressor.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(scans), model.predict(scans))


def test_a_loaded_classifier_of_moments_gives_the_same_output(scans, fitted, tmp_path):
    moments = [Window(scan, start, start + 10) for scan in scans for start in (0, 30)]
    model = BrainMAEClassifier(pretrained=fitted).fit(moments, np.tile([0, 1], 12))
    model.save_pretrained(tmp_path / "model")
    loaded = BrainMAEClassifier.from_pretrained(tmp_path / "model")
    assert loaded.view_weights_ == model.view_weights_
    assert "response" in loaded.view_weights_
    np.testing.assert_array_equal(loaded.predict_proba(moments), model.predict_proba(moments))


def test_another_process_loads_the_same_model(scans, fitted, saved, tmp_path):
    np.save(tmp_path / "scans.npy", scans)
    script = (
        "import sys, numpy as np, torch\n"
        "torch.set_num_threads(1)\n"
        "from sk_brainmae import BrainMAETransformer\n"
        "model = BrainMAETransformer.from_pretrained(sys.argv[1])\n"
        "np.save(sys.argv[3], model.transform(np.load(sys.argv[2])))\n"
    )
    paths = [str(saved), str(tmp_path / "scans.npy"), str(tmp_path / "output.npy")]
    subprocess.run([sys.executable, "-c", script, *paths], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "output.npy"), fitted.transform(scans))


def test_a_loaded_model_can_be_saved_and_fitted_again(scans, fitted, saved, tmp_path):
    loaded = BrainMAETransformer.from_pretrained(saved)
    loaded.save_pretrained(tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes(), name
    np.testing.assert_array_equal(loaded.fit(scans).transform(scans), fitted.transform(scans))


@pytest.mark.parametrize("estimator", [BrainMAEClassifier, BrainMAERegressor])
def test_a_folder_serves_as_pretrained_encoder(
    scans, labels, values, fitted, saved, estimator, tmp_path
):
    y = labels if estimator is BrainMAEClassifier else values
    model = estimator(pretrained=str(saved)).fit(scans, y)
    expected = estimator(pretrained=fitted).fit(scans, y).predict(scans)
    np.testing.assert_array_equal(model.predict(scans), expected)
    model.save_pretrained(tmp_path / "model")
    loaded = estimator.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(scans), expected)
    assert loaded.window_size == fitted.window_size, "the encoder's, not the default"


def test_a_pipeline_travels_through_skops(scans, values, tiny):
    pipeline = make_pipeline(BrainMAETransformer(**tiny), StandardScaler(), Ridge())
    pipeline.fit(scans, values)
    dumped = skops.io.dumps(pipeline)
    trusted = skops.io.get_untrusted_types(data=dumped)
    assert all(name.startswith("sk_brainmae.") for name in trusted)
    loaded = skops.io.loads(dumped, trusted=trusted)
    np.testing.assert_array_equal(loaded.predict(scans), pipeline.predict(scans))


# --- saving -------------------------------------------------------------------------------------


def test_saving_into_the_working_directory_leaves_it_there(fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fitted.save_pretrained(".")
    fitted.save_pretrained(".")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    BrainMAETransformer.from_pretrained(".")


@pytest.mark.parametrize("params", [{"embedding_dim": 16}, {"init": "random"}, {"lr": -1.0}])
def test_parameters_set_after_fit_that_make_no_model_are_not_saved(folder, params):
    model = BrainMAETransformer.from_pretrained(folder).set_params(**params)
    with pytest.raises(ValueError, match=r"would not load again: .*fit again"):
        model.save_pretrained(folder)
    BrainMAETransformer.from_pretrained(folder)


def test_weights_that_are_not_finite_are_not_saved(folder):
    model = BrainMAETransformer.from_pretrained(folder)
    model.weights_["cls"][0] = np.inf
    with pytest.raises(ValueError, match="cls holds values that are not finite floats"):
        model.save_pretrained(folder)


def test_an_unfitted_model_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        BrainMAETransformer().save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("odd", ["one too few", "region 0", 9, "", "a\xa0b", "\n"])
def test_names_that_do_not_fit_the_regions_are_refused(fitted, names, tmp_path, odd):
    given = names[:-1] if odd == "one too few" else [*names[:-1], odd]
    with pytest.raises(ValueError, match="region name"):
        fitted.save_pretrained(tmp_path / "model", region_names=given)
    assert not (tmp_path / "model").exists()


# --- regions by name ----------------------------------------------------------------------------


def test_named_regions_in_another_order_give_the_same_output(
    scans, fitted, names, as_frames, tmp_path
):
    fitted.save_pretrained(tmp_path / "model", region_names=names)
    loaded = BrainMAETransformer.from_pretrained(tmp_path / "model")
    order = np.random.default_rng(0).permutation(10)
    frames = [frame.iloc[:, order] for frame in as_frames(scans)]
    np.testing.assert_array_equal(loaded.transform(frames), fitted.transform(scans))
    np.testing.assert_array_equal(loaded.transform(scans), fitted.transform(scans))
    mask = np.random.default_rng(0).random(scans.shape) < 0.1
    expected = fitted.reconstruct(scans, mask)
    rebuilt = loaded.reconstruct(frames, list(mask[:, :, order]))
    for one, other in zip(rebuilt, expected, strict=True):
        np.testing.assert_array_equal(one, other[:, order])


def test_fit_brings_scans_into_the_order_of_the_first(scans, fitted, tiny, names, as_frames):
    frames = as_frames(scans)
    mixed = [*frames[:1], *(frame.iloc[:, ::-1] for frame in frames[1:])]
    model = BrainMAETransformer(**tiny).fit(mixed)
    assert model.region_names_ == names
    assert joblib.hash(model.weights_) == joblib.hash(fitted.weights_)


def test_unknown_regions_are_refused_by_name(scans, named, names, as_frames, tmp_path):
    named.save_pretrained(tmp_path)
    loaded = BrainMAETransformer.from_pretrained(tmp_path)
    others = as_frames(scans, [*names[:-1], "amygdala"])
    with pytest.raises(ValueError, match="lacks 'region 9' and it has in addition 'amygdala'"):
        loaded.transform(others)
    with pytest.raises(ValueError, match="9 regions, but the model was fitted on 10"):
        loaded.transform(scans[:, :, :9])
    with pytest.raises(ValueError, match="not those"):
        loaded.save_pretrained(tmp_path, region_names=names[::-1])


@pytest.mark.parametrize("given", ["encoder", "folder"])
def test_a_predictor_brings_scans_into_the_order_of_its_encoder(
    scans, values, named, as_frames, tmp_path, given
):
    named.save_pretrained(tmp_path)
    pretrained = named if given == "encoder" else tmp_path
    reversed_frames = [frame.iloc[:, ::-1] for frame in as_frames(scans)]
    model = BrainMAERegressor(pretrained=pretrained).fit(reversed_frames, values)
    expected = BrainMAERegressor(pretrained=named).fit(scans, values).predict(scans)
    np.testing.assert_array_equal(model.predict(reversed_frames), expected)


# --- folders that make no model -----------------------------------------------------------------


def nan(arrays):
    arrays["weights.roi"][0, 0] = np.nan


def rename(arrays):
    arrays["../../weights.roi"] = arrays.pop("weights.roi")


def add(arrays):
    arrays["weights.more"] = np.zeros(3, np.float32)


def lose(arrays):
    del arrays["response.components"]


def cut(arrays):
    arrays["weights.roi"] = arrays["weights.roi"][:-1]


def of_integers(arrays):
    arrays["weights.roi"] = np.ones((10, 10), np.int64)


def of_halves(arrays):
    arrays["weights.cls"] = arrays["weights.cls"].astype(np.float16)


def mean_of_another(arrays):
    arrays["innovations.mean"] = np.zeros(7)


def weights_of_another(arrays):
    arrays["connectivity.weight"] = np.zeros(54)


def view_that_was_not_saved(arrays):
    arrays["cls.centre"] = np.zeros(8)


def filters_not_square(arrays):
    arrays["signal.innovation_filters"] = np.zeros((30, 29))


def flat_covariance(arrays):
    arrays["signal.covariance"] = np.zeros(100)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (nan, "not finite floats"),
        (rename, "'../../weights.roi' is unknown"),
        (add, "'weights.more' is unknown"),
        (lose, "'response.components' is missing"),
        (cut, r"weights.roi is float32 of shape \(9, 10\)"),
        (of_integers, "not finite floats"),
        (of_halves, "weights.cls is float16"),
        (mean_of_another, "innovations.mean has 7 features"),
        (weights_of_another, r"connectivity.weight has shape \(54,\), which disagrees"),
        (view_that_was_not_saved, "'cls.centre' is unknown"),
        (filters_not_square, r"innovation_filters has shape \(30, 29\), which disagrees"),
        (flat_covariance, r"signal.covariance has shape \(100,\), which disagrees"),
    ],
)
def test_arrays_that_make_no_model_are_refused(folder, edit, change, message):
    arrays = load_file(folder / WEIGHTS)
    change(arrays)
    save_file(arrays, folder / WEIGHTS)
    checksum = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    edit(folder, "weights_sha256", value=checksum)
    with pytest.raises(ValueError, match=message):
        BrainMAETransformer.from_pretrained(folder)


TOO_FEW = [f"region {i}" for i in range(9)]
CONFIGS = [
    (("model",), "BrainMAEClassifier", "holds a 'BrainMAEClassifier', not a BrainMAETransformer"),
    (("head",), {}, "has no head"),
    (("encoder",), [], "must be a JSON object"),
    (("encoder", "parameters", "command"), "rm", "unknown keys"),
    (("encoder", "parameters", "device"), "cuda", "unknown keys"),
    (("encoder", "parameters", "lr"), "fast", "'lr' parameter"),
    (("encoder", "parameters", "n_layers"), 10**9, "larger than the weights"),
    (("encoder", "parameters", "embedding_dim"), 2**40, "larger than the weights"),
    (("encoder", "parameters", "window_size"), 1e308, "longer than crop_length"),
    (("encoder", "parameters", "crop_length"), 1e-3, "less than one frame"),
    (("encoder", "parameters", "mask_ratio"), [0.5], "mask_ratio"),
    (("encoder", "n_regions"), 11, "shape"),
    (("encoder", "n_regions"), True, "positive integer"),
    (("encoder", "normalisation"), "none", "unknown normalisation"),
    (("encoder", "resampled"), 1, "must be true or false"),
    (("encoder", "views"), "auto", "unknown views"),
    (("encoder", "views"), ["mean"], "unknown views"),
    (("encoder", "views"), [["tempo"]], "unknown views"),
    (("encoder", "views"), [], "scales must hold a number|unknown"),
    (("encoder", "parameters", "views"), ["mean"], "unknown view 'mean'"),
    (("encoder", "parameters", "views"), [], "views is empty"),
    (("encoder", "scales"), {}, "scales are all 0"),
    (("encoder", "scales"), {"cls": 1.0}, "scales must hold a number for each of some"),
    (("encoder", "scales"), {"tempo": -1.0}, "scales must hold numbers of 0 or more"),
    (("encoder", "scales"), {"tempo": "1"}, "scales must hold numbers"),
    (("encoder", "scales"), ["tempo"], "scales must hold a number"),
    (("encoder", "region_names"), TOO_FEW, "9 distinct region names"),
    (("encoder", "region_names"), [*TOO_FEW, "\x1b[2J"], "not printable"),
    (("encoder", "training", "history"), [{"lr": "x"}], "not a number"),
    (("encoder", "training", "history"), [{"lr": 1}], "without an epoch"),
    (("encoder", "group_fc"), {"mean": 1}, "lacks"),
    (("encoder", "training", "held_out_r2"), None, "held_out_r2"),
    (("encoder", "training", "effective_rank"), "full", "effective_rank"),
    (("encoder", "training", "n_scans"), 0, "positive integer"),
]


@pytest.mark.parametrize(("path", "value", "message"), CONFIGS, ids=lambda v: str(v)[:40])
def test_configurations_that_make_no_model_are_refused(folder, edit, path, value, message):
    edit(folder, *path, value=value)
    with pytest.raises(ValueError, match=message):
        BrainMAETransformer.from_pretrained(folder)


@pytest.fixture(scope="module")
def classifier(scans, labels, fitted):
    return BrainMAEClassifier(pretrained=fitted).fit(scans, labels)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("head",), None, "must be a JSON object"),
        (("head", "classes"), ["rest", "rest"], "sorted and distinct"),
        (("head", "classes"), None, "has shape|another kind of estimator"),
        (("head", "view_weights"), {"state_mean": 1.0}, "head.coef has shape"),
        (("head", "view_weights"), {"median": 1.0}, "view_weights must hold a number for each"),
        (("head", "view_weights"), {"tempo": 0.0}, "view_weights are all 0"),
        (("head", "view_weights"), None, "view_weights must hold a number"),
        (("head", "parameters", "window_size"), 5, "different values of window_size"),
    ],
)
def test_heads_that_make_no_model_are_refused(classifier, edit, tmp_path, path, value, message):
    classifier.save_pretrained(tmp_path)
    edit(tmp_path, *path, value=value)
    with pytest.raises(ValueError, match=message):
        BrainMAEClassifier.from_pretrained(tmp_path)


def test_a_regression_head_makes_no_classifier(scans, values, fitted, edit, tmp_path):
    BrainMAERegressor(pretrained=fitted).fit(scans, values).save_pretrained(tmp_path)
    edit(tmp_path, "model", value="BrainMAEClassifier")
    with pytest.raises(ValueError, match="another kind of estimator"):
        BrainMAEClassifier.from_pretrained(tmp_path)

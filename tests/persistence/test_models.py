"""Models that travel: what comes back from a folder is what was saved, or a clear error."""

import os
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.persistence.folder import CONFIG, FILES, WEIGHTS
from sk_brainmae.timeseries import Window

TINY = {
    "embedding_dim": 8,
    "n_heads": 2,
    "window_size": 10,
    "crop_length": 30,
    "max_epochs": 1,
    "random_state": 0,
}
NAMES = [f"region {i}" for i in range(10)]
LABELS = np.array(["rest", "task"] * 6)
VALUES = np.random.default_rng(0).normal(size=12)
TRANSFORMERS = [
    {},
    {"init": "random", "attention": "adaptive"},
    {"n_components": 3, "pooling": "covariance"},
    {"pooling": "state", "t_r": np.float64(2.0), "window_size": 20.0, "crop_length": 60},
    {"pooling": "cls", "mask_ratio": 0.5},
    {"max_epochs": 0, "n_layers": 0, "random_state": np.random.RandomState(0)},
    {
        **{name: np.int64(TINY[name]) for name in ("embedding_dim", "n_heads", "max_epochs")},
        "batch_size": np.int64(4),
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
    {"mask_ratio": np.float32(0.5)},
]
TARGETS = {
    "strings": LABELS,
    "objects": LABELS.astype(object),
    "three": np.tile([3, 5, 7], 4),
    "bools": LABELS == "rest",
}


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=12, n_timepoints=60, n_regions=10, random_state=0).scans


@pytest.fixture(scope="module")
def fitted(scans):
    return BrainMAETransformer(**TINY).fit(scans)


@pytest.fixture
def folder(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def as_frames(scans, names=NAMES):
    return [pd.DataFrame(scan, columns=names) for scan in scans]


# --- round trips --------------------------------------------------------------------------------


@pytest.mark.parametrize("params", TRANSFORMERS)
def test_a_loaded_transformer_gives_the_same_output(scans, tmp_path, params):
    model = BrainMAETransformer(**{**TINY, **params}).fit(scans)
    model.save_pretrained(tmp_path / "model")
    loaded = BrainMAETransformer.from_pretrained(str(tmp_path / "model"))
    BrainMAEClassifier(pretrained=loaded, **params).fit(scans, LABELS)  # asks for the same ones
    np.testing.assert_array_equal(loaded.transform(scans), model.transform(scans))
    assert loaded.score(scans) == model.score(scans)
    assert joblib.hash(loaded.weights_) == joblib.hash(model.weights_)
    pd.testing.assert_frame_equal(loaded.history_, model.history_)
    assert loaded.held_out_r2_ == model.held_out_r2_
    assert loaded.training_size_ == {"n_scans": 12, "n_frames": 720}


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
@pytest.mark.parametrize("y", TARGETS)
def test_a_loaded_classifier_gives_the_same_output(scans, tmp_path, y, strategy):
    model = BrainMAEClassifier(**TINY, strategy=strategy).fit(scans, TARGETS[y])
    model.save_pretrained(tmp_path / "model")
    loaded = BrainMAEClassifier.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(scans), model.predict_proba(scans))
    np.testing.assert_array_equal(loaded.predict(scans), model.predict(scans))
    assert loaded.classes_.dtype == model.classes_.dtype
    pd.testing.assert_frame_equal(loaded.history_, model.history_)


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
def test_a_loaded_regressor_gives_the_same_output(scans, tmp_path, strategy):
    model = BrainMAERegressor(**TINY, strategy=strategy).fit(scans, VALUES)
    model.save_pretrained(tmp_path / "model")
    loaded = BrainMAERegressor.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(scans), model.predict(scans))


def test_a_loaded_classifier_of_moments_gives_the_same_output(scans, tmp_path):
    moments = [Window(scan, start, start + 10) for scan in scans for start in (0, 30)]
    model = BrainMAEClassifier(**TINY).fit(moments, np.tile([0, 1], 12))
    model.save_pretrained(tmp_path / "model")
    loaded = BrainMAEClassifier.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(moments), model.predict_proba(moments))


def test_another_process_loads_the_same_model(scans, fitted, folder, tmp_path):
    np.save(tmp_path / "scans.npy", scans)
    script = (
        "import sys, numpy as np, torch\n"
        "torch.set_num_threads(1)\n"
        "from sk_brainmae import BrainMAETransformer\n"
        "model = BrainMAETransformer.from_pretrained(sys.argv[1])\n"
        "np.save(sys.argv[3], model.transform(np.load(sys.argv[2])))\n"
    )
    paths = [str(folder), str(tmp_path / "scans.npy"), str(tmp_path / "output.npy")]
    subprocess.run([sys.executable, "-c", script, *paths], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "output.npy"), fitted.transform(scans))


def test_a_loaded_model_can_be_saved_and_fitted_again(scans, fitted, folder, tmp_path):
    loaded = BrainMAETransformer.from_pretrained(folder)
    loaded.save_pretrained(tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name
    np.testing.assert_array_equal(loaded.fit(scans).transform(scans), fitted.transform(scans))


@pytest.mark.parametrize("estimator", [BrainMAEClassifier, BrainMAERegressor])
def test_a_folder_serves_as_pretrained_encoder(scans, fitted, folder, estimator, tmp_path):
    y = LABELS if estimator is BrainMAEClassifier else VALUES
    model = estimator(pretrained=str(folder)).fit(scans, y)
    expected = estimator(pretrained=fitted).fit(scans, y).predict(scans)
    np.testing.assert_array_equal(model.predict(scans), expected)
    model.save_pretrained(tmp_path / "model")
    loaded = estimator.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(scans), expected)
    assert loaded.window_size == fitted.window_size, "the encoder's, not the default"


def test_a_pipeline_travels_through_skops(scans):
    pipeline = make_pipeline(BrainMAETransformer(**TINY), StandardScaler(), Ridge())
    pipeline.fit(scans, VALUES)
    dumped = skops.io.dumps(pipeline)
    trusted = skops.io.get_untrusted_types(data=dumped)
    assert all(name.startswith("sk_brainmae.") for name in trusted)
    loaded = skops.io.loads(dumped, trusted=trusted)
    np.testing.assert_array_equal(loaded.predict(scans), pipeline.predict(scans))


def test_the_card_tells_what_the_model_takes(scans, tmp_path):
    params = {**TINY, "t_r": 2.0, "window_size": 20, "crop_length": 60}
    model = BrainMAETransformer(**params).fit(as_frames(scans))
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    for fact in ("`region 0`", "| 2 s |", "20 s, 60 s", "z-scored", "| scans | 12 |"):
        assert fact in card


# --- saving -------------------------------------------------------------------------------------


def test_saving_again_replaces_the_model(scans, fitted, folder):
    other = BrainMAETransformer(**{**TINY, "random_state": 1}).fit(scans)
    other.save_pretrained(folder)
    loaded = BrainMAETransformer.from_pretrained(folder)
    assert joblib.hash(loaded.weights_) == joblib.hash(other.weights_)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model"], "nothing is left"


def test_saving_never_replaces_anything_but_a_model(fitted, tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(FileExistsError, match=r"holds other files \('thesis.tex'\)"):
        fitted.save_pretrained(tmp_path)
    with pytest.raises(FileExistsError, match="is no folder"):
        fitted.save_pretrained(tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years"


def test_saving_never_replaces_files_that_only_have_the_names_of_a_model(fitted, tmp_path):
    (tmp_path / CONFIG).write_text('{"model_type": "bert"}')
    (tmp_path / WEIGHTS).write_text("of another library")
    with pytest.raises(FileExistsError, match=f"holds other files \\('{CONFIG}'\\)"):
        fitted.save_pretrained(tmp_path)
    assert (tmp_path / WEIGHTS).read_text() == "of another library"


def test_saving_into_the_working_directory_leaves_it_there(fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fitted.save_pretrained(".")
    fitted.save_pretrained(".")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    BrainMAETransformer.from_pretrained(".")


@pytest.mark.parametrize("step", range(6))
def test_saving_that_is_killed_leaves_no_mix(scans, fitted, folder, monkeypatch, step):
    other = BrainMAETransformer(**{**TINY, "random_state": 1, "pooling": "mean"}).fit(scans)
    n_steps = 0

    def killed_in(call):
        def run(*arguments):
            nonlocal n_steps
            n_steps += 1
            if n_steps > step:
                raise KeyboardInterrupt
            return call(*arguments)

        return run

    for name in ("fsync", "replace"):  # three files are written, then take their places
        monkeypatch.setattr(f"os.{name}", killed_in(getattr(os, name)))
    with pytest.raises(KeyboardInterrupt):
        other.save_pretrained(folder)
    monkeypatch.undo()
    if step <= 3:
        loaded = BrainMAETransformer.from_pretrained(folder)
        assert joblib.hash(loaded.weights_) == joblib.hash(fitted.weights_)
    else:
        with pytest.raises(ValueError, match="save again"):
            BrainMAETransformer.from_pretrained(folder)
    other.save_pretrained(folder)
    assert BrainMAETransformer.from_pretrained(folder).pooling == "mean"


def test_saving_that_fails_leaves_the_old_model(fitted, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left.*\.model\.safetensors\.part"):
        fitted.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_labels_that_are_neither_texts_nor_numbers_cannot_be_saved(scans, fitted, tmp_path):
    dates = np.array(["2020-01-01", "2021-01-01"] * 6, dtype="datetime64[D]")
    model = BrainMAEClassifier(pretrained=fitted).fit(scans, dates)
    with pytest.raises(ValueError, match=r"datetime64.* cannot be saved"):
        model.save_pretrained(tmp_path / "model")


@pytest.mark.parametrize("params", [{"window_size": 15}, {"embedding_dim": 16}, {"lr": -1.0}])
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


@pytest.mark.parametrize(
    "names",
    [NAMES[:-1], NAMES[:-1] + NAMES[:1], *([*NAMES[:-1], odd] for odd in (9, "", "a\xa0b", "\n"))],
)
def test_names_that_do_not_fit_the_regions_are_refused(fitted, tmp_path, names):
    with pytest.raises(ValueError, match="region name"):
        fitted.save_pretrained(tmp_path / "model", region_names=names)
    assert not (tmp_path / "model").exists()


# --- regions by name ----------------------------------------------------------------------------


def test_named_regions_in_another_order_give_the_same_output(scans, fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "model", region_names=NAMES)
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


def test_fit_brings_scans_into_the_order_of_the_first(scans, fitted):
    frames = as_frames(scans)
    mixed = [*frames[:1], *(frame.iloc[:, ::-1] for frame in frames[1:])]
    model = BrainMAETransformer(**TINY).fit(mixed)
    assert model.region_names_ == NAMES
    assert joblib.hash(model.weights_) == joblib.hash(fitted.weights_)


def test_unknown_regions_are_refused_by_name(scans, tmp_path):
    BrainMAETransformer(**TINY).fit(as_frames(scans)).save_pretrained(tmp_path)
    loaded = BrainMAETransformer.from_pretrained(tmp_path)
    others = as_frames(scans, [*NAMES[:-1], "amygdala"])
    with pytest.raises(ValueError, match="lacks 'region 9' and it has in addition 'amygdala'"):
        loaded.transform(others)
    with pytest.raises(ValueError, match="9 regions, but the model was fitted on 10"):
        loaded.transform(scans[:, :, :9])
    with pytest.raises(ValueError, match="not those"):
        loaded.save_pretrained(tmp_path, region_names=NAMES[::-1])


@pytest.mark.parametrize("given", ["encoder", "folder"])
def test_a_classifier_brings_scans_into_the_order_of_its_encoder(scans, tmp_path, given):
    encoder = BrainMAETransformer(**TINY).fit(as_frames(scans))
    encoder.save_pretrained(tmp_path)
    pretrained = encoder if given == "encoder" else tmp_path
    reversed_frames = [frame.iloc[:, ::-1] for frame in as_frames(scans)]
    model = BrainMAEClassifier(pretrained=pretrained).fit(reversed_frames, LABELS)
    expected = BrainMAEClassifier(pretrained=encoder).fit(scans, LABELS).predict_proba(scans)
    np.testing.assert_array_equal(model.predict_proba(reversed_frames), expected)

"""Model folders that were damaged, edited or made up: they do not load, and say why."""

import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.persistence.folder import CONFIG, SEAL, WEIGHTS, digest

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


def edit(folder, *path, value):
    """Write another value into the configuration, at a path of keys, with a checksum that fits."""
    config = json.loads((folder / CONFIG).read_text())
    at = config
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    config[SEAL] = digest(config)
    (folder / CONFIG).write_text(json.dumps(config))


def rewrite(folder, change):
    """Change the arrays of a model, with a checksum that fits."""
    arrays = load_file(folder / WEIGHTS)
    change(arrays)
    save_file(arrays, folder / WEIGHTS)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    edit(folder, "weights_sha256", value=digest)


def test_no_folder_and_missing_files_say_so(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no model folder"):
        BrainMAETransformer.from_pretrained(tmp_path / "nowhere")
    for name in (CONFIG, WEIGHTS):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
            BrainMAETransformer.from_pretrained(folder)
        (folder / name).write_bytes(content)
    (folder / "README.md").unlink()
    BrainMAETransformer.from_pretrained(folder)


def test_a_newer_format_asks_for_an_upgrade(folder):
    edit(folder, "format_version", value=2)
    edit(folder, "package_version", value="9.0")
    with pytest.raises(ValueError, match=r"format version 2, written by sk_brainmae 9.0.*upgrade"):
        BrainMAETransformer.from_pretrained(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_truncated_files_do_not_load(folder, name, share):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"no whole safetensors file|no JSON"):
        BrainMAETransformer.from_pretrained(folder)


def test_a_flipped_bit_in_a_weight_does_not_load(folder):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-100] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        BrainMAETransformer.from_pretrained(folder)


def test_a_flipped_digit_in_the_configuration_does_not_load(folder):
    text = (folder / CONFIG).read_text()
    (folder / CONFIG).write_text(text.replace('"crop_length": 30', '"crop_length": 70'))
    with pytest.raises(ValueError, match="damaged or was edited"):
        BrainMAETransformer.from_pretrained(folder)


@pytest.mark.parametrize("length", [2**63, 10**8, 2**32])
def test_a_huge_header_length_does_not_load(folder, length):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(length.to_bytes(8, "little") + content[8:])
    with pytest.raises(ValueError, match="no whole safetensors file"):
        BrainMAETransformer.from_pretrained(folder)


def nan(arrays):
    arrays["weights.roi"][0, 0] = np.nan


def rename(arrays):
    arrays["../../weights.roi"] = arrays.pop("weights.roi")


def add(arrays):
    arrays["weights.more"] = np.zeros(3, np.float32)


def cut(arrays):
    arrays["weights.roi"] = arrays["weights.roi"][:-1]


def pooling_of_another(arrays):
    arrays["latent_space.mean"] = np.zeros(7)


def of_integers(arrays):
    arrays["weights.roi"] = np.ones((10, 10), np.int64)


def of_halves(arrays):
    arrays["weights.cls"] = arrays["weights.cls"].astype(np.float16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (nan, "not finite floats"),
        (rename, "'../../weights.roi' is unknown"),
        (add, "'weights.more' is unknown"),
        (cut, r"weights.roi is float32 of shape \(9, 10\)"),
        (pooling_of_another, "mean embedding has 7 features, not 120"),
        (of_integers, "not finite floats"),
        (of_halves, "weights.cls is float16"),
    ],
)
def test_arrays_that_make_no_model_do_not_load(folder, change, message):
    rewrite(folder, change)
    with pytest.raises(ValueError, match=message):
        BrainMAETransformer.from_pretrained(folder)


EDITS = [
    (("more",), 1, "unknown keys"),
    (("format",), "other", "no configuration of an sk_brainmae model"),
    (("format_version",), "1", "positive integer"),
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
    (("encoder", "pooling"), "auto", "unknown pooling"),
    (("encoder", "region_names"), NAMES[:-1], "9 distinct region names"),
    (("encoder", "region_names"), [*NAMES[:-1], "\x1b[2J"], "not printable"),
    (("encoder", "training", "history"), [{"lr": "x"}], "no number"),
    (("encoder", "training", "history"), [{"lr": 1}], "without an epoch"),
    (("encoder", "group_fc"), {"mean": 1}, "lacks"),
    (("encoder", "training", "held_out_r2"), None, "held_out_r2"),
    (("encoder", "training", "n_scans"), 0, "positive integer"),
]


@pytest.mark.parametrize(("path", "value", "message"), EDITS, ids=lambda v: str(v)[:40])
def test_configurations_that_make_no_model_do_not_load(folder, path, value, message):
    edit(folder, *path, value=value)
    with pytest.raises(ValueError, match=message):
        BrainMAETransformer.from_pretrained(folder)


def test_deep_infinite_or_foreign_json_does_not_load(folder):
    text = (folder / CONFIG).read_text()
    for bad in (
        "[" * 10**5,
        text.replace('"lr": 0.006', '"lr": 1e999'),
        text.replace('"lr": 0.006', '"lr": NaN'),
        "\x00\xff",
        "[1]",
    ):
        (folder / CONFIG).write_text(bad)
        with pytest.raises(ValueError, match=r"no JSON|no configuration"):
            BrainMAETransformer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("head",), None, "must be a JSON object"),
        (("head", "classes"), ["rest", "rest"], "sorted and distinct"),
        (("head", "classes"), ["rest", 1], "all of a kind"),
        (("head", "classes"), ["a", "b", "c"], "3 classes for 1 outputs"),
        (("head", "classes"), None, "has shape|another estimator"),
        (("head", "dtype"), "S10", "known type"),
        (("head", "strength"), -1, "strength"),
        (("head", "pooling"), "mean", "head.coef has shape"),
        (("head", "parameters", "window_size"), 5, "different values of window_size"),
    ],
)
def test_heads_that_make_no_model_do_not_load(scans, fitted, tmp_path, path, value, message):
    BrainMAEClassifier(pretrained=fitted).fit(scans, LABELS).save_pretrained(tmp_path)
    edit(tmp_path, *path, value=value)
    with pytest.raises(ValueError, match=message):
        BrainMAEClassifier.from_pretrained(tmp_path)

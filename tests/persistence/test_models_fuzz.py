"""Whatever a model folder holds, it loads or raises the documented errors."""

import hashlib
import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sk_brainmae import BrainMAEClassifier
from sk_brainmae.datasets import make_cohort
from sk_brainmae.persistence.folder import CONFIG, SEAL, WEIGHTS, digest

TINY = {
    "embedding_dim": 4,
    "n_heads": 1,
    "n_states": 1,
    "n_layers": 1,
    "window_size": 5,
    "crop_length": 10,
    "max_epochs": 1,
    "random_state": 0,
}
N_CASES = {"a few": 60, "many": 1000}
AMOUNTS = ["a few", pytest.param("many", marks=pytest.mark.slow)]
TEXT = st.text(max_size=5) | st.sampled_from(["../../x", "cls", "O", "U99999999999"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "model"
    scans = make_cohort(n_scans=6, n_timepoints=20, n_regions=6, random_state=0).scans
    model = BrainMAEClassifier(**TINY).fit(scans, ["a", "b"] * 3)
    model.save_pretrained(folder, region_names=list("abcdef"))
    return folder


def load(whole, config, weights):
    """Load a damaged copy; nothing but the documented errors may come out."""
    folder = whole.parent / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / CONFIG).write_bytes(config)
    (folder / WEIGHTS).write_bytes(weights)
    try:
        BrainMAEClassifier.from_pretrained(folder)
    except (ValueError, OSError):
        return "refused"
    return "loaded"


def with_checksum(config, weights):
    """Return a configuration that vouches for damaged weights."""
    config = {**json.loads(config), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    return json.dumps({**config, SEAL: digest(config)}).encode()


def places(value, path=()):
    """Return the paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


def fuzz(amount, strategy, case):
    """Run a case on many drawn inputs, and print what came of them."""
    outcomes = {"refused": 0, "loaded": 0}

    @settings(
        max_examples=N_CASES[amount],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(drawn):
        outcomes[case(drawn)] += 1

    run()
    print(f"{sum(outcomes.values())} cases: {outcomes}")
    return outcomes


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_flipped_bits(whole, amount, name):
    content = {name: (whole / name).read_bytes() for name in (CONFIG, WEIGHTS)}

    def case(bits):
        damaged = bytearray(content[name])
        for bit in bits:
            damaged[bit // 8] ^= 1 << bit % 8
        return load(whole, *{**content, name: bytes(damaged)}.values())

    n_bits = 8 * len(content[name]) - 1
    bits = st.lists(st.integers(0, n_bits), min_size=1, max_size=4, unique=True)
    outcomes = fuzz(amount, bits, case)
    assert outcomes["loaded"] == 0


@pytest.mark.parametrize("amount", AMOUNTS)
def test_flipped_bits_in_weights_that_the_configuration_vouches_for(whole, amount):
    config, weights = (whole / CONFIG).read_bytes(), (whole / WEIGHTS).read_bytes()
    header = 8 + int.from_bytes(weights[:8], "little")

    def case(places_and_bytes):
        damaged = bytearray(weights)
        for place, byte in places_and_bytes:
            damaged[place] = byte
        return load(whole, with_checksum(config, bytes(damaged)), bytes(damaged))

    change = st.tuples(st.integers(0, header - 1), st.integers(0, 255))
    outcomes = fuzz(amount, st.lists(change, min_size=1, max_size=3), case)
    assert outcomes["refused"] > 0


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_truncated_or_longer_files(whole, amount, name):
    content = {name: (whole / name).read_bytes() for name in (CONFIG, WEIGHTS)}

    def case(length_and_tail):
        length, tail = length_and_tail
        damaged = content[name][:length] + tail
        if name == WEIGHTS:
            return load(whole, with_checksum(content[CONFIG], damaged), damaged)
        return load(whole, damaged, content[WEIGHTS])

    pairs = st.tuples(st.integers(0, len(content[name]) - 1), st.binary(max_size=20))
    assert fuzz(amount, pairs, case)["refused"] > 0


@pytest.mark.parametrize("amount", AMOUNTS)
def test_edited_configurations(whole, amount):
    original, weights = json.loads((whole / CONFIG).read_bytes()), (whole / WEIGHTS).read_bytes()
    paths = places(original)

    def case(place_and_value):
        place, value, remove = place_and_value
        config = json.loads(json.dumps(original))
        at = config
        for key in paths[place][:-1]:
            at = at[key]
        if not paths[place]:
            config = value
        elif remove:
            del at[paths[place][-1]]
        else:
            at[paths[place][-1]] = value
        if isinstance(config, dict) and SEAL in config:
            config[SEAL] = digest(config)
        return load(whole, json.dumps(config).encode(), weights)

    edits = st.tuples(st.integers(0, len(paths) - 1), JSON, st.booleans())
    assert fuzz(amount, edits, case)["refused"] > 0

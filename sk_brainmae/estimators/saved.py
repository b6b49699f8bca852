"""Estimators that travel: what of them goes into a model folder, and what must be true of it."""

import os
import tempfile
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.embedding.covariance import LatentSpace
from sk_brainmae.embedding.moments import MomentSpace
from sk_brainmae.estimators.base import POOLING, BaseBrainMAE
from sk_brainmae.network import BrainMAE
from sk_brainmae.persistence import Contents, download, read_folder, upload, write_folder
from sk_brainmae.persistence.files import Arrays
from sk_brainmae.persistence.folder import check_keys
from sk_brainmae.persistence.history import is_number, pack_history, unpack_history
from sk_brainmae.scans.regions import unprintable

# Of the machine or the run, not of the model: a loaded model has their defaults.
NOT_SAVED = {"device", "memory", "checkpoint", "verbose", "pretrained"}
HUB = "hf://"
NORMALISATION = "each region z-scored over its scan"
ENCODER_KEYS = (
    "parameters",
    "n_regions",
    "region_names",
    "normalisation",
    "resampled",
    "pooling",
    "training",
    "group_fc",
)
TRAINING_KEYS = ("n_scans", "n_frames", "history", "held_out_r2", "effective_rank")
SPACES: dict[str, Any] = {"latent_space": LatentSpace, "moment_space": MomentSpace}
# Shapes of their arrays. N regions, T frames of a window, L latents, F features, C components of
# the embedding; the others are what they are.
SHAPES = {
    "latent_space.covariance": "NN",
    "latent_space.innovation_filters": "PP",
    "latent_space.temporal_components": "TT",
    "latent_space.signal_whitening": "NL",
    "latent_space.innovation_whitening": "NL",
    "latent_space.mean": "F",
    "latent_space.axes": "FC",
    "moment_space.covariance": "NN",
    "moment_space.basis": "NL",
    "moment_space.components": "TM",
}


class SavedModel(BaseBrainMAE):
    """An estimator with ``save_pretrained``, ``from_pretrained`` and ``push_to_hub``.

    Subclasses say what they consist of (``_pack``) and how they are put together (``_unpack``).
    """

    def save_pretrained(
        self, folder: str | os.PathLike, *, region_names: Sequence[str] | None = None
    ) -> None:
        """Save the fitted model as a folder: safetensors weights, JSON, and a model card.

        Parameters
        ----------
        folder : str or PathLike
            New, empty, or holding a model, which is replaced. If saving is killed, there is the
            old model, the new one, or a folder that does not load: never a mix.
        region_names : sequence of str, default=None
            Names of the regions, in order, where ``fit`` saw none.

        Raises
        ------
        ValueError
            If names are not as many as regions, not distinct, or others than those of ``fit``; if
            the model would not load again, as with parameters that were set after ``fit``.
        FileExistsError
            If the folder holds anything but a model.
        OSError
            If it cannot be written.
        """
        check_is_fitted(self)
        contents = self._pack(_check_names(self, region_names))
        try:
            self._unpack(contents)
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"the model would not load again: {error}. Where parameters were set after fit, fit"
                " again"
            ) from error
        write_folder(folder, contents)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike, *, revision: str | None = None) -> Self:
        """Load a saved model; no pickle, and nothing that was saved is run.

        Parameters
        ----------
        folder : str or PathLike
            As ``save_pretrained`` left it, or ``"hf://owner/name"`` on the Hugging Face Hub.
        revision : str, default=None
            Branch, tag or commit on the Hub; None is the newest.

        Returns
        -------
        BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
            Fitted; gives the same output as the one that was saved. ``device``, ``memory``,
            ``checkpoint`` and ``verbose`` have their defaults; ``pretrained`` is None, a copy of
            its parameters in its place.

        Raises
        ------
        FileNotFoundError
            If there is no such folder, or a file in it is missing.
        OSError
            If a file cannot be read, or the Hub not be reached.
        ValueError
            If a file is damaged, of a newer format, of another estimator, or does not make a
            model: unknown keys, shapes that disagree, values that are not finite.
        ImportError
            If huggingface_hub is needed and not installed.
        """
        if str(folder).startswith(HUB):
            folder = download(str(folder).removeprefix(HUB), revision=revision)
        contents = read_folder(folder)
        if contents.model != cls.__name__:
            raise ValueError(f"{str(folder)!r} holds a {contents.model!r}, not a {cls.__name__}")
        try:
            return cls._unpack(contents)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{str(folder)!r} does not make a {cls.__name__}: {error}") from error

    def push_to_hub(
        self,
        repo_id: str,
        *,
        region_names: Sequence[str] | None = None,
        private: bool = False,
    ) -> str:
        """Save the fitted model on the Hugging Face Hub, where you are logged in.

        Parameters
        ----------
        repo_id : str
            ``"owner/name"``; the repository is made if needed.
        region_names : sequence of str, default=None
            As in ``save_pretrained``.
        private : bool, default=False
            Whether a new repository is seen by you alone.

        Returns
        -------
        str
            Address of the commit.

        Raises
        ------
        ImportError
            If huggingface_hub is not installed.
        OSError
            If the Hub cannot be reached, or refuses.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, region_names=region_names)
            return upload(folder, repo_id, private=private)

    def _pack(self, region_names: list[str] | None) -> Contents:
        raise NotImplementedError

    @classmethod
    def _unpack(cls, contents: Contents) -> Self:
        raise NotImplementedError


def pack_encoder(encoder: Any, region_names: list[str] | None) -> tuple[dict[str, Any], Arrays]:
    """Take a fitted transformer apart.

    Parameters
    ----------
    encoder : BrainMAETransformer
        Fitted.
    region_names : list of str or None
        In order.

    Returns
    -------
    config : dict
        All but the arrays, as JSON.
    arrays : dict of str to ndarray
        Weights of the network, and what pooling learned.
    """
    arrays = {f"weights.{name}": array for name, array in encoder.weights_.items()}
    for name in SPACES:
        space = getattr(encoder, f"_{name}")._asdict()
        arrays |= {f"{name}.{field}": array for field, array in space.items() if array is not None}
    covariance = encoder._latent_space.covariance
    pairs = covariance[np.triu_indices(len(covariance), k=1)]
    pairs = pairs if pairs.size else np.zeros(1)  # of a single region
    group_fc = {"mean": pairs.mean(), "sd": pairs.std(), "lowest": pairs.min()}
    config = {
        "parameters": saved_params(encoder),
        "n_regions": encoder.n_features_in_,
        "region_names": region_names,
        "normalisation": NORMALISATION,
        "resampled": encoder._resampled,
        "pooling": encoder.pooling_,
        "training": {
            **encoder.training_size_,
            "history": pack_history(encoder._history),
            "held_out_r2": encoder.held_out_r2_,
            "effective_rank": encoder.effective_rank_,
        },
        "group_fc": {name: float(value) for name, value in group_fc.items()}
        | {"highest": float(pairs.max())},
    }
    return config, arrays


def unpack_encoder(encoder: Any, config: dict[str, Any], arrays: Arrays) -> None:
    """Make an unfitted transformer the one that was saved.

    Parameters
    ----------
    encoder : BrainMAETransformer
        Changed in place.
    config, arrays : dict
        As :func:`pack_encoder` returned them; nothing about them is trusted.

    Raises
    ------
    ValueError
        If they do not make a model.
    """
    check_keys(config, ENCODER_KEYS, "encoder")
    set_params(encoder, config["parameters"])
    n_regions = _count(config["n_regions"], "n_regions")
    check_keys(config["group_fc"], ("mean", "sd", "lowest", "highest"), "group_fc")
    if config["normalisation"] != NORMALISATION:
        raise ValueError(f"unknown normalisation {config['normalisation']!r}")
    if not isinstance(config["resampled"], bool):
        raise ValueError(f"resampled={config['resampled']!r} must be true or false")
    encoder._resampled, encoder._grid = config["resampled"], encoder.t_r
    encoder.pooling_ = check_pooling(config["pooling"])
    encoder.region_names_ = _named(config["region_names"], n_regions)
    _check_arrays(encoder, n_regions, arrays)
    encoder.n_features_in_ = n_regions
    of_network = [name for name in arrays if name.startswith("weights.")]
    encoder.weights_ = {name.removeprefix("weights."): arrays[name] for name in of_network}
    for name, kind in SPACES.items():
        fields = {field: arrays.get(f"{name}.{field}") for field in kind._fields}
        setattr(encoder, f"_{name}", kind(**fields))
    _set_training(encoder, config["training"])


def saved_params(estimator: BaseBrainMAE) -> dict[str, Any]:
    """Return the parameters of an estimator that are the model's, as JSON.

    Parameters
    ----------
    estimator : BaseBrainMAE
        Its ``random_state`` is kept where it is a number.

    Returns
    -------
    dict
        By name.
    """
    params = {k: v for k, v in estimator.get_params(deep=False).items() if k not in NOT_SAVED}
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in params.items()}
    if isinstance(plain["mask_ratio"], (tuple, list)):
        plain["mask_ratio"] = [float(bound) for bound in plain["mask_ratio"]]
    if not isinstance(plain["random_state"], int):
        plain["random_state"] = None
    return plain


def set_params(estimator: BaseBrainMAE, params: Any) -> None:
    """Give an estimator saved parameters.

    Parameters
    ----------
    estimator : BaseBrainMAE
        Changed in place.
    params : Any
        As :func:`saved_params` returned them.

    Raises
    ------
    ValueError
        If they are not these, or cannot be used.
    """
    names = set(estimator.get_params(deep=False)) - NOT_SAVED
    check_keys(params, names, "parameters")
    mask_ratio = params["mask_ratio"]
    tupled = tuple(mask_ratio) if isinstance(mask_ratio, list) else mask_ratio
    estimator.set_params(**{**params, "mask_ratio": tupled})
    estimator._validate_params()
    estimator._settings()


def check_pooling(pooling: Any) -> str:
    """Return the pooling in use, or raise ValueError where it is none."""
    if not isinstance(pooling, str) or pooling not in POOLING - {"auto"}:
        raise ValueError(f"unknown pooling {pooling!r}")
    return pooling


def _check_names(model: Any, region_names: Sequence[str] | None) -> list[str] | None:
    """Return the names to save: those given, unless ``fit`` saw others."""
    if region_names is None:
        return model.region_names_
    names = _named(list(region_names), model.n_features_in_)
    if model.region_names_ not in (None, names):
        raise ValueError("region_names are not those, in that order, of the scans that fit saw")
    return names


def _named(names: Any, n_regions: int) -> list[str] | None:
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("region names must be strings")
    if len(names) != n_regions or len(set(names)) != n_regions:
        raise ValueError(f"{len(set(names))} distinct region names for {n_regions} regions")
    if odd := unprintable(names):
        raise ValueError(f"the region name {odd[0]!r} is empty or not printable: rename it")
    return names


def _check_arrays(encoder: Any, n_regions: int, arrays: Arrays) -> None:
    """Raise where arrays are not those that the parameters ask for."""
    weights = _weight_shapes(encoder, n_regions, arrays)
    optional = set() if encoder.n_components else {"latent_space.axes"}
    expected = {*weights, *(set(SHAPES) - optional)}
    for name in sorted(expected ^ set(arrays)):
        raise ValueError(f"the array {name!r} is {'missing' if name in expected else 'unknown'}")
    for name, shape in weights.items():
        if arrays[name].shape != shape or arrays[name].dtype != np.float32:
            raise ValueError(
                f"{name} is {arrays[name].dtype} of shape {arrays[name].shape}, where the"
                f" parameters make it float32 of shape {shape}"
            )
    n_latents, window = min(arrays["weights.roi"].shape), encoder._settings().window
    sizes = {"N": n_regions, "T": window, "L": n_latents, "C": encoder.n_components}
    sizes["F"] = n_latents * (n_latents + 1) + window
    for name, letters in SHAPES.items():
        if name in arrays:
            shape = arrays[name].shape
            known = [sizes.setdefault(k, n) for k, n in zip(letters, shape, strict=False)]
            if len(letters) != len(shape) or known != list(shape):
                raise ValueError(f"{name} has shape {shape}, which disagrees with the others")


def _weight_shapes(encoder: Any, n_regions: int, arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """Shapes of the network's weights; the network itself is never allocated."""
    architecture = encoder._architecture(n_regions)
    n_values = sum(array.size for array in arrays.values())
    if architecture["n_layers"] > len(arrays) or any(
        size > n_values for size in architecture.values() if isinstance(size, int)
    ):
        raise ValueError("the parameters ask for a network larger than the weights")
    try:
        with torch.device("meta"):
            network = BrainMAE(**architecture)
    except RuntimeError as error:  # sizes that overflow
        raise ValueError(str(error).splitlines()[0]) from None
    return {f"weights.{name}": tuple(v.shape) for name, v in network.state_dict().items()}


def _set_training(encoder: Any, training: Any) -> None:
    check_keys(training, TRAINING_KEYS, "training")
    counts = ("n_scans", "n_frames")
    encoder.training_size_ = {name: _count(training[name], name) for name in counts}
    encoder._history = unpack_history(training["history"])
    scores = training["held_out_r2"]
    if not isinstance(scores, dict) or not all(map(is_number, scores.values())):
        raise ValueError("held_out_r2 must hold numbers")
    if not is_number(training["effective_rank"]):
        raise ValueError("effective_rank must be a number")
    encoder.held_out_r2_, encoder.effective_rank_ = scores, training["effective_rank"]


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r} must be a positive integer")
    return value

"""Model folders on the Hugging Face Hub; needs ``pip install sk_brainmae[hub]``."""

import os
from pathlib import Path
from types import ModuleType

from sk_brainmae.persistence.folder import FILES


def download(repo_id: str, *, revision: str | None = None) -> Path:
    """Fetch the files of a model from the Hub, or from its local cache.

    Parameters
    ----------
    repo_id : str
        ``"owner/name"``.
    revision : str, default=None
        Branch, tag or commit; None is the newest. Only a commit never changes.

    Returns
    -------
    Path
        A model folder, for ``from_pretrained``.

    Raises
    ------
    ImportError
        If huggingface_hub is not installed.
    OSError
        If there is no such model, or the Hub cannot be reached.
    ValueError
        If ``repo_id`` is no name of a model.
    """
    folder = _hub().snapshot_download(repo_id, revision=revision, allow_patterns=list(FILES))
    return Path(folder)


def upload(folder: str | os.PathLike, repo_id: str, *, private: bool = False) -> str:
    """Put a model folder on the Hub, where you are logged in; the repository is made if needed.

    Parameters
    ----------
    folder : str or PathLike
        A saved model; other files in it are not uploaded.
    repo_id : str
        ``"owner/name"``.
    private : bool, default=False
        Whether a new repository can be seen by you alone.

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
    ValueError
        If ``repo_id`` is no name of a model.
    """
    api = _hub().HfApi()
    api.create_repo(repo_id, private=private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repo_id, folder_path=folder, allow_patterns=list(FILES), commit_message="Add model"
    )
    return str(commit.commit_url)


def _hub() -> ModuleType:
    """Return huggingface_hub, or raise ImportError which says how to install it."""
    try:
        import huggingface_hub  # optional, and slow to import
    except ImportError:
        raise ImportError(
            "models on the Hugging Face Hub need huggingface_hub: pip install sk_brainmae[hub]"
        ) from None
    return huggingface_hub

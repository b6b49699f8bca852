"""Model folders on the Hugging Face Hub; needs ``pip install sk_brainmae[hub]``."""

import os
from pathlib import Path
from types import ModuleType

from sk_brainmae.persistence.folder import FILES


def download(repo_id: str, *, revision: str | None = None) -> Path:
    """Fetch the files of a model ``"owner/name"`` from the Hub, or from its local cache.

    ``revision`` is a branch, tag or commit; None is the newest. Only a commit never changes.
    """
    folder = _hub().snapshot_download(repo_id, revision=revision, allow_patterns=list(FILES))
    return Path(folder)


def upload(folder: str | os.PathLike, repo_id: str, *, private: bool = False) -> str:
    """Put a model folder on the Hub, where you are logged in, and return the commit's address.

    The repository ``"owner/name"`` is made if needed; other files of the folder are not uploaded.
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

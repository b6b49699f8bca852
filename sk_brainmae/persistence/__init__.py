"""Models on disk: safetensors and JSON, written in one step, read without running anything."""

from sk_brainmae.persistence.files import read_tensors, replace_file, write_tensors
from sk_brainmae.persistence.folder import Contents, read_folder, write_folder
from sk_brainmae.persistence.hub import download, upload

__all__ = [
    "Contents",
    "download",
    "read_folder",
    "read_tensors",
    "replace_file",
    "upload",
    "write_folder",
    "write_tensors",
]

"""Models on disk as safetensors and JSON: written in one step, read without running anything."""

from sk_brainmae.persistence.files import read_sealed, replace_file, write_sealed
from sk_brainmae.persistence.folder import Contents, read_folder, write_folder
from sk_brainmae.persistence.hub import download, upload

__all__ = [
    "Contents",
    "download",
    "read_folder",
    "read_sealed",
    "replace_file",
    "upload",
    "write_folder",
    "write_sealed",
]

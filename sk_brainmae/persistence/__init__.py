"""Models on disk as safetensors and JSON: written in one step, read without running anything."""

from sk_brainmae.persistence.folder import Contents, read_folder, write_folder

__all__ = ["Contents", "read_folder", "write_folder"]

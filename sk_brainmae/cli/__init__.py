"""The command ``sk-brainmae``, a thin layer over the Python interface."""

from sk_brainmae.cli.commands import app

__all__ = ["app"]

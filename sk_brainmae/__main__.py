"""``python -m sk_brainmae``: the same as the command ``sk-brainmae``."""

from sk_brainmae.cli import app

app(prog_name="sk-brainmae")

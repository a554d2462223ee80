"""The command line: `eventbus run`, `publish`, `tail`, `info`, `pending`."""

from eventbus.cli.entry import main

__all__ = ["main"]

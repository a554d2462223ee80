"""The command line: `eventbus run`, `publish`, `tail`, `info`, `pending`, `dead`, `groups`, `trim`."""

from eventbus.cli.entry import main

__all__ = ["main"]

"""The delivery protocol as small models whose every state is visited. See README.md; `python -m tests.model --help`."""

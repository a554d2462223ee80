"""One small file a library. Each runs in a process and an environment of its own, and imports nothing else of this project."""

"""A primary with real replicas: they follow it on a port of its own."""

from __future__ import annotations

import socket

from redis import Redis

from tests.servers import Server


class Listening(Server):
    """A server that is reached on a port too, as replication needs it; the port stays the same after a restart."""

    port = 0

    def _started(self):
        if not self.port:
            self.port = free_port()
            # The last of a setting counts; without the delay a first replica does not wait for others.
            self._command += ["--port", str(self.port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"]
        return super()._started()


class Following(Server):
    """A replica of a `Listening`."""

    primary: Listening

    def follow(self, primary):
        self.primary = primary
        with Redis.from_url(self.url) as client:
            client.replicaof("127.0.0.1", primary.port)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_replicas(primary, count):
    """Return when so many replicas follow: they confirm a write."""
    with Redis.from_url(primary.url) as client:
        client.set("following", "?")
        assert client.wait(count, 20_000) >= count
        client.delete("following")

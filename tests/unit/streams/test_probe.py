"""What a server says about itself, and what of it is dangerous for a bus."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventbus.errors import ConfigurationError
from eventbus.streams import ServerFacts, dangers, probe
from eventbus.streams.probe import parse_info

INFO = """# Server\r
redis_version:7.0.15\r
executable:/usr/bin/redis-server\r
config_file:\r
\r
# Memory\r
used_memory:1048576\r
maxmemory:1073741824\r
maxmemory_policy:allkeys-lru\r
# Persistence\r
aof_enabled:1\r
"""

SAFE = ServerFacts(version=(7, 0, 15), product="redis", append_only=True, memory=1 << 20, maxmemory=0, eviction="noeviction")


class Answering:
    """A wire whose server answers INFO."""

    def __init__(self, text):
        self.text = text

    async def one(self, *words):
        assert words == ("INFO",)
        return self.text.encode()


def test_the_facts_are_read_from_info():
    """Lines that are not understood are passed over."""
    assert parse_info(INFO) == replace(SAFE, maxmemory=1 << 30, eviction="allkeys-lru")


def test_a_valkey_is_known_by_its_own_line_and_the_redis_it_claims():
    """Its redis_version is what clients go by."""
    facts = parse_info("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\n")
    assert (facts.product, facts.version) == ("valkey", (7, 2, 4))


def test_what_a_managed_server_leaves_out_has_a_cautious_default():
    """No line on persistence is no persistence."""
    expected = ServerFacts((7, 4, 0), "redis", append_only=False, memory=0, maxmemory=0, eviction="noeviction")
    assert parse_info("redis_version:7.4.0") == expected


@pytest.mark.parametrize("version", ["6.2.0", "6.2.14", "7.0.15", "8.0.2", "255.255.255"])
async def test_servers_from_6_2_are_accepted(version):
    """255.255.255 is a build from source."""
    assert (await probe(Answering(f"redis_version:{version}"))).version == tuple(map(int, version.split(".")))


@pytest.mark.parametrize(("text", "found"), [("redis_version:6.0.16", "6.0.16"), ("redis_version:5.0.7", "5.0.7"), ("", "0")])
async def test_an_older_server_is_refused_with_both_versions(text, found):
    """Before anything is written."""
    with pytest.raises(ConfigurationError, match=rf"this Redis is {found}; eventbus needs Redis 6\.2 or Valkey 7\.2, or newer"):
        await probe(Answering(text))


def test_a_safe_server_has_no_dangers():
    """So that a warning means something."""
    assert dangers(SAFE, in_memory=False) == []


def test_no_append_only_file_is_a_danger_unless_nothing_is_to_be_kept():
    """An embedded server in memory loses everything on purpose."""
    facts = replace(SAFE, append_only=False)
    (danger,) = dangers(facts, in_memory=False)
    assert "set `appendonly yes`" in danger
    assert dangers(facts, in_memory=True) == []


@pytest.mark.parametrize(
    ("maxmemory", "eviction", "dangerous"),
    [
        (0, "allkeys-lru", False),
        (1, "noeviction", False),
        (1, "volatile-lru", False),
        (1, "volatile-ttl", False),
        (1, "allkeys-lru", True),
        (1, "allkeys-random", True),
        (1, "allkeys-lfu", True),
    ],
)
def test_evicting_whole_streams_is_a_danger_where_there_is_a_limit(maxmemory, eviction, dangerous):
    """Streams have no expiry, so that volatile policies leave them alone."""
    found = dangers(replace(SAFE, maxmemory=maxmemory, eviction=eviction), in_memory=True)
    assert bool(found) is dangerous
    assert not dangerous or (eviction in found[0] and "set `maxmemory-policy noeviction`" in found[0])

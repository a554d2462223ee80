"""One factory that leaves nothing to redis-py's defaults: they change, and some lose events."""

from __future__ import annotations

import inspect
import ssl
from itertools import pairwise

import pytest
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection

from eventbus.streams import Address, Connections

URLS = {
    "redis://shop:s3cret@host:7000/3": Connection,
    "rediss://shop:s3cret@host:7000/3": SSLConnection,
    "unix://shop:s3cret@/run/redis.sock?db=3": UnixDomainSocketConnection,
}

LEFT_TO_REDIS_PY = {
    # what reads and writes the handshake; after it the connection's transport is ours
    "encoder_class",
    "parser_class",
    "socket_read_size",
    # hooks that nothing uses: without them a connection logs in by user and password and selects the database
    "redis_connect_func",
    "credential_provider",
    "event_dispatcher",
    # replaced by `driver_info`, which is set
    "lib_name",
    "lib_version",
    # shapes of replies that only `Redis` commands look at; raw ones are read here, under RESP2
    "legacy_responses",
    # maintenance notices are push messages, which RESP2 does not have
    "maint_notifications_config",
    "maint_notifications_pool_handler",
    "maintenance_state",
    "maintenance_notification_hash",
    "orig_host_address",
    "orig_socket_timeout",
    "orig_socket_connect_timeout",
    "oss_cluster_maint_notifications_handler",
    # a registry for a command of a newer server that nothing here sends
    "himport_registry",
    # 0: whichever of IPv4 and IPv6 the name resolves to
    "socket_type",
    # the url names files; certificates as text, directories, ciphers, flags and a key's password it has none for
    "ssl_ca_data",
    "ssl_ca_path",
    "ssl_ciphers",
    "ssl_password",
    "ssl_include_verify_flags",
    "ssl_exclude_verify_flags",
}


def parameters(*constructors):
    found = {name: each for kind in constructors for name, each in inspect.signature(kind.__init__).parameters.items()}
    return {name for name, each in found.items() if name != "self" and each.kind is not inspect.Parameter.VAR_KEYWORD}


@pytest.mark.parametrize(("url", "kind"), URLS.items())
def test_every_option_of_a_connection_is_spelled_out_or_left_alone_for_a_reason(url, kind):
    """An option that a new redis-py brings is noticed here, before its default is."""
    constructors = [each for each in kind.__mro__ if issubclass(each, AbstractConnection)]
    offered = parameters(*constructors)
    spelled = set(Connections(Address.parse(url), name="me")._options())
    assert spelled <= offered
    assert offered - spelled - LEFT_TO_REDIS_PY == set()


def test_nothing_that_redis_py_dropped_stays_on_the_list_of_what_is_left_to_it():
    """A reason without an option helps nobody."""
    assert parameters(AbstractConnection, *URLS.values()) >= LEFT_TO_REDIS_PY


@pytest.mark.parametrize(("url", "kind"), URLS.items())
def test_a_connection_never_retries_and_speaks_the_plain_protocol(url, kind):
    """Who sends a command knows whether it may be sent twice."""
    connection = Connections(Address.parse(url), name="me").connection()
    assert type(connection) is kind
    assert (connection.retry.get_retries(), connection.retry_on_error, connection.health_check_interval) == (0, [], 0)
    assert (connection.protocol, connection.socket_timeout, connection.socket_connect_timeout) == (2, None, 5.0)
    assert (connection.db, connection.username, connection.password, connection.client_name) == (3, "shop", "s3cret", "me")
    assert not connection.is_connected


def test_dead_tcp_links_are_noticed_within_half_a_minute():
    """A reader that waits sends nothing by itself."""
    connection = Connections(Address.parse("redis://host"), name="me").connection()
    assert connection.socket_keepalive
    idle, interval, count = (connection.socket_keepalive_options[number] for number in sorted(connection.socket_keepalive_options))
    assert idle + interval * count <= 30


def test_a_tls_connection_verifies_the_server(tmp_path):
    """Certificate and host name, whatever files the url names."""
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    url = f"rediss://host?ssl_ca_certs={tmp_path}/ca&ssl_certfile={tmp_path}/cert&ssl_keyfile={tmp_path}/key"
    for each in ("rediss://host", url):
        context = Connections(Address.parse(each), name="me").connection().ssl_context
        assert (context.cert_reqs, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.min_version >= ssl.TLSVersion.TLSv1_2
    assert (context.ca_certs, context.certfile, context.keyfile) == tuple(f"{tmp_path}/{name}" for name in ("ca", "cert", "key"))


@pytest.mark.parametrize(("one", "two"), list(pairwise(URLS)))
def test_all_kinds_share_what_has_nothing_to_do_with_the_transport(one, two):
    """One place to look at."""
    options = [Connections(Address.parse(url), name="me")._options() for url in (one, two)]
    common = parameters(AbstractConnection) & options[0].keys() & options[1].keys() - {"retry"}
    assert len(common) > 12
    assert {name: options[0][name] for name in common} == {name: options[1][name] for name in common}

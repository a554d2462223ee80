"""How a bus reaches Redis: users, databases, TLS; and that no password is ever shown."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from urllib.parse import quote

import pytest
import trustme

from eventbus import BackendRefused, BackendUnavailable, ConfigurationError, EventBus
from eventbus.streams import Address, Connections, Wire
from tests.support.events import OrderCreated
from tests.support.proxy import tls_proxy_to

PASSWORD = "s3cret@/word"


async def publish_one(url):
    async with EventBus(url, service="shop") as bus:
        return await bus.publish(OrderCreated(order_id="1"))


@pytest.fixture
async def guarded_url(redis_url, redis_client):
    """A url with a user and a password that has to be percent-encoded."""
    await redis_client.acl_setuser("shop", enabled=True, passwords=[f"+{PASSWORD}"], keys="*", commands=["+@all"])
    scheme, _, rest = redis_url.partition("://")
    yield f"{scheme}://shop:{quote(PASSWORD, safe='')}@{rest}"
    await redis_client.acl_deluser("shop")


async def test_user_and_password_of_the_url_are_used(guarded_url, redis_client):
    """Percent-encoding is undone."""
    published = await publish_one(guarded_url)
    assert await redis_client.xlen(published.topic) == 1


async def test_a_wrong_password_is_refused_at_once_and_never_shown(guarded_url, caplog):
    """Waiting would not make it right; the message says where to put the right one."""
    caplog.set_level(logging.DEBUG)
    wrong = guarded_url.replace("s3cret", "wr0ng")
    with pytest.raises(BackendRefused, match="user and password into the url") as caught:
        await publish_one(wrong)
    shown = f"{caught.value!r} {caught.value} {EventBus(wrong, service='shop')!r} {caplog.text}"
    assert "wr0ng" not in shown
    assert "word" not in shown.replace("password", "")


async def test_a_password_is_never_shown_while_everything_works(guarded_url, caplog):
    """Neither in a log line of any level nor in a repr of what the bus holds."""
    caplog.set_level(logging.DEBUG)
    bus = EventBus(guarded_url, service="shop")
    async with bus:
        shown = repr((bus, bus._runtime, bus.settings(), bus._runtime.connections.address))
    assert "s3cret" not in shown + caplog.text


async def test_the_database_of_the_url_is_selected(redis_url, redis_client):
    """Database 3 holds what was published; database 0 does not."""
    await publish_one(f"{redis_url}?db=3")
    assert await redis_client.exists("orders") == 0
    keys = (await redis_client.info("keyspace"))["db3"]["keys"]
    assert keys == 1


async def test_a_database_that_the_server_does_not_have_is_refused_by_name(redis_url):
    """Waiting would not make one: it is an answer, and the remedy is in the url."""
    with pytest.raises(BackendRefused, match="a smaller database in the url") as caught:
        await publish_one(f"{redis_url}?db=99999")
    assert caught.value.code == "ERR"


@dataclass
class Certificates:
    """A private authority, a server's context that wants a client certificate, and the files of a client."""

    server: ssl.SSLContext
    ca: str
    certfile: str
    keyfile: str


@pytest.fixture
def certificates(tmp_path):
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    client = authority.issue_cert("client@example.org")
    files = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "certfile", "keyfile")}
    authority.cert_pem.write_to_path(files["ca"])
    client.private_key_pem.write_to_path(files["keyfile"])
    client.cert_chain_pems[0].write_to_path(files["certfile"])
    return Certificates(server, **files)


async def test_rediss_verifies_the_server_and_shows_the_clients_certificate(redis_url, redis_client, certificates):
    """All three files come from the url."""
    async with tls_proxy_to(redis_url, certificates.server) as port:
        files = f"ssl_ca_certs={certificates.ca}&ssl_certfile={certificates.certfile}&ssl_keyfile={certificates.keyfile}"
        await publish_one(f"rediss://localhost:{port}/0?{files}")
    assert await redis_client.xlen("orders") == 1


async def test_rediss_refuses_a_server_it_cannot_verify(redis_url, redis_client, certificates, monkeypatch):
    """Without the authority's certificate nothing is sent."""
    monkeypatch.setattr("eventbus.supervision.runtime.PATIENCE", 0.0)
    async with tls_proxy_to(redis_url, certificates.server) as port:
        with pytest.raises(BackendUnavailable, match="CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            await publish_one(f"rediss://localhost:{port}/0")
    assert await redis_client.exists("orders") == 0


async def test_a_tls_connection_that_falls_silent_is_given_up_for_all_its_callers(redis_server, certificates):
    """Each of them closes it; a TLS transport does not bear that more than once by itself."""
    async with tls_proxy_to(redis_server.url, certificates.server) as port:
        files = f"ssl_ca_certs={certificates.ca}&ssl_certfile={certificates.certfile}&ssl_keyfile={certificates.keyfile}"
        wire = Wire(Connections(Address.parse(f"rediss://localhost:{port}/0?{files}"), name="test"), "commands")
        assert await wire.one("PING") == b"PONG"
        redis_server.pause()
        errors = await asyncio.gather(*(wire.one("PING", timeout=0.05) for _ in range(3)), return_exceptions=True)
        redis_server.resume()
        assert [(type(error), error.maybe_executed) for error in errors] == [(BackendUnavailable, True)] * 3
        assert await wire.one("PING") == b"PONG"
        await wire.close()


async def test_no_url_anywhere_names_embedded_as_the_way_to_try_things_out(monkeypatch):
    """A bus never picks a server by itself."""
    monkeypatch.delenv("EVENTBUS_URL", raising=False)
    with pytest.raises(ConfigurationError, match="embedded://"):
        await EventBus(service="shop").open()


async def test_a_redis_that_is_not_there_is_waited_for_and_then_named(tmp_path, monkeypatch):
    """For a bounded time, by its address."""
    monkeypatch.setattr("eventbus.supervision.runtime.PATIENCE", 0.2)
    with pytest.raises(BackendUnavailable, match=r"nobody\.sock"):
        await EventBus(f"unix://{tmp_path}/nobody.sock", service="shop").open()


async def test_all_connections_of_a_bus_carry_its_consumer_name(redis_url, redis_client):
    """CLIENT LIST tells which process is which."""
    async with EventBus(redis_url, service="shop") as bus:
        await bus.publish(OrderCreated(order_id="1"))
        names = {client["name"] for client in await redis_client.client_list()}
    assert bus._runtime is None
    assert any(name.startswith("shop.") for name in names)

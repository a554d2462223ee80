"""Where Redis is: every form of the url, every mistake with what to write, and never a password."""

from __future__ import annotations

import traceback
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.errors import ConfigurationError
from eventbus.streams import Address
from eventbus.streams.address import Tls

FORMS = [
    ("redis://host", Address("redis", "host"), "redis://host:6379/0"),
    ("redis://", Address("redis", "localhost"), "redis://localhost:6379/0"),
    ("REDIS://host", Address("redis", "host"), "redis://host:6379/0"),
    ("redis://host:7000/3", Address("redis", "host", 7000, db=3), "redis://host:7000/3"),
    ("redis://host/", Address("redis", "host"), "redis://host:6379/0"),
    ("redis://host?db=3", Address("redis", "host", db=3), "redis://host:6379/3"),
    ("redis://[::1]:7000/1", Address("redis", "::1", 7000, db=1), "redis://[::1]:7000/1"),
    ("redis://shop:pw@host", Address("redis", "host", username="shop", password="pw"), "redis://host:6379/0"),
    ("redis://:pw@host", Address("redis", "host", password="pw"), "redis://host:6379/0"),
    ("redis://host:/1", Address("redis", "host", db=1), "redis://host:6379/1"),
    ("unix:///run/a%40b.sock", Address("unix", path="/run/a@b.sock"), "unix:///run/a@b.sock"),
    ("redis://shop@host", Address("redis", "host", username="shop"), "redis://host:6379/0"),
    ("redis://s%40p:p%40w%2F%3F%23%5B@host/2", Address("redis", "host", db=2, username="s@p", password="p@w/?#["), "redis://host:6379/2"),
    ("redis://u:a@b:c@host", Address("redis", "host", username="u", password="a@b:c"), "redis://host:6379/0"),
    ("rediss://host:7000/1", Address("rediss", "host", 7000, db=1, tls=Tls()), "rediss://host:7000/1"),
    ("unix:///run/redis.sock", Address("unix", path="/run/redis.sock"), "unix:///run/redis.sock"),
    ("unix:///run/my%20redis.sock?db=2", Address("unix", path="/run/my redis.sock", db=2), "unix:///run/my redis.sock?db=2"),
    ("unix://u:p%2Fw@/run/r.sock", Address("unix", path="/run/r.sock", username="u", password="p/w"), "unix:///run/r.sock"),
]


@pytest.mark.parametrize(("url", "address", "shown"), FORMS)
def test_every_form_of_the_url_is_understood_and_shown_without_user_and_password(url, address, shown):
    """Percent-encoding is undone; what is not said has a default."""
    assert Address.parse(url) == address
    assert str(Address.parse(url)) == shown


def test_the_files_of_a_tls_url_are_kept(tmp_path):
    """They exist when the url is parsed, so that a typing error is found then."""
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    url = f"rediss://host?ssl_ca_certs={tmp_path}/ca&ssl_certfile={tmp_path}/cert&ssl_keyfile={tmp_path}/key"
    assert Address.parse(url).tls == Tls(f"{tmp_path}/ca", f"{tmp_path}/cert", f"{tmp_path}/key")
    with pytest.raises(ConfigurationError, match=r"ssl_keyfile='.*/gone' in the Redis url is not a file"):
        Address.parse(f"rediss://host?ssl_keyfile={tmp_path}/gone")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", r"begins with ''; write redis://host:6379/0, rediss://.* or unix://.*embedded://"),
        ("localhost", "begins with ''"),
        ("localhost:6379", "begins with ''"),
        ("http://host", "begins with 'http'"),
        ("redis+sentinel://host", r"begins with 'redis\+sentinel'"),
        ("redis://host:x", "port .* no number between 1 and 65535"),
        ("redis://host:65536", "port .* no number between 1 and 65535"),
        ("redis://host/x", "names database 'x'; write a number"),
        ("redis://host/-1", "names database '-1'"),
        ("redis://host/1/2", "names database '1/2'"),
        ("redis://host/٣", "names database"),
        ("redis://host?db=x", "names database 'x'"),
        ("redis://host?timeout=3", "option 'timeout'; known are: db"),
        ("redis://host?ssl_ca_certs=x", "option 'ssl_ca_certs'; known are: db"),
        ("rediss://host?ssl_cert_reqs=none", "option 'ssl_cert_reqs'; known are: db, ssl_ca_certs, ssl_certfile, ssl_keyfile"),
        ("unix://", "needs an absolute path: unix:///path/to/redis.sock"),
        ("unix://run/redis.sock", "needs an absolute path"),
        ("unix://:/run/redis.sock", "needs an absolute path"),
        ("unix:///run/user@1000/r.sock", "has a '@' after its host.*'@' is %40"),
        ("redis://host/1@2", "has a '@' after its host.*percent-encoded"),
        ("redis://host/99999999999", "names database '99999999999'"),
        ("redis://host/" + "9" * 5000, "names database"),
        ("unix:///r.sock?db=", "names database ''"),
        ("redis://[::1", "cannot be parsed; write redis://"),
    ],
)
def test_a_mistake_in_the_url_says_what_to_write(url, words):
    """Nothing connects to a place that was not meant."""
    with pytest.raises(ConfigurationError, match=words):
        Address.parse(url)


SECRET = "s3cret"

KEEPING = [
    f"redis://shop:{SECRET}@host/1",
    f"rediss://:{SECRET}@host",
    f"unix://shop:{SECRET}@/run/redis.sock?db=1",
]
"""Urls that are right."""

BREAKING = [
    f"http://shop:{SECRET}@host",
    f"shop:{SECRET}@host",
    f"redis://shop:{SECRET}@host:x",
    f"redis://shop:{SECRET}@host/x",
    f"redis://shop:{SECRET}@host?timeout=1",
    f"redis://host?password={SECRET}",
    f"unix://shop:{SECRET}@host/run/redis.sock",
    f"unix://shop:{SECRET}/x@/run/redis.sock",
    f"unix://:x/{SECRET}@/run/redis.sock",
    f"unix://:/{SECRET}@/run/redis.sock",
    *(f"redis://shop:x{mark}{SECRET}{mark}x@host" for mark in "/?#[]"),
    f"redis://:x?db={SECRET}@host",
    f"rediss://:x?ssl_keyfile={SECRET}@host",
    f"redis://:{SECRET}\u2100@host",
    f"redis:/shop:{SECRET}@host",
    f"shop:{SECRET}@redis://host",
]
"""Urls with a mistake beside the password."""


@pytest.mark.parametrize("url", KEEPING)
def test_an_address_keeps_its_password_to_itself(url):
    """In every way of printing it."""
    address = Address.parse(url)
    assert address.password == SECRET
    assert SECRET not in f"{address} {address!r} {[address]}"


@pytest.mark.parametrize("url", BREAKING)
def test_no_error_about_a_url_shows_its_password(url):
    """Neither in its message nor in what led to it: both are logged."""
    with pytest.raises(ConfigurationError) as caught:
        Address.parse(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None


def test_a_user_is_not_shown_either():
    """It is a password whose colon was forgotten."""
    assert SECRET not in repr(Address.parse(f"redis://{SECRET}@host"))


@given(password=st.text(min_size=1, max_size=20), user=st.text(max_size=20))
def test_a_percent_encoded_user_and_password_arrive_as_they_are(password, user):
    """Whatever is in them."""
    for text in (password, user):
        try:
            text.encode()
        except UnicodeEncodeError:
            return
    address = Address.parse(f"redis://{quote(user, safe='')}:{quote(password, safe='')}@host")
    assert (address.username, address.password) == (user or None, password)

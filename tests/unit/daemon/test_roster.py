"""How members introduce themselves, and what is not believed of it."""

from __future__ import annotations

import json

import pytest

from logwarden.daemon.roster import (
    MAX_CARD_BYTES,
    MemberCard,
    card_in,
    checked_address,
    derived_address,
    is_of_one_machine,
)
from logwarden.daemon.settings.reading import read_settings


def published(**values: object) -> bytes:
    return json.dumps({"id": "a1", "name": "pod-0/1", "address": "http://10.0.0.7:8080"} | values).encode()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.7:8080", "http://10.0.0.7:8080"),
        ("pod-0.logwarden:80", "http://pod-0.logwarden:80"),
        ("HTTPS://Pod_0.example.:8443/", "https://pod_0.example.:8443"),
        ("[fd00::7]:8080", "http://[fd00::7]:8080"),
        ("http://localhost:1", "http://localhost:1"),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: str) -> None:
    """Operators write `host:port`, or a URL for TLS; it is kept in one form, by which members prove themselves."""
    assert checked_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.7",
        "10.0.0.7:0",
        "10.0.0.7:99999",
        "http://10.0.0.7",
        "http://10.0.0.7:8080/admin",
        "http://10.0.0.7:8080?x=1",
        "http://10.0.0.7:8080#x",
        "http://user:password@10.0.0.7:8080",
        "http://10.0.0.7:8080@evil.example:80",
        "ftp://10.0.0.7:21",
        "file:///etc/passwd",
        "http://[fd00::7:8080",
        "http://a b:80",
        "http://a\r\nHost:80",
        "http://ä.example:80",
        "http://-a:80",
        "http://0.0.0.0:80",
        "http://[::]:80",
        "http://224.0.0.1:80",
        "http://169.254.169.254:80",
        "http://[fe80::1]:80",
        "http://" + "a" * 300 + ":80",
    ],
)
def test_other_texts_are_no_address(text: str) -> None:
    """What is written into a group's metadata leads to no path, no credentials and no address of a machine itself."""
    with pytest.raises(ValueError, match=r"must be host:port|no single member"):
        checked_address(text)
    assert card_in(published(address=text)) is None


def test_a_setting_is_checked_like_a_card() -> None:
    """The operator reads at the start that an address is none."""
    found = read_settings({"LOGWARDEN_HTTP__ADVERTISED_ADDRESS": "pod-0:8080"})
    assert found.http.advertised_address == "http://pod-0:8080"
    with pytest.raises(Exception, match="LOGWARDEN_HTTP__ADVERTISED_ADDRESS"):
        read_settings({"LOGWARDEN_HTTP__ADVERTISED_ADDRESS": "http://pod-0:8080/logwarden"})


def test_a_card_comes_back_as_it_was_published() -> None:
    """Also one without an address, of a member whose HTTP is off."""
    for address in ("http://10.0.0.7:8080", None):
        card = MemberCard(id="a1", name="pod-0/1", address=address)
        assert card_in(card.encode()) == card
    assert card.host == "pod-0"
    assert MemberCard(id="a1", name="x" * MAX_CARD_BYTES, address=None).encode() == b""


@pytest.mark.parametrize(
    "bytes_",
    [
        None,
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[1]",
        published(id=7),
        published(id="a\n1"),
        published(id=""),
        published(name="pod\x1b[2J"),
        published(name="x" * MAX_CARD_BYTES),
        b"[" * MAX_CARD_BYTES,
    ],
)
def test_anything_else_is_no_card(bytes_: bytes | None) -> None:
    """Members of earlier releases publish nothing, and other programs publish what they like."""
    assert card_in(bytes_) is None


@pytest.mark.parametrize(
    ("host", "port", "local", "address"),
    [
        ("0.0.0.0", 8080, "10.0.0.7", "http://10.0.0.7:8080"),
        ("::", 8080, "fd00::7", "http://[fd00::7]:8080"),
        ("0.0.0.0", 8080, None, None),
        ("0.0.0.0", None, "10.0.0.7", None),
        ("127.0.0.1", 8080, "10.0.0.7", "http://127.0.0.1:8080"),
        ("daemon.example", 1, None, "http://daemon.example:1"),
        ("::", 8080, "fe80::1%eth0", None),
        ("0.0.0.0", 8080, "169.254.3.4", None),
    ],
)
def test_an_address_is_derived(host: str, port: int | None, local: str | None, address: str | None) -> None:
    """Without a setting it is where the server listens; everywhere means the address that the brokers see."""
    assert derived_address(host, port, local) == address


def test_some_addresses_mean_the_own_machine() -> None:
    """A member on another machine would ask itself there."""
    own = ["http://127.0.0.1:1", "http://127.9.9.9:1", "http://[::1]:1", "http://localhost:1"]
    assert [is_of_one_machine(address) for address in own] == [True] * 4
    assert not is_of_one_machine("http://10.0.0.7:1")
    assert not is_of_one_machine("http://pod-0:1")

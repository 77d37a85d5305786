"""Addresses of brokers and endpoints: what an operator writes, and what the client gets."""

from __future__ import annotations

import pytest
from aiokafka.conn import collect_hosts

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.addresses import brokers
from logwarden.daemon.settings.kafka import KafkaSettings
from logwarden.daemon.settings.reading import read_settings

BOOTSTRAP = "LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS"


def refusal(variable: str, value: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_settings({variable: value})
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "part", "reason"),
    [
        ("[::1]:9999999", "[::1]:9999999", "has no port from 1 to 65535"),
        ("kafka", "kafka", "has no port"),
        ("kafka:", "kafka:", "has no port from 1 to 65535"),
        ("[::1]", "[::1]", "has no port"),
        ("kafka:0", "kafka:0", "has no port from 1 to 65535"),
        ("kafka:http", "kafka:http", "has no port from 1 to 65535"),
        ("kafka:٣", "kafka:٣", "has no port from 1 to 65535"),
        ("good:1, :9092", ":9092", "has no host"),
        ("http://kafka:9092", "http://kafka:9092", "has a scheme"),
        ("SASL_SSL://kafka:9092", "SASL_SSL://kafka:9092", "set LOGWARDEN_KAFKA__SECURITY_PROTOCOL"),
        ("::1:9092", "::1:9092", "needs brackets"),
        ("[kafka]:9092", "[kafka]:9092", "has no IPv6 address in its brackets"),
        ("a b:9092", "a b:9092", "has a wrong host"),
        ("user@kafka:9092", "user@kafka:9092", "has a wrong host"),
    ],
)
def test_a_wrong_address_is_one_sentence(value: str, part: str, reason: str) -> None:
    """The sentence names the variable, the part that is wrong, the reason and the right form."""
    sentence = refusal(BOOTSTRAP, value)
    assert sentence.startswith(f"{BOOTSTRAP} contains {part!r}, which ")
    assert reason in sentence
    assert sentence.endswith("it must be host:port,host:port")


@pytest.mark.parametrize("value", [",", " , ", " "])
def test_no_address_is_one_sentence(value: str) -> None:
    """Commas and spaces without an address contact no broker."""
    assert refusal(BOOTSTRAP, value) == f"{BOOTSTRAP} is {value!r}, but it must be host:port,host:port"


@pytest.mark.parametrize(
    ("value", "normalised"),
    [
        ("kafka:9092", "kafka:9092"),
        ("kafka:9092, ", "kafka:9092"),
        (",a:1,, b-2.example_x:65535 ,", "a:1,b-2.example_x:65535"),
        ("[::1]:9092,127.0.0.1:9092", "[::1]:9092,127.0.0.1:9092"),
        ("[fe80::1%eth0]:9092", "[fe80::1%eth0]:9092"),
    ],
)
def test_a_right_address_reaches_the_client_as_it_reads_it(value: str, normalised: str) -> None:
    """A comma too many is harmless; the client and the daemon's own check see the same hosts and ports."""
    settings = KafkaSettings(bootstrap_servers=value)
    assert settings.bootstrap_servers == normalised
    clients_own = [(host, port) for host, port, _ in collect_hosts(normalised, randomize=False)]
    assert brokers(normalised) == clients_own


@pytest.mark.parametrize(
    "url", ["idp/token", "file:///etc/passwd", "ftp://idp/token", "https://", "https://idp:port/", "https://idp/a b"]
)
def test_a_wrong_url_is_one_sentence(url: str) -> None:
    """Only HTTP leads to a token endpoint; the sentence does not repeat the value."""
    assert refusal("LOGWARDEN_KAFKA__OAUTH_TOKEN_URL", url) == (
        "LOGWARDEN_KAFKA__OAUTH_TOKEN_URL is no URL; it must be https://host/path"
    )


def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    """`config` and errors show the URL, so a password must not be in it."""
    sentence = refusal("LOGWARDEN_KAFKA__OAUTH_TOKEN_URL", "https://me:hunter2@idp/token")
    assert "LOGWARDEN_KAFKA__OAUTH_CLIENT_ID" in sentence
    assert "hunter2" not in sentence

"""Reaching the broker: options of every protocol, the check of access, and what the client's errors mean."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from pydantic import SecretStr

from logwarden.daemon.errors import (
    BrokerRefused,
    BrokerUnavailable,
    ConfigurationError,
)
from logwarden.daemon.kafka.connection import (
    STOP_TIMEOUT_S,
    connection_options,
    reason,
    stopped,
    translated,
)
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.fakes import capture, events, virtually
from tests.sim.loop import now_s

SASL = {"sasl_username": "user", "sasl_password": SecretStr("hunter2"), "sasl_mechanism": "SCRAM-SHA-512"}


# ---------------------------------------------------------------- options


def test_a_plain_connection_has_no_credentials() -> None:
    """Address, name, time-out and protocol, and nothing of SASL or TLS."""
    settings = KafkaSettings(bootstrap_servers="a:1,b:2", client_id="me", request_timeout_ms=1_234)
    assert connection_options(settings) == {
        "bootstrap_servers": "a:1,b:2",
        "client_id": "me",
        "request_timeout_ms": 1_234,
        "security_protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_password_is_passed_on_in_the_clear_to_the_client_only(protocol: str) -> None:
    """The client needs the password itself; a printed setting hides it."""
    settings = KafkaSettings(security_protocol=protocol, **SASL)  # type: ignore[arg-type]
    options = connection_options(settings)
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_username"] == "user"
    assert options["sasl_plain_password"] == "hunter2"
    assert "hunter2" not in repr(settings) + repr(options)


@pytest.mark.parametrize(("protocol", "is_tls"), [("SSL", True), ("SASL_SSL", True), ("SASL_PLAINTEXT", False)])
def test_tls_checks_the_brokers_certificate(protocol: str, is_tls: bool) -> None:
    """The operating system's authorities are trusted where no files are set, and the host's name is checked."""
    options = connection_options(KafkaSettings(security_protocol=protocol))  # type: ignore[arg-type]
    assert ("ssl_context" in options) is is_tls
    if is_tls:
        assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED
        assert options["ssl_context"].check_hostname


@pytest.mark.parametrize("name", ["ssl_cafile", "ssl_certfile"])
@pytest.mark.parametrize("text", ["", "no certificate"])
def test_a_file_that_is_no_certificate_is_bad_configuration(tmp_path: Path, name: str, text: str) -> None:
    """An operator's mistake is one sentence before anything is connected."""
    file = tmp_path / "file.pem"
    file.write_text(text, encoding="utf-8")
    files: dict[str, Any] = {name: file}
    with pytest.raises(ConfigurationError, match="the TLS certificates cannot be used: "):
        connection_options(KafkaSettings(security_protocol="SSL", **files))


def test_a_removed_file_is_bad_configuration(tmp_path: Path) -> None:
    """A secret that was unmounted since the settings were read."""
    file = tmp_path / "file.pem"
    file.touch()
    settings = KafkaSettings(security_protocol="SSL", ssl_cafile=file)
    file.unlink()
    with pytest.raises(ConfigurationError, match="No such file"):
        connection_options(settings)


# ---------------------------------------------------------------- errors and stops


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationFailedError("x"),
        ClusterAuthorizationFailedError("x"),
        GroupAuthorizationFailedError("x"),
        IllegalSaslStateError("x"),
        TopicAuthorizationFailedError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refusal_is_final(error: Exception) -> None:
    """Trying again does not change a permission."""
    assert isinstance(translated(error, KafkaSettings()), BrokerRefused)


@pytest.mark.parametrize("error", [KafkaError("x"), KafkaConnectionError("x"), OSError("x"), TimeoutError()])
def test_everything_else_may_pass(error: Exception) -> None:
    """The sentence names the address that did not answer."""
    found = translated(error, KafkaSettings(bootstrap_servers="a:1"))
    assert isinstance(found, BrokerUnavailable)
    assert found.bootstrap == "a:1"


def test_an_error_without_a_message_is_named_by_its_class() -> None:
    """An empty sentence would end in a colon."""
    assert reason(TimeoutError()) == "TimeoutError"
    assert reason(OSError("no route")) == "no route"


@virtually
async def test_a_client_that_does_not_stop_is_left_behind() -> None:
    """The exit continues after five seconds, with a warning that contains the reason."""
    with capture() as caught:
        await stopped(asyncio.sleep(3600))
    assert now_s() == STOP_TIMEOUT_S == 5.0
    assert events(caught, "client_stop_failed") == [{"error": "TimeoutError", "exc_info": None, "log_level": "warning"}]


@pytest.mark.parametrize(
    "error", [KafkaConnectionError("away"), OSError("away"), TimeoutError(), asyncio.CancelledError()]
)
@virtually
async def test_a_client_that_stops_with_an_error_is_stopped(error: BaseException) -> None:
    """An error of the client is a warning; so is a cancellation that nobody sent (aiokafka issue 647)."""

    async def fail() -> None:
        raise error

    with capture() as caught:
        await stopped(asyncio.sleep(0))
        await stopped(fail())
    (event,) = events(caught, "client_stop_failed")
    assert event["error"] == (str(error) or type(error).__name__)
    assert event["exc_info"] is None


@virtually
async def test_a_bug_in_a_clients_stop_is_shown_and_ends_nothing() -> None:
    """The other clients must be stopped too, and the exit code is the daemon's own; the log has the traceback."""

    async def fail() -> None:
        raise ZeroDivisionError

    with capture() as caught:
        await stopped(fail())
    assert isinstance(events(caught, "client_stop_failed")[0]["exc_info"], ZeroDivisionError)


@virtually
async def test_a_cancelled_wait_for_a_stop_is_cancelled() -> None:
    """The caller's own cancellation comes through, and takes the stop with it."""
    ended: list[str] = []

    async def stop() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("stop")

    waiting = asyncio.create_task(stopped(stop()))
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert ended == ["stop"]

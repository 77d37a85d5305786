"""Reaching the broker: options of every protocol, the check of access, and what the client's errors mean."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from pydantic import SecretStr

from logwarden.daemon.errors import (
    BrokerRefused,
    BrokerUnavailable,
    ConfigurationError,
    LogwardenError,
    SessionFailed,
)
from logwarden.daemon.kafka import connection as module
from logwarden.daemon.kafka.connection import (
    STOP_TIMEOUT_S,
    check_access,
    connection_options,
    reason,
    stopped,
    translated,
)
from logwarden.daemon.kafka.tokens import TokenUnavailable
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


# ---------------------------------------------------------------- access


class Brokers:
    """Answers connections by address, and metadata requests with `listed` brokers; records them."""

    def __init__(self, answers: dict[tuple[str, int], Exception | None]) -> None:
        self._answers = answers
        self.listed: list[object] = ["this one"]
        self.tried: list[tuple[str, int]] = []
        self.options: dict[str, Any] = {}
        self.closed = 0

    async def connect(self, host: str, port: int, **options: Any) -> Brokers:
        self.tried.append((host, port))
        self.options = options
        error = self._answers[host, port]
        if error is not None:
            raise error
        return self

    async def send(self, _: object) -> Any:
        return SimpleNamespace(brokers=self.listed)

    def close(self) -> None:
        self.closed += 1


def brokers(monkeypatch: pytest.MonkeyPatch, answers: dict[tuple[str, int], Exception | None]) -> Brokers:
    made = Brokers(answers)
    monkeypatch.setattr(module, "create_conn", made.connect)
    return made


async def test_the_first_broker_that_answers_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is away is passed over; the connection is closed again; an IPv6 address loses its brackets."""
    found = brokers(monkeypatch, {("a", 1): OSError("away"), ("::1", 2): None})
    await check_access(KafkaSettings(bootstrap_servers="a:1, [::1]:2,c:3"))
    assert found.tried == [("a", 1), ("::1", 2)]
    assert found.closed == 1
    assert "bootstrap_servers" not in found.options
    assert found.options["security_protocol"] == "PLAINTEXT"


@pytest.mark.parametrize("error", [OSError("no route"), KafkaConnectionError("no route"), TimeoutError("no route")])
async def test_no_broker_that_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The sentence names all addresses and the last cause."""
    found = brokers(monkeypatch, {("a", 1): OSError("first"), ("b", 2): error})
    with pytest.raises(BrokerUnavailable) as caught:
        await check_access(KafkaSettings(bootstrap_servers="a:1,b:2"))
    assert str(caught.value).startswith("no Kafka broker answered at a:1,b:2: ")
    assert str(caught.value).endswith("no route")
    assert found.tried == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    "error",
    [AuthenticationFailedError("bad"), UnsupportedSaslMechanismError("bad"), AuthenticationMethodNotSupported("bad")],
    ids=lambda error: type(error).__name__,
)
async def test_a_refusal_is_not_asked_of_the_next_broker(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A wrong password is wrong everywhere, and each try counts towards a lock: address and user are named."""
    found = brokers(monkeypatch, {("a", 1): error, ("b", 2): None})
    settings = KafkaSettings(bootstrap_servers="a:1,b:2", security_protocol="SASL_PLAINTEXT", **SASL)  # type: ignore[arg-type]
    with pytest.raises(BrokerRefused, match=r"at a:1 refused the user 'user': .*bad") as refused:
        await check_access(settings)
    assert "LOGWARDEN_KAFKA__SASL_PASSWORD" in refused.value.hint
    assert "hunter2" not in str(refused.value)
    assert found.tried == [("a", 1)]


async def test_a_broker_that_lists_no_broker_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client takes a refused token for an accepted one, and the broker answers the next request with nothing."""
    found = brokers(monkeypatch, {("a", 1): None})
    found.listed = []
    settings = KafkaSettings(
        bootstrap_servers="a:1",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        oauth_token_file=Path(__file__),
    )
    with pytest.raises(BrokerRefused, match=r"the Kafka broker at a:1 refused the token") as refused:
        await check_access(settings)
    assert "LOGWARDEN_KAFKA__OAUTH_" in refused.value.hint
    assert found.closed == 1


async def test_a_broker_that_has_just_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers before it knows its cluster; without a token to refuse, that is no refusal."""
    found = brokers(monkeypatch, {("a", 1): None})
    found.listed = []
    with pytest.raises(BrokerUnavailable, match="the broker does not know its cluster yet"):
        await check_access(KafkaSettings(bootstrap_servers="a:1"))
    found.listed = ["this one"]
    token = KafkaSettings(
        bootstrap_servers="a:1",
        client_id="accepted-before",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        oauth_token_file=Path(__file__),
    )
    await check_access(token)
    found.listed = []
    with pytest.raises(BrokerUnavailable, match="or refuses the token now"):
        await check_access(token)


UNTRUSTED = ssl.SSLCertVerificationError("certificate verify failed")
UNTRUSTED.verify_code, UNTRUSTED.verify_message = 20, "unable to get local issuer certificate"


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([UNTRUSTED, UNTRUSTED], BrokerRefused),
        ([UNTRUSTED, OSError("away")], SessionFailed),
        ([OSError("away"), UNTRUSTED], SessionFailed),
        ([UNTRUSTED, ConnectionResetError()], SessionFailed),
        ([ConnectionResetError(), ConnectionResetError()], SessionFailed),
    ],
)
async def test_a_certificate_is_fatal_only_where_waiting_cannot_help(
    monkeypatch: pytest.MonkeyPatch, answers: list[Exception], error: type[Exception]
) -> None:
    """A broker that is away, or restarts, may be one with the right certificate; the sentence names the worst."""
    brokers(monkeypatch, dict(zip([("a", 1), ("b", 2)], answers, strict=True)))
    settings = KafkaSettings(bootstrap_servers="a:1,b:2", security_protocol="SSL", client_id=str(answers))
    with pytest.raises(error) as caught:
        await check_access(settings)
    assert type(caught.value) is error
    assert ("is not trusted" in str(caught.value)) is (UNTRUSTED in answers)
    assert isinstance(caught.value, LogwardenError)
    assert "LOGWARDEN_KAFKA__" in caught.value.hint


async def test_a_certificate_that_was_accepted_before_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates are renewed while the daemon runs, on both sides, and the files are read again."""
    found = brokers(monkeypatch, {("a", 1): None})
    settings = KafkaSettings(bootstrap_servers="a:1", security_protocol="SSL", client_id="renewed")
    await check_access(settings)
    found._answers["a", 1] = UNTRUSTED
    with pytest.raises(SessionFailed, match="is not trusted"):
        await check_access(settings)
    found._answers["a", 1] = None
    await check_access(settings)


@pytest.mark.parametrize(("is_certain", "error"), [(True, BrokerRefused), (False, SessionFailed)])
async def test_a_missing_token_is_not_asked_of_the_next_broker(
    monkeypatch: pytest.MonkeyPatch, is_certain: bool, error: type[Exception]
) -> None:
    """Every broker needs the same token; a refusal by the endpoint is final, an endpoint that is away is not."""
    missing = TokenUnavailable("no token", hint="check the endpoint", is_certain=is_certain)
    found = brokers(monkeypatch, {("a", 1): missing, ("b", 2): None})
    with pytest.raises(error, match=r"^no token$") as caught:
        await check_access(KafkaSettings(bootstrap_servers="a:1,b:2", client_id=f"token-{is_certain}"))
    assert type(caught.value) is error
    assert found.tried == [("a", 1)]


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

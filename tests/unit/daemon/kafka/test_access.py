"""The first session with a broker: which address it takes, and which refusal is final."""

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
    KafkaConnectionError,
    UnsupportedSaslMechanismError,
)
from pydantic import SecretStr

from logwarden.daemon.errors import (
    BrokerRefused,
    BrokerUnavailable,
    LogwardenError,
    SessionFailed,
)
from logwarden.daemon.kafka import connection as module
from logwarden.daemon.kafka.connection import (
    check_access,
)
from logwarden.daemon.kafka.tokens import TokenUnavailable
from logwarden.daemon.settings.kafka import KafkaSettings

SASL = {"sasl_username": "user", "sasl_password": SecretStr("hunter2"), "sasl_mechanism": "SCRAM-SHA-512"}


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

    def close(self) -> asyncio.Future[None]:
        self.closed += 1
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone.set_result(None)
        return gone


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

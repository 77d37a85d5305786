"""Reaches the broker: options of every client, access and codec checks, and what the client's errors mean.

- `start`, `stop` and `send` can hang while brokers are down (aiokafka issues 764, 773, 1101): each gets a time-out.
- The client turns every refusal at bootstrap into "unable to bootstrap"; `check_access` finds the reason first.
- The client takes a refused OAUTHBEARER token for an accepted one; only the next request shows the refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from aiokafka import codec
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, ConfigurationError, SessionFailed
from logwarden.daemon.kafka.credentials import credentials_of
from logwarden.daemon.kafka.tls import Problem, problem
from logwarden.daemon.kafka.tokens import TokenUnavailable
from logwarden.daemon.settings.addresses import brokers
from logwarden.daemon.settings.kafka import KafkaSettings
from logwarden.daemon.waiting import attempt, failure

log = structlog.get_logger(__name__)

REFUSALS = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
"""Errors by which a broker refuses a client; trying again does not help."""
STOP_TIMEOUT_S = 5.0
"""Seconds that a client may take to stop: an absent broker must not delay the exit."""


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """Returns the arguments that every client needs to reach the broker."""
    return {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": settings.client_id,
        "request_timeout_ms": settings.request_timeout_ms,
        "security_protocol": settings.security_protocol,
    } | credentials_of(settings).options()


def check_codecs() -> None:
    """Raises ConfigurationError where the libraries are missing that read compressed batches."""
    known = {"gzip": codec.has_gzip, "snappy": codec.has_snappy, "lz4": codec.has_lz4, "zstd": codec.has_zstd}
    missing = [name for name, is_there in known.items() if not is_there()]
    if missing:
        raise ConfigurationError(
            f"topics compressed with {', '.join(missing)} cannot be read, because the package cramjam is missing",
            hint="install it into the same environment: pip install 'aiokafka[lz4,snappy,zstd]'",
        )


async def check_access(settings: KafkaSettings) -> None:
    """Connects, authenticates and requests the metadata once, at the first address that allows it.

    Raises BrokerRefused if a broker refuses the login. Raises it too if every address has a problem that waiting does
    not solve, unless these credentials were accepted before: then a certificate may be in the middle of its renewal.
    Raises SessionFailed or BrokerUnavailable otherwise.
    """
    problems: list[Problem] = []
    unreached = 0
    cause = ""
    for host, port in brokers(settings.bootstrap_servers):
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            await _ask(host, port, settings)
        except TokenUnavailable as error:
            problems.append(Problem(error.sentence, error.hint, is_certain=error.is_certain))
            break  # the next address needs the same token
        except REFUSALS as error:
            raise _refusal(error, address, settings) from None
        except (OSError, KafkaError, TimeoutError) as error:
            found = problem(error, address, settings)
            if found is None:
                cause = reason(error)
                unreached += 1
            else:
                problems.append(found)
        else:
            credentials_of(settings).were_accepted = True
            return
    if not problems:
        raise BrokerUnavailable(settings.bootstrap_servers, cause)
    worst = max(problems, key=lambda found: found.is_certain)
    if unreached or not all(found.is_certain for found in problems) or credentials_of(settings).were_accepted:
        raise SessionFailed(settings.bootstrap_servers, worst.sentence, hint=worst.hint)
    raise BrokerRefused(worst.sentence, hint=worst.hint)


async def stopped(stopping: Coroutine[Any, Any, object]) -> None:
    """Waits for a client to stop, for STOP_TIMEOUT_S at most; logs a failure and returns.

    Whatever a client raises here, the caller stops the others and ends by its own decision.
    """
    error = failure(await attempt(stopping, STOP_TIMEOUT_S))
    if error is not None:
        known = isinstance(error, KafkaError | OSError | TimeoutError | asyncio.CancelledError)
        log.warning("client_stop_failed", error=reason(error), exc_info=None if known else error)


def translated(error: BaseException, settings: KafkaSettings) -> BrokerRefused | BrokerUnavailable:
    """Returns the error of `daemon/errors.py` that a client's error stands for."""
    if isinstance(error, REFUSALS):
        return BrokerRefused(f"the Kafka broker refused this client: {reason(error)}")
    return BrokerUnavailable(settings.bootstrap_servers, reason(error))


def reason(error: BaseException) -> str:
    """Returns an error's message, or its class where it has none."""
    return str(error) or type(error).__name__


async def _ask(host: str, port: int, settings: KafkaSettings) -> None:
    """Opens a session with one broker, and closes it after the first answer."""
    options = connection_options(settings)
    del options["bootstrap_servers"]
    connection = await create_conn(host, port, **options)
    try:
        metadata = await connection.send(MetadataRequest([]))
    finally:
        # Over TLS, both sides end the session before the socket closes. Who ends the event loop earlier leaks it.
        await asyncio.wait([connection.close()], timeout=STOP_TIMEOUT_S)
    if not metadata.brokers:
        # The client takes a refused token for an accepted one. The broker then answers without any broker; so does a
        # broker that has just started and does not know its cluster yet.
        by_token = settings.security_protocol.startswith("SASL") and settings.sasl_mechanism == "OAUTHBEARER"
        if by_token and not credentials_of(settings).were_accepted:
            raise AuthenticationFailedError("the broker does not accept the credentials")
        raise KafkaConnectionError(
            "the broker does not know its cluster yet" + (", or refuses the token now" if by_token else "")
        )


def _refusal(error: BaseException, address: str, settings: KafkaSettings) -> BrokerRefused:
    if settings.sasl_mechanism == "OAUTHBEARER":
        whom, names = "the token", "the settings LOGWARDEN_KAFKA__OAUTH_…"
    else:
        whom = f"the user {settings.sasl_username!r}"
        names = "LOGWARDEN_KAFKA__SASL_USERNAME, LOGWARDEN_KAFKA__SASL_PASSWORD"
    return BrokerRefused(
        f"the Kafka broker at {address} refused {whom}: {reason(error)}", hint=f"check {names} and the mechanism"
    )

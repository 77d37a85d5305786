"""Reaches the broker: options of every client, access and codec checks, and what the client's errors mean.

- `start`, `stop` and `send` can hang while brokers are down (aiokafka issues 764, 773, 1101): each gets a time-out.
- The client turns every refusal at bootstrap into "unable to bootstrap"; `check_access` finds the reason first.
"""

from __future__ import annotations

import asyncio
import ssl
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
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.helpers import create_ssl_context

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, ConfigurationError
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
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": settings.client_id,
        "request_timeout_ms": settings.request_timeout_ms,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_password.get_secret_value() if settings.sasl_password else None
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": password,
        }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    return options


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
    """Connects and authenticates once. Raises BrokerRefused if a broker refuses, BrokerUnavailable if none answers."""
    options = connection_options(settings)
    cause = "no address given"
    for address in settings.bootstrap_servers.split(","):
        host, _, port = address.strip().rpartition(":")
        wanted = {k: v for k, v in options.items() if k != "bootstrap_servers"}
        try:
            connection = await create_conn(host.strip("[]"), int(port), **wanted)
        except REFUSALS as error:
            raise BrokerRefused(
                f"the Kafka broker at {address} refused the user {settings.sasl_username!r}: {reason(error)}",
                hint="check LOGWARDEN_KAFKA__SASL_USERNAME, LOGWARDEN_KAFKA__SASL_PASSWORD and the mechanism",
            ) from None
        except (OSError, KafkaError, TimeoutError) as error:
            cause = reason(error)
            continue
        except ValueError:
            raise ConfigurationError(
                f"LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS holds {address!r}, but must be host:port,host:port"
            ) from None
        connection.close()
        return
    raise BrokerUnavailable(settings.bootstrap_servers, cause)


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


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = create_ssl_context(
            cafile=_path(settings.ssl_cafile),
            certfile=_path(settings.ssl_certfile),
            keyfile=_path(settings.ssl_keyfile),
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"the TLS certificates cannot be used: {reason(error)}") from error
    assert isinstance(context, ssl.SSLContext)
    return context


def _path(value: object) -> str | None:
    return None if value is None else str(value)

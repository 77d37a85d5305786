"""Defines the rules on two settings: each is checked when the settings are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from logwarden.daemon.settings.fields import PREFIX

if TYPE_CHECKING:
    from logwarden.daemon.settings.groups import Settings


def disagreements(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Yields each rule on two settings as (True if it is broken, the sentence about it)."""
    kafka, window, limits = settings.kafka, settings.window, settings.limits
    name = f"{PREFIX}KAFKA__"
    sasl, tls = kafka.security_protocol.startswith("SASL"), kafka.security_protocol.endswith("SSL")
    credentials = (kafka.sasl_username, kafka.sasl_password)
    yield (
        window.step > window.size,
        f"{PREFIX}WINDOW__STEP is {window.step}, but it must be at most {PREFIX}WINDOW__SIZE, which is {window.size}",
    )
    yield (
        kafka.rebalance_timeout_ms < kafka.session_timeout_ms,
        f"{name}REBALANCE_TIMEOUT_MS is {kafka.rebalance_timeout_ms}, but it must be at least "
        f"{name}SESSION_TIMEOUT_MS, which is {kafka.session_timeout_ms}",
    )
    yield (
        kafka.fetch_max_wait_ms >= kafka.request_timeout_ms,
        f"{name}FETCH_MAX_WAIT_MS is {kafka.fetch_max_wait_ms}, but it must be less than "
        f"{name}REQUEST_TIMEOUT_MS, which is {kafka.request_timeout_ms}; otherwise every idle fetch times out",
    )
    yield (
        limits.max_in_flight_lines < kafka.max_poll_records,
        f"{PREFIX}LIMITS__MAX_IN_FLIGHT_LINES is {limits.max_in_flight_lines}, but it must be at least "
        f"{name}MAX_POLL_RECORDS, which is {kafka.max_poll_records}; otherwise one poll never fits",
    )
    for variable, topic in (("ALERTS_TOPIC", kafka.alerts_topic), ("DEAD_LETTER_TOPIC", kafka.dead_letter_topic)):
        yield (
            topic in kafka.input_topics,
            f"{name}{variable} is {topic!r}, but it must not be one of {name}INPUT_TOPICS; otherwise the daemon reads "
            "its own output",
        )
    yield (
        sasl and None in credentials,
        f"{name}SECURITY_PROTOCOL is {kafka.security_protocol}, which needs both {name}SASL_USERNAME and "
        f"{name}SASL_PASSWORD; set both",
    )
    yield (
        not sasl and credentials != (None, None),
        f"{name}SASL_USERNAME or {name}SASL_PASSWORD is set, but {name}SECURITY_PROTOCOL is "
        f"{kafka.security_protocol}, which ignores them; it must be SASL_PLAINTEXT or SASL_SSL",
    )
    yield (
        not tls and (kafka.ssl_cafile, kafka.ssl_certfile, kafka.ssl_keyfile) != (None, None, None),
        f"{name}SSL_CAFILE, SSL_CERTFILE or SSL_KEYFILE is set, but {name}SECURITY_PROTOCOL is "
        f"{kafka.security_protocol}, which ignores them; it must be SSL or SASL_SSL",
    )
    yield (
        kafka.ssl_keyfile is not None and kafka.ssl_certfile is None,
        f"{name}SSL_KEYFILE is set, but {name}SSL_CERTFILE is not; set the certificate of the key as well",
    )

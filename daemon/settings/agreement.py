"""Defines the rules on two settings: each is checked when the settings are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from logwarden.daemon.settings.bridge import SECRETS, BridgeSettings
from logwarden.daemon.settings.fields import PREFIX
from logwarden.daemon.settings.formats import pairs_of, unread_topic
from logwarden.daemon.settings.kafka import KafkaSettings

if TYPE_CHECKING:
    from logwarden.daemon.settings.groups import Settings


def disagreements(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Yields each rule on two settings as (True if it is broken, the sentence about it)."""
    kafka, window, limits, health = settings.kafka, settings.window, settings.limits, settings.health
    name = f"{PREFIX}KAFKA__"
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
    yield (
        health.unready_after_s * 1000 <= kafka.fetch_max_wait_ms,
        f"{PREFIX}HEALTH__UNREADY_AFTER_S is {health.unready_after_s:g}, but it must be more than the "
        f"{kafka.fetch_max_wait_ms} ms of {name}FETCH_MAX_WAIT_MS; otherwise an idle broker counts as silent",
    )
    if health.stuck_timeout_s is not None:
        waits = {
            f"{name}REBALANCE_TIMEOUT_MS and {name}SESSION_TIMEOUT_MS": kafka.rebalance_timeout_ms
            + kafka.session_timeout_ms,
            f"{name}REQUEST_TIMEOUT_MS": kafka.request_timeout_ms,
            f"{PREFIX}WINDOW__MAX_WAIT_MS": window.max_wait_ms,
            f"{PREFIX}JOIN__TIMEOUT_MS, ten of which an event may last": 10 * settings.join.timeout_ms,
        }
        for variables, milliseconds in waits.items():
            yield (
                health.stuck_timeout_s * 1000 <= milliseconds,
                f"{PREFIX}HEALTH__STUCK_TIMEOUT_S is {health.stuck_timeout_s:g}, but it must be more than the "
                f"{milliseconds / 1000:g} s of {variables}; otherwise the daemon ends while it only waits",
            )
    model = settings.model
    yield (
        model.engine == "onnx" and model.device.startswith("cuda"),
        f"{PREFIX}MODEL__DEVICE is {model.device}, but {PREFIX}MODEL__ENGINE is onnx, which computes on the CPU; set "
        "the engine to torch, or the device to cpu",
    )
    yield from _outputs(kafka)
    pinned = unread_topic(settings.input.formats, kafka.input_topics)
    yield (
        pinned is not None,
        f"{PREFIX}INPUT__FORMATS gives the topic {pinned!r} a format, but the daemon does not read that topic; correct "
        f"its name, or add it to {name}INPUT_TOPICS",
    )
    yield from _token(settings)
    yield from _registry(settings)
    yield from _secrets(kafka)
    yield from _logins(kafka)
    yield from _certificates(kafka)
    yield from _bridge(settings)


def advice(settings: Settings) -> Iterator[str]:
    """Yields a sentence for each pair of settings that works, and works badly."""
    kafka, limits = settings.kafka, settings.limits
    # A cut is made every quarter of the context, and counts once the lines read before it are done.
    read_ahead = limits.max_in_flight_lines + kafka.max_poll_records
    needed = -(-4 * read_ahead // 3)
    if kafka.state_topic is not None and kafka.max_context_records < needed:
        yield (
            f"{PREFIX}KAFKA__MAX_CONTEXT_RECORDS is {kafka.max_context_records}, and up to {read_ahead} lines may be "
            "read and not done, so that services may lack lines after a crash; "
            f"set it to at least {needed}, or lower {PREFIX}LIMITS__MAX_IN_FLIGHT_LINES"
        )


def _outputs(kafka: KafkaSettings) -> Iterator[tuple[bool, str]]:
    name = f"{PREFIX}KAFKA__"
    outputs = {
        "ALERTS_TOPIC": kafka.alerts_topic,
        "DEAD_LETTER_TOPIC": kafka.dead_letter_topic,
        "INCIDENTS_TOPIC": kafka.incidents_topic,
        "STATE_TOPIC": kafka.state_topic,
        "FEEDBACK_TOPIC": kafka.feedback_topic,
    }
    others = (kafka.alerts_topic, kafka.dead_letter_topic, kafka.incidents_topic or "", kafka.state_topic or "")
    yield (
        kafka.feedback_topic in others,
        f"{name}FEEDBACK_TOPIC is {kafka.feedback_topic!r}, but other records go there; give it a topic of its own",
    )
    yield (
        kafka.state_topic in (kafka.alerts_topic, kafka.dead_letter_topic, kafka.incidents_topic or ""),
        f"{name}STATE_TOPIC is {kafka.state_topic!r}, but other records go there; give it a topic of its own",
    )
    for variable, topic in outputs.items():
        yield (
            topic is not None and topic in kafka.input_topics,
            f"{name}{variable} is {topic!r}, but it must not be one of {name}INPUT_TOPICS; otherwise the daemon reads "
            "its own output",
        )
    yield (
        kafka.incidents_topic is not None and kafka.incidents_topic == kafka.alerts_topic,
        f"{name}INCIDENTS_TOPIC is {kafka.incidents_topic!r}, but it must not be {name}ALERTS_TOPIC, from which "
        "incidents are folded",
    )


def _token(settings: Settings) -> Iterator[tuple[bool, str]]:
    http, name = settings.http, f"{PREFIX}HTTP__TOKEN"
    yield (
        http.token is not None and http.token_file is not None,
        f"{name} and {name}_FILE are both set; set one of them",
    )
    yield (
        settings.mcp.token is not None and settings.mcp.token_file is not None,
        f"{PREFIX}MCP__TOKEN and {PREFIX}MCP__TOKEN_FILE are both set; set one of them",
    )
    yield (
        http.token_for_reads and http.token is None and http.token_file is None,
        f"{name}_FOR_READS is true, but no token is set, so that nobody could read; set {name}_FILE or {name} as well",
    )


def _registry(settings: Settings) -> Iterator[tuple[bool, str]]:
    given, name = settings.input, f"{PREFIX}INPUT__SCHEMA_REGISTRY_"
    is_secret = given.schema_registry_password is not None or given.schema_registry_password_file is not None
    fields = ("username", "password", "password_file", "cafile")
    others = [f"{name}{field.upper()}" for field in fields if getattr(given, f"schema_registry_{field}") is not None]
    needed = {"avro", "protobuf"} & {given.format, *(format for _, format in pairs_of(given.formats))}
    yield (
        given.schema_registry_url is None and bool(others),
        f"{_are_set(others)}, but {name}URL is not; set the URL as well",
    )
    yield (
        given.schema_registry_url is None and bool(needed),
        f"the format {' and '.join(sorted(needed))} is pinned, which needs a schema registry; set {name}URL",
    )
    yield (
        given.schema_registry_password is not None and given.schema_registry_password_file is not None,
        f"{name}PASSWORD and {name}PASSWORD_FILE are both set; set one of them",
    )
    yield (
        (given.schema_registry_username is not None) != is_secret,
        f"{_are_set(others)}, but a login needs both {name}USERNAME and {name}PASSWORD (or {name}PASSWORD_FILE); set "
        "both",
    )
    yield (
        given.schema_registry_cafile is not None and (given.schema_registry_url or "").startswith("http:"),
        f"{name}CAFILE is set, but {name}URL begins with http:, which ignores it; it must begin with https:",
    )


def _secrets(kafka: KafkaSettings) -> Iterator[tuple[bool, str]]:
    for field in ("sasl_password", "oauth_client_secret", "ssl_key_password"):
        variable = f"{PREFIX}KAFKA__{field.upper()}"
        yield (
            bool(_given(kafka, field) and _given(kafka, f"{field}_file")),
            f"{variable} and {variable}_FILE are both set; set one of them",
        )


def _logins(kafka: KafkaSettings) -> Iterator[tuple[bool, str]]:
    name = f"{PREFIX}KAFKA__"
    protocol = f"{name}SECURITY_PROTOCOL is {kafka.security_protocol}"
    mechanism = f"{name}SASL_MECHANISM is {kafka.sasl_mechanism}"
    sasl, oauth = kafka.security_protocol.startswith("SASL"), kafka.sasl_mechanism == "OAUTHBEARER"
    passwords = _given(kafka, "sasl_username", "sasl_password", "sasl_password_file")
    secrets = _given(kafka, "oauth_client_secret", "oauth_client_secret_file")
    endpoint = _given(kafka, "oauth_token_url", "oauth_client_id", "oauth_scope") + secrets
    token_file = _given(kafka, "oauth_token_file")
    tokens = token_file + endpoint
    yield (
        not sasl and bool(passwords + tokens),
        f"{_are_set(passwords + tokens)}, but {protocol}, which ignores them; it must be SASL_PLAINTEXT or SASL_SSL",
    )
    yield (
        not sasl and oauth,
        f"{mechanism}, but {protocol}, which ignores it; it must be SASL_PLAINTEXT or SASL_SSL",
    )
    yield (
        sasl and not oauth and bool(tokens),
        f"{_are_set(tokens)}, but {mechanism}, which uses no token; it must be OAUTHBEARER",
    )
    yield (
        sasl and not oauth and (kafka.sasl_username is None or len(passwords) < 2),
        f"{protocol}, which needs both {name}SASL_USERNAME and {name}SASL_PASSWORD (or {name}SASL_PASSWORD_FILE); set "
        "both",
    )
    yield (
        sasl and oauth and bool(passwords),
        f"{_are_set(passwords)}, but {mechanism}, which uses a token and no password; remove them",
    )
    yield (
        bool(token_file and endpoint),
        f"{name}OAUTH_TOKEN_FILE and {endpoint[0] if endpoint else ''} are both set; a token comes from a file or from "
        "an endpoint, so remove one of them",
    )
    is_complete = kafka.oauth_token_url is not None and kafka.oauth_client_id is not None and bool(secrets)
    yield (
        sasl and oauth and not token_file and not is_complete,
        f"{mechanism}, which needs either {name}OAUTH_TOKEN_FILE, or all of {name}OAUTH_TOKEN_URL, "
        f"{name}OAUTH_CLIENT_ID and {name}OAUTH_CLIENT_SECRET (or {name}OAUTH_CLIENT_SECRET_FILE)",
    )


def _certificates(kafka: KafkaSettings) -> Iterator[tuple[bool, str]]:
    name = f"{PREFIX}KAFKA__"
    tls = kafka.security_protocol.endswith("SSL")
    keys = _given(kafka, "ssl_keyfile", "ssl_key_password", "ssl_key_password_file")
    files = _given(kafka, "ssl_cafile", "ssl_certfile") + keys
    yield (
        not tls and bool(files),
        f"{_are_set(files)}, but {name}SECURITY_PROTOCOL is {kafka.security_protocol}, which ignores "
        "them; it must be SSL or SASL_SSL",
    )
    yield (
        kafka.ssl_certfile is None and bool(keys),
        f"{_are_set(keys)}, but {name}SSL_CERTFILE is not; set the certificate of the key as well",
    )


def _given(kafka: KafkaSettings, *fields: str) -> list[str]:
    """Returns the variables of the fields that are set."""
    return [f"{PREFIX}KAFKA__{field.upper()}" for field in fields if getattr(kafka, field) is not None]


def _are_set(variables: list[str]) -> str:
    return f"{' and '.join(variables)} {'is' if len(variables) == 1 else 'are'} set"


def _bridge(settings: Settings) -> Iterator[tuple[bool, str]]:
    bridge, name = settings.bridge, f"{PREFIX}BRIDGE__"
    for secret in SECRETS:
        variable = f"{name}{secret.upper()}"
        yield (
            getattr(bridge, secret) is not None and getattr(bridge, f"{secret}_file") is not None,
            f"{variable} and {variable}_FILE are both set; set one of them",
        )
    topics = settings.kafka
    yield (
        bridge.dead_letter_topic is not None
        and bridge.dead_letter_topic
        in (topics.incidents_topic, topics.alerts_topic, topics.state_topic, topics.feedback_topic),
        f"{name}DEAD_LETTER_TOPIC is {bridge.dead_letter_topic!r}, but other records go there; give it a topic of its "
        "own",
    )
    yield (
        bridge.alertmanager_hold_s < 3 * bridge.alertmanager_resend_s,
        f"{name}ALERTMANAGER_HOLD_S is {bridge.alertmanager_hold_s:g}, but it must be at least three times "
        f"{name}ALERTMANAGER_RESEND_S, which is {bridge.alertmanager_resend_s:g}; otherwise a message that is late "
        "resolves an incident",
    )
    yield from _mail(bridge, name)


def _mail(bridge: BridgeSettings, name: str) -> Iterator[tuple[bool, str]]:
    has_password = bridge.smtp_password is not None or bridge.smtp_password_file is not None
    yield (
        bridge.smtp_host is not None and (bridge.mail_from is None or not bridge.mail_to),
        f"{name}SMTP_HOST is set, but a mail needs both {name}MAIL_FROM and {name}MAIL_TO; set both",
    )
    yield (
        (bridge.smtp_username is not None) != has_password,
        f"a login at the mail server needs both {name}SMTP_USERNAME and {name}SMTP_PASSWORD_FILE (or "
        f"{name}SMTP_PASSWORD); set both",
    )
    yield (
        has_password and bridge.smtp_security == "plain",
        f"{name}SMTP_SECURITY is plain, which would send the password unencrypted; it must be starttls or tls",
    )

"""Defines the settings: names, defaults, limits, meanings, and the pairs that must agree.

The text under a field is its description in `logwarden config` and in the documentation: its unit, and the meaning of
None. Refuses to know where values come from (`daemon/settings/reading.py`) and how they are used. The constructors are
for tests: `Settings()` has every default and reads neither environment nor files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    DirectoryPath,
    Field,
    FilePath,
    PrivateAttr,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "LOGWARDEN_"


def _none_word(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


def _list_word(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value  # broken JSON stays a string, which the validation refuses with the sentence about lists
    return tuple(part for part in (part.strip() for part in value.split(",")) if part)


T = TypeVar("T")
Maybe = Annotated[T | None, BeforeValidator(_none_word)]
"""A value, or the word `none` in the environment and None in the program."""
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_list_word), Field(min_length=1)]
"""A JSON list or a comma list in the environment, a tuple in the program."""


class _Group(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, protected_namespaces=()
    )


class KafkaSettings(_Group):
    """Brokers, topics, group, credentials and time limits of Kafka."""

    bootstrap_servers: Name = "localhost:9092"
    """Brokers that the daemon contacts first, as `host:port,host:port`."""
    input_topics: Names = ("logs",)
    """Topics from which the daemon reads log lines."""
    alerts_topic: Name = "logwarden.alerts"
    """Topic to which the daemon publishes alerts."""
    dead_letter_topic: Name = "logwarden.dead-letters"
    """Topic to which the daemon publishes records without a readable log line."""
    group_id: Name = "logwarden"
    """Consumer group. All replicas use the same one, and the group divides the partitions among them."""
    group_instance_id: Maybe[str] = None
    """Name of this member for static membership, such as the pod's name: it must survive a restart. None: dynamic
    membership."""
    client_id: Name = "logwarden"
    """Name of the daemon in the broker's logs, metrics and quotas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Encryption and authentication of connections."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """Method by which the daemon proves its password. Only the SASL protocols use it."""
    sasl_username: Maybe[str] = None
    """User name for SASL. None: no SASL."""
    sasl_password: Maybe[SecretStr] = None
    """Password for SASL. None: no SASL."""
    ssl_cafile: Maybe[FilePath] = None
    """PEM file of the certificate authorities to trust. None: those of the operating system."""
    ssl_certfile: Maybe[FilePath] = None
    """PEM file of the daemon's client certificate. None: no client certificate."""
    ssl_keyfile: Maybe[FilePath] = None
    """PEM file of the client certificate's private key. None: the certificate's file contains the key."""
    session_timeout_ms: Annotated[int, Field(ge=6_000, le=1_800_000)] = 45_000
    """Milliseconds without a heartbeat after which the group removes a member."""
    rebalance_timeout_ms: Annotated[int, Field(ge=6_000, le=1_800_000)] = 60_000
    """Milliseconds that the group waits for a member at a rebalance. The daemon finishes and commits within half of
    them."""
    request_timeout_ms: Annotated[int, Field(ge=1_000, le=600_000)] = 40_000
    """Milliseconds that the daemon waits for the broker's response to one request."""
    max_poll_records: Annotated[int, Field(ge=1, le=100_000)] = 4_096
    """Most records that the daemon takes from the consumer at a time."""
    fetch_max_wait_ms: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Milliseconds that the broker may delay its response to a fetch while no record is new."""
    commit_interval_ms: Annotated[int, Field(ge=10, le=600_000)] = 1_000
    """Milliseconds between commits, and so about the work that the next owner repeats after a crash."""
    max_context_records: Annotated[int, Field(ge=0)] = 100_000
    """Most records per partition that are read again after an assignment to rebuild the windows."""
    start_timeout_s: Maybe[Annotated[float, Field(ge=0)]] = None
    """Seconds for which the daemon retries at the start while no broker answers. None: no limit."""


class InputSettings(_Group):
    """Format of records, and the places of a log line, its time and its service in a JSON record."""

    format: Literal["auto", "raw", "json"] = "auto"
    """Format of a record's value. `raw`: the value is the line; `json`: an object; `auto`: decided record by record."""
    service_paths: Names = (
        "service.name",
        "service",
        "kubernetes.labels.app",
        "kubernetes.labels.app.kubernetes.io/name",
        "kubernetes.pod_labels.app",
        "kubernetes.container_name",
        "app",
        "application",
        "container.name",
        "container_name",
        "log.file.path",
        "file",
        "host.name",
    )
    """Dotted JSON paths to the service; the first match wins. Write a key that contains dots as it is: the longest key
    that matches wins. Without a match the service is the record's key, and without a key the topic."""
    text_paths: Names = ("message", "log", "msg", "body", "event.original")
    """Dotted JSON paths to the line's text; the first match wins."""
    time_paths: Names = ("@timestamp", "timestamp", "time", "ts")
    """Dotted JSON paths to the line's time; the first match wins. Without a match it is the record's own time."""


class WindowSettings(_Group):
    """Lines that are scored together."""

    size: Annotated[int, Field(ge=2, le=512)] = 32
    """Lines in a window: the scored line and the lines of its service before it."""
    step: Annotated[int, Field(ge=1, le=512)] = 1
    """New lines of a service from one window to the next; at most the size."""
    max_wait_ms: Annotated[int, Field(ge=1, le=600_000)] = 1_000
    """Milliseconds after which a line is scored, although its step is not full."""


class BatchSettings(_Group):
    """Size and delay of the batches in which windows are scored."""

    max_windows: Annotated[int, Field(ge=1, le=65_536)] = 512
    """Windows in a batch."""
    max_delay_ms: Annotated[float, Field(ge=0, le=10_000)] = 5.0
    """Milliseconds that a window may wait for other windows of its batch."""


class ModelSettings(_Group):
    """The model that scores the windows, and its device."""

    path: Maybe[DirectoryPath] = None
    """Directory of the model. None: the model shipped in the package."""
    bert_path: Maybe[str] = None
    """Directory or hub name of the BERT encoder. None: the encoder in the model directory."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", title="auto, cpu, cuda or cuda:N")] = "auto"
    """Device of the model: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`."""
    allow_download: bool = False
    """True allows the daemon to download files of the encoder from the model hub."""
    table_rows: Annotated[int, Field(ge=256, le=16_777_216)] = 32_768
    """Rows of the line table, which keeps distinct masked lines with their vectors."""


class AlertSettings(_Group):
    """Conditions of an alert, and the length of the lines that it quotes."""

    threshold: Maybe[Annotated[float, Field(gt=0, le=1)]] = None
    """Probability of an anomaly from which the daemon publishes an alert. None: the model's own threshold."""
    learning_lines: Annotated[int, Field(ge=0, le=10_000)] = 1_000  # ages are known up to 2**14 lines only
    """Lines of a service before its first alert. They should include its restarts and nightly jobs."""
    max_line_chars: Annotated[int, Field(ge=16, le=65_536)] = 1_024
    """Characters of a line that an alert quotes; longer lines are truncated."""


class LimitSettings(_Group):
    """A bound on everything that could grow."""

    max_services: Annotated[int, Field(ge=1)] = 20_000
    """Services in memory. The daemon evicts the one without lines for the longest time first."""
    max_line_chars: Annotated[int, Field(ge=64, le=1_048_576)] = 8_192
    """Characters of a line that the daemon reads; longer lines are truncated and counted."""
    max_in_flight_lines: Annotated[int, Field(ge=64)] = 32_768
    """Lines that are read and not done. Above this number the daemon pauses its partitions."""
    max_history_lines_per_service: Annotated[int, Field(ge=16)] = 1_024
    """Distinct masked lines in the history of a service. The daemon evicts old rare lines first."""


class HttpSettings(_Group):
    """Address of health and metrics."""

    host: Name = "0.0.0.0"
    """Address on which the daemon serves `/livez`, `/readyz` and `/metrics`."""
    port: Maybe[Annotated[int, Field(ge=0, le=65_535)]] = 8_080
    """TCP port on which the daemon serves HTTP; 0: any free port. None: no HTTP."""


class LogSettings(_Group):
    """The daemon's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that the daemon logs."""
    format: Literal["auto", "json", "console"] = "auto"
    """Format of the log. `json`: one object per line; `console`: text for people; `auto`: `console` on a terminal, else
    `json`."""


class ShutdownSettings(_Group):
    """Time limit of the daemon's shutdown."""

    drain_timeout_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0
    """Seconds that a drain has to finish and commit the lines in flight. The next owner replays the lines that
    remain."""


class Settings(BaseSettings):
    """Every setting, frozen and read once."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__", protected_namespaces=()
    )

    kafka: KafkaSettings = KafkaSettings()
    input: InputSettings = InputSettings()
    window: WindowSettings = WindowSettings()
    batch: BatchSettings = BatchSettings()
    model: ModelSettings = ModelSettings()
    alerts: AlertSettings = AlertSettings()
    limits: LimitSettings = LimitSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns the constructor's arguments as the only source: `read_settings` reads the environment."""
        return (init_settings,)

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        for wrong, sentence in _disagreements(self):
            if wrong:
                raise ValueError(sentence)
        return self

    def origin(self, variable: str) -> str:
        """Returns the source of a variable's value: `option`, `environment`, `file` or `default`."""
        return self._origins.get(variable, "default")

    def with_origins(self, origins: dict[str, str]) -> Settings:
        """Adds the source of each value, and returns the settings."""
        self._origins.update(origins)
        return self


def _disagreements(settings: Settings) -> Iterator[tuple[bool, str]]:
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

"""Owns what the settings are: names, defaults, limits, meaning, and which of them must agree.

The sentence under a field is its description everywhere (`logwarden config`, docs/settings.md), with its unit and what
None means. Refuses to know where values come from (`daemon/settings/reading.py`) and what they are used for. The
constructors are for tests: `Settings()` is all defaults and looks at nothing.
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
            return value  # a text is no list, which is what the sentence will say
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
    """Where the broker is, what is read, where results go, and how patient to be."""

    bootstrap_servers: Name = "localhost:9092"
    """Brokers to ask first, `host:port,host:port`."""
    input_topics: Names = ("logs",)
    """Topics the log lines are read from."""
    alerts_topic: Name = "logwarden.alerts"
    """Topic that alerts are published to."""
    dead_letter_topic: Name = "logwarden.dead-letters"
    """Topic for records that hold no readable log line."""
    group_id: Name = "logwarden"
    """Consumer group; replicas share it and divide its partitions."""
    group_instance_id: Maybe[str] = None
    """Static membership: a name that survives a restart, such as the pod's. None: a member like any other."""
    client_id: Name = "logwarden"
    """Name shown in the broker's logs, metrics and quotas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How connections are encrypted and authenticated."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How the password is proved; used with the SASL protocols only."""
    sasl_username: Maybe[str] = None
    """SASL user name. None: no SASL."""
    sasl_password: Maybe[SecretStr] = None
    """SASL password. None: no SASL."""
    ssl_cafile: Maybe[FilePath] = None
    """PEM file of the authorities to trust. None: those of the operating system."""
    ssl_certfile: Maybe[FilePath] = None
    """PEM file of our client certificate. None: no client certificate."""
    ssl_keyfile: Maybe[FilePath] = None
    """PEM file of its private key. None: the key is in the certificate's file."""
    session_timeout_ms: Annotated[int, Field(ge=6_000, le=1_800_000)] = 45_000
    """Milliseconds without a heartbeat until the group gives a member up."""
    rebalance_timeout_ms: Annotated[int, Field(ge=6_000, le=1_800_000)] = 60_000
    """Milliseconds to finish and commit when partitions are revoked."""
    request_timeout_ms: Annotated[int, Field(ge=1_000, le=600_000)] = 40_000
    """Milliseconds to wait for the broker's answer to one request."""
    max_poll_records: Annotated[int, Field(ge=1, le=100_000)] = 4_096
    """Records taken from the consumer at a time."""
    fetch_max_wait_ms: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Milliseconds the broker may hold back a fetch that has nothing to return."""
    commit_interval_ms: Annotated[int, Field(ge=10, le=600_000)] = 1_000
    """Milliseconds between commits, so about as much work as a crash repeats."""
    max_context_records: Annotated[int, Field(ge=0)] = 100_000
    """Records per partition that may be read again to rebuild its windows after an assignment."""
    start_timeout_s: Maybe[Annotated[float, Field(ge=0)]] = None
    """Seconds to keep trying an unreachable broker at the start. None: for ever."""


class InputSettings(_Group):
    """How a log line, its time and its service are found in a record."""

    format: Literal["auto", "raw", "json"] = "auto"
    """Form of a record's value: `raw` is the line itself; `auto` decides record by record."""
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
    """Dotted JSON paths to the service, first match wins; a key that contains dots is written as it is, the longest
    key that fits is taken. Nothing found: the record's key, then the topic."""
    text_paths: Names = ("message", "log", "msg", "body", "event.original")
    """Dotted JSON paths to the line's text, first match wins."""
    time_paths: Names = ("@timestamp", "timestamp", "time", "ts")
    """Dotted JSON paths to the line's time, first match wins. Nothing found: the record's own time."""


class WindowSettings(_Group):
    """Which lines are judged together."""

    size: Annotated[int, Field(ge=2, le=512)] = 32
    """Lines in a window: the judged line and those before it."""
    step: Annotated[int, Field(ge=1, le=512)] = 1
    """New lines of a service from one window to its next; at most the size."""
    max_wait_ms: Annotated[int, Field(ge=1, le=600_000)] = 1_000
    """Milliseconds until a line is judged although its step is not full yet."""


class BatchSettings(_Group):
    """When waiting windows are scored."""

    max_windows: Annotated[int, Field(ge=1, le=65_536)] = 512
    """Windows scored at a time."""
    max_delay_ms: Annotated[float, Field(ge=0, le=10_000)] = 5.0
    """Milliseconds a window may wait for others to share its batch."""


class ModelSettings(_Group):
    """What judges the windows, and where it runs."""

    path: Maybe[DirectoryPath] = None
    """Directory of the model. None: the model shipped in the package."""
    bert_path: Maybe[str] = None
    """Directory or hub name of the BERT encoder. None: the encoder that the model directory holds."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", title="auto, cpu, cuda or cuda:N")] = "auto"
    """Where to compute: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`."""
    allow_download: bool = False
    """Whether files of the encoder may be fetched from the model hub."""
    table_rows: Annotated[int, Field(ge=256, le=16_777_216)] = 32_768
    """Rows of the line table: distinct masked lines kept with their vectors."""


class AlertSettings(_Group):
    """When an alert is raised, and how much of the log it quotes."""

    threshold: Maybe[Annotated[float, Field(gt=0, le=1)]] = None
    """Probability of an anomaly from which an alert is due. None: the model's own."""
    learning_lines: Annotated[int, Field(ge=0, le=10_000)] = 1_000  # ages are known up to 2**14 lines only
    """Lines of a service to see before it may raise alerts: its restarts and nightly jobs should be among them."""
    max_line_chars: Annotated[int, Field(ge=16, le=65_536)] = 1_024
    """Characters of a line quoted in an alert; the rest is cut."""


class LimitSettings(_Group):
    """A bound on everything that could grow."""

    max_services: Annotated[int, Field(ge=1)] = 20_000
    """Services remembered; the one quiet for longest is forgotten first."""
    max_line_chars: Annotated[int, Field(ge=64, le=1_048_576)] = 8_192
    """Characters of a line that are read at all; the rest is cut and counted."""
    max_in_flight_lines: Annotated[int, Field(ge=64)] = 32_768
    """Lines read and not done; above it partitions are paused until some are."""
    max_history_lines_per_service: Annotated[int, Field(ge=16)] = 1_024
    """Distinct masked lines remembered per service; the rarest old ones are forgotten first."""


class HttpSettings(_Group):
    """Where health and metrics are served."""

    host: Name = "0.0.0.0"
    """Address to listen on for `/livez`, `/readyz` and `/metrics`."""
    port: Maybe[Annotated[int, Field(ge=0, le=65_535)]] = 8_080
    """TCP port to listen on; 0: any free one. None: no HTTP at all."""


class LogSettings(_Group):
    """The daemon's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important level that is written."""
    format: Literal["auto", "json", "console"] = "auto"
    """`json` is one object per line; `auto` is `console` on a terminal and `json` elsewhere."""


class ShutdownSettings(_Group):
    """How the daemon stops."""

    drain_timeout_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0
    """Seconds to finish and commit what was read; what remains is replayed by the next owner."""


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
        """Where the value of a variable came from: `option`, `environment`, `file` or `default`."""
        return self._origins.get(variable, "default")

    def with_origins(self, origins: dict[str, str]) -> Settings:
        """The same settings that also know where each value came from."""
        self._origins.update(origins)
        return self


def _disagreements(settings: Settings) -> Iterator[tuple[bool, str]]:
    """What would be fine alone and is wrong together: (is it wrong, the sentence that says so)."""
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
        f"{name}REQUEST_TIMEOUT_MS, which is {kafka.request_timeout_ms}, or every idle fetch times out",
    )
    yield (
        limits.max_in_flight_lines < kafka.max_poll_records,
        f"{PREFIX}LIMITS__MAX_IN_FLIGHT_LINES is {limits.max_in_flight_lines}, but it must be at least "
        f"{name}MAX_POLL_RECORDS, which is {kafka.max_poll_records}, or one poll never fits",
    )
    for variable, topic in (("ALERTS_TOPIC", kafka.alerts_topic), ("DEAD_LETTER_TOPIC", kafka.dead_letter_topic)):
        yield (
            topic in kafka.input_topics,
            f"{name}{variable} is {topic!r}, but it must not be one of {name}INPUT_TOPICS, or the daemon reads what "
            "it writes",
        )
    yield (
        sasl and None in credentials,
        f"{name}SECURITY_PROTOCOL is {kafka.security_protocol}, but that needs both {name}SASL_USERNAME and "
        f"{name}SASL_PASSWORD",
    )
    yield (
        not sasl and credentials != (None, None),
        f"{name}SASL_USERNAME or {name}SASL_PASSWORD is set, but {name}SECURITY_PROTOCOL is "
        f"{kafka.security_protocol}, which ignores it; it must be SASL_PLAINTEXT or SASL_SSL",
    )
    yield (
        not tls and (kafka.ssl_cafile, kafka.ssl_certfile, kafka.ssl_keyfile) != (None, None, None),
        f"{name}SSL_CAFILE, SSL_CERTFILE or SSL_KEYFILE is set, but {name}SECURITY_PROTOCOL is "
        f"{kafka.security_protocol}, which ignores it; it must be SSL or SASL_SSL",
    )
    yield (
        kafka.ssl_keyfile is not None and kafka.ssl_certfile is None,
        f"{name}SSL_KEYFILE is set, but {name}SSL_CERTFILE is not, and a key is of no use without its certificate",
    )

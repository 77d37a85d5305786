"""Defines the settings: names, defaults, limits, meanings.

The text under a field is its description in `logwarden config` and in the documentation: its unit, and the meaning of
None. Refuses to know where values come from (`daemon/settings/reading.py`) and how they are used. The constructors are
for tests: `Settings()` has every default and reads neither environment nor files.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import DirectoryPath, Field, FilePath, PrivateAttr, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from logwarden.daemon.records import InputFormat
from logwarden.daemon.settings.addresses import MemberAddress, RegistryUrl
from logwarden.daemon.settings.agreement import disagreements
from logwarden.daemon.settings.bridge import BridgeSettings
from logwarden.daemon.settings.classes import ServiceClasses
from logwarden.daemon.settings.fields import (
    PREFIX,
    Encoding,
    Kinds,
    Masks,
    Maybe,
    MoreNames,
    Name,
    SettingsGroup,
    TimeZone,
)
from logwarden.daemon.settings.formats import TopicFormats
from logwarden.daemon.settings.kafka import KafkaSettings
from logwarden.daemon.settings.learning import MAX_DAYS, ServiceLearning
from logwarden.daemon.settings.mcp import McpSettings
from logwarden.daemon.settings.patterns import Pattern
from logwarden.daemon.settings.secret_files import SecretFile
from logwarden.model.defaults import (
    BUDGET_PER_DAY,
    LEARNING_LINES,
    MAX_HISTORY_LINES,
    MAX_LINE_CHARS,
    PLANNED_TAIL_MS,
    SETTLING_TAIL_MS,
    WINDOW_SIZE,
)
from logwarden.model.schema import DEFAULT_KINDS


class InputSettings(SettingsGroup):
    """Format of records, and the places of a log line, its time and its service in a JSON record."""

    format: InputFormat = "auto"
    """Format of the records of all topics. `auto`: decided record by record; `raw`: any text, of which only the time is
    read. Every other format is a promise: what is not of it goes to the dead-letter topic. `otlp` is JSON or protobuf,
    `syslog` has a `<PRI>`, `cri` is the frame of a container runtime, `glog` has a letter for the level. In the frames
    of `syslog` and `cri`, the content is decided line by line. `avro` and `protobuf` need a schema registry."""
    formats: TopicFormats = ()
    """Formats of single topics, such as `logs.nginx=access,^audit-=cef`, in place of the one for all topics. A name
    counts before the patterns, which begin with ^ as those of the input topics do; a comma in a pattern needs a JSON
    object."""
    schema_registry_url: Maybe[RegistryUrl] = None
    """URL of the schema registry whose numbers stand before values of Avro and Protobuf, such as
    `https://registry:8081`, or `https://apicurio/apis/ccompat/v7`. None: such values go to the dead-letter topic."""
    schema_registry_username: Maybe[Name] = None
    """User name at the schema registry. None: no login."""
    schema_registry_password: Maybe[SecretStr] = None
    """Password at the schema registry. None: no login, or the one in the file."""
    schema_registry_password_file: Maybe[SecretFile] = None
    """File with the password at the schema registry, read again for each request. None: no file."""
    schema_registry_cafile: Maybe[FilePath] = None
    """PEM file of the certificate authorities to trust at the schema registry. None: those of the operating system."""
    encoding: Encoding = "auto"
    """Charset of records that have no byte order mark, such as `gb18030`, `shift_jis` or `latin-1`. `auto`: UTF-8, and
    UTF-16, GB18030, Windows-1251, KOI8-R and Windows-1252 where the bytes show them."""
    timezone: TimeZone = "UTC"
    """Zone of times that state none, such as `Europe/Berlin`."""
    service_paths: MoreNames = ()
    """Dotted JSON paths to the service, tried before those that the daemon knows; the first match wins. Write a key
    that contains dots as it is. Without a match the service is the record's header, its key, its host, and at last
    the topic."""
    text_paths: MoreNames = ()
    """Dotted JSON paths to the line's text, tried before those that the daemon knows; the first match wins."""
    time_paths: MoreNames = ()
    """Dotted JSON paths to the line's time, tried before those that the daemon knows; the first match wins. Without a
    match it is the time that the text states, and at last the record's own."""
    masks: Masks = ()
    """Parts of lines that make no other kind of line, as a JSON object of names and regular expressions. A mask is
    applied before the built-in rules, where a number is already one star: `\\d+` matches that star. A mask that could
    run for ever is refused."""


class JoinSettings(SettingsGroup):
    """Events of several lines, such as stack traces: each is joined to one event and raises at most one alert."""

    enabled: bool = True
    """True joins the lines of an event. False: each line is an event of its own."""
    max_lines: Annotated[int, Field(ge=2, le=100_000)] = 1_000
    """Lines of an event. The daemon counts a longer event as cut, and takes the rest of it for another event."""
    max_bytes: Annotated[int, Field(ge=1_024, le=16_777_216)] = 262_144
    """Bytes of an event in memory, counted as its lines are."""
    timeout_ms: Annotated[int, Field(ge=1, le=60_000)] = 300
    """Milliseconds that an error, or another line that may be continued, waits for its next line. The records of an
    event must not lie further apart."""
    start_pattern: Maybe[Pattern] = None
    r"""Regular expression of Python, such as `^\d{4}-\d\d-\d\d`. A line in which it is found begins an event, and all
    other lines continue it. None: the daemon recognizes the traces of common runtimes and indented lines."""


class WindowSettings(SettingsGroup):
    """Lines that are scored together."""

    size: Annotated[int, Field(ge=2, le=512)] = WINDOW_SIZE
    """Lines in a window: the scored line and the lines of its service before it."""
    step: Annotated[int, Field(ge=1, le=512)] = 1
    """New lines of a service from one window to the next; at most the size."""
    max_wait_ms: Annotated[int, Field(ge=1, le=600_000)] = 1_000
    """Milliseconds after which a line is scored, although its step is not full."""


class BatchSettings(SettingsGroup):
    """Size and delay of the batches in which windows are scored."""

    max_windows: Annotated[int, Field(ge=1, le=65_536)] = 512
    """Windows in a batch."""
    max_delay_ms: Annotated[float, Field(ge=0, le=10_000)] = 5.0
    """Milliseconds that a window may wait for other windows of its batch."""


class ModelSettings(SettingsGroup):
    """The model that scores the windows, and its device."""

    path: Maybe[DirectoryPath] = None
    """Directory of the model. None: the model shipped in the package."""
    bert_path: Maybe[str] = None
    """Directory or hub name of the BERT encoder. None: the encoder in the model directory."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", title="auto, cpu, cuda or cuda:N")] = "auto"
    """Device of the model: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`."""
    engine: Literal["auto", "torch", "onnx"] = "auto"
    """Library that computes the model: `torch` on any device, or `onnx` (ONNX Runtime) on the CPU, where it is lighter
    and faster. `auto`: `onnx` where it is installed and there is no GPU, else `torch`."""
    allow_download: bool = False
    """True allows the daemon to download files of the encoder from the model hub."""
    table_rows: Annotated[int, Field(ge=256, le=16_777_216)] = 32_768
    """Rows of the line table, which keeps distinct masked lines with their vectors."""


class AlertSettings(SettingsGroup):
    """Conditions of an alert, and the length of the lines that it quotes."""

    threshold: Maybe[Annotated[float, Field(gt=0, le=1)]] = None
    """Probability of an anomaly from which the daemon publishes an alert. None: the model's own threshold."""
    budget_per_day: Annotated[int, Field(ge=0, le=1_000)] = BUDGET_PER_DAY
    """Episodes of alerts within a day after which a service needs a probability of .73 for an alert. An episode is what
    follows each other by less than a minute. 0: no budget. With a threshold of your own there is none."""
    kinds: Kinds = DEFAULT_KINDS
    """Kinds of anomalies that raise an alert: `new_line`, `failure_again`, `rare_line`, `failure_rate_up`. Off
    are `rate_up`, for loads higher than ever, and `silence`, for services that log nothing for longer than ever."""
    learning_lines: Annotated[int, Field(ge=0, le=10_000)] = LEARNING_LINES  # ages are known up to 2**14 lines only
    """Lines of a service before its first alert. They should include its restarts and nightly jobs."""
    learning_days: Maybe[Annotated[float, Field(gt=0, le=MAX_DAYS)]] = 3.0
    """Days after its first line from which a service may raise alerts although it has logged fewer lines: a fifth of
    them at least. None: by lines only."""
    learning: ServiceLearning = ()
    """Lines and days of single services, such as `web-*=200,cron=2d,batch=500/7d`, in place of the common ones. The
    first name or shell pattern that matches a service counts."""
    max_line_chars: Annotated[int, Field(ge=16, le=65_536)] = 1_024
    """Characters of a line that an alert quotes; longer lines are truncated."""
    max_original_chars: Annotated[int, Field(ge=0, le=65_536)] = 1_024
    """Characters of the record as it was written that an alert quotes in `event.original`, where its text is another.
    0: none. Four bytes for each are kept of every such record in flight, at most."""


class IncidentSettings(SettingsGroup):
    """How alerts become incidents."""

    gap_s: Annotated[float, Field(ge=1, le=3_600)] = 15.0
    """Seconds without an alert of a service after which its next alert begins another incident. Each time that a fault
    comes back within ten minutes its incident gets four times the gap, up to ten minutes."""
    join_s: Annotated[float, Field(ge=0, le=3_600)] = 15.0
    """Seconds within which services that begin to fail are one incident. 0: only those of the same millisecond."""
    least_evidence: Annotated[float, Field(ge=0, le=100)] = 0.69
    """Evidence from which an incident is published: the sum of -log(1 - score) over its distinct lines. One line with
    a score of .5, the default threshold, has as much."""
    system_pattern: Maybe[Pattern] = None
    """Regular expression for the system in a service's name, such as `^([^/]+)/`: its first group, or else its match.
    Services of different systems are never one incident. None: all services are one system."""


class FeedbackSettings(SettingsGroup):
    """What people say about alerts, beside the feedback topic."""

    file: Maybe[FilePath] = None
    """File in TOML with expected lines, mutes and maintenance, read again when it changes. None: no file."""
    tail_s: Annotated[float, Field(ge=0, le=600)] = PLANNED_TAIL_MS / 1000
    """Seconds after the end of a maintenance in which alerts still count as planned, such as those of peers that
    connect again."""
    settling_s: Annotated[float, Field(ge=0, le=3_600)] = SETTLING_TAIL_MS / 1000
    """Seconds for which the same counts for alerts on lines that state no failure, such as members that join again and
    caches that fill. A value below `tail_s` counts as `tail_s`."""
    baseline_days: Maybe[Annotated[float, Field(ge=1, le=365)]] = 21.0
    """Days after which a kind of lines becomes expected whose incidents have come back all the time without a
    judgement. The incidents topic must keep them as long. None: never."""


class LimitSettings(SettingsGroup):
    """A bound on everything that could grow."""

    max_services: Annotated[int, Field(ge=1)] = 20_000
    """Services in memory. The daemon evicts the one without lines for the longest time first."""
    max_line_chars: Annotated[int, Field(ge=64, le=1_048_576)] = MAX_LINE_CHARS
    """Characters of a line that the daemon reads; longer lines are truncated and counted."""
    max_in_flight_lines: Annotated[int, Field(ge=64)] = 32_768
    """Lines that are read and not done. Above this number the daemon pauses its partitions."""
    max_waiting_bytes: Annotated[int, Field(ge=1_048_576)] = 32 * 1024 * 1024
    """Bytes in memory that wait for one output topic. Above this number the daemon scores and reads no more lines."""
    max_history_lines_per_service: Annotated[int, Field(ge=16)] = MAX_HISTORY_LINES
    """Distinct masked lines in the history of a service. The daemon evicts old rare lines first."""


class HttpSettings(SettingsGroup):
    """Address of health, metrics and the API."""

    host: Name = "127.0.0.1"
    """Address on which the daemon serves `/livez`, `/readyz`, `/metrics` and `/api/v1`, to everyone who reaches it.
    `0.0.0.0`: every address of the machine, as the image sets it."""
    port: Maybe[Annotated[int, Field(ge=0, le=65_535)]] = 8_080
    """TCP port on which the daemon serves HTTP; 0: any free port. None: no HTTP."""
    advertised_address: Maybe[MemberAddress] = None
    """Address of that port for the other members of the group, such as `http://10.0.0.7:8080`. Each member requests
    the services of the others there, to answer for the whole group. None: `LOGWARDEN_HTTP__HOST` and the port. Where
    the host is every address of the machine, it is the one from which the daemon reaches its brokers."""
    token: Maybe[SecretStr] = None
    """Token that a client of `/api/v1` needs to write. None: the one in the file; without either, writing
    is off."""
    token_file: Maybe[SecretFile] = None
    """File with that token, read again for each request. None: no file."""
    token_for_reads: bool = False
    """True: a client needs the token to read `/api/v1` as well, which quotes log lines. Probes and metrics never
    need it."""
    service_classes: ServiceClasses = ()
    """Classes of services by which metrics count incidents, such as `payments=pay-*,web=web-*`: 16 at most. The first
    name or shell pattern that matches a service counts, and the others are `other`."""
    page: bool = True
    """True: the daemon serves a page for people at `/`, and its events at `/api/v1/events`. False: neither."""


class LogSettings(SettingsGroup):
    """The daemon's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that the daemon logs."""
    format: Literal["auto", "json", "console"] = "auto"
    """Format of the log. `json`: one object per line; `console`: text for people; `auto`: `console` on a terminal, else
    `json`."""


class ShutdownSettings(SettingsGroup):
    """Time limit of the daemon's shutdown."""

    drain_timeout_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0
    """Seconds that a drain has to finish and commit the lines in flight. The next owner replays the lines that
    remain."""


class HealthSettings(SettingsGroup):
    """Time limits of readiness and of the watchdog."""

    unready_after_s: Annotated[float, Field(ge=1, le=3_600)] = 10.0
    """Seconds for which a broker may be silent, an output topic may take nothing or commits may fail, before `/readyz`
    answers 503."""
    stuck_timeout_s: Maybe[Annotated[float, Field(ge=10, le=86_400)]] = 300.0
    """Seconds after which a daemon that has work and does nothing ends with exit code 3, although nothing outside keeps
    it from working. None: never."""


class Settings(BaseSettings):
    """Every setting, frozen and read once."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__", protected_namespaces=()
    )

    kafka: KafkaSettings = KafkaSettings()
    input: InputSettings = InputSettings()
    join: JoinSettings = JoinSettings()
    window: WindowSettings = WindowSettings()
    batch: BatchSettings = BatchSettings()
    model: ModelSettings = ModelSettings()
    alerts: AlertSettings = AlertSettings()
    incidents: IncidentSettings = IncidentSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    limits: LimitSettings = LimitSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    health: HealthSettings = HealthSettings()
    bridge: BridgeSettings = BridgeSettings()
    mcp: McpSettings = McpSettings()
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns the constructor's arguments as the only source: `read_settings` reads the environment."""
        return (init_settings,)

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        for wrong, sentence in disagreements(self):
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

"""Defines the settings of `logwarden bridge`: where incidents are sent, which of them, and how long it is tried.

A destination is in use where its first setting is given. Knows no destination's interface.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr
from pydantic_settings import NoDecode

from logwarden.daemon.selecting import MAX_PATTERN_CHARS, MAX_PATTERNS
from logwarden.daemon.settings.addresses import checked_url
from logwarden.daemon.settings.fields import Maybe, MoreNames, Name, SettingsGroup, list_word
from logwarden.daemon.settings.secret_files import SecretFile
from logwarden.model.schema import AlertKind

Severity = Literal["critical", "error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the most severe to the least."""
DESTINATIONS = ("alertmanager", "pagerduty", "opsgenie", "slack", "mail", "webhook", "otlp")
_PREFIX = "LOGWARDEN_BRIDGE__"
_FORM = "write destination=severity, such as pagerduty=critical,slack=warning"


def _checked_severities(pairs: tuple[str, ...]) -> tuple[str, ...]:
    for pair in pairs:
        destination, _, severity = pair.partition("=")
        if destination not in DESTINATIONS:
            raise ValueError(f"contains {pair!r}, which names no destination; {_FORM}")
        if severity not in SEVERITIES:
            raise ValueError(f"gives {destination!r} the severity {severity!r}; write one of {', '.join(SEVERITIES)}")
    return pairs


def _checked_patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if len(patterns) > MAX_PATTERNS or any(len(pattern) > MAX_PATTERN_CHARS for pattern in patterns):
        raise ValueError(f"must be at most {MAX_PATTERNS} patterns of at most {MAX_PATTERN_CHARS} characters")
    return patterns


def _checked_urls(urls: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(checked_url(url, f"{_PREFIX}ALERTMANAGER_AUTHORIZATION_FILE") for url in urls)


def _checked_link(url: str) -> str:
    return checked_url(url, "no user in a link")


Severities = Annotated[
    tuple[Name, ...],
    NoDecode,
    BeforeValidator(list_word),
    AfterValidator(_checked_severities),
    Field(title="list of destination=severity"),
]
"""A comma list or a JSON list in the environment, a tuple of `destination=severity` in the program."""
ServicePatterns = Annotated[MoreNames, AfterValidator(_checked_patterns)]
ManyUrls = Annotated[MoreNames, AfterValidator(_checked_urls)]
Url = Annotated[str, AfterValidator(partial(checked_url, login="the file with the header Authorization"))]
Link = Annotated[str, AfterValidator(_checked_link)]
SomeKinds = Annotated[tuple[AlertKind, ...], NoDecode, BeforeValidator(list_word)]
Header = Maybe[SecretStr]
"""Value of the header Authorization."""


class BridgeSettings(SettingsGroup):
    """Destinations of `logwarden bridge`, and the incidents that they get. The daemon itself uses none of these."""

    group_id: Name = "logwarden-bridge"
    """Begin of the names of consumer groups. Each destination has one, such as `logwarden-bridge-slack`, so that one
    which is down stops no other. Bridges of one name divide the incidents among them."""
    http_port: Maybe[Annotated[int, Field(ge=0, le=65_535)]] = 8_081
    """TCP port on which the bridge serves `/livez`, `/readyz` and `/metrics`, at the address of LOGWARDEN_HTTP__HOST;
    0: any free port. None: no HTTP."""
    dead_letter_topic: Maybe[Name] = "logwarden.bridge.dead-letters"
    """Topic for incidents that a destination refuses, with the reason. None: they are counted and logged only."""
    min_severity: Severity = "warning"
    """Least severity of an incident that is sent."""
    min_severities: Severities = ()
    """Least severities of single destinations, such as `pagerduty=critical,mail=error`, in place of the common one.
    Destinations are `alertmanager`, `pagerduty`, `opsgenie`, `slack`, `mail`, `webhook` and `otlp`."""
    kinds: SomeKinds = ()
    """Kinds of anomalies, such as `new_line,failure_rate_up`, of which a sent incident has at least one. Empty: all."""
    services: ServicePatterns = ()
    """Names or shell patterns of services, of which a sent incident has at least one. Empty: all."""
    planned: bool = False
    """True sends incidents of an announced maintenance as well. Their severity is `info`."""
    max_age_s: Annotated[float, Field(ge=0, le=2_592_000)] = 3_600.0
    """Seconds after which an incident that has ended is no longer announced: after an outage only its end is sent."""
    give_up_s: Annotated[float, Field(ge=60, le=2_592_000)] = 86_400.0
    """Seconds for which the bridge tries to deliver an incident before it becomes a dead letter."""
    timeout_s: Annotated[float, Field(ge=0.1, le=120)] = 10.0
    """Seconds that a destination has for its answer."""
    quoted_lines: Annotated[int, Field(ge=0, le=32)] = 5
    """Log lines that a message quotes. 0: none, so that no text of a log leaves, except for `webhook` without a
    template, which sends the whole record."""
    link_url: Maybe[Link] = None
    """Link to an incident in messages, such as `https://logwarden.example/?incident={id}`. None: no link."""
    cafile: Maybe[FilePath] = None
    """PEM file of the certificate authorities to trust at destinations. None: those of the operating system."""
    proxy_url: Maybe[Url] = None
    """HTTP proxy to PagerDuty, Opsgenie and Slack; the other destinations are reached without one. None: no proxy."""
    alertmanager_urls: ManyUrls = ()
    """URLs of Alertmanager, such as `http://alertmanager:9093`; of a cluster those of all members. Empty: none."""
    alertmanager_authorization: Header = None
    """Header Authorization for Alertmanager, such as `Bearer …`. None: no login, or the one in the file."""
    alertmanager_authorization_file: Maybe[SecretFile] = None
    """File with that header, read again for each request. None: no file."""
    alertmanager_resend_s: Annotated[float, Field(ge=1, le=3_600)] = 60.0
    """Seconds between two messages about an open incident: Alertmanager forgets its alerts at a restart."""
    alertmanager_hold_s: Annotated[float, Field(ge=3, le=86_400)] = 600.0
    """Seconds after its last message at which Alertmanager resolves an incident by itself; at least three times the
    time between two messages. It outlasts a restart of the bridge."""
    pagerduty_routing_key: Maybe[SecretStr] = None
    """Integration key of PagerDuty's Events API v2. None: no PagerDuty, or the key in the file."""
    pagerduty_routing_key_file: Maybe[SecretFile] = None
    """File with that key, read again for each request. None: no file."""
    pagerduty_url: Url = "https://events.pagerduty.com/v2/enqueue"
    """URL of the Events API; `https://events.eu.pagerduty.com/v2/enqueue` in the EU."""
    opsgenie_api_key: Maybe[SecretStr] = None
    """API key of an integration of Opsgenie or Jira Service Management. None: no Opsgenie, or the key in the file."""
    opsgenie_api_key_file: Maybe[SecretFile] = None
    """File with that key, read again for each request. None: no file."""
    opsgenie_url: Url = "https://api.opsgenie.com/v2/alerts"
    """URL of the Alert API: `https://api.eu.opsgenie.com/v2/alerts` in the EU,
    `https://api.atlassian.com/jsm/ops/integration/v2/alerts` for Jira Service Management."""
    slack_url: Maybe[SecretStr] = None
    """URL of an incoming webhook of Slack, Mattermost or Rocket.Chat; it is a secret. None: none, or the file's."""
    slack_url_file: Maybe[SecretFile] = None
    """File with that URL, read again for each request. None: no file."""
    webhook_url: Maybe[Url] = None
    """URL to which incidents are posted as JSON. None: no webhook."""
    webhook_authorization: Header = None
    """Header Authorization for the webhook, such as `Bearer …`. None: no login, or the one in the file."""
    webhook_authorization_file: Maybe[SecretFile] = None
    """File with that header, read again for each request. None: no file."""
    webhook_template_file: Maybe[FilePath] = None
    """File with the JSON to post, in whose strings names such as `${message}` are replaced; docs/bridges.md lists
    them. None: the record of the incident, as the incidents topic has it."""
    otlp_url: Maybe[Url] = None
    """URL for log records of OpenTelemetry, such as `http://collector:4318/v1/logs`. None: no OTLP."""
    otlp_authorization: Header = None
    """Header Authorization for OTLP, such as `Bearer …`. None: no login, or the one in the file."""
    otlp_authorization_file: Maybe[SecretFile] = None
    """File with that header, read again for each request. None: no file."""
    smtp_host: Maybe[Name] = None
    """Mail server. None: no mail."""
    smtp_port: Annotated[int, Field(ge=1, le=65_535)] = 587
    """TCP port of the mail server: 587 with STARTTLS, 465 with TLS from the start, 25 in a trusted network."""
    smtp_security: Literal["starttls", "tls", "plain"] = "starttls"
    """Encryption of the connection to the mail server. `plain` has none, and sends no password."""
    smtp_username: Maybe[Name] = None
    """User name at the mail server. None: no login."""
    smtp_password: Maybe[SecretStr] = None
    """Password at the mail server. None: no login, or the one in the file."""
    smtp_password_file: Maybe[SecretFile] = None
    """File with that password, read again for each connection. None: no file."""
    mail_from: Maybe[Name] = None
    """Sender of mails, such as `logwarden@example.org`. None: no mail."""
    mail_to: MoreNames = ()
    """Receivers of mails."""

    def destinations(self) -> list[str]:
        """Returns the names of the destinations in use, in the order of DESTINATIONS."""
        in_use = {
            "alertmanager": bool(self.alertmanager_urls),
            "pagerduty": self._is_given("pagerduty_routing_key"),
            "opsgenie": self._is_given("opsgenie_api_key"),
            "slack": self._is_given("slack_url"),
            "mail": self.smtp_host is not None,
            "webhook": self.webhook_url is not None,
            "otlp": self.otlp_url is not None,
        }
        return [name for name in DESTINATIONS if in_use[name]]

    def least_severity(self, destination: str) -> Severity:
        """Returns the least severity of an incident that goes to a destination."""
        pairs = [pair.partition("=")[::2] for pair in self.min_severities]
        return next((one for one in SEVERITIES if (destination, one) in pairs), self.min_severity)

    def _is_given(self, secret: str) -> bool:
        return any(getattr(self, name) is not None for name in (secret, f"{secret}_file"))


SECRETS: Sequence[str] = (
    *("alertmanager_authorization", "pagerduty_routing_key", "opsgenie_api_key", "slack_url"),
    *("webhook_authorization", "otlp_authorization", "smtp_password"),
)
"""Settings that have a twin for a file."""

"""Builds the destinations that the settings describe, and what all of them share."""

from __future__ import annotations

from collections.abc import Callable

from logwarden.daemon.bridges.alertmanager import Alertmanager
from logwarden.daemon.bridges.choice import IncidentChoice
from logwarden.daemon.bridges.courier import CourierLimits
from logwarden.daemon.bridges.destination import Destination
from logwarden.daemon.bridges.mail import Mail, SmtpServer
from logwarden.daemon.bridges.notice import Quoting
from logwarden.daemon.bridges.opsgenie import Opsgenie
from logwarden.daemon.bridges.otlp import Otlp
from logwarden.daemon.bridges.pagerduty import PagerDuty
from logwarden.daemon.bridges.posting import Poster
from logwarden.daemon.bridges.slack import Slack
from logwarden.daemon.bridges.webhook import Webhook, template_of
from logwarden.daemon.errors import ConfigurationError, DestinationUnavailable
from logwarden.daemon.ports import Clock
from logwarden.daemon.settings.bridge import BridgeSettings
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.secret_files import secret_of
from logwarden.daemon.worker import ThreadWorker

MOST_REPEATED_S = 0.25
"""Seconds of deliveries that a kill repeats at most: a repeated message may page a person, and a commit is cheap."""
_PREFIX = "LOGWARDEN_BRIDGE__"


def destinations_of(settings: Settings, clock: Clock) -> list[Destination]:
    """Returns the destinations in use. Raises ConfigurationError if there is none, or one cannot be built."""
    builders: dict[str, Callable[[BridgeSettings, Clock], Destination]] = {
        "alertmanager": _alertmanager,
        "pagerduty": _pagerduty,
        "opsgenie": _opsgenie,
        "slack": _slack,
        "mail": _mail,
        "webhook": _webhook,
        "otlp": _otlp,
    }
    bridge = settings.bridge
    names = bridge.destinations()
    if not names:
        raise ConfigurationError(
            "the bridge has no destination",
            hint=f"set one, such as {_PREFIX}WEBHOOK_URL or {_PREFIX}ALERTMANAGER_URLS; docs/bridges.md has examples",
        )
    return [builders[name](bridge, clock) for name in names]


def choice_of(bridge: BridgeSettings, destination: str) -> IncidentChoice:
    """Returns which incidents a destination gets."""
    return IncidentChoice(
        min_severity=bridge.least_severity(destination),
        kinds=bridge.kinds,
        services=bridge.services,
        planned=bridge.planned,
    )


def courier_limits(settings: Settings) -> CourierLimits:
    """Returns the bounds of each courier."""
    bridge = settings.bridge
    return CourierLimits(
        timeout_s=bridge.timeout_s,
        give_up_s=bridge.give_up_s,
        max_age_s=bridge.max_age_s,
        commit_interval_s=min(settings.kafka.commit_interval_ms / 1000, MOST_REPEATED_S),
    )


def _quoting(bridge: BridgeSettings) -> Quoting:
    return Quoting(lines=bridge.quoted_lines, link=bridge.link_url)


def _poster(bridge: BridgeSettings, clock: Clock, name: str, setting: str, *, proxied: bool = False) -> Poster:
    return Poster(
        name,
        _PREFIX + setting,
        clock,
        timeout_s=bridge.timeout_s,
        cafile=bridge.cafile,
        proxy=bridge.proxy_url if proxied else None,
    )


def _secret(bridge: BridgeSettings, name: str) -> Callable[[], str | None]:
    """Returns the function that reads a secret. It raises DestinationUnavailable if its file cannot be read now."""

    def read() -> str | None:
        try:
            return secret_of(getattr(bridge, name), getattr(bridge, f"{name}_file"))
        except ValueError as error:
            variable = f"{_PREFIX}{name.upper()}_FILE"
            raise DestinationUnavailable(f"{variable} {error}", hint="write the secret into the file") from None

    return read


def _alertmanager(bridge: BridgeSettings, clock: Clock) -> Destination:
    return Alertmanager(
        bridge.alertmanager_urls,
        _poster(bridge, clock, "Alertmanager", "ALERTMANAGER_URLS"),
        _quoting(bridge),
        clock,
        remind_s=bridge.alertmanager_resend_s,
        hold_s=bridge.alertmanager_hold_s,
        authorization=_secret(bridge, "alertmanager_authorization"),
    )


def _pagerduty(bridge: BridgeSettings, clock: Clock) -> Destination:
    poster = _poster(bridge, clock, "PagerDuty", "PAGERDUTY_URL", proxied=True)
    return PagerDuty(bridge.pagerduty_url, poster, _quoting(bridge), _secret(bridge, "pagerduty_routing_key"))


def _opsgenie(bridge: BridgeSettings, clock: Clock) -> Destination:
    poster = _poster(bridge, clock, "Opsgenie", "OPSGENIE_URL", proxied=True)
    return Opsgenie(bridge.opsgenie_url, poster, _quoting(bridge), _secret(bridge, "opsgenie_api_key"))


def _slack(bridge: BridgeSettings, clock: Clock) -> Destination:
    poster = _poster(bridge, clock, "Slack", "SLACK_URL", proxied=True)
    return Slack(_secret(bridge, "slack_url"), poster, _quoting(bridge))


def _mail(bridge: BridgeSettings, clock: Clock) -> Destination:
    assert bridge.smtp_host is not None, "in use"
    assert bridge.mail_from is not None, "the settings agree"
    server = SmtpServer(
        bridge.smtp_host,
        bridge.smtp_port,
        security=bridge.smtp_security,
        timeout_s=bridge.timeout_s,
        cafile=bridge.cafile,
        username=bridge.smtp_username,
        password=_secret(bridge, "smtp_password"),
    )
    worker = ThreadWorker("mail")
    return Mail(
        server, worker, worker.close, _quoting(bridge), clock, sender=bridge.mail_from, receivers=bridge.mail_to
    )


def _otlp(bridge: BridgeSettings, clock: Clock) -> Destination:
    assert bridge.otlp_url is not None, "in use"
    poster = _poster(bridge, clock, "the OTLP collector", "OTLP_URL")
    return Otlp(bridge.otlp_url, poster, _quoting(bridge), clock, _secret(bridge, "otlp_authorization"))


def _webhook(bridge: BridgeSettings, clock: Clock) -> Destination:
    assert bridge.webhook_url is not None, "in use"
    template, file = None, bridge.webhook_template_file
    if file is not None:
        try:
            template = template_of(file.read_bytes())
        except ValueError as error:
            raise ConfigurationError(
                f"{_PREFIX}WEBHOOK_TEMPLATE_FILE names {str(file)!r}, which {error}", hint="correct the template"
            ) from None
    return Webhook(
        bridge.webhook_url,
        _poster(bridge, clock, "the webhook", "WEBHOOK_URL"),
        _quoting(bridge),
        authorization=_secret(bridge, "webhook_authorization"),
        template=template,
    )

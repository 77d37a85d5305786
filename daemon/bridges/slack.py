"""Sends incidents to an incoming webhook of Slack, or of a chat that understands Slack's attachments.

Such a webhook cannot change a message: a chat gets the begin of an incident, what makes it worse, and its end. Text of
logs is escaped, so that it mentions no person and links to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from logwarden.daemon.bridges.notice import Action, Notice, Quoting, one_line, seen_ms, services_of, status_of
from logwarden.daemon.bridges.posting import Poster
from logwarden.daemon.errors import DestinationUnavailable
from logwarden.daemon.incidents.incident import IncidentRecord

COLOURS = {"critical": "#a30200", "error": "#d93f0b", "warning": "#daa038", "info": "#2f86c1"}
RESOLVED_COLOUR = "#2eb886"
_TEXT_CHARS = 2_500


class Slack:
    """The destination. `url` is called for each request; it is a secret."""

    name, at_once, round_trips, all_updates, remind_s = "slack", 1, 1, False, None

    def __init__(self, url: Callable[[], str | None], poster: Poster, quoting: Quoting) -> None:
        self._url = url
        self._poster = poster
        self._quoting = quoting

    async def deliver(self, notice: Notice) -> None:
        url = (self._url() or "").strip()
        try:
            parts = urlsplit(url)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            is_url = False
        if not is_url:
            raise DestinationUnavailable(
                "the address of Slack's webhook is no URL", hint="set https://hooks.slack.com/…"
            )
        await self._poster.post(url, msgspec.json.encode(message_of(notice, self._quoting)), {})

    async def remind(self, records: Sequence[IncidentRecord]) -> None:
        """Sends nothing: a message stays."""

    async def close(self) -> None:
        await self._poster.close()


def message_of(notice: Notice, quoting: Quoting) -> dict[str, Any]:
    """Returns the message of a notice."""
    record, facts = notice.record, notice.record.logwarden
    is_over = notice.action is Action.RESOLVE
    word = status_of(record) if is_over else facts.severity.upper()
    if not is_over and notice.announced is not None:
        word = f"{word} (worse)"
    head = f"{word}: {quoting.summary(record)}"
    fields = [
        {"title": "Services", "value": escaped(services_of(record, 500)), "short": True},
        {"title": "Alerts", "value": f"{facts.alerts} ({', '.join(facts.kinds)})", "short": True},
    ]
    attachment: dict[str, Any] = {
        "fallback": escaped(head),
        "color": RESOLVED_COLOUR if is_over else COLOURS.get(facts.severity, COLOURS["warning"]),
        "text": _code(quoting.details(record, _TEXT_CHARS)) if not is_over else "",
        "fields": fields,
        "footer": f"logwarden {record.id}",
        "mrkdwn_in": ["text"],
    }
    began_ms, link = seen_ms(facts.first_seen), quoting.link_to(record)
    if began_ms is not None:
        attachment["ts"] = began_ms // 1000
    if link:
        attachment |= {"title": "Incident", "title_link": link}
    return {"text": escaped(head), "attachments": [attachment]}


def escaped(text: str) -> str:
    """Returns a text that a chat shows and does not obey."""
    # A mention without Slack's angle brackets is one in Mattermost; a zero-width space behind the sign keeps it a text.
    text = one_line(text, 3_000).replace("@", "@\u200b").replace("`", "'")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    """Returns lines as a block of code, which they cannot end."""
    rows = "\n".join(map(escaped, text.splitlines()))
    return f"```{rows}```" if rows else ""

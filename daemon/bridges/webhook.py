"""Sends incidents to any HTTP server: the record as it was published, or a JSON document of the operator's own.

A template is parsed before anything is put into it, and only its strings take values. So no text of a log can change
the shape of the document. A string that is one name alone takes the value as it is, such as a number or a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from logwarden.daemon.bridges.notice import Notice, Quoting, ending_of, services_of
from logwarden.daemon.bridges.posting import Poster
from logwarden.daemon.incidents.incident import IncidentRecord

MAX_TEMPLATE_BYTES = 262_144
_NAME = re.compile(r"\$\{([a-z_]{1,40})\}|\$\$")


class Webhook:
    """The destination. `authorization` is called for each request, so that a file with it may change."""

    name, at_once, round_trips, all_updates, remind_s = "webhook", 8, 1, True, None

    def __init__(
        self,
        url: str,
        poster: Poster,
        quoting: Quoting,
        *,
        authorization: Callable[[], str | None] = lambda: None,
        template: Any = None,
    ) -> None:
        self._url = url
        self._poster = poster
        self._quoting = quoting
        self._authorization = authorization
        self._template = template

    async def deliver(self, notice: Notice) -> None:
        record = notice.record
        key = f"{record.id}/{record.logwarden.revision}"
        headers = {"Idempotency-Key": key, "X-Logwarden-Action": notice.action.value}
        secret = self._authorization()
        if secret is not None:
            headers["Authorization"] = secret
        if self._template is None:
            body = record.encode()
        else:
            body = msgspec.json.encode(filled(self._template, values_of(notice, self._quoting)))
        await self._poster.post(self._url, body, headers)

    async def remind(self, records: Sequence[IncidentRecord]) -> None:
        """Sends nothing: a webhook gets each state once."""

    async def close(self) -> None:
        await self._poster.close()


def values_of(notice: Notice, quoting: Quoting) -> dict[str, Any]:
    """Returns the values of the names that a template may use."""
    record, facts = notice.record, notice.record.logwarden
    return {
        "id": record.id,
        "dedup_key": record.id,
        "action": notice.action.value,
        "change": facts.change,
        "status": facts.status,
        "revision": facts.revision,
        "severity": facts.severity,
        "message": quoting.summary(record, 1_000),
        "service": record.service.name,
        "services": [service.name for service in facts.services],
        "service_names": services_of(record, 1_000),
        "system": facts.system,
        "kinds": list(facts.kinds),
        "first_seen": facts.first_seen,
        "last_seen": facts.last_seen,
        "alerts": facts.alerts,
        "recurrence": facts.recurrence,
        "evidence": facts.evidence,
        "planned": facts.planned is not None,
        "resolution": ending_of(record),
        "details": quoting.details(record),
        "lines": [msgspec.to_builtins(line) for line in quoting.worst_lines(record)],
        "link": quoting.link_to(record),
    }


NAMES = frozenset(
    (
        *("id", "dedup_key", "action", "change", "status", "revision", "severity", "message", "service", "services"),
        *("service_names", "system", "kinds", "first_seen", "last_seen", "alerts", "recurrence", "evidence", "planned"),
        "resolution",
        *("details", "lines", "link"),
    )
)
"""Names that a template may use: those of `values_of`."""


def template_of(content: bytes) -> Any:
    """Returns the document of a template. Raises ValueError with the reason if it cannot be used."""
    if len(content) > MAX_TEMPLATE_BYTES:
        raise ValueError(f"has more than {MAX_TEMPLATE_BYTES:,} bytes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from None
    unknown = sorted({name for text in _strings(document) for name in _NAME.findall(text) if name} - NAMES)
    if unknown:
        raise ValueError(f"uses the unknown name {unknown[0]!r}; write one of {', '.join(sorted(NAMES))}")
    return document


def filled(document: Any, values: Mapping[str, Any]) -> Any:
    """Returns a template's document with values in its strings."""
    if isinstance(document, str):
        whole = _NAME.fullmatch(document)
        if whole is not None and whole[1] is not None:
            return values[whole[1]]
        return _NAME.sub(lambda found: "$" if found[1] is None else _text(values[found[1]]), document)
    if isinstance(document, dict):
        return {key: filled(value, values) for key, value in document.items()}
    if isinstance(document, list):
        return [filled(value, values) for value in document]
    return document


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return msgspec.json.encode(value).decode()


def _strings(document: Any) -> list[str]:
    if isinstance(document, str):
        return [document]
    if isinstance(document, dict):
        return [text for value in document.values() for text in _strings(value)]
    return [text for value in document for text in _strings(value)] if isinstance(document, list) else []

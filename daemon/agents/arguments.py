"""Defines what each tool takes, and checks what an agent sends. The texts are what a model reads before it calls."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from logwarden.daemon.errors import ConfigurationError
from logwarden.model.schema import AlertKind

_TIME = "A time ago, such as 30m, 2h or 7d, or a time in RFC 3339, such as 2026-11-23T10:00:00Z."
Text = Annotated[str, Meta(max_length=512)]
Severity = Literal["critical", "error", "warning", "info"]
State = Literal["open", "resolved", "expired"]


class FindErrorPatternLogs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of `find_error_pattern_logs`, named as in Grafana's MCP server."""

    name: Annotated[Text, Meta(description="Name of the investigation. It is returned, and chooses nothing.")] = ""
    labels: Annotated[
        dict[Text, Text],
        Meta(
            max_length=32,
            description="Labels to scope the search, such as {'service': 'shop-api'}. Labels that name a service, "
            "an app, a job, a workload or a container choose services by name or by a pattern such as shop-*. "
            "Others are left out, which the note states. None: all services.",
        ),
    ] = {}
    start: Annotated[Text, Meta(description=f"Start of the time range. {_TIME} Default: 30 minutes ago.")] = ""
    end: Annotated[Text, Meta(description=f"End of the time range. {_TIME} Default: now.")] = ""


class ListIncidents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of `list_incidents`."""

    state: Annotated[
        tuple[State, ...],
        Meta(max_length=3, description="Only incidents in these states. Default: open ones and those of the last day."),
    ] = ()
    service: Annotated[
        tuple[Text, ...],
        Meta(max_length=32, description="Only incidents with one of these services: names, or patterns such as web-*."),
    ] = ()
    severity: Annotated[
        tuple[Severity, ...], Meta(max_length=4, description="Only incidents of these severities.")
    ] = ()
    kind: Annotated[
        tuple[AlertKind, ...], Meta(max_length=8, description="Only incidents with an alert of one of these kinds.")
    ] = ()
    since: Annotated[Text, Meta(description=f"Only incidents with an alert since then. {_TIME}")] = ""
    limit: Annotated[int, Meta(ge=1, le=50, description="Most incidents to return.")] = 20
    cursor: Annotated[Text, Meta(description="Value of `next` in the answer before, for the incidents behind it.")] = ""


class ExplainIncident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of `explain_incident`."""

    id: Annotated[str, Meta(min_length=1, max_length=64, description="Id of the incident, as other tools return it.")]


class ServiceHistoryOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of `service_history`."""

    service: Annotated[str, Meta(min_length=1, max_length=512, description="Exact name of the service.")]
    since: Annotated[Text, Meta(description=f"Only incidents with an alert since then. {_TIME} Default: 7d.")] = "7d"


A = TypeVar("A", bound=msgspec.Struct)


def checked(kind: type[A], given: dict[str, Any], tool: str) -> A:
    """Returns the arguments of a tool. Raises ConfigurationError with the sentence about the first wrong one.

    Some clients send a list or an object as the text of its JSON, or one word for a list of one; both are taken.
    """
    wanted = {field.name: field.type for field in msgspec.structs.fields(kind)}
    arguments = {name: _unpacked(value, wanted.get(name)) for name, value in given.items() if value is not None}
    try:
        return msgspec.convert(arguments, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"the arguments are not what {tool} takes: {str(error)[:200]}", hint="read the tool's input schema"
        ) from None


def _unpacked(value: Any, wanted: Any) -> Any:
    inner = wanted.__origin__ if hasattr(wanted, "__metadata__") else wanted
    container = getattr(inner, "__origin__", None)
    if not isinstance(value, str) or container not in (tuple, dict):
        return value
    try:
        found = msgspec.json.decode(value)
    except msgspec.MsgspecError:
        found = None
    if isinstance(found, list | dict):
        return found
    return [value] if container is tuple and value else ({} if not value and container is dict else value)

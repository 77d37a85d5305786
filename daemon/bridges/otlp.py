"""Sends incidents as log records of OpenTelemetry over HTTP: the event `logwarden.incident`, with a severity number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from logwarden.daemon.bridges.notice import Notice, Quoting, ending_of, one_line, seen_ms
from logwarden.daemon.bridges.posting import Poster
from logwarden.daemon.errors import NoticeRefused
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.ports import Clock
from logwarden.model.version import __version__

EVENT = "logwarden.incident"
SEVERITY_NUMBERS = {"critical": 21, "error": 17, "warning": 13, "info": 9}
"""FATAL, ERROR, WARN and INFO."""
FORM = "application/x-protobuf"

Value = str | bool | int | float | Sequence[str]


class Otlp:
    """The destination. `authorization` is called for each request, so that a file with it may change."""

    name, at_once, round_trips, all_updates, remind_s = "otlp", 8, 1, True, None

    def __init__(
        self,
        url: str,
        poster: Poster,
        quoting: Quoting,
        clock: Clock,
        authorization: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._url = url
        self._poster = poster
        self._quoting = quoting
        self._clock = clock
        self._authorization = authorization

    async def deliver(self, notice: Notice) -> None:
        secret = self._authorization()
        headers = {} if secret is None else {"Authorization": secret}
        request = request_of(notice, self._quoting, self._clock.now_ms())
        answer = await self._poster.post(self._url, request.SerializeToString(), headers, form=FORM)
        rejected = _rejection(answer)
        if rejected:
            raise NoticeRefused(f"OTLP rejected the log record: {rejected}")

    async def remind(self, records: Sequence[IncidentRecord]) -> None:
        """Sends nothing: a log record stays."""

    async def close(self) -> None:
        await self._poster.close()


def request_of(notice: Notice, quoting: Quoting, now_ms: int) -> ExportLogsServiceRequest:
    """Returns the request with the log record of a notice."""
    record, facts = notice.record, notice.record.logwarden
    seen = seen_ms(facts.last_seen)
    attributes: dict[str, Value] = {
        # OpenTelemetry's own name for what makes two log records one: a repeated message has the same.
        "log.record.uid": f"{record.id}/{facts.revision}",
        "incident.id": record.id,
        "incident.action": notice.action.value,
        "incident.change": facts.change,
        "incident.status": facts.status,
        "incident.revision": facts.revision,
        "incident.severity": facts.severity,
        "incident.kinds": list(facts.kinds),
        "incident.services": [service.name for service in facts.services],
        "incident.alerts": facts.alerts,
        "incident.evidence": facts.evidence,
        "incident.recurrence": facts.recurrence,
        "incident.planned": facts.planned is not None,
        "incident.lines": quoting.details(record).splitlines(),
    }
    if facts.system:
        attributes["incident.system"] = facts.system
    if ending := ending_of(record):
        attributes["incident.resolution"] = ending
    if link := quoting.link_to(record):
        attributes["url.full"] = link
    log_record = LogRecord(
        time_unix_nano=1_000_000 * max(0, now_ms if seen is None else seen),
        observed_time_unix_nano=1_000_000 * now_ms,
        severity_number=SEVERITY_NUMBERS.get(facts.severity, 13),  # type: ignore[arg-type]  # the enum's own numbers
        severity_text=facts.severity.upper(),
        body=AnyValue(string_value=quoting.summary(record, 1_000)),
        attributes=_pairs(attributes),
        event_name=EVENT,
    )
    resource = Resource(
        attributes=_pairs({"service.name": one_line(record.service.name, 255), "telemetry.sdk.name": "logwarden"})
    )
    scope = ScopeLogs(log_records=[log_record])
    scope.scope.name, scope.scope.version = "logwarden.bridge", __version__
    return ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=resource, scope_logs=[scope])])


def _pairs(attributes: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=one_line(each, 500)) for each in value]))


def _rejection(answer: bytes) -> str:
    """Returns why the server kept nothing, although its status is a success; empty if it kept the record."""
    response = ExportLogsServiceResponse()
    try:
        response.ParseFromString(answer)
    except DecodeError:  # a server that answers with JSON or with words took the request all the same
        return ""
    partial = response.partial_success
    return one_line(partial.error_message, 200) or "no reason given" if partial.rejected_log_records else ""

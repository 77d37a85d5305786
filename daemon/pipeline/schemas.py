"""Has the schemas at hand that records need: fetches them before the records are decoded, and keeps a bounded number.

A partition whose next record is of an unknown schema stands still, and only it: the record is in no ledger, and it is
read again when the registry has answered. Nothing is lost meanwhile, and readiness names the partition.

Belongs to the event loop; the ingest thread looks schemas up, and it compiles them, so that no schema keeps the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from logwarden.daemon.decoding.plain import Misfit
from logwarden.daemon.decoding.schemas import RecordSchema, compiled, number_of
from logwarden.daemon.errors import RegistryUnavailable, SchemaRefused
from logwarden.daemon.health import HealthState, sentence_of
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.phase import Lifetime, Phase
from logwarden.daemon.pipeline.pulse import Pulse
from logwarden.daemon.ports import Clock, SchemaRegistry, Worker
from logwarden.daemon.records import Record, SchemaText
from logwarden.daemon.telemetry import Telemetry

log = structlog.get_logger(__name__)

MAX_SCHEMAS = 1_000
"""Schemas that are kept, beside those of the fetches that are on their way."""
_PER_FETCH = 256
"""Schemas that the records of one fetch may need."""
_ON_THEIR_WAY = 4
"""Fetches of which records may not be decoded yet; one is decoded while the next one waits."""
_AT_ONCE = 8
_TRIES, _BETWEEN_S = 3, 1.0
"""Questions for a schema that the registry does not have: a follower learns of a new one a moment later."""
_REFUSAL_S = 60.0
"""Seconds for which a refusal counts; then the question is repeated."""


@dataclass(slots=True)
class _Entry:
    schema: RecordSchema | str
    until: float
    used: int
    """The fetch that used it last."""


class SchemaShelf:
    """The schemas at hand."""

    def __init__(
        self,
        registry: SchemaRegistry,
        worker: Worker,
        clock: Clock,
        health: HealthState,
        telemetry: Telemetry,
        *,
        retry_s: float = 1.0,
    ) -> None:
        self._registry = registry
        self._worker = worker
        self._clock = clock
        self._health = health
        self._telemetry = telemetry
        self._retry_s = retry_s
        self._entries: dict[int, _Entry] = {}
        self._waiting: dict[Assignment, list[int]] = {}
        """Numbers of the schemas for which each partition waits."""
        self._fetch = 0
        self._used: set[int] = set()
        """Schemas of the running fetch."""

    def lookup(self, number: int) -> RecordSchema | str:
        """Returns a schema, or why its records cannot be read. The ingest thread calls it."""
        entry = self._entries.get(number)
        return "a value inside another one is not read by its schema" if entry is None else entry.schema

    def readable(self, assignment: Assignment, records: Sequence[Record]) -> int:
        """Returns how many of the records can be decoded now. The schemas of the others are fetched."""
        if assignment.profile.decoder.schemas is None:
            return len(records)
        now, readable = self._clock.monotonic(), len(records)
        wanted: dict[int, None] = {}
        for place, record in enumerate(records):
            number = number_of(record.value)
            if number is None:
                continue
            if number not in self._used and len(self._used) >= _PER_FETCH:
                readable = min(readable, place)
                break
            self._used.add(number)
            entry = self._entries.get(number)
            if entry is not None and now < entry.until:
                entry.used = self._fetch
            else:
                readable = min(readable, place)
                wanted[number] = None
        if wanted:
            self._wait(assignment, list(wanted))
        return readable

    def next_fetch(self, *, used: bool) -> None:
        """Ends a fetch. `used`: records of it are to be decoded."""
        self._used = set()
        if used:
            self._fetch += 1
            surplus = len(self._entries) - MAX_SCHEMAS
            if surplus > 0:
                unused = [(e.used, n) for n, e in self._entries.items() if e.used < self._fetch - _ON_THEIR_WAY]
                for _, number in sorted(unused)[:surplus]:
                    del self._entries[number]

    def waits(self, assignment: Assignment) -> bool:
        """Returns True for a partition whose next record waits for its schema."""
        return assignment in self._waiting

    async def run(self, lifetime: Lifetime, pulse: Pulse) -> None:
        """Fetches wanted schemas until the pipeline is drained. The pulse beats after each fetch of records."""
        while lifetime.phase < Phase.DRAINED:
            numbers = self._wanted() if lifetime.phase < Phase.DRAINING else []
            if not numbers:
                await pulse.wait(None)
                continue
            failures = await asyncio.gather(*map(self._provide, numbers))
            failure = next((failure for failure in failures if failure is not None), None)
            if failure is not None:
                log.warning("schema_registry_unavailable", error=str(failure), hint=failure.hint)
                await self._clock.sleep(self._retry_s)

    def _wait(self, assignment: Assignment, numbers: list[int]) -> None:
        """Lets a partition stand still until these schemas are here."""
        self._waiting[assignment] = numbers
        self._health.without_schema[assignment.partition] = _sentence(assignment, numbers[0], "It is being fetched.")

    def _wanted(self) -> list[int]:
        """Returns the next numbers to ask for, those first that have waited longest."""
        for assignment in [assignment for assignment in self._waiting if assignment.ended]:
            self._release(assignment)
        return list(dict.fromkeys(number for numbers in self._waiting.values() for number in numbers))[:_AT_ONCE]

    def _release(self, assignment: Assignment) -> None:
        del self._waiting[assignment]
        if not any(other.partition == assignment.partition for other in self._waiting):
            self._health.without_schema.pop(assignment.partition, None)

    async def _provide(self, number: int) -> RegistryUnavailable | None:
        """Puts a schema on the shelf, or the reason why there is none. Returns the error if neither is known."""
        try:
            schema = await self._answer(number)
        except RegistryUnavailable as error:
            self._telemetry.schema_requested("unavailable")
            for assignment, numbers in self._waiting.items():
                if number in numbers and not assignment.ended:
                    why = f"{sentence_of(str(error))} {sentence_of(error.hint)}"
                    self._health.without_schema[assignment.partition] = _sentence(assignment, number, why)
            return error
        is_refused = isinstance(schema, str)
        self._telemetry.schema_requested("refused" if is_refused else "read")
        if is_refused:
            log.warning("schema_refused", number=number, reason=schema)
        until = self._clock.monotonic() + _REFUSAL_S if is_refused else float("inf")
        self._entries[number] = _Entry(schema, until, self._fetch)
        for assignment, numbers in list(self._waiting.items()):
            if number in numbers:
                numbers.remove(number)
            if not numbers:
                self._release(assignment)
        return None

    async def _answer(self, number: int) -> RecordSchema | str:
        """Returns a schema, or the reason why there is none. Raises RegistryUnavailable."""
        tries = _TRIES
        while True:
            try:
                return await self._worker.run(_ready, await self._registry.schema(number))
            except SchemaRefused as error:
                tries -= 1
                if not error.may_come or not tries:
                    return str(error)
            await self._clock.sleep(_BETWEEN_S)


def _ready(text: SchemaText) -> RecordSchema | str:
    """Returns a schema that reads records, or why it cannot."""
    try:
        return compiled(text)
    except Misfit as error:
        return str(error)
    except Exception as error:  # a fault of a reader: the daemon would end at this schema again and again
        return f"logwarden failed to read the schema: {ascii(error)[:200]}; report this fault"


def _sentence(assignment: Assignment, number: int, why: str) -> str:
    topic, partition = assignment.partition
    return f"{topic}/{partition} waits for schema {number} of the schema registry. {why}"

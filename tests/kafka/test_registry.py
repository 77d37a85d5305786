"""A real schema registry beside a real broker: its records are scored, and an outage of it loses none of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.broker import Broker, create_topics
from tests.kafka.evidence import AlertLog, Group, eventually, produce, read_all
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S
from tests.kafka.ports import free_ports
from tests.kafka.registry import Registry, running_registry
from tests.kafka.topics import Topics
from tests.schemas import EVENT, LOG, avro, framed

COMMON = 'syntax = "proto3"; package c; message Origin { string name = 1; }'
MESSAGES = (
    'syntax = "proto3"; package shop; import "common.proto"; import "google/protobuf/timestamp.proto";\n'
    "message Other { int32 n = 1; }\n"
    "message Log { string message = 1; c.Origin service = 2; google.protobuf.Timestamp time = 3; }"
)
MESSAGE = b"\x02\x02" + b"\x0a\x09disk full" + b"\x12\x07\x0a\x05store" + b"\x1a\x06\x08\x90\xd8\x8c\xd8\x06"
"""The second type of the file: a message, a service and a time."""


@pytest.fixture
def registry(broker: Broker, tmp_path: Path) -> Iterator[Registry]:
    with running_registry(tmp_path) as running:
        yield running


async def test_records_of_a_registry_are_scored(topics: Topics, fleet: Fleet, registry: Registry) -> None:
    """Avro and Protobuf with references, as a registry has them; what it does not have is buried with its number."""
    logs = topics.named("framed")
    await create_topics(topics.bootstrap, {logs: 1})
    origin = {"type": "record", "name": "shop.Origin", "fields": [{"name": "name", "type": "string"}]}
    fields = [{"name": "message", "type": "string"}, {"name": "service", "type": "shop.Origin"}]
    order = {"type": "record", "name": "shop.Order", "fields": fields}
    whole = {**order, "fields": [fields[0], {"name": "service", "type": origin}]}
    log = registry.register("log-value", json.dumps(LOG))
    registry.register("origin", json.dumps(origin))
    refers = [{"name": "shop.Origin", "subject": "origin", "version": 1}]
    ordered = registry.register("order-value", json.dumps(order), references=refers)
    registry.register("common", COMMON, "PROTOBUF")
    imports = [{"name": "common.proto", "subject": "common", "version": 1}]
    message = registry.register("message-value", MESSAGES, "PROTOBUF", imports)
    values = [
        framed(log, avro(EVENT)),
        framed(ordered, avro({"message": "no order", "service": {"name": "desk"}}, whole)),
        framed(message, MESSAGE),
        framed(4_711, avro(EVENT)),
        framed(log, b"\xff"),
        b"the last line",
    ]
    await produce(topics.bootstrap, logs, [(None, value, 0) for value in values])
    member = fleet.start(KAFKA__INPUT_TOPICS=logs, INPUT__SCHEMA_REGISTRY_URL=registry.url)
    group = Group(topics.bootstrap, topics.group, logs, 1)
    async with AlertLog.reading(topics.bootstrap, topics.alerts) as alerts:
        await eventually(member.ready, READY_S, "a ready member")
        await eventually(group.is_done, 60, "lag 0")
        await eventually(lambda: alerts.covers_offsets({0, 1, 2, 5}), 10, "an alert for every line")
    found = {a["logwarden"]["source"]["last_offset"]: a for a in map(json.loads, (r.value for r in alerts.records))}
    texts = {offset: (alert["service"]["name"], alert["message"]) for offset, alert in found.items()}
    assert texts == {
        0: ("till", "ERROR no stock status=503"),
        1: ("desk", "no order"),
        2: ("store", "disk full"),
        5: (logs, "the last line"),
    }
    assert found[2]["@timestamp"] == "2026-11-22T17:53:20.000Z"
    letters = [dict(letter.headers) for letter in await read_all(topics.bootstrap, topics.dead_letters)]
    reasons = {int(headers["x-original-offset"]): headers["x-error-reason"].decode() for headers in letters}
    assert reasons.keys() == {3, 4}
    assert reasons[3] == "the value is written in schema 4711 of the schema registry: the registry does not have it"
    assert reasons[4].startswith(f"the value does not fit schema {log}: ")
    assert {headers["x-error-stage"] for headers in letters} == {b"schema"}
    assert member.terminate() == 0


async def test_an_outage_of_the_registry_loses_no_record(topics: Topics, fleet: Fleet, tmp_path: Path) -> None:
    """The partition of the record waits and is named, the others are read; afterwards each record is judged once."""
    logs = topics.named("outage")
    await create_topics(topics.bootstrap, {logs: 2})
    [port] = free_ports(1)
    with running_registry(tmp_path, port) as registry:
        number = registry.register("log-value", json.dumps(LOG))
        url = registry.url
    value = framed(number, avro(EVENT))
    member = fleet.start(
        KAFKA__INPUT_TOPICS=logs, INPUT__SCHEMA_REGISTRY_URL=url, HEALTH__UNREADY_AFTER_S=1, HEALTH__STUCK_TIMEOUT_S=130
    )
    group = Group(topics.bootstrap, topics.group, logs, 2)
    async with AlertLog.reading(topics.bootstrap, topics.alerts) as alerts:
        await eventually(member.ready, READY_S, "a ready member")
        await produce(topics.bootstrap, logs, [(None, b"before", 0), (None, value, 0), (None, b"behind", 0)])
        await produce(topics.bootstrap, logs, [(None, b"beside", 1)])
        await eventually(group.has_committed({0: 1, 1: 1}), 20, "what stands before the record, and the neighbour")
        await eventually(lambda: "schema_missing" in member.body("/readyz"), 20, "the reason")
        assert "cannot be reached" in member.body("/readyz")
        assert not await group.is_done()
        with running_registry(tmp_path, port) as registry:
            assert registry.register("log-value", json.dumps(LOG)) == number
            await eventually(group.is_done, 60, "lag 0")
            await eventually(lambda: alerts.covers_partition(0, [0, 1, 2]), 10, "an alert for every line")
            await eventually(member.ready, 20, "a ready member again")
    messages = sorted(json.loads(record.value)["message"] for record in alerts.records)
    assert messages == ["ERROR no stock status=503", "before", "behind", "beside"]
    assert await read_all(topics.bootstrap, topics.dead_letters) == []
    assert member.terminate() == 0

"""The alert: its id, its schema, its bytes, and that a replay builds the same one."""

from __future__ import annotations

import dataclasses
import json
import uuid
from importlib import resources
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.incidents.alert import (
    NAMESPACE,
    Alert,
    alert_id,
    alert_message,
    build_alert,
    decode_alert,
    headers,
    kind_name,
)
from logwarden.daemon.incidents.writing import rfc3339
from logwarden.model.schema import AlertKind, LineRate, LogLine, LogWindow, Verdict
from logwarden.model.verdicts import RATES

SCHEMA = json.loads(
    resources.files("logwarden.daemon.incidents").joinpath("alert.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def verdict(
    *texts: str, score: float = 0.97, threshold: float = 0.5, service: str = "shop/api", **changes: Any
) -> Verdict:
    texts = texts or ("GET /health 200", "panic: runtime error")
    lines = tuple(
        LogLine(
            text=text, offset=100 + i, timestamp_ms=1_700_000_000_000 + i, weight=1 / len(texts), surprise=2.5, kind=255
        )
        for i, text in enumerate(texts)
    )
    window = LogWindow(service=service, lines=lines, topic="logs", partition=3)
    fields = {
        "window": window,
        "probabilities": (1 - score, score),
        "logits": (-1.5, 2.25),
        "threshold": threshold,
        "learning": False,
        "history_lines": 4_711,
        "model_revision": "abc123",
        "kind": AlertKind.NEW_LINE,
    }
    return Verdict(**{**fields, **changes})


def test_an_alert_says_what_where_and_why() -> None:
    """The complete alert of a two-line window, field by field."""
    alert = build_alert(verdict("GET /health 200", "panic: runtime error"), now_ms=1_700_000_000_251)
    assert json.loads(alert.encode()) == {
        "schema_version": 1,
        "id": str(uuid.uuid5(NAMESPACE, "logs|3|shop/api|101|0")),
        "@timestamp": "2023-11-14T22:13:20.001Z",
        "event": {"kind": "alert", "category": ["process"]},
        "service": {"name": "shop/api"},
        "message": "panic: runtime error",
        "log": {"level": "critical"},
        "logwarden": {
            "score": 0.97,
            "threshold": 0.5,
            "prediction": "anomaly",
            "probabilities": {"normal": 0.03, "anomaly": 0.97},
            "logits": [-1.5, 2.25],
            "severity": "critical",
            "kind": "new_line",
            "dedup_key": "shop/api:00000000000000ff",
            "source": {"topic": "logs", "partition": 3, "first_offset": 100, "last_offset": 101, "index": 0},
            "lines": [
                {
                    "offset": 100,
                    "index": 0,
                    "timestamp": "2023-11-14T22:13:20.000Z",
                    "text": "GET /health 200",
                    "weight": 0.5,
                    "surprise": 2.5,
                    "guilty": False,
                    "newest": False,
                },
                {
                    "offset": 101,
                    "index": 0,
                    "timestamp": "2023-11-14T22:13:20.001Z",
                    "text": "panic: runtime error",
                    "weight": 0.5,
                    "surprise": 2.5,
                    "guilty": False,
                    "newest": True,
                },
            ],
            "history_lines": 4_711,
            "model_revision": "abc123",
            "detection_delay_ms": 250,
        },
    }


def test_the_id_is_pinned() -> None:
    """Consumers remember ids across releases, so this one must never change."""
    assert alert_id("logs", 3, "shop/api", 101, 0) == "c8685206-0675-5f52-9f5e-fb890b0a070c"
    assert len({alert_id("logs", p, s, o, i) for p in (0, 1) for s in "ab" for o in (0, 1) for i in (0, 1)}) == 16
    topic = "cluster/topic"
    assert alert_id("logs", 3, "shop/api", 101, 0, incarnation=topic) == "fa9587bf-6c79-50b0-98ab-46ff50babada"
    assert alert_id("logs", 3, "shop/api", 101, 0, incarnation="") == alert_id("logs", 3, "shop/api", 101, 0)
    others = ("cluster/topic2", "cluster2/topic", "")
    assert len({alert_id("logs", 3, "shop/api", 101, 0, incarnation=name) for name in (topic, *others)}) == 4


ANY = st.characters(exclude_categories=())
"""Every code point, lone surrogates included, which hypothesis excludes by default."""
texts = st.text(ANY, max_size=40)
offsets = st.integers(min_value=-1, max_value=2**63 - 1)
lines = st.builds(
    LogLine,
    text=st.text(ANY, max_size=40),
    offset=offsets,
    index=st.integers(0, 10_000),
    timestamp_ms=st.none() | st.integers(-(2**63), 2**63 - 1),
    weight=st.floats(0, 1),
    surprise=st.floats(0, 64),
    guilty=st.booleans(),
)
windows = st.builds(
    LogWindow,
    service=st.text(ANY, max_size=20),
    lines=st.lists(lines, min_size=1, max_size=32).map(tuple),
    topic=texts,
    partition=st.integers(0, 2**31 - 1),
)
verdicts = st.builds(
    Verdict,
    window=windows,
    probabilities=st.floats(0, 1).map(lambda p: (1 - p, p)),
    logits=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    threshold=st.floats(0, 1),
    learning=st.booleans(),
    history_lines=st.integers(0, 2**40),
    model_revision=texts,
    kind=st.sampled_from(AlertKind),
    rate=st.none() | st.builds(LineRate, counted=st.integers(1), before=st.integers(1), of=st.sampled_from(RATES)),
)


@given(verdicts, st.none() | st.integers(-(2**63), 2**63 - 1))
def test_every_alert_fits_the_schema(one: Verdict, now_ms: int | None) -> None:
    """An alert is valid JSON of the published schema, whatever its lines (surrogates, NUL, absurd clocks)."""
    alert = build_alert(one, now_ms=now_ms)
    VALIDATOR.validate(json.loads(alert.encode()))
    assert decode_alert(alert.encode()) == alert
    assert all(isinstance(value, bytes) and value for _, value in headers(alert))
    assert alert_message(alert, "alerts").value == alert.encode()


def test_a_lone_surrogate_does_not_stop_an_alert() -> None:
    """JSON input can carry a lone surrogate into any text, and UTF-8 cannot encode it."""
    one = verdict("a\ud800b", service="api\udfff")
    alert = build_alert(dataclasses.replace(one, window=dataclasses.replace(one.window, topic="\ud800")), now_ms=None)
    assert (alert.message, alert.service.name) == ("a?b", "api?")
    assert decode_alert(alert.encode()) == alert


def test_the_schema_is_strict() -> None:
    """A field that is unknown to the schema, or missing, fails the test before it breaks a consumer."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def objects(schema: Any) -> Any:
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                yield schema
            for part in schema.values():
                yield from objects(part)

    for one in objects(SCHEMA):
        assert one["additionalProperties"] is False
        optional = {"shortened", "original", "planned", "rate", "silence"}
        assert sorted(one["required"]) == sorted(one["properties"].keys() - optional)
    alert = json.loads(build_alert(verdict(), now_ms=None).encode())
    for broken in ({**alert, "extra": 1}, {k: v for k, v in alert.items() if k != "id"}):
        assert not VALIDATOR.is_valid(broken)


def test_a_replay_gives_the_same_bytes_but_for_the_delay() -> None:
    """Consumers drop the second delivery by its id, so its other fields must equal the first's."""

    def without_delay(alert: Alert) -> bytes:
        fields = json.loads(alert.encode())
        fields["logwarden"].pop("detection_delay_ms")
        return json.dumps(fields).encode()

    first, again = build_alert(verdict(), now_ms=1_700_000_001_000), build_alert(verdict(), now_ms=1_800_000_000_000)
    assert first.encode() != again.encode()
    assert headers(first) == headers(again)
    assert without_delay(first) == without_delay(again)
    # float32 noise of another batch
    noisy = build_alert(verdict(score=0.97 + 3e-9), now_ms=None)
    assert without_delay(noisy) == without_delay(first)


def test_a_new_model_keeps_the_id() -> None:
    """Model revision and score are in the alert, not in its identity."""
    assert (
        build_alert(verdict(), now_ms=None).id == build_alert(verdict(score=0.8, model_revision="new"), now_ms=None).id
    )


def test_headers_are_cloudevents() -> None:
    """Binary mode: attributes in headers with the prefix ce_, the content type without it."""
    assert headers(build_alert(verdict(), now_ms=None)) == [
        ("ce_specversion", b"1.0"),
        ("ce_id", alert_id("logs", 3, "shop/api", 101, 0).encode()),
        ("ce_source", b"/logwarden/logs/3"),
        ("ce_type", b"logwarden.alert.v1"),
        ("ce_time", b"2023-11-14T22:13:20.001Z"),
        ("ce_subject", b"shop/api"),
        ("content-type", b"application/json"),
    ]


def test_alerts_of_a_service_stay_in_order() -> None:
    """The message's key is the service: Kafka keeps the order of one key."""
    message = alert_message(build_alert(verdict(), now_ms=None), "alerts")
    assert (message.topic, message.key) == ("alerts", b"shop/api")
    assert list(message.headers) == headers(build_alert(verdict(), now_ms=None))


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"[1]", b"\xff", b'{"schema_version": 1}', build_alert(verdict(), now_ms=None).encode()[:-1]]
)
def test_what_is_no_alert_is_refused(value: bytes) -> None:
    """Other producers may write to an alerts topic; a reader gets one kind of error."""
    with pytest.raises(ValueError, match=r"."):
        decode_alert(value)


def test_an_alert_of_another_schema_version_is_refused() -> None:
    """A later schema version may change the meaning of a field; an additional field alone is accepted."""
    value = build_alert(verdict(), now_ms=None).encode()
    assert decode_alert(value.replace(b'{"schema', b'{"new":[],"schema', 1)) == decode_alert(value)
    with pytest.raises(ValueError, match="schema version 2, not 1"):
        decode_alert(value.replace(b'"schema_version":1', b'"schema_version":2'))


@pytest.mark.parametrize(
    ("score", "threshold", "word"),
    [
        (0.49, 0.5, "info"),
        (0.5, 0.5, "warning"),
        (0.74, 0.5, "warning"),
        (0.75, 0.5, "error"),
        (0.94, 0.5, "error"),
        (0.96, 0.5, "critical"),
        (0.91, 0.9, "warning"),
        (1.0, 1.0, "critical"),
    ],
)
def test_severity_is_the_way_from_threshold_to_certainty(score: float, threshold: float, word: str) -> None:
    """A score just over the threshold is a warning, whatever the threshold."""
    assert build_alert(verdict(score=score, threshold=threshold), now_ms=None).logwarden.severity == word


def test_a_verdict_of_the_learning_phase_is_no_anomaly() -> None:
    """Its prediction is normal and its severity info, however high the score."""
    alert = build_alert(verdict(learning=True), now_ms=None)
    assert (alert.logwarden.prediction, alert.logwarden.severity) == ("normal", "info")


def test_a_rate_is_stated_in_numbers() -> None:
    """What is counted, how many came within ten seconds, and how many came at most before."""
    rate = LineRate(counted=34, before=20, of="failures")
    alert = build_alert(verdict(kind=AlertKind.FAILURE_RATE_UP, rate=rate), now_ms=None)
    facts = json.loads(alert.encode())["logwarden"]
    VALIDATOR.validate(json.loads(alert.encode()))
    assert facts["kind"] == "failure_rate_up"
    assert facts["rate"] == {"of": "failures", "count": 34, "most_before": 20, "seconds": 10}


def test_the_dedup_key_names_the_kind_of_the_newest_line() -> None:
    """A fault with other numbers is the same incident in every process; pinned for open incidents."""
    alert = build_alert(verdict("first", "panic"), now_ms=None)
    assert alert.logwarden.dedup_key == "shop/api:00000000000000ff"
    assert kind_name(-1) == "f" * 16


def test_the_level_is_what_the_newest_line_states() -> None:
    """ECS's field names it in lower case, and is null for a line without a level."""
    assert build_alert(verdict("first", "2026-11-23 10:00:00 ERROR boom"), now_ms=None).log.level == "error"
    assert build_alert(verdict("ERROR first", "boom"), now_ms=None).log.level is None


def test_long_lines_are_cut_and_marked() -> None:
    """An alert of 32 truncated lines stays under the broker's message limit."""
    alert = build_alert(verdict("x" * 5_000, "y" * 20), now_ms=None, max_line_chars=20)
    assert alert.logwarden.lines[0].text == "x" * 19 + "…"
    assert alert.message == "y" * 20


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_681_251_110_656, "2023-04-11T22:11:50.656Z"),
        (None, None),
        (2**62, None),
        (-(2**62), None),
    ],
)
def test_times_are_rfc_3339(ms: int | None, text: str | None) -> None:
    """Times have milliseconds and a Z; a clock beyond the calendar gives no time."""
    assert rfc3339(ms) == text


def test_a_clock_that_runs_ahead_is_no_negative_delay() -> None:
    """A shipper's clock may be ahead of the daemon's."""
    assert build_alert(verdict(), now_ms=0).logwarden.detection_delay_ms == 0
    timeless = verdict()
    line = dataclasses.replace(timeless.window.newest, timestamp_ms=None)
    timeless = dataclasses.replace(timeless, window=dataclasses.replace(timeless.window, lines=(line,)))
    assert build_alert(timeless, now_ms=5).logwarden.detection_delay_ms is None
    assert "ce_time" not in dict(headers(build_alert(timeless, now_ms=5)))

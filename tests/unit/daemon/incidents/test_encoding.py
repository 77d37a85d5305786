"""The fast writer of alerts gives the bytes of the plain one, for every window."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.incidents.alert import alert_message, build_alert
from logwarden.daemon.incidents.encoding import AlertWriter
from logwarden.daemon.records import Partition
from logwarden.model.incidents import Plan
from logwarden.model.schema import AlertKind
from logwarden.model.verdicts import AlertPolicy, Scores
from logwarden.model.windowing import NUMERIC_COLUMNS, WindowBatch, WindowRings
from tests.unit.daemon.incidents.test_alert import VALIDATOR

POLICY = AlertPolicy(threshold=0.25, learning_lines=100, model_revision='re"vision', kinds=tuple(AlertKind))
NOW_MS = 1_700_000_009_999
HOSTILE = [
    b'"lines":[]',
    b'\\"lines":[]',
    b"\xff\xfe\x00\x1b[31m",
    "日志 … \u2028 é".encode(),
    b"x" * 300,
    b"",
    b"a 1 b2",
]


def batch_of(rng: np.random.Generator, lines: int, size: int, slots: int) -> WindowBatch:
    """Returns the windows of random lines of some services, hostile texts among them."""
    rings = WindowRings(size, slots)
    batch = None
    for start in (0, 1_000):  # the second push has contexts from the first
        columns: dict[str, Any] = {name: np.zeros(lines, kind) for name, kind in NUMERIC_COLUMNS.items()}
        columns["offset"] = np.arange(start, start + lines)
        columns["index"] = rng.integers(0, 3, lines).astype(np.int32)
        columns["timestamp"] = rng.choice([-1, 0, 1_700_000_000_123, 2**62, 253_402_300_800_000], lines)
        columns["log_age"] = rng.uniform(0, 14, lines).astype(np.float32)
        columns["log_count"] = rng.uniform(0, 14, lines).astype(np.float32)
        columns["severe"] = rng.integers(0, 2, lines).astype(np.float32)
        columns["rate"] = (rng.integers(0, 3, lines) == 0) * rng.integers(5, 99, lines).astype(np.float32)
        columns["rate_before"] = (columns["rate"] // 2).clip(0)
        columns["rate_of"] = (columns["rate"] > 0) * rng.integers(0, 4, lines).astype(np.float32)
        texts = [HOSTILE[i] for i in rng.integers(0, len(HOSTILE), lines)]
        columns["text"] = np.array([*texts, None], object)[:-1]
        batch = rings.push(rng.integers(0, slots, lines), columns)
    assert batch is not None
    return batch


def scores_of(rng: np.random.Generator, batch: WindowBatch) -> Scores:
    """Returns random answers; weights sum to 1, are halves of a last digit, or all lie on one line."""
    weights = rng.exponential(1.0, (len(batch), batch.size)) ** 4
    weights /= weights.sum(axis=1, keepdims=True)
    weights[::3] = 1 / 32
    weights[1::5] = np.eye(batch.size)[0]
    logits = rng.normal(0, 3, (len(batch), 2)).astype(np.float32)
    return POLICY.judged(batch, Scores(logits, rng.uniform(0, 1, len(batch)), weights.astype(np.float32)))


@pytest.mark.parametrize("seed", range(8))
def test_the_fast_bytes_are_the_plain_ones(seed: int) -> None:
    """Values, keys and headers are equal byte for byte, and valid by the schema."""
    rng = np.random.default_rng(seed)
    batch = batch_of(rng, 60, int(rng.integers(2, 33)), 4)
    scores = scores_of(rng, batch)
    places = np.flatnonzero(rng.random(len(batch)) < 0.7)
    chars = int(rng.integers(1, 40))
    writer = AlertWriter(batch, scores, places, max_line_chars=chars)
    for place in places.tolist():
        service = ["web", 'ü"\ud800', ""][place % 3]
        verdict = POLICY.verdict(batch, scores, place, service=service, topic="lo gs", partition=place % 5)
        text = verdict.window.newest.text
        original = (b"", text.encode(), f'{{"é": "{text}"}}'.encode(), b"\xff" * 9)[place % 4]
        quotes: dict[str, Any] = {"original": original, "max_original_chars": int(rng.integers(0, 30))}
        quotes["plan"] = (None, Plan(id="maintenance/ü", reason='a "disk"\ud800', until_ms=NOW_MS))[place % 2]
        plain = alert_message(build_alert(verdict, now_ms=NOW_MS, max_line_chars=chars, **quotes), "alerts")
        fast = writer.draft(
            place,
            POLICY,
            service=service,
            partition=Partition("lo gs", place % 5),
            alerts_topic="alerts",
            now_ms=NOW_MS,
            **quotes,
        )
        assert fast.message() == plain
        assert (fast.topic, fast.size) == ("alerts", len(plain.value or b""))
        VALIDATOR.validate(json.loads(plain.value or b""))


def test_no_alert_needs_no_line() -> None:
    """A writer of no windows writes nothing."""
    rng = np.random.default_rng(0)
    batch = batch_of(rng, 10, 4, 2)
    AlertWriter(batch, scores_of(rng, batch), np.zeros(0, np.int64), max_line_chars=10)


@given(st.floats(0, 1, width=32))
def test_a_weight_is_rounded_as_python_rounds(weight: float) -> None:
    """A product with 10,000 is exact for a float32, so that a tie is a tie in both ways."""
    assert int(np.rint(np.float64(weight) * 10_000)) / 10_000 == round(weight, 4)


def test_drafts_take_the_memory_of_their_own_lines() -> None:
    """A thousand alerts of 32 long lines that overlap take about a thousand lines, not 32 thousand."""
    rng = np.random.default_rng(0)
    rings = WindowRings(32, 1)
    columns: dict[str, Any] = {name: np.zeros(1_000, kind) for name, kind in NUMERIC_COLUMNS.items()}
    columns["text"] = np.array([b"%d " % i + b"x" * 1_000 for i in range(1_000)] + [None], object)[:-1]
    batch = rings.push(np.zeros(1_000, np.int64), columns)
    tracemalloc.start()
    try:
        writer = AlertWriter(batch, scores_of(rng, batch), np.arange(1_000), max_line_chars=2_000)
        drafts = [
            writer.draft(
                place, POLICY, service="web", partition=Partition("logs", 0), alerts_topic="alerts", now_ms=NOW_MS
            )
            for place in range(1_000)
        ]
        del writer
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counted = sum(draft.waiting_bytes for draft in drafts)
    assert taken < 6_000_000 < 30_000_000 < sum(draft.size for draft in drafts)
    assert 0.7 * taken < counted < 1.5 * taken

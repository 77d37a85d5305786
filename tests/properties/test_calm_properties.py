"""Counts of calm time are those of a plain rule, line by line, in any batches, evictions included."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model import announcements, calm
from logwarden.model.calm import Signs
from logwarden.model.history import History
from tests.oracles import plain_state

SLOTS = 4
SYSTEMS = np.array([0, 0, 1, 0])
KINDS = 6
LEVELS = np.array([0, 0, 1, 2, 3, 0])
SEVERE = np.array([False, False, False, True, True, True])
ANNOUNCES = np.array([False, True, False, False, False, False])
LINES = st.tuples(st.integers(0, SLOTS - 1), st.integers(0, KINDS - 1), st.integers(-5, 40))
BATCHES = st.lists(st.lists(LINES, min_size=1, max_size=14), min_size=1, max_size=6)
Line = tuple[int, int, int]


@pytest.fixture(autouse=True, scope="module")
def _mature_soon() -> Iterator[None]:
    """A line of these few may raise a suspicion, and is rare enough to announce a stop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calm, "MATURE_LINES", 3)
        patch.setattr(calm, "RARE", 3)
        yield


@dataclass
class NaiveCalm:
    """Oracle: the rule as it is written, one line at a time."""

    age: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    calm: dict[tuple[int, int], float] = field(default_factory=lambda: defaultdict(float))
    calm_age: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    minute: dict[tuple[int, int], int] = field(default_factory=dict)
    until: dict[int, int] = field(default_factory=lambda: defaultdict(lambda: -1))
    levels: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    said: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    announced: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def observe(self, slot: int, kind: int, at_ms: int) -> tuple[float, ...]:
        level = int(LEVELS[kind])
        as_severe = sum(other >= level for other in self.levels[slot])
        peers = [s for s in range(SLOTS) if SYSTEMS[s] == SYSTEMS[slot] and s != slot]
        latest = max((at for peer in peers for at in self.announced[peer]), default=None)
        since = at_ms - latest if latest is not None and 0 <= latest <= at_ms else announcements.REACH_MS
        measured = (
            self.calm[slot, kind],
            self.calm_age[slot],
            float(self.suspicious(slot, at_ms)),
            sum(self.calm[other, kind] for other in peers),
            max(0.0, math.log2((self.age[slot] + 1) / (as_severe + 1))) if level else 0.0,
            max(0.0, 1 - since / announcements.REACH_MS),
        )
        if ANNOUNCES[kind] and at_ms >= 0 and 3 * (self.said[slot, kind] + 1) <= self.age[slot] + 1:
            self.announced[slot].append(at_ms)
        self.said[slot, kind] += 1
        if SEVERE[kind] and at_ms >= 0 and self.age[slot] >= calm.MATURE_LINES and self.calm[slot, kind] < 1:
            self.until[slot] = at_ms + calm.SUSPICION_MS
        if not self.suspicious(slot, at_ms):
            self.calm[slot, kind] += 1
            self.calm_age[slot] += 1
        elif self.minute.get((slot, kind)) != at_ms // 60_000:
            self.calm[slot, kind] += calm.SHARE_IN_SUSPICION
        self.minute[slot, kind] = at_ms // 60_000
        self.levels[slot].append(level)
        self.age[slot] += 1
        return measured

    def suspicious(self, slot: int, at_ms: int) -> bool:
        return at_ms >= 0 and 0 < self.until[slot] - at_ms <= calm.SUSPICION_MS


def timed(batches: list[list[Line]]) -> list[list[Line]]:
    """Steps in seconds become times: most go on, some go back, and one in a few lines has none."""
    now, out = 100_000, []
    for batch in batches:
        part = []
        for slot, kind, step in batch:
            now += step * 1000
            part.append((slot, kind, -1 if step == 7 else max(now, 0)))
        out.append(part)
    return out


def observe(history: History, batch: list[Line]) -> calm.Calm:
    slots, kinds, times = (np.array(column, np.int64) for column in zip(*batch, strict=True))
    no = np.zeros(len(kinds), bool)
    return history.observe(slots, kinds, Signs(SEVERE[kinds], LEVELS[kinds], no, times, ANNOUNCES[kinds])).calm


def history_of() -> History:
    history = History(SLOTS)
    history.join(np.arange(SLOTS), SYSTEMS)
    return history


@given(BATCHES)
def test_calm_counts_are_those_of_the_plain_rule(batches: list[list[Line]]) -> None:
    """Counts, ages, suspicion, siblings, rarity of the level and announcements, line by line."""
    history, naive = history_of(), NaiveCalm()
    for batch in timed(batches):
        seen = observe(history, batch)
        counts, ages, suspicion, elsewhere, rarity, announced = zip(
            *(naive.observe(*line) for line in batch), strict=True
        )
        np.testing.assert_allclose(np.exp2(seen.log_count) - 1, counts, atol=1e-4)
        np.testing.assert_allclose(np.exp2(seen.log_age) - 1, ages, atol=1e-4)
        np.testing.assert_array_equal(seen.suspicion, suspicion)
        np.testing.assert_allclose(np.exp2(seen.elsewhere) - 1, elsewhere, atol=1e-4)
        np.testing.assert_allclose(seen.level_rarity, rarity, atol=1e-5)
        np.testing.assert_allclose(seen.announced, announced, atol=1e-6)


@given(BATCHES)
def test_the_cut_into_batches_leaves_no_trace_in_calm_counts(batches: list[list[Line]]) -> None:
    """The state for the next owner is the same to the byte, whatever the batches."""
    lines = timed(batches)
    cut, whole = history_of(), history_of()
    for batch in lines:
        observe(cut, batch)
    observe(whole, [line for batch in lines for line in batch])
    for slot in range(SLOTS):
        assert plain_state(cut, slot) == plain_state(whole, slot)


@given(BATCHES, st.integers(1, 4))
def test_sums_of_siblings_can_be_made_again(batches: list[list[Line]], per_slot: int) -> None:
    """A process that restores the services' states knows what their siblings said, evicted lines apart."""
    history, other = History(SLOTS, max_lines_per_slot=per_slot), history_of()
    history.join(np.arange(SLOTS), SYSTEMS)
    for batch in timed(batches):
        observe(history, batch)
        history.trim()
    for slot in range(SLOTS):
        other.put(slot, history.take(slot))
    lines = [(slot, kind, 300_000) for slot in range(SLOTS) for kind in range(KINDS)]
    for ours, theirs in zip(observe(history, lines), observe(other, lines), strict=True):
        np.testing.assert_array_equal(ours, theirs)

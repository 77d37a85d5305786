"""Lines that wait for an embedding: the windows are the same as without a wait, and the turns are fair."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.pipeline.backlog import Backlog, LineBatch
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.work import Ingested, Work
from tests.oracles import LogRecord, assignment, fresh_lines_of, ingestor_of

WORDS = [letter * 3 for letter in "abcdefghijklmnop"]
Fetches = list[tuple[int, list[tuple[str, str]]]]
RECORDS = st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(WORDS)), min_size=1, max_size=10)
FETCHES = st.lists(st.tuples(st.sampled_from([1, 2]), RECORDS), min_size=1, max_size=6)
NOBODY_WAITS = 10_000


class Run:
    """Fetches in order, with at most `new_lines` embedded in a step; after each fetch the backlog advances a step."""

    def __init__(self, new_lines: int, *, step: int = 1) -> None:
        self.ingestor: Ingestor = ingestor_of(8, step=step)
        self.owners: dict[int, Assignment] = {1: assignment(1, 3, 0), 2: assignment(2)}
        self.work: list[Work] = []
        self.new_per_step: list[int] = []
        self.contexts: list[tuple[int, int, int]] = []
        self._new_lines = new_lines

    def fetch(self, fetches: Fetches) -> Run:
        ends = {1: 0, 2: 0}
        for number, lines in fetches:
            records = [
                LogRecord(word.encode(), offset=ends[number] + place, key=service.encode())
                for place, (service, word) in enumerate(lines)
            ]
            ends[number] += len(lines)
            self._take(self.ingestor.ingest([(self.owners[number], records)], 0.0, new_lines=self._new_lines))
            self._advance()
        return self

    def finish(self) -> Run:
        while self.ingestor.backlog:
            self._advance()
        self.work += self.ingestor.flush(before=np.inf)
        return self

    def windows(self) -> dict[tuple[int, int], list[str]]:
        """Returns the lines of each window, by the assignment and the offset of its newest line."""
        found: dict[tuple[int, int], list[str]] = {}
        for piece in self.work:
            texts, offsets = piece.windows.windows("text"), piece.windows.windows("offset")
            for window, owner in enumerate(piece.assignments):
                lines = [text.decode() for text in texts[window] if text]
                found[owner.generation, int(offsets[window][-1])] = lines
        return found

    def _advance(self) -> None:
        self._take(self.ingestor.advance(0.0, new_lines=self._new_lines))

    def _take(self, ingested: Ingested) -> None:
        self.work += ingested.work
        self.new_per_step.append(ingested.new_lines)
        self.contexts += [(owner.generation, at, context) for owner, at, context in ingested.contexts]


@given(st.integers(1, 4), FETCHES)
def test_a_wait_changes_no_window(new_lines: int, fetches: Fetches) -> None:
    """Each line ends the same window, with the same lines in it, and every new line is judged once."""
    waiting = Run(new_lines).fetch(fetches).finish()
    direct = Run(NOBODY_WAITS).fetch(fetches).finish()
    assert waiting.windows() == direct.windows()
    assert fresh_lines_of(waiting.work) == fresh_lines_of(direct.work)


@given(st.integers(1, 4), FETCHES)
def test_a_step_embeds_no_more_than_its_budget(new_lines: int, fetches: Fetches) -> None:
    """The fast lines of others wait for the running step only, and a step is short."""
    run = Run(new_lines).fetch(fetches).finish()
    assert max(run.new_per_step) <= new_lines


@given(st.integers(1, 3), FETCHES)
def test_the_context_reaches_back_to_waiting_lines(new_lines: int, fetches: Fetches) -> None:
    """A next owner that begins at any offset finds in the context each line of the windows from there on."""
    run = Run(new_lines).fetch(fetches).finish()
    for generation, at, context in run.contexts:
        for owner, newest in run.windows():
            if owner == generation and newest >= at:
                assert context <= min(offsets_of(run, owner, newest))


def offsets_of(run: Run, generation: int, newest: int) -> list[int]:
    for piece in run.work:
        offsets = piece.windows.windows("offset")
        texts = piece.windows.windows("text")
        for window, owner in enumerate(piece.assignments):
            if owner.generation == generation and offsets[window][-1] == newest:
                return [int(offset) for offset, text in zip(offsets[window], texts[window], strict=True) if text]
    raise AssertionError("the window exists")


def lines_of(owner: Assignment, service: str, count: int, first: int = 0) -> LineBatch:
    texts = [f"{service} {number}".encode() for number in range(count)]
    offsets = list(range(first, first + count))
    return LineBatch([owner] * count, [service] * count, texts, texts, offsets, [0] * count, [0] * count)


@given(st.integers(1, 40), st.integers(1, 5))
def test_a_calm_service_is_not_behind_a_noisy_one(noisy: int, calm: int) -> None:
    """With two services of one partition, the calm one's new lines come out in as many pairs of turns."""
    backlog, owner = Backlog(), assignment(1)
    for service, count in (("noisy", noisy), ("calm", calm)):
        batch = lines_of(owner, service, count, first=len(backlog))
        assert backlog.keep(batch, range(count)) == []
    taken = backlog.take(2 * calm, lambda key: False, most=10_000)
    assert sum(line.service == "calm" for line in taken) == calm


@given(st.integers(2, 30), st.integers(1, 5))
def test_a_calm_partition_is_not_behind_many_services_of_another(services: int, calm: int) -> None:
    """A key per request makes thousands of services; the other partition has every second turn all the same."""
    backlog, noisy, other = Backlog(), assignment(1), assignment(2)
    for number in range(services):
        backlog.keep(lines_of(noisy, f"request-{number}", 1, first=number), [0])
    backlog.keep(lines_of(other, "calm", calm), range(calm))
    taken = backlog.take(2 * calm, lambda key: False, most=10_000)
    assert sum(line.owner is other for line in taken) == calm


@given(FETCHES)
def test_dropped_lines_leave_nothing(fetches: Fetches) -> None:
    """The next owner reads the waiting lines of a revoked partition; here their memory is free."""
    run = Run(1).fetch(fetches)
    run.ingestor.drop(list(run.owners.values()))
    assert len(run.ingestor.backlog) == 0
    for owner in run.owners.values():
        assert run.ingestor.backlog.bytes_of(owner) == 0
        assert run.ingestor.backlog.oldest(owner) is None

"""Every line of an owner is scored exactly once, whatever the number of slots and the services."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles import assignment, fresh_lines_of, ingestor_of, records_of

SERVICES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8)
FETCHES = st.lists(st.tuples(st.sampled_from([1, 2]), SERVICES), min_size=1, max_size=8)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 12), FETCHES, st.integers(0, 7))
def test_every_line_of_ours_is_judged_once(
    slots: int, step: int, score_from: int, fetches: list[tuple[int, list[str]]], flushed: int
) -> None:
    """Evictions, flushes and context do not lose, double or invent a score."""
    aggregator = ingestor_of(slots, step=step)
    owners = {1: assignment(1, score_from, 0), 2: assignment(2)}
    ends = {1: 0, 2: 0}
    work = []
    for turn, (number, services) in enumerate(fetches):
        found = aggregator.ingest([(owners[number], records_of(services, ends[number]))], now=float(turn))
        ends[number] += len(services)
        work += found.work
        assert aggregator.services <= slots
        if turn == flushed:
            work += aggregator.flush(before=float(turn))
    work += aggregator.flush(before=np.inf)
    expected = [(1, offset) for offset in range(score_from, ends[1])] + [(2, offset) for offset in range(ends[2])]
    assert fresh_lines_of(work) == expected
    aggregator.scored(sum(piece.pushes for piece in work))

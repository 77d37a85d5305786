"""A partition's ledger against sets and lists: any order of fetching and finishing, gaps, records of many lines."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from logwarden.daemon.pipeline import ledger as ledger_module
from logwarden.daemon.pipeline.ledger import PartitionLedger, decode_metadata, encode_metadata

WINDOW = 3
FOREVER = 10**9
RECORDS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 2), st.sampled_from("ab")),  # offset step, lines, service
    min_size=1,
    max_size=6,
)


class LedgerMachine(RuleBasedStateMachine):
    """Fetches records as the daemon does, context first, and finishes lines in any order."""

    @initialize(context=st.integers(0, 5), score_from=st.integers(5, 9))
    def assign(self, context: int, score_from: int) -> None:
        self.ledger = PartitionLedger(score_from, context)
        self.score_from = self.end = score_from
        self.read_to = context - 1
        self.undone: Counter[int] = Counter()
        self.history: list[tuple[int, str]] = []  # (offset, service) of every line read

    @rule(records=RECORDS)
    def fetch(self, records: list[tuple[int, int, str]]) -> None:
        offsets = self.read_to + np.cumsum([step for step, _, _ in records])
        lines = np.array([count for _, count, _ in records])
        owned = offsets >= self.score_from
        if owned.any():
            self.ledger.open(offsets[owned])
            many = owned & (lines > 1)
            self.ledger.grow(offsets[many], lines[many])
            self.ledger.done(offsets[owned & (lines == 0)])  # blank
            self.end = int(offsets[-1]) + 1
        self.ledger.note_context(int(offsets[0]), min([int(offsets[0]), *self.needed_before(int(offsets[0]))]))
        for offset, (_, count, service) in zip(offsets.tolist(), records, strict=True):
            self.history += [(offset, service)] * count
            if offset >= self.score_from and count:
                self.undone[offset] = count
        self.read_to = int(offsets[-1])

    @rule(gap=st.integers(1, 3))
    def pass_offsets_without_records(self, gap: int) -> None:
        """Markers of transactions and compacted records: reading continues behind them."""
        if self.read_to >= self.score_from:
            self.read_to += gap
            self.end = self.read_to + 1
            self.ledger.passed(self.end)

    @rule(choice=st.randoms(use_true_random=False), share=st.floats(0, 1))
    def finish(self, choice: object, share: float) -> None:
        lines = sorted(self.undone.elements())
        choice.shuffle(lines)  # type: ignore[attr-defined]
        done = lines[: round(len(lines) * share)]
        self.ledger.done(np.array(done, np.int64))
        self.undone -= Counter(done)

    def needed_before(self, position: int) -> list[int]:
        """Returns the oldest line of each service's next window, as of the lines below `position`."""
        # window of 3, service a has lines 2, 5, 8, position 7: the ring is 2, 5 → 2
        rings: dict[str, deque[int]] = {}
        for offset, service in self.history:
            if offset < position:
                rings.setdefault(service, deque(maxlen=WINDOW - 1)).append(offset)
        return [ring[0] for ring in rings.values()]

    @invariant()
    def the_position_is_the_lowest_line_not_done(self) -> None:
        assert self.ledger.position() == min(self.undone, default=self.end)

    @invariant()
    def what_is_outstanding_is_counted(self) -> None:
        assert self.ledger.outstanding == self.undone.total()

    @invariant()
    def the_next_owner_finds_every_window_whole(self) -> None:
        position, metadata = self.ledger.to_commit(FOREVER)
        context = decode_metadata(metadata)
        assert context is not None
        assert context <= min([position, *self.needed_before(position)])

    @invariant()
    def the_context_is_bounded(self) -> None:
        position, metadata = self.ledger.to_commit(FOREVER)
        whole = decode_metadata(metadata)
        assert whole is not None
        for bound in (0, 1, 4):
            assert self.ledger.to_commit(bound) == (position, encode_metadata(max(whole, position - bound)))

    @invariant()
    def memory_follows_the_lines_in_flight(self) -> None:
        assert len(self.ledger._spans) <= len(self.undone)
        assert sum(len(span.offsets) for span in self.ledger._spans) <= 2 * self.undone.total()


class CrowdedLedgerMachine(LedgerMachine):
    """Thins its context entries all the time, as a ledger does whose position stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.most, ledger_module._MAX_CONTEXTS = ledger_module._MAX_CONTEXTS, 3

    def teardown(self) -> None:
        ledger_module._MAX_CONTEXTS = self.most


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=15)
TestCrowdedLedger = CrowdedLedgerMachine.TestCase
TestCrowdedLedger.settings = settings(max_examples=60, stateful_step_count=15)


@given(st.text(max_size=60) | st.dictionaries(st.sampled_from(["v", "context"]), st.integers(-2, 3)).map(str))
def test_no_metadata_stops_an_assignment(metadata: str) -> None:
    """Foreign metadata never raises: it is read as a context offset or as None."""
    context = decode_metadata(metadata)
    assert context is None or context >= 0

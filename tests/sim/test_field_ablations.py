"""Safeguards against Kafka as it is in the field, switched off: holes, new topics, stuck outputs, noise, silence.

The table of `tests/sim/test_ablations.py` continues here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from logwarden.daemon.pipeline import ledger as ledger_module
from logwarden.daemon.pipeline.backlog import Backlog, LineBatch
from logwarden.daemon.pipeline.events import OpenEvents, Taken
from logwarden.daemon.pipeline.in_flight import InFlight
from logwarden.daemon.pipeline.intake import Intake
from logwarden.daemon.pipeline.lane import Lane
from logwarden.daemon.pipeline.ledger import PartitionLedger
from logwarden.daemon.pipeline.pace import EmbeddingPace
from logwarden.daemon.pipeline.publication import Publication
from logwarden.daemon.pipeline.publisher import Publisher
from logwarden.daemon.records import Delivery, Fetched
from tests.sim.clients import SimSource
from tests.sim.test_ablations import without
from tests.sim.topics import PartitionLog

Patch = pytest.MonkeyPatch


def positions_are_not_used(patch: Patch) -> None:
    open_ = Intake._open
    patch.setattr(
        Intake,
        "_open",
        lambda intake, fetched, generation: open_(intake, Fetched(records=fetched.records), generation),
    )


def positions_of_an_old_fetch_count(patch: Patch) -> None:
    open_ = Intake._open

    def open_and_pass(intake: Intake, fetched: Fetched, generation: int) -> Any:
        chunks = open_(intake, fetched, generation)
        for partition, position in fetched.positions.items():
            assignment = intake._partitions.active(partition)
            if assignment is not None:
                assignment.ledger.passed(position)
        return chunks

    patch.setattr(Intake, "_open", open_and_pass)


def aborted_records_are_read(patch: Patch) -> None:
    read = PartitionLog.read
    patch.setattr(PartitionLog, "read", lambda log, position, most: read(log, position, most, committed_only=False))


def one_outcome_for_all_messages(patch: Patch) -> None:
    decide = Lane._decide

    def all_or_none(lane: Lane, batch: Sequence[Publication], outcomes: Sequence[Delivery]) -> list[Publication]:
        one = Delivery.ACKNOWLEDGED if Delivery.ACKNOWLEDGED in outcomes else outcomes[0]
        return decide(lane, batch, [one] * len(batch))

    patch.setattr(Lane, "_decide", all_or_none)


def one_lane_for_all_outputs(patch: Patch) -> None:
    publish = Lane._publish
    locks: dict[int, asyncio.Lock] = {}

    async def one_at_a_time(lane: Lane) -> None:
        async with locks.setdefault(id(lane._fate), asyncio.Lock()):
            await publish(lane)

    patch.setattr(Lane, "_publish", one_at_a_time)


def a_refused_alert_is_done(patch: Patch) -> None:
    def instead(publisher: Publisher, publication: Publication, outcome: Delivery) -> None:
        publisher._done(publication.owner, publication.offsets)

    patch.setattr(Publisher, "instead", instead)


def full_outputs_are_ignored(patch: Patch) -> None:
    patch.setattr(Publisher, "is_full", lambda *_: False)


def a_silent_topic_is_not_named(patch: Patch) -> None:
    patch.setattr(Publisher, "failed", lambda *_: None)


def other_topics_are_not_noticed(patch: Patch) -> None:
    patch.setattr(SimSource, "_look_for_other_topics", lambda _: None)


def commits_of_another_topic_are_believed(patch: Patch) -> None:
    patch.setattr(ledger_module, "decode_topic", lambda _: "")


def done_spans_are_kept(patch: Patch) -> None:
    done = PartitionLedger.done

    def done_and_kept(ledger: PartitionLedger, offsets: Any) -> None:
        spans, starts = list(ledger._spans), list(ledger._starts)
        done(ledger, offsets)
        first = next((number for number, span in enumerate(spans) if span.left), len(spans))
        ledger._spans, ledger._starts = spans[first:], starts[first:]

    patch.setattr(PartitionLedger, "done", done_and_kept)


def a_partition_may_take_all_room(patch: Patch) -> None:
    patch.setattr(InFlight, "_must_pause", lambda *_: False)


def no_new_line_waits(patch: Patch) -> None:
    patch.setattr(EmbeddingPace, "learn", lambda *_: None)
    patch.setattr("logwarden.daemon.pipeline.pace._FIRST", 10**9)


def waiting_lines_outlive_their_owner(patch: Patch) -> None:
    patch.setattr(Backlog, "drop", lambda *_: None)


def silence_is_not_noticed(patch: Patch) -> None:
    patch.setattr(SimSource, "silent_s", lambda _: 0.0)


def damage_is_not_reported(patch: Patch) -> None:
    patch.setattr(Intake, "_stand_still", lambda *_: None)


def first_lines_are_not_held(patch: Patch) -> None:
    """Marks the first line of an open event done together with the lines that continue it."""
    join, done = OpenEvents.join, PartitionLedger.done

    def join_and_release(events: OpenEvents, batch: LineBatch, *args: Any) -> Taken:
        taken = join(events, batch, *args)
        assert events._joiner is not None, "the simulation joins lines"
        here = set(batch.offsets)
        opened = [(row.owner, row.offset) for row in events._joiner.rows() if row.offset in here]
        return replace(taken, absorbed=[*taken.absorbed, *opened])

    def done_if_open(ledger: PartitionLedger, offsets: npt.NDArray[np.int64]) -> None:
        open_ = {int(o) for span in ledger._spans for o in span.offsets[span.lines > 0]}
        done(ledger, offsets[[int(offset) in open_ for offset in offsets]])

    patch.setattr(OpenEvents, "join", join_and_release)
    patch.setattr(PartitionLedger, "done", done_if_open)


def context_swallows_new_lines(patch: Patch) -> None:
    """Lets an event of the context continue into the lines that this member has to judge."""
    patch.setattr("logwarden.daemon.pipeline.events._both_are_new_or_context", lambda first, line: True)


def no_context_for_open_events(patch: Patch) -> None:
    patch.setattr(OpenEvents, "oldest", lambda *_: None)


def open_events_outlive_their_owner(patch: Patch) -> None:
    patch.setattr(OpenEvents, "drop", lambda *_: None)


def no_event_times_out(patch: Patch) -> None:
    expire = OpenEvents.expire
    patch.setattr(OpenEvents, "expire", lambda events, now, **_: expire(events, -1e9, all_of_them=False))


ABLATIONS: list[tuple[Callable[[Patch], None], str, str]] = [
    (positions_are_not_used, "transactions", "no_lag_left"),
    (positions_of_an_old_fetch_count, "late_fetches", "members_live"),
    (aborted_records_are_read, "transactions", "only_lines_scored"),
    (one_outcome_for_all_messages, "outputs_fail", "no_early_commit"),
    (one_lane_for_all_outputs, "stuck_alerts", "others_go_on"),
    (a_refused_alert_is_done, "refusals", "no_early_commit"),
    (full_outputs_are_ignored, "full_outputs", "bounded"),
    (a_silent_topic_is_not_named, "stuck_alerts", "health_names"),
    (other_topics_are_not_noticed, "recreated", "same_alert_ids"),
    (commits_of_another_topic_are_believed, "recreated", "no_hole"),
    (done_spans_are_kept, "stuck_alerts", "bounded"),
    (a_partition_may_take_all_room, "noisy_partition", "calm_in_time"),
    (no_new_line_waits, "noisy", "calm_in_time"),
    (waiting_lines_outlive_their_owner, "noisy_crashes", "nothing_kept"),
    (first_lines_are_not_held, "events", "no_early_commit"),
    (context_swallows_new_lines, "events", "no_early_commit"),
    (no_context_for_open_events, "events", "windows_whole"),
    (open_events_outlive_their_owner, "events", "nothing_kept"),
    (no_event_times_out, "calm_events", "no_lag_left"),
    (silence_is_not_noticed, "outages", "health_names"),
    (damage_is_not_reported, "damaged", "health_names"),
]


@pytest.mark.parametrize(
    ("ablate", "scenario", "invariant"), ABLATIONS, ids=lambda value: getattr(value, "__name__", value)
)
def test_without_its_safeguard_the_invariant_breaks(
    ablate: Callable[[Patch], None], scenario: str, invariant: str, monkeypatch: Patch
) -> None:
    """Each safeguard is needed: without it, its invariant breaks within twenty seeds."""
    ablate(monkeypatch)
    without(scenario, invariant)

"""Every safeguard, switched off: the invariant that it keeps must break, or the safeguard is not needed.

Each ablation names the scenario in which it does harm. Worlds are run for one seed after the other until the invariant
breaks; the output names that seed.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.incidents import alert
from logwarden.daemon.pipeline import partitions as partitions_module
from logwarden.daemon.pipeline.checkpoint import Checkpoint
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.intake import Intake
from logwarden.daemon.pipeline.lane import Lane
from logwarden.daemon.pipeline.ledger import PartitionLedger, Start, where_to_start
from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.pipeline.pipeline import Pipeline
from logwarden.daemon.pipeline.publication import Publication
from logwarden.daemon.pipeline.publisher import Publisher
from logwarden.daemon.pipeline.rebalance import Rebalance
from logwarden.daemon.records import Delivery
from logwarden.model.stream import LogStream
from tests.sim.clients import SimSource
from tests.sim.scenarios import SCENARIOS
from tests.sim.world import Violation, simulate

MAX_SEEDS = 20

Patch = pytest.MonkeyPatch


def commit_what_was_fetched(patch: Patch) -> None:
    patch.setattr(PartitionLedger, "position", lambda ledger: ledger._next)


def done_before_the_acknowledgement(patch: Patch) -> None:
    put = Publisher.put

    def put_and_acknowledge(publisher: Publisher, publication: Publication) -> None:
        publisher._done(publication.owner, publication.offsets)
        put(publisher, publication)

    patch.setattr(Publisher, "put", put_and_acknowledge)
    patch.setattr(Publisher, "acknowledged", lambda *_: None)


def a_failed_send_is_taken_for_sent(patch: Patch) -> None:
    async def publish(lane: Lane) -> None:
        with contextlib.suppress(BrokerUnavailable):
            await lane._sink.send(lane.topic, [publication.message for publication in lane._sending])
        lane._decide(lane._sending, [Delivery.ACKNOWLEDGED] * len(lane._sending))
        lane._keep([])
        lane._fate.moved()

    patch.setattr(Lane, "_publish", publish)


def a_failed_message_is_taken_for_sent(patch: Patch) -> None:
    decide = Lane._decide
    patch.setattr(
        Lane, "_decide", lambda lane, batch, outcomes: decide(lane, batch, [Delivery.ACKNOWLEDGED] * len(outcomes))
    )


def a_message_that_is_too_large_is_sent_again(patch: Patch) -> None:
    patch.setattr(Publisher, "instead", lambda _, publication, outcome: publication)


def one_ledger_for_all_periods(patch: Patch) -> None:
    """Gives an assignment the ledger of the partition's earlier assignment."""
    assign = Partitions.assign

    def assign_as_before(owner: Partitions, partition: Any, *about: Any, **options: Any) -> Assignment:
        known: dict[Any, Assignment] = owner.__dict__.setdefault("_ablated", {})
        assignment = assign(owner, partition, *about, **options)
        if partition in known:
            assignment.ledger = known[partition].ledger
        known[partition] = assignment
        return assignment

    patch.setattr(Partitions, "assign", assign_as_before)


def records_on_their_way_are_taken(patch: Patch) -> None:
    open_ = Intake._open
    patch.setattr(Intake, "_open", lambda intake, fetched, generation: open_(intake, fetched, 10**9))


def revoked_partitions_stay_ours(patch: Patch) -> None:
    patch.setattr(Partitions, "close", lambda *_: None)
    patch.setattr(Partitions, "revoke", lambda owner, partitions: [owner._assigned[p] for p in partitions])
    patch.setattr(Checkpoint, "_report_lag", lambda _: None)


def a_stuck_commit_is_waited_for(patch: Patch) -> None:
    patch.setattr(Checkpoint, "_cut_held_short", lambda _: None)


def ended_chunks_are_ingested(patch: Patch) -> None:
    def ingest(pipeline: Pipeline, chunks: Any, now: float, scored: int) -> Any:
        pipeline._ingestor.scored(scored)
        return pipeline._ingestor.ingest(chunks, now, new_lines=pipeline._pace.new_lines)

    drop = Ingestor.drop
    patch.setattr(Pipeline, "_ingest_now", ingest)
    # Dropped at once instead of in turn: the worker's pending calls run after the drop.
    close = Rebalance._close

    def close_and_drop(rebalance: Rebalance, revoked: Any) -> None:
        close(rebalance, revoked)
        pipeline: Pipeline = rebalance._drop.__self__  # type: ignore[attr-defined]
        drop(pipeline._ingestor, revoked)

    patch.setattr(Rebalance, "_close", close_and_drop)
    patch.setattr(Ingestor, "drop", lambda *_: None)


def no_context_is_read(patch: Patch) -> None:
    def at_the_commit(committed: Any, bounds: Any, max_context: int) -> Start:
        score_from = where_to_start(committed, bounds, max_context).score_from
        return Start(score_from, score_from, False)

    patch.setattr(partitions_module, "where_to_start", at_the_commit)


def jump_to_the_end(patch: Patch) -> None:
    def latest(committed: Any, bounds: Any, max_context: int) -> Start:
        if committed is None or committed.offset < bounds.earliest:
            return Start(bounds.end, bounds.end, True)
        return where_to_start(committed, bounds, max_context)

    patch.setattr(partitions_module, "where_to_start", latest)


def ids_know_no_incarnation(patch: Patch) -> None:
    of_name = alert.alert_id

    def by_name(*place: Any, incarnation: str, is_silence: bool) -> str:
        return of_name(*place, is_silence=is_silence)

    patch.setattr(alert, "alert_id", by_name)


def context_is_judged_again(patch: Patch) -> None:
    patch.setattr(Ingestor, "_flush", lambda ingestor, slots: ingestor._work(ingestor._stream.flush(slots)))


def no_pause(patch: Patch) -> None:
    patch.setattr(SimSource, "pause", lambda *_: None)


def no_resume(patch: Patch) -> None:
    patch.setattr(SimSource, "resume", lambda *_: None)


def only_ledgers_press(patch: Patch) -> None:
    """Leaves the lines in the batcher, which a revoke may leave behind, out of the pressure."""
    patch.setattr("logwarden.daemon.pipeline.batcher.Batcher.__len__", lambda _: 0)


def alerts_of_the_gone_are_kept(patch: Patch) -> None:
    patch.setattr(Publisher, "drop_ended", lambda _: None)


def random_alert_ids(patch: Patch) -> None:
    numbers = itertools.count()
    patch.setattr(alert, "alert_id", lambda *_, **__: str(uuid.UUID(int=next(numbers))))


def rows_are_given_up_unscored(patch: Patch) -> None:
    patch.setattr(LogStream, "scored", lambda _: None)
    patch.setattr(LogStream, "_live_ids", lambda _: np.zeros(0, np.int32))


def no_flush(patch: Patch) -> None:
    patch.setattr(Ingestor, "waits", False)


def records_do_not_grow(patch: Patch) -> None:
    """A record of many lines counts as one, and is done with its first line."""
    patch.setattr(PartitionLedger, "grow", lambda *_: None)


def lines_of_a_record_share_an_id(patch: Patch) -> None:
    id_of = alert.alert_id
    patch.setattr(
        alert,
        "alert_id",
        lambda topic, partition, service, offset, index, **kept: id_of(topic, partition, service, offset, 0, **kept),
    )


ABLATIONS: list[tuple[Callable[[Patch], None], str, str]] = [
    (commit_what_was_fetched, "crashes", "no_early_commit"),
    (commit_what_was_fetched, "crashes", "no_hole"),
    (done_before_the_acknowledgement, "rough_broker", "no_early_commit"),
    (a_failed_send_is_taken_for_sent, "rough_broker", "no_hole"),
    (a_failed_message_is_taken_for_sent, "outputs_fail", "no_hole"),
    (a_message_that_is_too_large_is_sent_again, "narrow_alerts", "no_lag_left"),
    (one_ledger_for_all_periods, "rolling", "members_live"),
    (records_on_their_way_are_taken, "late_fetches", "windows_whole"),
    (revoked_partitions_stay_ours, "slow_model", "nothing_after_revoke"),
    (a_stuck_commit_is_waited_for, "slow_commits", "nothing_after_revoke"),
    (ended_chunks_are_ingested, "slow_ingest", "nothing_kept"),
    (no_context_is_read, "crashes", "windows_whole"),
    (jump_to_the_end, "retention", "no_early_commit"),
    (ids_know_no_incarnation, "recreated", "same_alert_ids"),
    (context_is_judged_again, "everything_steps", "windows_whole"),
    (no_pause, "slow_model", "bounded"),
    (no_resume, "slow_model", "no_lag_left"),
    (only_ledgers_press, "slow_model", "bounded"),
    (alerts_of_the_gone_are_kept, "stuck_sink", "bounded"),
    (random_alert_ids, "everything", "same_alert_ids"),
    (rows_are_given_up_unscored, "slow_model", "rows_right"),
    (no_flush, "calm_steps", "no_lag_left"),
    (records_do_not_grow, "many_lines", "members_live"),
    (lines_of_a_record_share_an_id, "many_lines", "same_alert_ids"),
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


def without(scenario: str, invariant: str, *, keeps_state: bool = False) -> None:
    """Runs seeds of a scenario until the invariant breaks. Fails if it holds in all of them.

    Without a state topic, unless `keeps_state`: with one, what it has hides what the context lacks.
    """
    world = replace(SCENARIOS[scenario], keeps_state=keeps_state)
    for seed in range(MAX_SEEDS):
        try:
            simulate(world, seed)
        except Violation as violation:
            if invariant in violation.invariants:
                print(violation)
                return
    pytest.fail(f"{invariant} held in {MAX_SEEDS} worlds of {scenario} without its safeguard")

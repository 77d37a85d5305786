"""The fuzzers hold on some seeds, and each of them finds bugs that are planted in its part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from logwarden.daemon.decoding.decoder import Decoded, Decoder
from logwarden.daemon.decoding.event import LogEvent, Reading
from logwarden.daemon.pipeline import ledger as ledger_module
from logwarden.daemon.pipeline.checkpoint import Checkpoint
from logwarden.daemon.pipeline.intake import Intake
from logwarden.daemon.pipeline.lane import Lane
from logwarden.daemon.pipeline.ledger import PartitionLedger, Start, where_to_start
from logwarden.daemon.pipeline.partitions import Partitions
from logwarden.daemon.pipeline.publication import Publication
from logwarden.daemon.pipeline.publisher import Publisher
from logwarden.model.masking import mask_blob
from tests.fuzz.__main__ import FUZZERS, main

Patch = pytest.MonkeyPatch

SEEDS = {"decoder": 300, "ledger": 60, "outputs": 40, "rebalance": 60}
"""Seeds of a test run; `python -m tests.fuzz` runs many more."""
MAX_SEEDS = 200


@pytest.mark.parametrize("name", FUZZERS)
def test_no_seed_finds_an_error(name: str) -> None:
    """Each part of the daemon answers as its oracle does."""
    for seed in range(SEEDS[name]):
        FUZZERS[name](seed)


def a_line_ends_at_a_wide_gap(patch: Patch) -> None:
    """Takes two spaces for the end of a line."""
    clean = Decoder._clean

    def first_line(decoder: Decoder, raw: bytes, out: Decoded) -> bytes:
        return clean(decoder, raw, out).partition(b"  ")[0]

    patch.setattr(Decoder, "_clean", first_line)


def a_deep_value_ends_the_daemon(patch: Patch) -> None:
    def read(decoder: Decoder, value: bytes) -> Reading:
        text = str(msgspec.json.decode(value)).encode() if value[:1] == b"{" else value
        return Reading([LogEvent(text)])

    patch.setattr(Decoder, "_read", read)


def a_blank_record_is_forgotten(patch: Patch) -> None:
    decode = Decoder.decode

    def forgetful(decoder: Decoder, records: Any) -> Decoded:
        out = decode(decoder, records)
        out.blank.clear()
        return out

    patch.setattr(Decoder, "decode", forgetful)


def the_mask_splits_at_stars(patch: Patch) -> None:
    patch.setattr("logwarden.model.stream.mask_blob", lambda blob: mask_blob(blob.replace(b"<*>", b"\n")))


def the_position_is_the_newest_line_done(patch: Patch) -> None:
    patch.setattr(PartitionLedger, "position", lambda ledger: ledger._next - ledger.outstanding)


def a_hole_is_not_passed(patch: Patch) -> None:
    patch.setattr(PartitionLedger, "passed", lambda *_: None)


def context_entries_pile_up(patch: Patch) -> None:
    patch.setattr(PartitionLedger, "_thin_contexts", lambda _: None)


def done_spans_are_kept(patch: Patch) -> None:
    done = PartitionLedger.done

    def done_and_kept(ledger: PartitionLedger, offsets: Any) -> None:
        spans, starts = list(ledger._spans), list(ledger._starts)
        done(ledger, offsets)
        first = next((number for number, span in enumerate(spans) if span.left), len(spans))
        ledger._spans, ledger._starts = spans[first:], starts[first:]

    patch.setattr(PartitionLedger, "done", done_and_kept)


def thinned_context_is_too_new(patch: Patch) -> None:
    patch.setattr(ledger_module, "_MAX_CONTEXTS", 4)
    patch.setattr(PartitionLedger, "_thin_contexts", lambda ledger: ledger._contexts.pop(0))


def a_span_with_a_stuck_line_keeps_its_done_lines(patch: Patch) -> None:
    patch.setattr(
        PartitionLedger, "position", lambda ledger: ledger._spans[0].offsets[0] if ledger._spans else ledger._next
    )


def an_old_fetch_is_taken(patch: Patch) -> None:
    open_ = Intake._open
    patch.setattr(Intake, "_open", lambda intake, fetched, generation: open_(intake, fetched, 10**9))


def a_revoke_does_not_wait_for_its_commit(patch: Patch) -> None:
    commit = Checkpoint.commit_revoked
    tasks: list[asyncio.Task[bool]] = []

    async def in_the_background(checkpoint: Checkpoint, *arguments: Any) -> bool:
        tasks.append(asyncio.create_task(commit(checkpoint, *arguments)))
        await asyncio.sleep(0)
        return True

    patch.setattr(Checkpoint, "commit_revoked", in_the_background)


def an_assignment_never_ends(patch: Patch) -> None:
    patch.setattr(Partitions, "close", lambda *_: None)
    patch.setattr(Partitions, "revoke", lambda owner, partitions: [owner._assigned[p] for p in partitions])


def lost_offsets_are_a_jump_to_the_end(patch: Patch) -> None:
    def latest(committed: Any, bounds: Any, *more: Any) -> Start:
        if committed is None or committed.offset < bounds.earliest:
            return Start(bounds.end, bounds.end, True)
        return where_to_start(committed, bounds, *more)

    patch.setattr("logwarden.daemon.pipeline.partitions.where_to_start", latest)


def one_outcome_for_all_messages(patch: Patch) -> None:
    decide = Lane._decide

    def all_like_the_first(lane: Lane, batch: Any, outcomes: Any) -> list[Publication]:
        return decide(lane, batch, [outcomes[0]] * len(batch))

    patch.setattr(Lane, "_decide", all_like_the_first)


def a_failed_message_goes_behind_the_others(patch: Patch) -> None:
    decide = Lane._decide
    patch.setattr(Lane, "_decide", lambda lane, batch, outcomes: decide(lane, batch, outcomes)[::-1])


def one_lane_for_all_topics(patch: Patch) -> None:
    publish = Lane._publish
    locks: dict[int, asyncio.Lock] = {}

    async def one_at_a_time(lane: Lane) -> None:
        async with locks.setdefault(id(lane._fate), asyncio.Lock()):
            await publish(lane)

    patch.setattr(Lane, "_publish", one_at_a_time)


def a_refused_alert_is_forgotten(patch: Patch) -> None:
    patch.setattr(Publisher, "instead", lambda publisher, publication, outcome: None)


def bytes_of_a_cut_message_stay_counted(patch: Patch) -> None:
    keep = Lane._keep

    def counted_before(lane: Lane, publications: Any) -> None:
        before = lane._sending_bytes
        keep(lane, publications)
        lane._sending_bytes = max(before, lane._sending_bytes) if lane._sending else 0

    patch.setattr(Lane, "_keep", counted_before)


PLANTED: list[tuple[str, Callable[[Patch], None]]] = [
    ("decoder", a_line_ends_at_a_wide_gap),
    ("decoder", a_deep_value_ends_the_daemon),
    ("decoder", a_blank_record_is_forgotten),
    ("decoder", the_mask_splits_at_stars),
    ("ledger", the_position_is_the_newest_line_done),
    ("ledger", a_hole_is_not_passed),
    ("ledger", context_entries_pile_up),
    ("ledger", done_spans_are_kept),
    ("ledger", thinned_context_is_too_new),
    ("ledger", a_span_with_a_stuck_line_keeps_its_done_lines),
    ("rebalance", an_old_fetch_is_taken),
    ("rebalance", a_revoke_does_not_wait_for_its_commit),
    ("rebalance", an_assignment_never_ends),
    ("rebalance", lost_offsets_are_a_jump_to_the_end),
    ("outputs", one_outcome_for_all_messages),
    ("outputs", a_failed_message_goes_behind_the_others),
    ("outputs", one_lane_for_all_topics),
    ("outputs", a_refused_alert_is_forgotten),
    ("outputs", bytes_of_a_cut_message_stay_counted),
]


@pytest.mark.parametrize(("name", "plant"), PLANTED, ids=lambda value: getattr(value, "__name__", value))
def test_a_planted_bug_is_found(name: str, plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """Each fuzzer finds each bug of its part within two hundred seeds."""
    plant(monkeypatch)
    for seed in range(MAX_SEEDS):
        try:
            FUZZERS[name](seed)
        except Exception as error:  # any error of a part is a finding
            print(f"seed {seed}: {error}")
            return
    pytest.fail(f"{MAX_SEEDS} seeds of {name} found nothing")


def test_the_command_names_the_seed_that_failed(monkeypatch: Patch, capsys: pytest.CaptureFixture[str]) -> None:
    """A failed seed makes the exit code 1, and its line contains the command that replays it."""

    def fails_at_two(seed: int) -> None:
        if seed == 2:
            raise AssertionError("it broke")

    monkeypatch.setitem(FUZZERS, "ledger", fails_at_two)
    assert main(["ledger", "--seeds", "0..3"]) == 1
    assert "replay: python -m tests.fuzz ledger --seeds 2..2" in capsys.readouterr().out
    assert main(["ledger", "--seeds", "0..1"]) == 0

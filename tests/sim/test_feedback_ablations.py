"""Safeguards of feedback, switched off: what people decided is then lost, late, or in force for too long.

The table of `tests/sim/test_ablations.py` continues here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from logwarden.daemon.errors import BrokerUnavailable, LogwardenError
from logwarden.daemon.feedback import desk
from logwarden.daemon.feedback.desk import FeedbackDesk
from logwarden.daemon.feedback.giving import outdated
from logwarden.daemon.feedback.newest import readable
from logwarden.daemon.feedback.office import FeedbackOffice
from logwarden.daemon.pipeline.judge import WindowJudge
from logwarden.daemon.records import FollowedEntries
from logwarden.model.feedback import Feedback
from tests.sim.stand_ins import VirtualClock
from tests.sim.test_ablations import without

Patch = pytest.MonkeyPatch


def a_failed_write_counts_as_given(patch: Patch) -> None:
    send = FeedbackOffice._send

    async def send_and_hope(office: FeedbackOffice, rows: Any) -> None:
        with suppress(BrokerUnavailable):
            await send(office, rows)

    patch.setattr(FeedbackOffice, "_send", send_and_hope)


def a_removal_is_not_checked(patch: Patch) -> None:
    async def remove(office: FeedbackOffice, old: Sequence[str]) -> None:
        with suppress(BrokerUnavailable):
            await office._send([(key, None) for key in old])

    patch.setattr(FeedbackOffice, "_remove", remove)


def a_removal_counts_before_it_is_checked(patch: Patch) -> None:
    """Removes first, and puts back what that took by mistake. Whoever dies in between does not."""

    async def remove(office: FeedbackOffice, old: Sequence[str]) -> None:
        with suppress(BrokerUnavailable):
            await office._send([(key, None) for key in old])
        for _ in range(10):
            with suppress(BrokerUnavailable):
                rows = await office._read()
                there, last = readable(rows), readable(row for row in rows if row.value is not None)
                lost = last.keys() - there.keys() - set(outdated(last, office._clock.now_ms()))
                if lost := lost.intersection(old):
                    await office._send([(key, last[key]) for key in sorted(lost)])
                return
            await office._clock.sleep(1.0)

    patch.setattr(FeedbackOffice, "_remove", remove)


def a_failed_reading_is_the_last_one(patch: Patch) -> None:
    async def follow(one: FeedbackDesk) -> None:
        with suppress(LogwardenError):
            await one._read(one._topic)  # type: ignore[arg-type]
        one._is_read.set()

    patch.setattr(FeedbackDesk, "_follow_topic", follow)


def a_part_is_in_force_before_the_rest(patch: Patch) -> None:
    take = FeedbackDesk._take
    patch.setattr(FeedbackDesk, "_take", lambda one, piece: take(one, replace(piece, is_caught_up=True)))


def nothing_is_taken_back(patch: Patch) -> None:
    take = FeedbackDesk._take

    def without_removals(one: FeedbackDesk, piece: FollowedEntries) -> None:
        take(one, replace(piece, entries=[entry for entry in piece.entries if entry[1] is not None]))

    patch.setattr(FeedbackDesk, "_take", without_removals)


def judging_does_not_wait_for_feedback(patch: Patch) -> None:
    async def at_once(*_: object) -> None:
        pass

    patch.setattr(FeedbackDesk, "read_once", at_once)


def a_file_waits_for_the_topic(patch: Patch) -> None:
    rebuild = FeedbackDesk._rebuild
    patch.setattr(
        FeedbackDesk, "_rebuild", lambda one: rebuild(one) if one._is_read.is_set() or one._of_topic.newest else None
    )


def a_file_is_read_once(patch: Patch) -> None:
    patch.setattr(desk, "FILE_S", 10**6)


def the_hour_decides_and_not_the_line(patch: Patch) -> None:
    """Applies an entry by the moment of judging, not by the time of the line."""
    is_valid = Feedback.is_valid
    patch.setattr(
        Feedback,
        "is_valid",
        lambda entry, time_ms, *, tail_ms=0: is_valid(entry, VirtualClock().now_ms(), tail_ms=tail_ms),
    )


def feedback_has_no_end(patch: Patch) -> None:
    patch.setattr(Feedback, "is_valid", lambda entry, time_ms, *, tail_ms=0: entry.from_ms <= time_ms)


def a_mark_is_forgotten(patch: Patch) -> None:
    heeded = WindowJudge._heeded
    patch.setattr(WindowJudge, "_heeded", lambda *given: (heeded(*given)[0], {}))


ABLATIONS: list[tuple[Callable[[Patch], None], str, str]] = [
    (a_failed_write_counts_as_given, "feedback", "feedback_kept"),
    (a_removal_is_not_checked, "feedback_crashes", "feedback_kept"),
    (a_removal_counts_before_it_is_checked, "feedback_crashes", "feedback_kept"),
    (a_failed_reading_is_the_last_one, "feedback", "feedback_everywhere"),
    (a_part_is_in_force_before_the_rest, "feedback", "feedback_everywhere"),
    (nothing_is_taken_back, "feedback", "feedback_everywhere"),
    (nothing_is_taken_back, "feedback", "feedback_ends"),
    (judging_does_not_wait_for_feedback, "feedback_history", "feedback_heeded"),
    (a_file_waits_for_the_topic, "feedback_topic", "feedback_heeded"),
    (a_file_is_read_once, "calm_feedback", "feedback_heeded"),
    (the_hour_decides_and_not_the_line, "feedback", "feedback_heeded"),
    (the_hour_decides_and_not_the_line, "feedback", "feedback_ends"),
    (feedback_has_no_end, "calm_feedback", "feedback_ends"),
    (a_mark_is_forgotten, "calm_feedback", "feedback_heeded"),
]


@pytest.mark.parametrize(
    ("ablate", "scenario", "invariant"), ABLATIONS, ids=lambda value: getattr(value, "__name__", value)
)
def test_without_its_safeguard_the_invariant_breaks(
    ablate: Callable[[Patch], None], scenario: str, invariant: str, monkeypatch: Patch
) -> None:
    """Each safeguard is needed: without it, its invariant breaks within twenty seeds."""
    ablate(monkeypatch)
    without(scenario, invariant, keeps_state=True)

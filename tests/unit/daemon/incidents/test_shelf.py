"""The incidents that people look at: what is kept of the topic, how much, and what happens when it cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from logwarden.daemon.errors import BrokerUnavailable, TopicMissing
from logwarden.daemon.incidents.reading import keep_filled
from logwarden.daemon.incidents.shelf import KEPT_MS, RECENT_MS, IncidentShelf
from logwarden.daemon.records import FollowedEntries
from tests.fakes import virtually
from tests.sim.stand_ins import VirtualClock
from tests.unit.daemon.web.serving import NOW_MS, incident_value


def ids(shelf: IncidentShelf, now_ms: int = NOW_MS) -> list[str]:
    return [incident.id for incident in shelf.select(now_ms)]


def test_the_newest_record_of_an_incident_counts() -> None:
    """A later record replaces the earlier one, a deletion removes it, and another producer's record changes nothing."""
    shelf = IncidentShelf()
    shelf.put(b"a", incident_value("a"), NOW_MS)
    shelf.put(b"b", incident_value("b"), NOW_MS)
    shelf.put(b"a", incident_value("a", status="resolved"), NOW_MS)
    assert (shelf.open, len(shelf.select(NOW_MS, statuses=["resolved"]))) == (1, 1)
    shelf.put(b"b", None, NOW_MS)
    for value in (b"", b"{}", b"\xff", b"[" * 10_000):
        shelf.put(b"c", value, NOW_MS)
    assert ids(shelf) == ["a"]


def test_what_ended_long_ago_is_dropped_and_what_is_open_stays() -> None:
    """Age is that of the record, so that a replay of old logs is seen. What is no news is kept."""
    shelf = IncidentShelf()
    shelf.put(b"", incident_value("old lines", status="resolved", age_s=10**8), NOW_MS)
    shelf.put(b"", incident_value("old", status="expired"), NOW_MS - RECENT_MS - 1)
    shelf.put(b"", incident_value("open"), NOW_MS - 9 * RECENT_MS)
    assert ids(shelf) == ["open", "old lines"]
    assert ids(shelf, NOW_MS + RECENT_MS + 1) == ["open"]
    assert "old" in [incident.id for incident in shelf.select(NOW_MS, since_ms=NOW_MS - 1)]
    assert {incident.id for incident in shelf.kept(NOW_MS + KEPT_MS - 1)} == {"open", "old lines"}
    assert [incident.id for incident in shelf.kept(NOW_MS + KEPT_MS + 1)] == ["open"]


@pytest.mark.parametrize("bounds", [{"max_incidents": 8}, {"max_bytes": 8 * len(incident_value("o00"))}])
def test_the_shelf_is_bounded(bounds: dict[str, int]) -> None:
    """Beyond a bound those that ended make room first, the oldest of them before others."""
    shelf = IncidentShelf(**bounds)
    for number in range(4):
        shelf.put(b"", incident_value(f"o{number:02}"), NOW_MS)
    for number in range(40):
        shelf.put(b"", incident_value(f"r{number:02}", status="expired"), NOW_MS + number)
    kept = ids(shelf)
    assert len(kept) <= 8
    assert {"o00", "o01", "o02", "o03", "r39"} <= set(kept)


class Topic:
    """A topic that answers with these pieces or errors, one attempt after another, and then waits."""

    def __init__(self, *attempts: list[FollowedEntries | Exception]) -> None:
        self._attempts = list(attempts)
        self.since: list[int] = []

    async def follow(self, since_ms: int) -> AsyncIterator[FollowedEntries]:
        self.since.append(since_ms)
        for piece in self._attempts.pop(0):
            if isinstance(piece, Exception):
                raise piece
            yield piece
        await asyncio.Event().wait()


@virtually
async def test_the_shelf_is_filled_again_after_a_failure() -> None:
    """While the topic cannot be read the shelf keeps what it has and has a note; it ends once everything was read."""
    entry = (b"a", incident_value("a"), NOW_MS)
    topic = Topic(
        [TopicMissing("incidents", "it does not exist", hint="create it", use="read")],
        [FollowedEntries(entries=[entry]), BrokerUnavailable("b:9092", "away")],
        [ZeroDivisionError()],
        [FollowedEntries(entries=[entry], is_caught_up=True)],
    )
    shelf, clock, notes = IncidentShelf(), VirtualClock(), []
    task = asyncio.ensure_future(keep_filled(shelf, topic, clock))
    for seconds in (0.5, 1.0, 2.0, 4.0):
        await clock.sleep(seconds)
        notes.append(shelf.note)
    task.cancel()
    assert notes == [
        "The incidents are incomplete. The topic 'incidents' cannot be read: it does not exist. Create it.",
        "The incidents are incomplete. No Kafka broker answered at b:9092: away. Check "
        "LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS and that the broker is running.",
        "The incidents are incomplete. Reading them met a bug of logwarden (ZeroDivisionError).",
        "",
    ]
    assert ids(shelf) == ["a"]
    assert all(0 < clock.now_ms() - KEPT_MS - since < 10_000 for since in topic.since)

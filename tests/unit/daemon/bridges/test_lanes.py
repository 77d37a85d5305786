"""The order of the notices about an incident, and which of them wait."""

from __future__ import annotations

from logwarden.daemon.bridges.lanes import IncidentLane, IncidentLanes
from logwarden.daemon.bridges.notice import Action
from logwarden.daemon.records import Partition
from tests.bridge_stand_ins import incident, incident_id

PARTITION = Partition("incidents", 0)


class Given:
    """IncidentLanes that get records of one incident, with rising offsets."""

    def __init__(self, *, all_updates: bool = True, is_stale: bool = False) -> None:
        self.lanes = IncidentLanes(all_updates=all_updates, is_stale=lambda _: is_stale)
        self.offset = 0

    def put(self, status: str = "open", **facts: object) -> IncidentLane | None:
        self.offset += 1
        record = incident(status=status, revision=self.offset, **facts)  # type: ignore[arg-type]
        return self.lanes.put(PARTITION, record, self.offset, published_ms=0, now=float(self.offset))

    @property
    def lane(self) -> IncidentLane:
        lane = self.lanes.get(incident_id("one"))
        assert lane is not None
        return lane

    def send(self) -> tuple[str, int]:
        """Takes the next notice in hand, and returns its action and revision."""
        notice = self.lanes.begin(self.lane)
        return notice.action.value, notice.record.logwarden.revision

    def waiting(self) -> list[tuple[str, int]]:
        return [(letter.action.value, letter.record.logwarden.revision) for letter in self.lane.waiting]


def test_an_incident_is_announced_and_ended_in_order() -> None:
    """An end that comes while the announcement still waits is sent behind it."""
    given = Given()
    given.put()
    given.put("resolved")
    assert given.waiting() == [("trigger", 1), ("resolve", 2)]
    assert given.send() == ("trigger", 1)
    assert given.lanes.delivered(given.lane) == [1]
    assert given.send() == ("resolve", 2)
    assert given.lanes.delivered(given.lane) == [2]
    assert len(given.lanes) == 0


def test_the_newest_state_replaces_one_that_waits() -> None:
    """While a destination is slow, it gets the newest state once, and all records before are done with it."""
    given = Given()
    for _ in range(4):
        given.put()
    assert given.waiting() == [("trigger", 4)]
    given.send()
    given.put()
    given.put()
    assert given.waiting() == [("trigger", 6)]
    assert given.lanes.delivered(given.lane) == [1, 2, 3, 4]


def test_an_update_that_waits_is_no_news_once_the_incident_has_ended() -> None:
    """A destination that has the incident gets its end at once, and not a state from before."""
    given = Given()
    given.put()
    given.send()
    given.lanes.delivered(given.lane)
    given.put()
    given.put("resolved")
    assert given.waiting() == [("resolve", 3)]
    given.send()
    assert given.lanes.delivered(given.lane) == [2, 3]


def test_a_failed_notice_is_joined_with_a_newer_one() -> None:
    """A retry sends what is known by then; the end stays behind it."""
    given = Given()
    given.put()
    given.send()
    given.put()
    given.put("resolved")
    given.lanes.again(given.lane, due_at=5.0, now=1.0)
    # The first attempt may have been taken, or not: the state is sent before the end, so that the end is never lost.
    assert given.waiting() == [("trigger", 1), ("resolve", 3)]
    assert given.send() == ("trigger", 1)
    assert given.lanes.delivered(given.lane) == [1]
    assert given.send() == ("resolve", 3)


def test_a_retry_sends_the_newest_state() -> None:
    """Of two states the older one is not sent again."""
    given = Given()
    given.put()
    given.send()
    given.put()
    given.lanes.again(given.lane, due_at=5.0, now=1.0)
    assert given.waiting() == [("trigger", 2)]
    assert given.lane.attempts == 1
    given.send()
    assert given.lanes.delivered(given.lane) == [1, 2]


def test_an_incident_that_opens_again_is_announced_again() -> None:
    """A state behind an end that waits replaces it; behind one that was sent it is a new announcement."""
    given = Given()
    given.put()
    given.send()
    given.lanes.delivered(given.lane)
    given.put("resolved")
    given.put()
    assert given.waiting() == [("trigger", 3)]
    given.send()
    given.lanes.delivered(given.lane)
    given.put("resolved")
    given.send()
    given.put()
    assert given.lanes.delivered(given.lane) == [4]
    assert given.send() == ("trigger", 5)


def test_only_what_is_worse_is_sent_to_people() -> None:
    """A chat gets no message for every line: an update counts if the incident is more severe or of more services."""
    given = Given(all_updates=False)
    assert given.put() is not None
    assert given.put() is not None, "it replaces what waits"
    given.send()
    given.lanes.delivered(given.lane)
    assert given.put() is None
    assert given.put(services=("db-1", "web")) is not None
    given.send()
    given.lanes.delivered(given.lane)
    assert given.put(services=("db-1", "web")) is None
    assert given.put(services=("db-1", "web"), severity="critical") is not None


def test_an_end_is_reported_once_to_people() -> None:
    """Late alerts of an incident that is over change its record and no message; one that opens again ends again."""
    given = Given(all_updates=False)
    for status in ("open", "resolved"):
        given.put(status)
        given.send()
        given.lanes.delivered(given.lane)
    assert given.put("resolved") is None
    given.put()
    assert given.put("resolved") is not None
    for _ in range(2):
        given.send()
        given.lanes.delivered(given.lane)
    given.lanes.drop_all()
    assert given.put("resolved") is not None, "another member may have announced it meanwhile"


def test_old_news_is_reported_by_its_end_only() -> None:
    """After a long outage nobody is woken for what is over."""
    given = Given(is_stale=True)
    given.put()
    given.put("resolved")
    assert given.waiting() == [("resolve", 2)]


def test_an_end_is_sent_although_the_announcement_was_refused() -> None:
    """A destination that refuses one state may have taken an earlier one."""
    given = Given()
    given.put()
    given.put("resolved")
    given.send()
    assert given.lanes.buried(given.lane) == [1]
    assert given.send() == ("resolve", 2)


def test_what_the_destination_has_is_known_from_the_context() -> None:
    """After a restart an end is sent, an unchanged state is not, and what ended before is forgotten."""
    given = Given(all_updates=False)
    given.lanes.remember(PARTITION, incident())
    assert given.lanes.is_announced(incident_id("one"))
    assert given.put() is None
    lane = given.put("resolved")
    assert lane is not None
    assert given.lanes.begin(lane).action is Action.RESOLVE
    given.lanes.delivered(lane)
    given.lanes.remember(PARTITION, incident())
    given.lanes.remember(PARTITION, incident(status="resolved"))
    assert len(given.lanes) == 0
    assert given.put("resolved") is None, "its end was delivered before the restart"

"""What a member knows of the others, and how often it asks the coordinator."""

from __future__ import annotations

import asyncio

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.records import Partition
from logwarden.daemon.roster import GroupDescription, GroupMember, MemberCard
from logwarden.daemon.web import members as module
from logwarden.daemon.web.members import GroupMembers, Peers
from tests.fakes import capture, events, virtually
from tests.sim.stand_ins import VirtualClock

OWN = MemberCard(id="me", name="pod-0/1", address="http://10.0.0.1:8080")


def member(number: int, address: str | None = "http://10.0.0.9:8080", *, host: str = "") -> GroupMember:
    card = MemberCard(id=f"id{number}", name=f"{host or f'pod-{number}'}/1", address=address)
    return GroupMember(
        member_id=f"m{number}", host=f"10.0.0.{number}", partitions=(Partition("logs", number),), card=card
    )


OURS = GroupMember(member_id="m0", host="10.0.0.1", card=OWN)
OLD = GroupMember(member_id="m7", host="10.0.0.7", partitions=(Partition("logs", 7),))


class Coordinator:
    """Takes a while for an answer, or gives none."""

    def __init__(self, *members: GroupMember) -> None:
        self.members = members
        self.is_stable = True
        self.takes_s = 0.1
        self.failure: Exception | None = None
        self.looks = 0

    async def describe(self) -> GroupDescription:
        self.looks += 1
        await asyncio.sleep(self.takes_s)
        if self.failure is not None:
            raise self.failure
        return GroupDescription(members=self.members, is_stable=self.is_stable)


def group_of(coordinator: Coordinator) -> GroupMembers:
    return GroupMembers(coordinator, lambda: OWN, VirtualClock())


def obstacles(peers: Peers) -> dict[str, str]:
    return {peer.name: peer.obstacle for peer in peers.members}


@virtually
async def test_others_are_those_that_can_be_asked_and_those_that_cannot() -> None:
    """A member is never its own peer; one that cannot be asked comes last, with the reason."""
    off, same = member(2, None), member(3, "http://127.0.0.1:8080", host="pod-0")
    elsewhere = member(4, "http://localhost:8080")
    peers = await group_of(Coordinator(OLD, elsewhere, off, member(5), OURS, same)).others()
    assert obstacles(peers) == {
        "pod-0/1": "",
        "pod-5/1": "",
        "10.0.0.7/m7": "it is of an earlier release, which publishes no address",
        "pod-2/1": "it publishes no address of its HTTP port; set LOGWARDEN_HTTP__ADVERTISED_ADDRESS there",
        "pod-4/1": "its address http://localhost:8080 is for its own machine only; set LOGWARDEN_HTTP__HOST there",
    }
    assert [peer.card is None for peer in peers.members] == [False, False, True, True, True]
    assert peers.members[2].partitions == (Partition("logs", 7),)
    assert peers.note == ""


@virtually
async def test_however_many_look_the_coordinator_is_asked_once() -> None:
    """One question at a time, and none within five seconds of the last answer."""
    coordinator = Coordinator(OURS, member(1))
    group = group_of(coordinator)
    await asyncio.gather(*(group.others() for _ in range(50)))
    await asyncio.sleep(module.FRESH_S - 1)
    await group.others()
    assert coordinator.looks == 1
    await asyncio.sleep(1.5)
    coordinator.members = (OURS,)
    assert (await group.others()).members == ()
    assert coordinator.looks == 2


@virtually
async def test_a_coordinator_that_is_away_delays_nobody_for_long() -> None:
    """The members stay those of before; without any the answer states that others are not known."""
    coordinator = Coordinator(OURS, member(1))
    coordinator.failure = BrokerUnavailable("kafka:9092", "connection refused")
    group = group_of(coordinator)
    peers = await group.others()
    assert peers.members == ()
    assert peers.note.startswith("Services of other members are not shown, because they are not known: ")
    assert "kafka:9092" in peers.note
    coordinator.failure = None
    await asyncio.sleep(module.FRESH_S)
    assert len((await group.others()).members) == 1
    await asyncio.sleep(module.FRESH_S)
    coordinator.takes_s = 3_600
    times = []
    for _ in range(3):
        begun = asyncio.get_running_loop().time()
        assert len((await group.others()).members) == 1
        times.append(asyncio.get_running_loop().time() - begun)
    assert max(times) <= module.PATIENCE_S
    await asyncio.sleep(module.TIMEOUT_S)
    begun = asyncio.get_running_loop().time()
    await group.others()
    assert asyncio.get_running_loop().time() == begun, "the coordinator rests after it was too late"
    assert coordinator.looks == 3


@virtually
async def test_an_answer_that_cannot_be_read_is_logged() -> None:
    """Whatever fails there, people see why, and the operator finds it in the log."""
    coordinator = Coordinator(OURS)
    coordinator.failure = ValueError("two values expected")
    with capture() as caught:
        peers = await group_of(coordinator).others()
    assert peers.note.endswith("because they are not known: two values expected.")
    assert events(caught, "group_not_described") == [{"error": "two values expected", "log_level": "warning"}]


@virtually
async def test_a_rebalance_forgets_no_address() -> None:
    """While a group is divided again the coordinator tells no cards: members that were known are still asked."""
    coordinator = Coordinator(OURS, member(1), member(2))
    group = group_of(coordinator)
    await group.others()
    bare = [GroupMember(member_id=f"m{number}", host=f"10.0.0.{number}") for number in (0, 1, 3)]
    coordinator.members, coordinator.is_stable = tuple(bare), False
    await asyncio.sleep(module.FRESH_S)
    assert obstacles(await group.others()) == {"pod-1/1": "", "10.0.0.3/m3": "the group is in a rebalance"}
    coordinator.members, coordinator.is_stable = (OURS, bare[1]), True
    await asyncio.sleep(module.FRESH_S)
    assert "earlier release" in obstacles(await group.others())["10.0.0.1/m1"]


@virtually
async def test_a_group_may_be_larger_than_what_is_asked() -> None:
    """The number of requests is bounded, and the rest is stated."""
    coordinator = Coordinator(OURS, *(member(number) for number in range(1, 70)))
    peers = await group_of(coordinator).others()
    assert len(peers.members) == module.MAX_MEMBERS
    assert peers.note == "5 more members are not asked: 64 are the most."


@virtually
async def test_a_stop_ends_a_question_on_its_way() -> None:
    """The end of the daemon waits for no coordinator."""
    coordinator = Coordinator(OURS)
    coordinator.takes_s = 3_600
    group = group_of(coordinator)
    await group.others()
    group.stop()
    await asyncio.sleep(0)
    assert "test" in {task.get_name() for task in asyncio.all_tasks()} or len(asyncio.all_tasks()) == 1

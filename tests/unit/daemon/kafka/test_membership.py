"""The life of a member in its group: answers to rebalances, and a static name that another member uses too."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import for_code

from logwarden.daemon.kafka.membership import (
    REPLACED_TIMES,
    REPLACED_WITHIN_S,
    FencedInstanceId,
    Membership,
    Replacements,
)
from logwarden.daemon.records import Partition
from tests.fakes import virtually
from tests.sim.loop import now_s

LOGS = TopicPartition("logs", 1)


class Group:
    """A member in a group of the test, with the listener that it calls."""

    def __init__(self, *, static_name: str | None = "pod-1", answer_s: float = 0.0) -> None:
        self.calls: list[str] = []
        self.silent_s = 0.0
        self.coordinator = SimpleNamespace(member_id="", coordinator_dead=lambda: self.calls.append("dead"))
        self._answer_s = answer_s
        self.membership = Membership(
            self,
            static_name=static_name,
            session_timeout_s=6.0,
            coordinator=lambda: self.coordinator,
            revoked=lambda: self.calls.append("forgot"),
            silent_s=lambda: self.silent_s,
        )

    async def on_revoked(self, partitions: Sequence[Partition]) -> None:
        self.calls.append(f"revoked {len(partitions)}")

    async def on_assigned(self, partitions: Sequence[Partition]) -> None:
        await asyncio.sleep(self._answer_s)
        if self._answer_s < 0:
            raise ValueError("a mistake of the listener")
        self.calls.append(f"assigned {len(partitions)}")

    async def join(self) -> None:
        self.coordinator.member_id = "pod-1-uuid"
        await self.membership.on_partitions_assigned([LOGS])

    async def be_forgotten(self) -> None:
        self.coordinator.member_id = ""
        await self.membership.on_partitions_revoked([LOGS])


@virtually
async def test_a_rebalance_passes_through() -> None:
    """Revoke, then what belonged to the partitions is dropped, then assign."""
    group = Group()
    await group.membership.on_partitions_revoked([])
    await group.join()
    await group.membership.on_partitions_revoked([LOGS])
    assert group.calls == ["revoked 0", "forgot", "assigned 1", "revoked 1", "forgot"]


@virtually
async def test_a_slow_answer_does_not_keep_the_client_from_its_heartbeats() -> None:
    """Offsets that take a minute: the callback returns within a third of the session, and the answer comes."""
    group = Group(answer_s=60.0)
    await group.join()
    assert now_s() == 2.0
    assert group.calls == []
    await asyncio.sleep(59)
    assert group.calls == ["assigned 1"]


@virtually
async def test_a_revoke_ends_an_answer_that_is_late() -> None:
    """Nothing is assigned after the partitions are another member's."""
    group = Group(answer_s=60.0)
    await group.join()
    await group.membership.on_partitions_revoked([LOGS])
    await asyncio.sleep(100)
    assert group.calls == ["revoked 1", "forgot"]


@virtually
async def test_a_failing_answer_fails() -> None:
    """The client logs it; the pipeline has noted it."""
    with pytest.raises(ValueError, match="mistake"):
        await Group(answer_s=-1.0).join()


@virtually
async def test_a_name_that_two_members_use_ends_the_one_that_is_replaced() -> None:
    """It ends without joining again, which would replace the other one: that one works on."""
    group = Group()
    for _ in range(REPLACED_TIMES - 1):
        await group.join()
        await group.be_forgotten()
        assert group.membership.failure is None
        await asyncio.sleep(3)
    await group.join()
    leaving = asyncio.create_task(group.be_forgotten())
    await asyncio.sleep(100)
    failure = group.membership.failure
    assert failure is not None
    assert "another member uses LOGWARDEN_KAFKA__GROUP_INSTANCE_ID=pod-1" in str(failure)
    assert "every replica its own name" in failure.hint
    assert not leaving.done(), "the client would join again"
    await group.membership.leave()
    await leaving
    assert group.calls[-1] == "dead", "the client cannot send the join that follows"


@virtually
async def test_a_dynamic_member_is_never_replaced() -> None:
    """Its name is the group's own: the group forgets it when its session ends."""
    group = Group(static_name=None)
    for _ in range(2 * REPLACED_TIMES):
        await group.join()
        await group.be_forgotten()
    assert group.membership.failure is None


def test_replacements_in_a_long_time_are_no_evidence() -> None:
    """Restarts of a pod replace its member, too."""
    replacements = Replacements(session_timeout_s=6.0)
    assert not any(replacements.forgotten(number * REPLACED_WITHIN_S / 2, 0.0) for number in range(20))


def test_a_session_that_ended_by_itself_is_no_replacement() -> None:
    """A member that was frozen or cut off is forgotten for that reason, as often as it happens."""
    replacements = Replacements(session_timeout_s=6.0)
    assert not any(replacements.forgotten(float(number), 7.0) for number in range(20))
    assert [replacements.forgotten(20.0 + number, 0.5) for number in range(4)] == [False, False, False, True]


def test_the_client_knows_the_code_of_a_fenced_member() -> None:
    """aiokafka does not: the error would be an unknown one, without a name."""
    assert for_code(82) is FencedInstanceId
    assert "FencedInstanceId" in repr(FencedInstanceId())

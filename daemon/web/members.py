"""Knows the other members of the group: who is there, at which address, and why one of them cannot be reached.

The group is described again once its description is some seconds old, by one request at a time however many people
look. Where the coordinator does not answer, the members are those of the last description.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from logwarden.daemon.ports import Clock, GroupReader
from logwarden.daemon.records import Partition
from logwarden.daemon.roster import GroupDescription, GroupMember, MemberCard, is_of_one_machine
from logwarden.daemon.waiting import abandon, failure

log = structlog.get_logger(__name__)

FRESH_S = 5.0
"""Age up to which a description serves, and the rest after one that failed."""
PATIENCE_S = 1.0
"""Seconds that a request waits for a description, which goes on beside it."""
TIMEOUT_S = 10.0
"""Seconds that a description may take."""
MAX_MEMBERS = 64
"""Other members that get requests. Larger groups are named in part."""
MAX_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another member of the group."""

    name: str
    partitions: tuple[Partition, ...]
    card: MemberCard | None
    """None: it cannot be reached."""
    obstacle: str = ""
    """Why it cannot be reached, as a clause about `it`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """The other members at one moment."""

    members: tuple[Peer, ...] = ()
    note: str = ""
    """Why there may be others; empty when there are none."""


class GroupMembers:
    """The group as this member knows it. Belongs to the event loop."""

    def __init__(self, group: GroupReader, card: Callable[[], MemberCard], clock: Clock) -> None:
        """`card`: this member's own."""
        self._group = group
        self._card = card
        self._clock = clock
        self._task: asyncio.Task[GroupDescription] | None = None
        self._tried_at = float("-inf")
        self._found: GroupDescription | None = None
        self._cards: dict[str, GroupMember] = {}
        """Members by their id in the group, as they were described with a card."""
        self._failure = ""

    async def others(self) -> Peers:
        """Returns the other members by name, those that can be reached before the others."""
        await self._describe()
        if self._found is None:
            reason = self._failure or f"the coordinator of the group has not answered within {PATIENCE_S:g} s"
            return Peers(note=f"Services of other members are not shown, because they are not known: {reason}.")
        own = self._card()
        peers = [
            self._peer(self._cards.get(member.member_id, member), own)
            for member in self._found.members
            if (known := self._cards.get(member.member_id, member).card) is None or known.id != own.id
        ]
        peers.sort(key=lambda peer: (peer.card is None, peer.name))
        beyond = len(peers) - MAX_MEMBERS
        note = f"{beyond} more members are not asked: {MAX_MEMBERS} are the most." if beyond > 0 else ""
        return Peers(members=tuple(peers[:MAX_MEMBERS]), note=note)

    def stop(self) -> None:
        """Ends a description that is on its way."""
        if self._task is not None:
            abandon(self._task)

    async def _describe(self) -> None:
        if self._task is None and self._clock.monotonic() - self._tried_at >= FRESH_S:
            self._task = asyncio.create_task(self._described(), name="group")
            self._task.add_done_callback(self._take)
        if (task := self._task) is not None:
            await asyncio.wait([task], timeout=PATIENCE_S)

    async def _described(self) -> GroupDescription:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._group.describe()

    def _take(self, task: asyncio.Task[GroupDescription]) -> None:
        self._task = None
        self._tried_at = self._clock.monotonic()
        error = failure(task)
        if error is not None:
            self._failure = f"no answer of the brokers within {TIMEOUT_S:g} s"
            if not isinstance(error, TimeoutError | asyncio.CancelledError):
                self._failure = str(error) or type(error).__name__
                log.warning("group_not_described", error=self._failure)
            return
        self._found = found = task.result()
        here = {member.member_id for member in found.members}
        self._cards = {id: member for id, member in self._cards.items() if id in here and not found.is_stable}
        self._cards |= {member.member_id: member for member in found.members if member.card is not None}

    def _peer(self, member: GroupMember, own: MemberCard) -> Peer:
        assert self._found is not None, "described before"
        card = member.card
        if card is None:
            name = f"{member.host}/{member.member_id}"
            if self._found.is_stable:
                obstacle = "it is of an earlier release, which publishes no address"
            else:
                obstacle = "the group is in a rebalance"
        elif card.address is None:
            name = card.name
            obstacle = "it publishes no address of its HTTP port; set LOGWARDEN_HTTP__ADVERTISED_ADDRESS there"
        elif is_of_one_machine(card.address) and card.host != own.host:
            name = card.name
            obstacle = f"its address {card.address} is for its own machine only; set LOGWARDEN_HTTP__HOST there"
        else:
            return Peer(name=card.name[:MAX_NAME], partitions=member.partitions, card=card)
        return Peer(name=name[:MAX_NAME], partitions=member.partitions, card=None, obstacle=obstacle)

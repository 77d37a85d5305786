"""Follows this member's life in the group: rebalances, and another member that uses the same static name.

- The client sends no heartbeat while it waits for the answer to an assignment. An answer that takes long is finished
  beside it, because the group would remove a silent member.
- The client's heartbeat carries no static name. Two members with one name replace each other at every join, without an
  end and without an error; the group's answer to each is that it does not know the member.

Runs on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import BrokerResponseError, kafka_errors

from logwarden.daemon.errors import FatalError
from logwarden.daemon.ports import RebalanceListener
from logwarden.daemon.records import Partition

log = structlog.get_logger(__name__)

REPLACED_TIMES, REPLACED_WITHIN_S = 4, 60.0
"""How often, and in what time, a static member is replaced until another member must be using its name."""


class FencedInstanceId(BrokerResponseError):  # type: ignore[misc]  # aiokafka ships no types
    """The group's answer to a join under a static name that another member has taken; the client does not know it."""

    errno = 82
    message = "FENCED_INSTANCE_ID"
    description = "Another member of the group uses the static name of this one."


kafka_errors.setdefault(FencedInstanceId.errno, FencedInstanceId)


def name_is_taken(name: str, evidence: str) -> FatalError:
    """Returns the error of a member whose static name is another member's too."""
    return FatalError(
        f"another member uses LOGWARDEN_KAFKA__GROUP_INSTANCE_ID={name}: {evidence}",
        hint="give every replica its own name, such as the pod's",
    )


class Replacements:
    """Counts how often the group forgot this static member although the member was there. Pure."""

    def __init__(self, *, session_timeout_s: float) -> None:
        self._session_timeout_s = session_timeout_s
        self._at: deque[float] = deque(maxlen=REPLACED_TIMES)

    def forgotten(self, now: float, silent_s: float) -> bool:
        """Notes that the group does not know this member. Returns True if another member must be using its name.

        `silent_s`: the longest time since the assignment for which this member may have sent no heartbeat.
        """
        if silent_s < self._session_timeout_s / 2:  # otherwise the group's session with this member ended by itself
            self._at.append(now)
        return len(self._at) == REPLACED_TIMES and now - self._at[0] <= REPLACED_WITHIN_S


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """The listener that the client calls. `failure` is the reason why this member must end, if there is one."""

    def __init__(
        self,
        listener: RebalanceListener,
        *,
        static_name: str | None,
        session_timeout_s: float,
        coordinator: Callable[[], Any],
        revoked: Callable[[], None],
        silent_s: Callable[[], float],
    ) -> None:
        self.failure: FatalError | None = None
        self._listener = listener
        self._static_name = static_name
        self._patience_s = session_timeout_s / 3
        self._coordinator = coordinator
        self._revoked = revoked
        self._silent_s = silent_s
        self._replacements = Replacements(session_timeout_s=session_timeout_s)
        self._was_member = False
        self._answer: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        await self._end_answer()
        forgotten = self._was_member and not self._coordinator().member_id
        self._was_member = False
        await self._listener.on_revoked([Partition(*p) for p in revoked])
        self._revoked()
        if self._static_name and forgotten:
            now = asyncio.get_running_loop().time()
            log.warning("member_forgotten", group_instance_id=self._static_name)
            if self._replacements.forgotten(now, self._silent_s()):
                await self._give_way(self._static_name)

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._was_member = True
        answer = self._listener.on_assigned([Partition(*p) for p in assigned])
        self._answer = asyncio.create_task(_coroutine(answer), name="assignment")
        done, _ = await asyncio.wait([self._answer], timeout=self._patience_s)
        if done:
            self._answer.result()

    async def leave(self) -> None:
        """Ends what waits here, so that the client can stop."""
        self._leaving.set()
        await self._end_answer()

    async def _give_way(self, name: str) -> None:
        """Records the failure, and keeps the client from joining again: that would replace the other member."""
        times = f"the group replaced this member {REPLACED_TIMES} times within {REPLACED_WITHIN_S:g} s"
        self.failure = name_is_taken(name, times)
        await self._leaving.wait()
        self._coordinator().coordinator_dead()  # the client's next request, to join, fails before it is sent

    async def _end_answer(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.cancel()
            await asyncio.wait([answer])


async def _coroutine(awaitable: Any) -> None:
    await awaitable

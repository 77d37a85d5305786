"""A real broker with logwarden's topics and one real daemon on a small model, for checks that need both."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kafka.broker import Broker, create_topics
from tests.kafka.evidence import EVERY_LINE
from tests.kafka.fleet import Fleet
from tests.kafka.member import Member
from tests.kafka.topics import Topics, fresh_topics

READY_S = 90.0


@dataclass(frozen=True, kw_only=True)
class World:
    """What a check needs of it."""

    topics: Topics
    member: Member
    folder: Path


@asynccontextmanager
async def one_daemon(**settings: object) -> AsyncIterator[World]:
    """Yields a broker and a ready daemon, which raises an alert for each line and folds incidents."""
    from tests.models import save_tiny  # torch: seconds that the tests of files need not wait for

    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(await asyncio.to_thread(Broker.create, folder))
        topics = await fresh_topics(broker.bootstrap)
        compacted = {topics.named(name): 1 for name in ("incidents", "feedback")}
        await create_topics(broker.bootstrap, compacted, configs={"cleanup.policy": "compact"})
        fleet = stack.enter_context(Fleet(topics, folder, save_tiny(folder / "model"), quiet=True))
        own = {
            "KAFKA__INCIDENTS_TOPIC": topics.named("incidents"),
            "KAFKA__FEEDBACK_TOPIC": topics.named("feedback"),
            "KAFKA__STATE_TOPIC": topics.named("state"),
            "INCIDENTS__LEAST_EVIDENCE": 0,
            **EVERY_LINE,
        }
        member = fleet.start(**(own | settings))
        await until(member.ready, "the daemon is ready", READY_S)
        yield World(topics=topics, member=member, folder=folder)


async def until(condition: Callable[[], object], sentence: str, timeout_s: float) -> None:
    """Returns once the condition is true. Raises AssertionError with the sentence that was believed."""
    deadline = time.monotonic() + timeout_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, f"not true within {timeout_s:.0f} s: {sentence}"
        await asyncio.sleep(0.2)

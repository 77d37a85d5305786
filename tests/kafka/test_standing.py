"""Known weaknesses of the client, which every version of it must be proved against anew.

aiokafka's issue 847: a member whose event loop stood still for longer than its session never works again. Issue 1037:
a consumer whose requests timed out on their way stays silent for ever. `python -m tests.kafka.soak` repeats both for
half an hour, in random order.
"""

from __future__ import annotations

import asyncio
import signal
from functools import partial

import pytest

from tests.kafka.evidence import AlertLog, Group, Traffic, eventually
from tests.kafka.fleet import QUICK, Fleet
from tests.kafka.member import READY_S, Member
from tests.kafka.proxy import BLACK_HOLE, Proxy, Weather
from tests.kafka.topics import LOG_PARTITIONS, Topics

SESSION_S = int(str(QUICK["KAFKA__SESSION_TIMEOUT_MS"])) / 1_000
REQUEST_S = 3
RECOVERY_S = 40.0
"""Time limit: session time-out, rebalance and the client's back-off, on a busy machine."""


def group_of(topics: Topics) -> Group:
    return Group(topics.bootstrap, topics.group, topics.logs, LOG_PARTITIONS)


def works(member: Member) -> bool:
    """Returns True if the member is ready with partitions."""
    return member.ready() and member.metric("logwarden_partitions") > 0


async def test_a_member_that_stood_still_past_its_session_joins_again(topics: Topics, forked_fleet: Fleet) -> None:
    """A member that is frozen for longer than its session is replaced by another, joins again by itself, and nothing
    is lost or skipped (aiokafka issue 847)."""
    frozen, other = forked_fleet.start(), forked_fleet.start()
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        async with traffic.flowing(100):
            for member in (frozen, other):
                await eventually(partial(works, member), READY_S, "a member with partitions")
            frozen.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(SESSION_S + 1)  # its session ends at the broker, where no test can wait for it
                during = await traffic.send(50)
                await eventually(lambda: alerts.covers(during), RECOVERY_S, "the other member's work on all partitions")
            finally:
                frozen.signal(signal.SIGCONT)
            await eventually(partial(works, frozen), RECOVERY_S, "the frozen member's return with partitions")
            other.kill()
            after = await traffic.send(50)
            await eventually(lambda: alerts.covers(after), RECOVERY_S, "its work on all partitions")
        await assert_whole(topics, traffic, alerts)
    assert frozen.terminate() == 0


@pytest.mark.parametrize("weather", [BLACK_HOLE, Weather(responses_held=True)], ids=["partition", "lost responses"])
async def test_requests_that_timed_out_leave_a_working_member(
    topics: Topics, forked_fleet: Fleet, proxy: Proxy, weather: Weather
) -> None:
    """A network that carries nothing for longer than a request and a session may take costs time only, and the same
    process continues (aiokafka issue 1037)."""
    member = forked_fleet.start(
        KAFKA__BOOTSTRAP_SERVERS=proxy.bootstrap, KAFKA__REQUEST_TIMEOUT_MS=REQUEST_S * 1_000, KAFKA__CLIENT_ID="lame"
    )
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        async with traffic.flowing(100):
            await eventually(lambda: works(member), READY_S, "a member with partitions")
            with proxy.weather(weather, "lame"):
                await asyncio.sleep(SESSION_S + REQUEST_S)  # the time is the fault
                before = await traffic.send(50)
            await eventually(lambda: alerts.covers(before), RECOVERY_S, "the lines of the outage")
            after = await traffic.send(50)
            await eventually(lambda: alerts.covers(after), RECOVERY_S, "the lines after it")
        await assert_whole(topics, traffic, alerts)
    assert works(member)
    assert member.terminate() == 0


async def assert_whole(topics: Topics, traffic: Traffic, alerts: AlertLog) -> None:
    """Checks that every line is scored and committed, under one id each."""
    await eventually(lambda: alerts.covers(traffic.sent), RECOVERY_S, "an alert for every line")
    await eventually(group_of(topics).is_done, RECOVERY_S, "lag 0")
    findings = alerts.findings(traffic.sent)
    assert findings.faults == 0, findings

"""Questions to a broker that does not answer: they are repeated until it does or the pipeline stops."""

from __future__ import annotations

import pytest

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable
from logwarden.daemon.pipeline.phase import Phase
from tests.fakes import RETRY_S, World, capture, events, virtually
from tests.sim.loop import now_s


class Broker:
    """Does not answer the first `silent` questions."""

    def __init__(self, silent: int) -> None:
        self.silent = silent
        self.asked = 0

    async def ask(self) -> str:
        self.asked += 1
        if self.asked <= self.silent:
            raise BrokerUnavailable("b:1", "no route")
        return "answer"


@virtually
async def test_an_answer_is_returned_at_once() -> None:
    """A broker that answers costs one question and no time."""
    broker = Broker(silent=0)
    assert await World().retries.answer(broker.ask) == "answer"
    assert (broker.asked, now_s()) == (1, 0)


@virtually
async def test_a_question_is_repeated_at_a_steady_pace() -> None:
    """Each try that fails is a warning with the reason and the wait."""
    broker = Broker(silent=3)
    with capture() as caught:
        assert await World().retries.answer(broker.ask) == "answer"
    assert (broker.asked, now_s()) == (4, 3 * RETRY_S)
    warning = {"log_level": "warning", "retry_in_s": RETRY_S, "error": "no Kafka broker answered at b:1: no route"}
    assert events(caught, "broker_unavailable") == [warning] * 3


@virtually
async def test_a_drain_tries_once_more_and_does_not_wait() -> None:
    """A drain takes an answer that comes at once, but has no time to wait for one."""
    world = World()
    world.lifetime.advance(Phase.DRAINING)
    assert await world.retries.answer(Broker(silent=0).ask) == "answer"
    broker = Broker(silent=1)
    assert await world.retries.answer(broker.ask) is None
    assert (broker.asked, now_s()) == (1, 0)


@virtually
async def test_an_ended_pipeline_sends_no_question() -> None:
    """No loop is left that needs the answer."""
    world, broker = World(), Broker(silent=0)
    world.lifetime.advance(Phase.ENDED)
    assert await world.retries.answer(broker.ask) is None
    assert broker.asked == 0


@virtually
async def test_a_refusal_is_not_repeated() -> None:
    """The broker answered, and asking again would not change the answer."""

    async def refused() -> None:
        raise BrokerRefused("no permission")

    with pytest.raises(BrokerRefused):
        await World().retries.answer(refused)
    assert now_s() == 0

"""The daemon's life around a pipeline: how it serves, stops and fails. Kafka and the model are stand-ins."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from logwarden.daemon import service as module
from logwarden.daemon.errors import EXIT_STUCK, BrokerRefused, ConfigurationError, FatalError, Stuck
from logwarden.daemon.pipeline.pipeline import Pipeline
from logwarden.daemon.ports import Engine
from logwarden.daemon.process import GRACE_S, StopSignals
from logwarden.daemon.readiness import reasons
from logwarden.daemon.service import Service, pipeline_limits, run_service
from logwarden.daemon.settings.groups import Settings
from tests.fakes import LOGS, capture, events, metric, virtually
from tests.oracles import records_of
from tests.service_stand_ins import Life, later, settings_of
from tests.sim.loop import now_s


class Signals(StopSignals):
    """The process's signals, which the test gives by calling `stop`."""

    budget_s = 0.0

    def hand_over(self, stop: Callable[[], object], budget_s: float) -> None:
        self.stop, self.budget_s = stop, budget_s


# ---------------------------------------------------------------- serving and draining


@virtually
async def test_a_served_line_becomes_an_alert_and_a_commit(virtual: Life) -> None:
    """The line passes every part that the service builds, from the source to the alerts topic; the drain commits it."""
    virtual.source.answers = [{LOGS[0]: records_of("aab")}]
    service = Service(settings_of(KAFKA__ALERTS_TOPIC="found"))
    later(0.5, service.stop)
    with capture() as caught:
        assert await service.serve() == 0
    assert [message.topic for batch in virtual.sink.sent for message in batch] == ["found"] * 3
    assert virtual.source.commits == [{LOGS[0]: 3}]
    assert virtual.trace[:2] == ["start sink", "start source"], "an alert must have a place before a line is read"
    assert [entry["event"] for entry in caught if entry["event"] in ("serving", "draining", "drained")] == [
        "serving",
        "draining",
        "drained",
    ]
    assert events(caught, "drained")[0]["everything_done"] is True
    assert events(caught, "draining")[0]["budget_s"] == 30.0


@virtually
async def test_readiness_follows_the_life(virtual: Life) -> None:
    """Ready while it serves; not ready, but alive, from the signal on."""
    service = Service(settings_of())
    health = service._health
    assert [reason.code for reason in reasons(health)] == ["not_assigned", "not_warm"]
    seen: list[list[str]] = []
    later(1.0, lambda: seen.append([reason.code for reason in reasons(health)]))
    later(2.0, service.stop)
    virtual.sink.hangs = True
    virtual.source.answers = [{LOGS[0]: records_of("a")}]
    later(3.0, lambda: seen.append([reason.code for reason in reasons(health)]))
    await service.serve()
    assert seen == [[], ["draining"]]
    assert health.live


@virtually
async def test_a_drain_takes_no_longer_than_its_budget(virtual: Life) -> None:
    """A broker that takes no alert must not keep the process: the line is not committed, the exit code is 0."""
    virtual.source.answers = [{LOGS[0]: records_of("a")}]
    virtual.sink.hangs = True
    service = Service(settings_of(SHUTDOWN__DRAIN_TIMEOUT_S="5"))
    later(2.0, service.stop)
    with capture() as caught:
        assert await service.serve() == 0
    assert now_s() == pytest.approx(7.0, abs=0.2)
    assert all(position == {LOGS[0]: 0} for position in virtual.source.commits)
    assert events(caught, "drained")[0]["everything_done"] is False


@virtually
async def test_a_fatal_error_in_a_loop_is_the_daemons(virtual: Life) -> None:
    """The error comes out as itself, not as a group of groups, and everything is stopped."""
    virtual.source.answers = [FatalError("the group removed this member", hint="raise the time-out")]
    service = Service(settings_of())
    with pytest.raises(FatalError) as ended:
        await service.serve()
    assert str(ended.value) == "the group removed this member"
    assert ended.value.hint == "raise the time-out"
    assert service._health.failure == "the group removed this member"
    assert virtual.trace[-5:] == ["stop source", "stop sink", "stop ingest", "stop score", "stop api"]


@virtually
async def test_a_silent_consumer_ends_the_daemon(virtual: Life) -> None:
    """It stays connected and receives nothing, although the broker has more: a restart helps."""
    virtual.witness.found = {LOGS[0]: 9}
    virtual.source.fetch_s = 0.1
    service = Service(settings_of())
    with pytest.raises(Stuck) as ended:
        await service.serve()
    assert ended.value.exit_code == EXIT_STUCK
    assert "the broker has more records of logs/0" in str(ended.value)
    assert reasons(service._health)[0].code == "stuck"
    assert now_s() == pytest.approx(330, abs=5)
    assert virtual.trace[-5:] == ["stop source", "stop sink", "stop ingest", "stop score", "stop api"]


@virtually
async def test_evicted_services_are_reported(virtual: Life) -> None:
    """A service without its place in memory raises no alert, so an operator has to know."""
    virtual.source.answers = [{LOGS[0]: records_of("abc")}]
    service = Service(settings_of(LIMITS__MAX_SERVICES="1", ALERTS__LEARNING_LINES="200"))
    later(2.0, service.stop)
    with capture() as caught:
        await service.serve()
    assert sum(event["services"] for event in events(caught, "services_evicted")) == 2
    assert "raise LOGWARDEN_LIMITS__MAX_SERVICES" in events(caught, "services_evicted")[0]["hint"]
    assert metric(service._telemetry, "evicted_services_total") == 2
    assert (service._health.services, metric(service._telemetry, "services", state="known")) == (1, 1)


@virtually
async def test_a_bug_in_a_loop_keeps_its_traceback(virtual: Life) -> None:
    """An error that is not of the tree is no sentence for an operator, and no drained daemon either."""
    virtual.source.answers = [ZeroDivisionError("a bug")]
    with pytest.raises(ExceptionGroup) as ended:
        await Service(settings_of()).serve()
    assert ended.group_contains(ZeroDivisionError)
    assert virtual.trace[-5:] == ["stop source", "stop sink", "stop ingest", "stop score", "stop api"]


@virtually
async def test_a_model_that_cannot_be_loaded_connects_to_nothing(
    virtual: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad configuration ends the daemon before it joins the group: a rebalance for nothing would hold others up."""

    def refuse(_: Settings) -> Engine:
        raise ConfigurationError("no model there")

    monkeypatch.setattr(module, "load_engine", refuse)
    service = Service(settings_of())
    with pytest.raises(ConfigurationError, match="no model there"):
        await service.serve()
    assert virtual.trace == ["stop source", "stop sink", "stop ingest", "stop score", "stop api"]
    assert not service._health.warm
    assert service._health.failure == "no model there"


@pytest.mark.parametrize("failing", ["source", "sink"])
@pytest.mark.parametrize("error", [RuntimeError("the client is broken"), asyncio.CancelledError()])
@virtually
async def test_everything_is_stopped_even_when_one_stop_fails(
    virtual: Life, failing: str, error: BaseException
) -> None:
    """A client that fails to stop leaves nothing behind and decides nothing: the drain's exit code stays."""
    virtual.failing_stops[failing] = error
    service = Service(settings_of())
    later(0.5, service.stop)
    with capture() as caught:
        assert await service.serve() == 0
    assert {"stop source", "stop sink", "stop ingest", "stop score"} <= set(virtual.trace)
    (event,) = events(caught, "client_stop_failed")
    assert event["client"] == failing
    assert event["error"] == (str(error) or "CancelledError")


# ---------------------------------------------------------------- stopping


@virtually
async def test_a_second_stop_changes_nothing(virtual: Life) -> None:
    """The budget runs from the first stop; a second signal never reaches the service, because it ends the process."""
    virtual.source.answers = [{LOGS[0]: records_of("a")}]
    virtual.sink.hangs = True
    service = Service(settings_of(SHUTDOWN__DRAIN_TIMEOUT_S="5"))
    later(1.0, service.stop)
    later(3.0, service.stop)
    assert await service.serve() == 0
    assert now_s() == pytest.approx(6.0, abs=0.2)


@virtually
async def test_the_budget_runs_from_the_signal(virtual: Life) -> None:
    """A loop that was blocked when the signal came has that much less time to drain."""
    virtual.source.answers = [{LOGS[0]: records_of("a")}]
    virtual.sink.hangs = True
    service = Service(settings_of(SHUTDOWN__DRAIN_TIMEOUT_S="5"))
    later(4.0, lambda: service.stop(1.0))
    assert await service.serve() == 0
    assert now_s() == pytest.approx(6.0, abs=0.2)


@pytest.mark.parametrize("stuck", ["source", "sink"])
@virtually
async def test_clients_that_hang_have_what_is_left_of_the_budget(virtual: Life, stuck: str) -> None:
    """Both stops run at once, and the daemon ends a moment after its budget although a client never stops."""
    virtual.hanging_stops = {stuck}
    service = Service(settings_of(SHUTDOWN__DRAIN_TIMEOUT_S="3"))
    later(1.0, service.stop)
    with capture() as caught:
        assert await service.serve() == 0
    assert now_s() == pytest.approx(1.0 + 3.0 + 0.7, abs=0.1)
    assert {"stop source", "stop sink", "stop ingest", "stop score"} <= set(virtual.trace)
    assert [event["client"] for event in events(caught, "client_stop_failed")] == [stuck]


@virtually
async def test_a_last_commit_that_hangs_does_not_outlive_the_budget(virtual: Life) -> None:
    """A broker that answers no commit costs the budget and a moment, and never more than the grace of the process."""
    virtual.source.answers = [{LOGS[0]: records_of("a")}]
    virtual.source.hanging_commits = True
    service = Service(settings_of(SHUTDOWN__DRAIN_TIMEOUT_S="3"))
    later(1.0, service.stop)
    assert await service.serve() == 0
    assert now_s() < 1.0 + 3.0 + GRACE_S


@virtually
async def test_a_drain_that_overruns_its_budget_is_cut(virtual: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the pipeline waits for, the service ends it in time to stop the clients itself."""

    async def hang(*_: object) -> bool:
        await asyncio.sleep(3_600)
        return True

    monkeypatch.setattr(Pipeline, "drain", hang)
    service = Service(settings_of(SHUTDOWN__DRAIN_TIMEOUT_S="3"))
    later(1.0, service.stop)
    with capture() as caught:
        assert await service.serve() == 0
    assert now_s() < 1.0 + 3.0 + GRACE_S
    assert events(caught, "drained")[0]["everything_done"] is False
    assert {"stop source", "stop sink"} <= set(virtual.trace)


@virtually
async def test_a_drain_that_a_client_cancels_is_no_crash(virtual: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client may cancel its own commit (aiokafka issue 647): its lines are not committed, the exit code is 0."""

    async def cancel_itself(*_: object) -> bool:
        raise asyncio.CancelledError

    monkeypatch.setattr(Pipeline, "drain", cancel_itself)
    service = Service(settings_of())
    later(1.0, service.stop)
    with capture() as caught:
        assert await service.serve() == 0
    assert events(caught, "drained")[0]["everything_done"] is False


@pytest.mark.usefixtures("guarded_signals")
async def test_a_signal_drains_the_daemon(life: Life) -> None:
    """The service hands its stop to the process's signals, which call it on a thread of their own."""
    life.source.answers = [{LOGS[0]: records_of("a")}]
    signals = Signals()
    sent: list[int] = []

    def signal_once() -> None:
        if not life.source.answers and not sent:
            sent.append(1)
            thread = threading.Thread(target=signals.stop)
            thread.start()
            thread.join()

    life.source.on_fetch = signal_once
    async with asyncio.timeout(20):
        assert await run_service(settings_of(SHUTDOWN__DRAIN_TIMEOUT_S="7"), signals) == 0
    assert signals.budget_s == 7.0
    assert life.source.commits[-1] == {LOGS[0]: 1}


def test_a_daemon_on_another_thread_takes_no_signals(life: Life) -> None:
    """The demo runs a daemon beside itself: Python gives signals to the main thread only, so the caller stops it."""
    service = Service(settings_of())
    life.source.on_fetch = lambda: None if service._stop.is_set() else service.stop()
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(asyncio.run(service.serve())))
    thread.start()
    thread.join(20)
    assert codes == [0]


async def test_an_error_of_the_tree_is_left_to_the_command_line(life: Life) -> None:
    """The exit code of a failure is chosen where its sentence is printed."""
    life.refusals["sink"] = [BrokerRefused("wrong password")]
    with pytest.raises(BrokerRefused):
        await run_service(settings_of(), Signals())


@pytest.mark.usefixtures("guarded_signals")
async def test_the_port_is_open_before_the_broker_answers_and_closed_after(life: Life) -> None:
    """Probes are answered from the beginning, so that a slow start is not taken for a dead one."""
    service = Service(settings_of(HTTP__PORT="0", HTTP__HOST="127.0.0.1"))
    ports: list[int | None] = []
    life.refusals["sink"] = [BrokerRefused("no")]
    begin = life.begin

    def look(name: str) -> None:
        ports.append(service.http_port)
        begin(name)

    life.begin = look  # type: ignore[method-assign]
    with pytest.raises(BrokerRefused):
        await service.serve()
    assert ports[0]
    assert service.http_port is None


# ---------------------------------------------------------------- limits


def test_the_pipeline_gets_the_settings_in_its_own_units() -> None:
    """Settings are milliseconds, the pipeline's bounds are seconds; each number arrives at its own place."""
    limits = pipeline_limits(
        settings_of(
            BATCH__MAX_WINDOWS="17",
            BATCH__MAX_DELAY_MS="20",
            WINDOW__MAX_WAIT_MS="3000",
            LIMITS__MAX_IN_FLIGHT_LINES="5000",
            KAFKA__MAX_CONTEXT_RECORDS="700",
            KAFKA__COMMIT_INTERVAL_MS="250",
            KAFKA__REBALANCE_TIMEOUT_MS="90000",
        )
    )
    assert limits.max_windows == 17
    assert limits.max_delay_s == 0.02
    assert limits.max_wait_s == 3.0
    assert limits.max_in_flight_lines == 5000
    assert limits.max_context_records == 700
    assert limits.commit_interval_s == 0.25
    assert limits.retry_s == 1.0


@pytest.mark.parametrize("timeout_ms", [60_000, 90_000])
def test_a_revoke_may_take_half_of_what_the_group_waits_for(timeout_ms: int) -> None:
    """The commit and the answer need the other half; later than the time-out the group has given the member up."""
    limits = pipeline_limits(settings_of(KAFKA__REBALANCE_TIMEOUT_MS=str(timeout_ms)))
    assert limits.revoke_budget_s == timeout_ms / 1000 / 2

"""The daemon's life around a pipeline: how it serves, stops and fails. Kafka and the model are stand-ins."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from logwarden.daemon import service as module
from logwarden.daemon.errors import BrokerRefused, ConfigurationError, FatalError
from logwarden.daemon.ports import Engine
from logwarden.daemon.readiness import reasons
from logwarden.daemon.service import Service, pipeline_limits, run_service
from logwarden.daemon.settings.groups import Settings
from tests.fakes import LOGS, capture, events, virtually
from tests.oracles import records_of
from tests.service_stand_ins import Life, later, settings_of
from tests.sim.loop import now_s

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
    assert virtual.trace[-4:] == ["stop source", "stop sink", "stop ingest", "stop score"]


@virtually
async def test_a_bug_in_a_loop_keeps_its_traceback(virtual: Life) -> None:
    """An error that is not of the tree is no sentence for an operator, and no drained daemon either."""
    virtual.source.answers = [ZeroDivisionError("a bug")]
    with pytest.raises(ExceptionGroup) as ended:
        await Service(settings_of()).serve()
    assert ended.group_contains(ZeroDivisionError)
    assert virtual.trace[-4:] == ["stop source", "stop sink", "stop ingest", "stop score"]


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
    assert virtual.trace == ["stop source", "stop sink", "stop ingest", "stop score"]
    assert not service._health.warm
    assert service._health.failure == "no model there"


@pytest.mark.parametrize("failing", ["source", "sink"])
@virtually
async def test_everything_is_stopped_even_when_one_stop_fails(virtual: Life, failing: str) -> None:
    """A client that fails to stop must not leave the other one, the workers or the port behind."""
    virtual.failing_stops[failing] = RuntimeError("the client is broken")
    service = Service(settings_of())
    later(0.5, service.stop)
    with pytest.raises(RuntimeError, match="broken"):
        await service.serve()
    assert {"stop source", "stop sink", "stop ingest", "stop score"} <= set(virtual.trace)


# ---------------------------------------------------------------- stopping


@virtually
async def test_a_second_stop_ends_the_process_at_once(virtual: Life, exits: list[int]) -> None:
    """An operator who signals twice does not wait for the drain: exit code 1, as work is left."""
    virtual.source.answers = [{LOGS[0]: records_of("a")}]
    virtual.sink.hangs = True
    service = Service(settings_of(SHUTDOWN__DRAIN_TIMEOUT_S="5"))
    later(1.0, service.stop)
    later(2.0, lambda: exits.append(-1))  # the first stop alone ends nothing
    later(3.0, service.stop)
    with capture() as caught:
        await service.serve()
    assert exits == [-1, 1]
    assert len(events(caught, "stopped_at_once")) == 1


@pytest.mark.usefixtures("guarded_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_the_daemon(life: Life, exits: list[int], number: signal.Signals) -> None:
    """SIGTERM of an orchestrator and Ctrl-C of an operator do the same; afterwards signals are the process's again."""
    life.source.answers = [{LOGS[0]: records_of("a")}]
    sent: list[int] = []

    def signal_once() -> None:
        if not life.source.answers and not sent:
            sent.append(number)
            signal.raise_signal(number)

    life.source.on_fetch = signal_once
    async with asyncio.timeout(20):
        assert await Service(settings_of()).serve() == 0
    assert sent == [number]
    assert exits == []
    assert life.source.commits[-1] == {LOGS[0]: 1}
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def test_a_daemon_on_another_thread_takes_no_signals(life: Life) -> None:
    """The demo runs a daemon beside itself: Python gives signals to the main thread only, so the caller stops it."""
    service = Service(settings_of())
    life.source.on_fetch = lambda: None if service._stop.is_set() else service.stop()
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(asyncio.run(service.serve())))
    thread.start()
    thread.join(20)
    assert codes == [0]


@pytest.mark.usefixtures("guarded_signals")
def test_a_service_is_run_to_its_exit_code(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drained daemon ends with 0; an error of the tree leaves the exit code to the command line."""
    made: list[Service] = []
    real = module.Service

    def make(settings: Settings) -> Service:
        made.append(real(settings))
        return made[-1]

    monkeypatch.setattr(module, "Service", make)
    life.source.on_fetch = lambda: None if made[-1]._stop.is_set() else made[-1].stop()
    assert run_service(settings_of()) == 0
    life.refusals["sink"] = [BrokerRefused("wrong password")]
    with pytest.raises(BrokerRefused):
        run_service(settings_of())


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

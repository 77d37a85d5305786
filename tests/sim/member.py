"""One daemon of the simulated group: the real pipeline on simulated ports, and its two ends, SIGKILL and SIGTERM."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

from logwarden.daemon.health import HealthState
from logwarden.daemon.pipeline.backlog import LineBatch
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.joining import JoinLimits
from logwarden.daemon.pipeline.limits import CutLimits, PipelineLimits
from logwarden.daemon.pipeline.partitions import TopicProfile
from logwarden.daemon.pipeline.pipeline import Pipeline
from logwarden.daemon.pipeline.work import Ingested
from logwarden.daemon.ports import Engine, Ports
from logwarden.daemon.process import DeadMansSwitch
from logwarden.daemon.settings.groups import InputSettings
from logwarden.daemon.watchdog import Held, StuckJudge, Watchdog, WatchedWorker
from logwarden.daemon.web.metrics import PrometheusTelemetry
from logwarden.model.arrays import Bools
from logwarden.model.feedback import NO_FEEDBACK
from logwarden.model.lines import LineTable
from logwarden.model.schema import AlertKind
from logwarden.model.stream import LogStream
from logwarden.model.verdicts import AlertPolicy
from logwarden.model.windowing import WindowBatch
from tests.oracles import EventPerTextLine
from tests.sim.broker import STATE, SimBroker
from tests.sim.clients import SimSource
from tests.sim.connection import Line
from tests.sim.contract import Contract
from tests.sim.evidence import ALERTS, DEAD, Evidence
from tests.sim.familiarity import Familiar
from tests.sim.office import SimJudge, SimOffice
from tests.sim.scenarios import Scenario
from tests.sim.sink import SimSink
from tests.sim.stand_ins import SimEncoder, SimScorer, SimWorker, VirtualClock
from tests.sim.state import SimStateReader
from tests.sim.weather import Weather
from tests.sim.witness import SimWitness

MAX_SERVICES = 64
_POLICY = AlertPolicy(
    threshold=0.5,
    learning_lines=0,
    model_revision="sim",
    # By the score of the stand-in: a rate would raise alerts on lines that no scenario marks.
    kinds=(AlertKind.NEW_LINE, AlertKind.FAILURE_AGAIN, AlertKind.RARE_LINE),
)
MAX_CONTEXTS = 260
"""Bound on the context entries of a ledger, however long a line stays undone."""
MAX_BATCH_BYTES = 32 * 4_096
"""Bound on the alerts of one batch of windows, which may come on top of what waits."""


class SimIngestor(Ingestor):
    """Notes every line that enters a window."""

    evidence: Evidence

    def _push_part(self, lines: LineBatch, out: Ingested, now: float, counted: Bools | None = None) -> WindowBatch:
        for text, offset, index in zip(lines.texts, lines.offsets, lines.index, strict=True):
            self.evidence.enter(text, (offset, index))
        return super()._push_part(lines, out, now, counted)


class Member:
    """One daemon; it runs from `start` to `kill` or `drain`."""

    def __init__(
        self,
        name: str,
        scenario: Scenario,
        broker: SimBroker,
        weather: Weather,
        evidence: Evidence,
        seed: str,
        familiar: Familiar | None = None,
        contract: Contract | None = None,
    ) -> None:
        self.name = name
        self.line = line = Line(broker)
        self.health = HealthState(VirtualClock().monotonic, warm=True)
        self.source = SimSource(
            name,
            line,
            broker,
            weather,
            evidence,
            random.Random(f"{seed} {name} source"),
            max_poll_records=scenario.max_poll_records,
        )
        self.sink = SimSink(name, line, broker, weather, evidence, random.Random(f"{seed} {name} sink"))
        encoder = SimEncoder(scenario.new_line_s)
        self.ingest_worker = SimWorker(
            f"{name} ingest", scenario.ingest_s, line, random.Random(f"{seed} {name} ingest"), encoder.seconds
        )
        self.score_worker = SimWorker(f"{name} score", scenario.score_s, line, random.Random(f"{seed} {name} score"))
        self.scorer = SimScorer(name, scenario.table_rows, evidence, None if familiar is None else familiar.check)
        self.expected_to_live = True
        self._evidence = evidence
        self._bound = scenario.max_in_flight_lines + scenario.max_poll_records * max(scenario.lines_of_a_record)
        clock, rng = VirtualClock(line), random.Random(f"{seed} {name} feedback")
        self.office = None if contract is None else SimOffice(line, broker, weather, contract, clock, self.health, rng)
        ports = Ports(
            source=self.source,
            sink=self.sink,
            ingest_worker=WatchedWorker(self.ingest_worker, self.health, "ingest"),
            score_worker=WatchedWorker(self.score_worker, self.health, "score"),
            clock=clock,
            telemetry=PrometheusTelemetry(),
            health=self.health,
            state=SimStateReader(line, broker, weather, random.Random(f"{seed} {name} state")),
            feedback=(lambda: NO_FEEDBACK) if self.office is None else self.office.book,
        )
        engine = Engine(
            scorer=self.scorer,
            table=LineTable(scenario.table_rows, encoder, self.scorer.store),
            policy=replace(_POLICY, learning_lines=scenario.learning_lines),
        )
        profile = _profile()
        self.pipeline = Pipeline(
            ports,
            ingestor=_ingestor(scenario, engine.table, evidence),
            engine=engine,
            profile_of=lambda topic: profile,
            limits=_limits(scenario),
        )
        if contract is not None:
            self.pipeline._judge = judge = SimJudge(clock, contract, evidence)
            self.scorer.note_anomalous = judge.note
        self._max_waiting_bytes = scenario.max_waiting_bytes
        evidence.probes[name] = self._beyond_bounds
        self.running: asyncio.Task[None] | None = None
        self._watchdog = Watchdog(
            self.health, ports.clock, self.source, SimWitness(broker, line), timeout_s=scenario.stuck_timeout_s
        )
        self._judge = StuckJudge(self.health, timeout_s=scenario.stuck_timeout_s, now=ports.clock.monotonic())

    async def start(self) -> None:
        """Joins the group and starts the pipeline."""
        self._evidence.note("start", self.name)
        if self.office is not None:
            await self.office.begin()
        await self.source.start(self.pipeline.listener)
        self.running = asyncio.create_task(self._run(), name=self.name)
        self.running.add_done_callback(lambda task: task.cancelled() or task.exception())  # `_run` reports it

    async def kill(self) -> None:
        """Ends the member as SIGKILL does: its work stops, and it sends no message to the group."""
        self._evidence.note("kill", self.name)
        self.expected_to_live = False
        self.line.dead = True
        await self._vanish()

    async def drain(self, budget_s: float = 10.0) -> bool:
        """Drains the member as SIGTERM does. Returns True if all work was finished and committed."""
        self._evidence.note("drain", self.name)
        settled = await self.pipeline.drain(budget_s)
        self.expected_to_live = False
        if self.running:
            await asyncio.gather(self.running, return_exceptions=True)
        self._evidence.note("drained", self.name, settled=settled)
        await self.source.stop()
        self.line.dead = True
        await self._vanish()
        return settled

    @property
    def strangers(self) -> list[int]:
        """Generations of ended assignments that still have slots."""
        active = [assignment.generation for assignment in self.pipeline.partitions.assignments()]
        ingestor = self.pipeline._ingestor
        open_events = [] if ingestor.events._joiner is None else ingestor.events._joiner.rows()
        memory = [] if ingestor.memory is None else list(ingestor.memory._periods)
        kept = [*ingestor._slots.generations, *memory, *(row.owner.generation for row in open_events)]
        return [number for number in kept if number not in active]

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                loops = (
                    self._watchdog._watch(self._judge, self._held, _NoSwitch()),
                    self._watchdog._ask_forever(self._judge),
                )
                watching = [group.create_task(loop) for loop in loops]
                await self.pipeline.run()
                for task in watching:
                    task.cancel()
        except Exception as error:
            if self.expected_to_live:
                self._evidence.breach("members_live", f"{self.name} ended with {_innermost(error)!r}")
            raise

    def _held(self) -> list[Held]:
        return [
            Held(partition=a.partition, position=a.ledger.position(), outstanding=a.ledger.outstanding)
            for a in self.pipeline.partitions.assignments()
        ]

    async def _vanish(self) -> None:
        if self.running:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
        await self.source.vanish()
        if self.office is not None:
            await self.office.end()
        await self.ingest_worker.vanish()
        await self.score_worker.vanish()
        self._evidence.probes.pop(self.name, None)

    def _beyond_bounds(self) -> str | None:
        pipeline, bound = self.pipeline, self._bound
        ledgers = [assignment.ledger for assignment in pipeline.partitions.assignments()]
        lanes = pipeline._publisher._lanes.values()
        sizes = {
            "lines in flight": (pipeline.partitions.lines_in_flight, bound),
            "windows waiting": (pipeline._batcher._windows, bound),
            "publications": (len(pipeline._publisher), bound),
            "spans": (sum(len(ledger._spans) for ledger in ledgers), pipeline.partitions.lines_in_flight),
            "contexts of a ledger": (max((len(ledger._contexts) for ledger in ledgers), default=0), MAX_CONTEXTS),
            "bytes that wait for an output": (
                max((lane.waiting_bytes for lane in lanes), default=0),
                self._max_waiting_bytes + MAX_BATCH_BYTES,
            ),
        }
        beyond = [f"{n} {what}, the bound is {most}" for what, (n, most) in sizes.items() if n > most]
        return beyond[0] if beyond else None


class _NoSwitch(DeadMansSwitch):
    """Ends no process: the simulation's one runs all members, in virtual time."""

    def __init__(self) -> None:
        pass

    def hold(self, seconds: float | None) -> None:
        pass


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _ingestor(scenario: Scenario, table: LineTable, evidence: Evidence) -> SimIngestor:
    ingestor = SimIngestor(
        LogStream(table, size=scenario.size, step=scenario.step, max_slots=MAX_SERVICES),
        max_services=MAX_SERVICES,
        join=JoinLimits(max_lines=10) if scenario.joins else None,
        cuts=_cuts(scenario),
    )
    ingestor.evidence = evidence
    return ingestor


def _profile() -> TopicProfile:
    settings = InputSettings()
    decoder = EventPerTextLine(
        format=settings.format,
        text_paths=settings.text_paths,
        service_paths=settings.service_paths,
        time_paths=settings.time_paths,
        max_line_chars=1024,
    )
    return TopicProfile(decoder=decoder, alerts_topic=ALERTS, dead_letter_topic=DEAD, max_alert_line_chars=1024)


def _limits(scenario: Scenario) -> PipelineLimits:
    return PipelineLimits(
        max_windows=32,
        max_delay_s=0.02,
        max_wait_s=0.5,
        max_in_flight_lines=scenario.max_in_flight_lines,
        max_context_records=scenario.max_context_records,
        starts_at_end=scenario.before > 0,
        learn_records=scenario.before,
        learn_s=scenario.learn_s,
        commit_interval_s=1.0,
        revoke_budget_s=scenario.revoke_budget_s,
        max_waiting_bytes=scenario.max_waiting_bytes,
        state_topic=STATE if scenario.keeps_state else "",
    )


def _cuts(scenario: Scenario) -> CutLimits | None:
    if not scenario.keeps_state:
        return None
    return CutLimits(
        share=1.0, most_share=100.0, least_bytes=scenario.cut_bytes, max_records=scenario.max_context_records // 2
    )

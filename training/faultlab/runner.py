"""Plays a run: a lead-in with planned changes, faults with fault-free time between them, a tail. Knows no system.

A run whose labels would be wrong is not recorded: see errors.RunInvalid.
"""

import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

from logwarden.training.faultlab.errors import CleanBroken, NeverRecovered, ProgramMissing, StartFailed, UnknownFault
from logwarden.training.faultlab.load import MAX_LANES, Load
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.recorder import Recorder
from logwarden.training.faultlab.recording import Event, Recording
from logwarden.training.faultlab.scenario import Disturbance, Script, System

# A single good answer may come from a server that is about to fail again.
_PROBES_IN_A_ROW = 3
_TICK_S = 0.25
# A constant length would be a pattern that no real fault has.
_JITTER = 0.15


def record(system: System, script: Script, note: Callable[[str], None]) -> Recording:
    """Runs the system once, from an empty directory to an empty directory. `note` is called with progress messages."""
    if missing := system.missing():
        raise ProgramMissing(missing)
    with Workshop() as workshop:
        system.setup(workshop)
        system.start()
        try:
            return _Run(system, script, note).play()
        finally:
            system.stop()


class _Run:
    def __init__(self, system: System, script: Script, note: Callable[[str], None]) -> None:
        self._system = system
        self._script = script
        self._note = note
        self._expected_s = script.clean_s
        self._rng = random.Random(script.seed)
        self._origin = time.monotonic()
        self._load = Load(system.workload(), script.seed, self._now, script.swing)
        self._recorder = Recorder(system.log_files, self._now, script.most_lines)
        self._events: list[Event] = []
        self._skipped: dict[str, str] = {}
        self._sleeper = threading.Event()

    def play(self) -> Recording:
        # Before minutes of work: a name may be misspelt.
        wanted = self._wanted_faults()
        recording = False
        try:
            self._load.start()
            self._wait_healthy("start")
            self._pause(self._script.warm_up_s)
            self._assert_clean()
            self._origin = time.monotonic()
            started = datetime.now(UTC).isoformat(timespec="seconds")
            self._recorder.start()
            recording = True
            clean_until = self._play_lead_in()
            self._play_faults(wanted)
            self._assert_clean()
        finally:
            self._load.stop()
            if recording:
                self._recorder.stop()
        return Recording(
            system=self._system.name,
            versions=self._system.versions(),
            seed=self._script.seed,
            started=started,
            clean_until=clean_until,
            events=tuple(self._events),
            lines=self._recorder.lines(),
            skipped=self._skipped,
            dropped=dict(self._recorder.dropped),
        )

    def _play_lead_in(self) -> float:
        # Every planned change comes early once, so that a detector that learns from the lead-in has seen it. On a slow
        # machine the lead-in grows.
        lead_s = self._script.clean_s * self._script.lead_share
        changes = self._planned_changes()
        for place, change in enumerate(changes):
            spare = lead_s - self._now() - sum(self._longest_s(each) for each in changes[place:])
            self._pause(max(self._script.breath_s, spare / (len(changes) - place + 1)))
            self._disturb("benign", change)
        self._pause(max(self._script.breath_s, lead_s - self._now()))
        clean_until = round(self._now(), 3)
        self._assert_clean()
        self._say(f"the lead-in ends, {len(self._recorder.lines())} lines")
        return clean_until

    def _play_faults(self, faults: Sequence[Disturbance]) -> None:
        """Plays faults, and in a long run the planned changes between them, in an order that the seed decides."""
        acts: list[tuple[Literal["fault", "benign"], Disturbance]] = []
        for fault in faults:
            if fault.impossible is None:
                acts.append(("fault", fault))
            else:
                self._say(f"{fault.name} skipped: {fault.impossible}")
                self._skipped[fault.name] = fault.impossible
        again = self._planned_changes() if self._script.clean_s >= self._script.long_s else []
        acts += [("benign", change) for change in again]
        self._rng.shuffle(acts)
        self._expected_s += sum(self._longest_s(act) for kind, act in acts if kind == "fault")
        middle_s = self._script.clean_s * (1 - self._script.lead_share - self._script.tail_share)
        spare = middle_s - sum(self._longest_s(change) for change in again)
        gap_s = max(self._script.breath_s, spare / max(1, len(acts)))
        for kind, act in acts:
            self._pause(gap_s * self._rng.uniform(0.8, 1.2))
            self._disturb(kind, act)
        self._pause(self._script.clean_s * self._script.tail_share)

    def _wanted_faults(self) -> list[Disturbance]:
        faults = list(self._system.faults())
        if unknown := self._script.faults - {fault.name for fault in faults}:
            raise UnknownFault(self._system.name, sorted(unknown), sorted(fault.name for fault in faults))
        return [fault for fault in faults if not self._script.faults or fault.name in self._script.faults]

    def _planned_changes(self) -> Sequence[Disturbance]:
        everything = tuple(self._system.log_files)
        script = self._script
        short = min(1.0, script.clean_s / script.long_s)
        slope = (2, 3, 4, MAX_LANES, 3)

        def load(name: str, what: str, hold_s: float, *lanes: int) -> Disturbance:
            return Disturbance(
                name=name, cause="load", what=what, services=everything, hold_s=hold_s * short, lanes=lanes
            )

        changes = [
            load("load_spike", f"{MAX_LANES} times the clients", script.spike_s, MAX_LANES),
            load("idle", "no clients at all", script.idle_s, 0),
            load("load_ramp", "more clients step by step, then fewer", script.ramp_s, *slope),
            *self._system.benign(),
        ]
        self._rng.shuffle(changes)
        return changes

    def _disturb(self, kind: Literal["fault", "benign"], what: Disturbance) -> None:
        hold_s = what.hold_s * self._rng.uniform(1 - _JITTER, 1 + _JITTER)
        with self._load.shaped(what.lanes[0], what.drained) as reshape:
            injected_at = self._now()
            self._say(f"{injected_at:7.1f} {kind} {what.name}")
            what.inject()
            for lanes in what.lanes:
                reshape(lanes)
                self._pause(hold_s / len(what.lanes))
            what.clear()
            cleared_at = self._now()
            # Clients that were held back stay so until they would be served.
            if what.drained:
                recovered_at = self._wait_healthy(what.name)
        if not what.drained:
            recovered_at = self._wait_healthy(what.name)
        self._say(f"{recovered_at:7.1f} healthy, {recovered_at - cleared_at:.1f} s after it was cleared")
        self._events.append(
            Event(
                kind=kind,
                name=what.name,
                cause=what.cause,
                what=what.what,
                services=what.services,
                injected_at=round(injected_at, 3),
                cleared_at=round(cleared_at, 3),
                recovered_at=round(recovered_at, 3),
            )
        )

    def _longest_s(self, change: Disturbance) -> float:
        return change.hold_s * (1 + _JITTER) + _PROBES_IN_A_ROW * self._script.probe_every_s

    def _wait_healthy(self, name: str) -> float:
        """Returns the time of the first of several good answers in a row. Raises NeverRecovered after the deadline."""
        deadline = self._now() + self._script.recovery_deadline_s
        good: list[float] = []
        while len(good) < _PROBES_IN_A_ROW:
            probed_at = self._now()
            if probed_at > deadline:
                raise NeverRecovered(name, self._script.recovery_deadline_s)
            good = [*good, probed_at] if self._system.healthy() else []
            self._pause(self._script.probe_every_s)
        return good[0]

    def _assert_clean(self) -> None:
        """Raises CleanBroken if a client failed, or a line reports a failure, out of the reach of every fault."""
        failures = [
            f"{x.client} was not served at {x.t:.1f} s"
            for x in self._load.failures()
            if not self._excused(x.began, x.t)
        ]
        pattern = re.compile(self._system.never_in_clean)
        evidence = failures + [
            x.text for x in self._recorder.lines() if not self._excused(x.t, x.t) and pattern.search(x.text)
        ]
        if evidence:
            raise CleanBroken(evidence)
        if self._load.runs.total() == 0:
            raise StartFailed("workload", "no client has ended a single run")

    def _excused(self, began: float, ended: float) -> bool:
        """Returns True if a fault was active, or had recovered shortly before, at some time between."""
        faults = (event for event in self._events if event.kind == "fault")
        return any(fault.injected_at <= ended and began <= fault.recovered_at + self._script.tail_s for fault in faults)

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for failure in (self._load.failure, self._recorder.failure):
                if failure is not None:
                    raise failure
            self._sleeper.wait(min(left, _TICK_S))

    def _say(self, text: str) -> None:
        """Reports how much of the run is over, in percent; at most 99, because the length of a recovery is unknown."""
        self._note(f"{min(99, int(100 * self._now() / self._expected_s)):2}% {text}")

    def _now(self) -> float:
        return time.monotonic() - self._origin

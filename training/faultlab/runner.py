"""Plays a run: clean part with planned changes, then faults one after another. Knows the order, no system.

It would rather fail than write a recording whose labels are wrong: see errors.RunInvalid.
"""

import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

from training.faultlab.errors import CleanBroken, NeverRecovered, ProgramMissing, StartFailed
from training.faultlab.load import MAX_LANES, Load
from training.faultlab.process import Workshop
from training.faultlab.recorder import Recorder
from training.faultlab.recording import Event, Recording
from training.faultlab.scenario import Disturbance, Script, System

# A single good answer may come from a server that is about to fall over again.
_PROBES_IN_A_ROW = 3
_TICK_S = 0.25
# The same length every time would be a pattern that no real fault has.
_JITTER = 0.15


def record(system: System, script: Script, note: Callable[[str], None]) -> Recording:
    """Runs the system once, from an empty directory to an empty directory. `note` is told what happens."""
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
        self._rng = random.Random(script.seed)
        self._origin = time.monotonic()
        self._load = Load(system.workload(), script.seed, self._now)
        self._recorder = Recorder(system.log_files, self._now, script.lines_per_service)
        self._events: list[Event] = []
        self._skipped: dict[str, str] = {}
        self._sleeper = threading.Event()

    def play(self) -> Recording:
        recording = False
        try:
            self._load.start()
            self._wait_healthy("start")
            self._pause(self._script.warm_up_s)
            self._assert_clean((), until=self._now())
            self._origin = time.monotonic()
            started = datetime.now(UTC).isoformat(timespec="seconds")
            self._recorder.start()
            recording = True
            clean_until = self._play_clean()
            self._play_faults()
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

    def _play_clean(self) -> float:
        # Everything planned happens in the first third once, so that whoever learns from that third has seen it.
        # Where the machine is too slow for that, the clean part grows.
        self._play_planned(until=self._script.clean_s / 3)
        clean_s = max(self._script.clean_s, self._now() * 3)
        self._play_planned(until=clean_s * 0.95)
        self._pause(max(self._script.breath_s, clean_s - self._now()))
        clean_until = round(self._now(), 3)
        self._assert_clean(tuple(line.text for line in self._recorder.lines()), until=clean_until)
        self._note(f"clean part ends, {len(self._recorder.lines())} lines")
        return clean_until

    def _play_planned(self, until: float) -> None:
        changes = self._planned_changes()
        for place, change in enumerate(changes):
            spare = until - self._now() - sum(self._longest_s(each) for each in changes[place:])
            self._pause(max(self._script.breath_s, spare / (len(changes) - place + 1)))
            self._disturb("benign", change)

    def _play_faults(self) -> None:
        faults = list(self._system.faults())
        self._rng.shuffle(faults)
        for fault in faults:
            if fault.impossible is not None:
                self._note(f"{fault.name} skipped: {fault.impossible}")
                self._skipped[fault.name] = fault.impossible
                continue
            self._pause(self._script.gap_s * self._rng.uniform(1.0, 1.3))
            self._disturb("fault", fault)
        self._pause(self._script.gap_s)

    def _planned_changes(self) -> Sequence[Disturbance]:
        everything = tuple(self._system.log_files)
        spike = Disturbance(name="load_spike", services=everything, hold_s=self._script.spike_s, lanes=MAX_LANES)
        idle = Disturbance(name="idle", services=everything, hold_s=self._script.idle_s, lanes=0)
        changes = [spike, idle, *self._system.benign()]
        self._rng.shuffle(changes)
        return changes

    def _disturb(self, kind: Literal["fault", "benign"], what: Disturbance) -> None:
        with self._load.shaped(what.lanes, what.drained):
            injected_at = self._now()
            self._note(f"{injected_at:7.1f} {kind} {what.name}")
            what.inject()
            self._pause(what.hold_s * self._rng.uniform(1 - _JITTER, 1 + _JITTER))
            what.clear()
            cleared_at = self._now()
            # Clients that were held back stay so until they would be served.
            if what.drained:
                recovered_at = self._wait_healthy(what.name)
        if not what.drained:
            recovered_at = self._wait_healthy(what.name)
        self._note(f"{recovered_at:7.1f} healthy, {recovered_at - cleared_at:.1f} s after it was cleared")
        self._events.append(
            Event(
                kind=kind,
                name=what.name,
                services=what.services,
                injected_at=round(injected_at, 3),
                cleared_at=round(cleared_at, 3),
                recovered_at=round(recovered_at, 3),
            )
        )

    def _longest_s(self, change: Disturbance) -> float:
        return change.hold_s * (1 + _JITTER) + _PROBES_IN_A_ROW * self._script.probe_every_s

    def _wait_healthy(self, name: str) -> float:
        """The first of several good answers in a row."""
        deadline = self._now() + self._script.recovery_deadline_s
        good: list[float] = []
        while len(good) < _PROBES_IN_A_ROW:
            asked_at = self._now()
            if asked_at > deadline:
                raise NeverRecovered(name, self._script.recovery_deadline_s)
            good = [*good, asked_at] if self._system.healthy() else []
            self._pause(self._script.probe_every_s)
        return good[0]

    def _assert_clean(self, texts: Sequence[str], until: float) -> None:
        failures = [f"{x.client} was not served at {x.t:.1f} s" for x in self._load.failures() if x.began <= until]
        pattern = re.compile(self._system.never_in_clean)
        evidence = failures + [text for text in texts if pattern.search(text)]
        if evidence:
            raise CleanBroken(evidence)
        if self._load.runs.total() == 0:
            raise StartFailed("workload", "no client has ended a single run")

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for failure in (self._load.failure, self._recorder.failure):
                if failure is not None:
                    raise failure
            self._sleeper.wait(min(left, _TICK_S))

    def _now(self) -> float:
        return time.monotonic() - self._origin

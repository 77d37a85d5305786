"""The interface between the lab and a system, and the parts of a run. Knows no system and runs nothing.

A new system is one package with a class that implements `System`. Its faults must use the same client programs, roles
and requests as its clean load: a detail that occurs only in faults would be learnt as the sign of an anomaly.
"""

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from logwarden.training.faultlab.isolation import PROGRAMS
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.recording import RECOVERY_TAIL_S, Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that is run repeatedly, after a pause of about `every_s`; it returns True for success.

    `touches` names the services that it needs, so that a planned change to one of them can pause it first.
    """

    name: str
    every_s: float
    touches: frozenset[str]
    run: Callable[[random.Random], bool]


def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """A fault or a planned change: injected, kept for about `hold_s`, cleared.

    `what` describes the action in a phrase, for the reader of a manifest. `services` are those that it can reach, by
    the connections between services. `lanes` is the number of copies of every client meanwhile, one number after the
    other: 0 is idle, 1 the usual load, which swings. Clients that touch a service in `drained` are waited for and
    paused, as before a planned restart. `impossible` is the reason why it cannot be injected here, or None.
    """

    name: str
    cause: Cause
    what: str
    services: tuple[str, ...]
    inject: Callable[[], None] = _nothing
    clear: Callable[[], None] = _nothing
    hold_s: float = 0.0
    lanes: tuple[int, ...] = (1,)
    drained: frozenset[str] = frozenset()
    impossible: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The measures of one run, all in seconds.

    `clean_s` is all fault-free time: a lead-in with every planned change, the gaps between faults, and a tail. In a
    long run the gaps contain the planned changes once more. So fault-free time lies before, between and after the
    faults, and the time since the start reveals nothing. `faults` selects faults by name; empty selects all possible
    ones.
    """

    seed: int
    clean_s: float = 75.0
    faults: frozenset[str] = frozenset()
    warm_up_s: float = 8.0
    lead_share: float = 0.35
    tail_share: float = 0.25
    # The least fault-free time between two changes, and the time after a recovery in which clients may still fail.
    breath_s: float = 3.0
    tail_s: float = RECOVERY_TAIL_S
    spike_s: float = 25.0
    idle_s: float = 25.0
    ramp_s: float = 30.0
    # In a shorter run the planned changes come once, and the load's last a fraction of `clean_s`.
    long_s: float = 400.0
    # The numbers of lanes among which the usual load changes, in fault-free time and in faults.
    swing: tuple[int, ...] = (1, 1, 2, 3, 4)
    probe_every_s: float = 1.0
    recovery_deadline_s: float = 120.0
    # Of one service in ten seconds, several times what a load spike brings.
    most_lines: int = 1_000


class System(Protocol):
    """One product, or several that belong together, with its load and its faults."""

    name: str
    # A pattern that no line out of a fault's reach may match: a login that fails all along would pass for normal.
    never_in_clean: str

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        """Returns the log files of each service; known after `setup`."""

    def missing(self) -> Sequence[str]:
        """Returns the Debian packages of the programs that are not installed."""

    def setup(self, workshop: Workshop) -> None:
        """Writes configuration and empty stores. Starts no process that stays."""

    def start(self) -> None:
        """Starts all services and waits until they serve."""

    def versions(self) -> Mapping[str, str]: ...

    def workload(self) -> Sequence[Client]: ...

    def healthy(self) -> bool:
        """Probes every service as a client does, with a program of the workload."""

    def faults(self) -> Sequence[Disturbance]: ...

    def benign(self) -> Sequence[Disturbance]:
        """Returns planned changes besides the changes of the load, which the runner adds for every system."""

    def stop(self) -> None: ...


def missing_packages(programs: Mapping[str, str]) -> list[str]:
    """Returns the Debian packages of `programs` (program or absolute path → package) that are not installed."""
    absent = [package for program, package in programs.items() if shutil.which(program, path=PROGRAMS) is None]
    return list(dict.fromkeys(absent))

"""What a system promises to the lab, and what a run of it is made of. Knows no system and runs nothing.

A new system is one module that implements `System`. Its faults must come through the same client programs, roles and
requests as its clean load: whatever occurs only in faults because the injector put it there would be learnt as the sign
of an anomaly.
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
    """A program that is run again and again, after a pause of about `every_s`, with True for success.

    `touches` names the services it needs, so that a planned change to one of them can hold it back first.
    """

    name: str
    every_s: float
    touches: frozenset[str]
    run: Callable[[random.Random], bool]


def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """A fault or a planned change: injected, held for about `hold_s`, cleared.

    `what` says in a phrase what is done, for the reader of a manifest.
    `services` are those that a look at who talks to whom says it can reach. `lanes` is how many copies of every client
    run meanwhile, one number after the other (0 idle, 1 the usual, which swings); clients that touch a service in
    `drained` are waited for and held back, as an operator does before a planned restart. `impossible` says why it
    cannot be injected here.
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

    `clean_s` is all the time in which nothing is wrong: a lead-in with every planned change, the gaps between faults
    with, in a long run, the planned changes once more, and a tail. So clean time lies before, between and after the
    faults, and the time since the start says nothing. `faults` picks some by name; empty: all that are possible.
    """

    seed: int
    clean_s: float = 75.0
    faults: frozenset[str] = frozenset()
    warm_up_s: float = 8.0
    lead_share: float = 0.35
    tail_share: float = 0.25
    # The least peace between two changes, and how long after a recovery clients may still fail.
    breath_s: float = 3.0
    tail_s: float = RECOVERY_TAIL_S
    spike_s: float = 25.0
    idle_s: float = 25.0
    ramp_s: float = 30.0
    # In a shorter run the planned changes come once, and the load's last a fraction of `clean_s`.
    long_s: float = 400.0
    # The lanes among which the usual load changes, in peace as in faults.
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
        """The files of each service; known after `setup`."""

    def missing(self) -> Sequence[str]:
        """The Debian packages of the programs that are not installed."""

    def setup(self, workshop: Workshop) -> None:
        """Writes configuration and empty stores. Starts nothing that stays."""

    def start(self) -> None:
        """Starts all services and waits until they serve."""

    def versions(self) -> Mapping[str, str]: ...

    def workload(self) -> Sequence[Client]: ...

    def healthy(self) -> bool:
        """Asks every service as a client does, with a program that the workload runs as well."""

    def faults(self) -> Sequence[Disturbance]: ...

    def benign(self) -> Sequence[Disturbance]:
        """Planned changes besides the load spike and the idle time, which the runner adds for every system."""

    def stop(self) -> None: ...


def missing_packages(programs: Mapping[str, str]) -> list[str]:
    """The Debian packages of `programs` (program or absolute path → package) that are not installed."""
    absent = [package for program, package in programs.items() if shutil.which(program, path=PROGRAMS) is None]
    return list(dict.fromkeys(absent))

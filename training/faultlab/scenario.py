"""What a system promises to the lab, and what a run of it is made of. Knows no system and runs nothing.

A new system is one module that implements `System`. Its faults must come through the same client programs, roles and
requests as its clean load: whatever occurs only in faults because the injector put it there would be learnt as the sign
of an anomaly.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from training.faultlab.process import Workshop


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

    `services` are those that a look at who talks to whom says it can reach. `lanes` is how many copies of every client
    run meanwhile (0 idle, 1 the usual); clients that touch a service in `drained` are waited for and held back, as
    an operator does before a planned restart. `impossible` says why it cannot be injected here.
    """

    name: str
    services: tuple[str, ...]
    inject: Callable[[], None] = _nothing
    clear: Callable[[], None] = _nothing
    hold_s: float = 0.0
    lanes: int = 1
    drained: frozenset[str] = frozenset()
    impossible: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The measures of one run, all in seconds.

    The gap after each fault must exceed the longest tail of the one before; 25 s covers a checkpoint that was due.
    `breath_s` is the least peace between two planned changes.
    """

    seed: int
    clean_s: float = 540.0
    warm_up_s: float = 15.0
    gap_s: float = 25.0
    breath_s: float = 4.0
    spike_s: float = 25.0
    idle_s: float = 30.0
    probe_every_s: float = 1.0
    recovery_deadline_s: float = 120.0
    lines_per_service: int = 50_000


class System(Protocol):
    """One product, or several that belong together, with its load and its faults."""

    name: str
    # A pattern that no line of the clean part may match: a login that fails all along would pass for normal.
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

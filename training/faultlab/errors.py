"""The errors of the fault lab, sorted by what the caller does next.

FaultlabError
├── ProgramMissing     install the package, then try again
├── UnknownFault       choose another fault
├── RecordingsMissing  clone the repository, or name the folder of the recordings
├── LastLookOnly       leave the recordings of that system out of training and of every choice
├── StartFailed        read the log that it quotes; another try without a change will fail too
└── RunInvalid         throw the run away and record again
    ├── CleanBroken    a client failed, or a line reports a failure, in fault-free time
    └── NeverRecovered a disturbance outlived its deadline, so every later label would be wrong
"""

from collections.abc import Sequence
from pathlib import Path


class FaultlabError(Exception):
    """An error that ends the work of the lab without a result."""


class ProgramMissing(FaultlabError):
    """Programs that the system needs are not installed."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = tuple(packages)
        super().__init__(f"programs are missing; apt-get install --no-install-recommends {' '.join(self.packages)}")


class UnknownFault(FaultlabError):
    """The system does not have the fault that the caller named."""

    def __init__(self, system: str, unknown: Sequence[str], known: Sequence[str]) -> None:
        self.unknown = tuple(unknown)
        super().__init__(f"{system} has no fault {', '.join(unknown)}; it has {', '.join(known)}")


class RecordingsMissing(FaultlabError):
    """A folder contains no recordings: an installed copy has those of the demo alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        super().__init__(
            f"there are no recordings below {root}; the package contains only the demo's: clone the repository and name"
            " its folder training/faultlab/recordings"
        )


class LastLookOnly(FaultlabError):
    """Recordings of a last look would reach training or a choice."""

    def __init__(self, systems: Sequence[str]) -> None:
        self.systems = tuple(systems)
        super().__init__(
            f"{', '.join(systems)}: recorded for a last look, on which nothing is trained or chosen; leave these"
            " recordings out of the folder"
        )


class StartFailed(FaultlabError):
    """A command of the set-up failed, or a server did not answer in time."""

    def __init__(self, what: str, output: str) -> None:
        self.what = what
        self.output = output
        super().__init__(f"{what}: {output.strip()[-2000:]}")


class RunInvalid(FaultlabError):
    """The labels of this run would be wrong."""


class CleanBroken(RunInvalid):
    """A client or a log line reports a failure in fault-free time."""

    def __init__(self, evidence: Sequence[str]) -> None:
        self.evidence = tuple(evidence)
        super().__init__(f"fault-free time contains {len(self.evidence)} failures, first {list(self.evidence[:3])}")


class NeverRecovered(RunInvalid):
    """Clients were not served again before the deadline."""

    def __init__(self, name: str, deadline_s: float) -> None:
        self.name = name
        self.deadline_s = deadline_s
        super().__init__(f"{name}: the system did not recover within {deadline_s:g} s")

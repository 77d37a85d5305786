"""The ways a recording can fail, sorted by what the caller does next. Knows nothing of how they come about.

FaultlabError
├── ProgramMissing     install the package, then try again
├── UnknownFault       pick another one
├── StartFailed        read the log it quotes; trying again as is will not help
└── RunInvalid         throw the run away and record again
    ├── CleanBroken    something failed in the part that is labelled clean
    └── NeverRecovered a disturbance outlived its deadline, so every later label would be wrong
"""

from collections.abc import Sequence


class FaultlabError(Exception):
    """Anything that ends a recording without a result."""


class ProgramMissing(FaultlabError):
    """Programs that the system needs are not installed."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = tuple(packages)
        super().__init__(f"programs are missing; apt-get install --no-install-recommends {' '.join(self.packages)}")


class UnknownFault(FaultlabError):
    """A fault was asked for that the system does not have."""

    def __init__(self, system: str, asked: Sequence[str], known: Sequence[str]) -> None:
        self.asked = tuple(asked)
        super().__init__(f"{system} has no fault {', '.join(asked)}; it has {', '.join(known)}")


class StartFailed(FaultlabError):
    """A command of the set-up failed, or a server never answered."""

    def __init__(self, what: str, output: str) -> None:
        self.what = what
        self.output = output
        super().__init__(f"{what}: {output.strip()[-2000:]}")


class RunInvalid(FaultlabError):
    """The labels of this run cannot be trusted."""


class CleanBroken(RunInvalid):
    """The part labelled clean was not clean."""

    def __init__(self, evidence: Sequence[str]) -> None:
        self.evidence = tuple(evidence)
        super().__init__(f"the clean part is broken by {len(self.evidence)} things, first: {list(self.evidence[:3])}")


class NeverRecovered(RunInvalid):
    """Clients were still not served when the deadline had passed."""

    def __init__(self, name: str, deadline_s: float) -> None:
        self.name = name
        self.deadline_s = deadline_s
        super().__init__(f"{name}: not healthy again within {deadline_s:g} s")

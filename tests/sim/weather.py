"""The faults, their chances, and the latencies, all from one seed.

Owns chances and latencies. Knows no broker and no pipeline: the simulated clients consult it before each call.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Chances of faults, each per call."""

    commit_refused: float = 0.0
    """The broker does not accept the commit."""
    commit_answer_lost: float = 0.0
    """The broker accepts the commit, and its answer is lost."""
    commit_slow: float = 0.0
    send_refused: float = 0.0
    send_partial: float = 0.0
    """The broker writes some of the messages, then the connection breaks."""
    send_slow: float = 0.0
    message_failed: float = 0.0
    """One message of a request fails, or only its acknowledgement is lost."""
    fetch_silent: float = 0.0
    """A fetch returns nothing, although the broker has records."""
    fetch_late: float = 0.0
    """A fetch returns its records after a delay, during which a rebalance may happen."""
    lookup_refused: float = 0.0
    """A look-up of committed offsets or bounds fails."""


CALM = Faults()
ROUGH = Faults(
    commit_refused=0.1,
    commit_answer_lost=0.05,
    commit_slow=0.1,
    send_refused=0.1,
    send_partial=0.1,
    send_slow=0.1,
    message_failed=0.05,
    fetch_silent=0.05,
    fetch_late=0.2,
    lookup_refused=0.05,
)


class Weather:
    """The chances of this moment; a world changes them when its faults end."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def strikes(self, rng: random.Random, fault: str) -> bool:
        """Returns True if the fault strikes this call. Draws in any case, so that a calm run has the same latencies."""
        chance: float = getattr(self.faults, fault)
        return rng.random() < chance


def latency_s(rng: random.Random, usual_s: float) -> float:
    """Returns a latency near the usual one, and ten times as long in 3 % of calls."""
    return usual_s * rng.uniform(0.2, 1.5) * (10 if rng.random() < 0.03 else 1)

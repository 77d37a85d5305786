"""What may go wrong, how often, and how long things take; all of it drawn from one seed.

Owns chances and latencies. Knows no broker and no pipeline: those ask it before they act.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Chances, each per call, that something goes wrong."""

    commit_refused: float = 0.0
    """The broker did not take it."""
    commit_unheard: float = 0.0
    """The broker took it and the answer was lost."""
    commit_slow: float = 0.0
    send_refused: float = 0.0
    send_partial: float = 0.0
    """Some messages were written, then the connection broke."""
    send_slow: float = 0.0
    fetch_silent: float = 0.0
    """Nothing comes although there is something."""
    fetch_late: float = 0.0
    """Records are on their way while the world moves on."""
    ask_refused: float = 0.0
    """Committed offsets and bounds cannot be asked for."""


CALM = Faults()
ROUGH = Faults(
    commit_refused=0.1,
    commit_unheard=0.05,
    commit_slow=0.1,
    send_refused=0.1,
    send_partial=0.1,
    send_slow=0.1,
    fetch_silent=0.05,
    fetch_late=0.2,
    ask_refused=0.05,
)


class Weather:
    """Chances as they are now; they change when a storm begins or ends."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def strikes(self, rng: random.Random, fault: str) -> bool:
        """Whether this fault strikes this call. Draws in any case, so that a calm run has the same latencies."""
        return rng.random() < getattr(self.faults, fault)


def latency_s(rng: random.Random, usual_s: float) -> float:
    """Mostly about the usual, now and then ten times as long."""
    return usual_s * rng.uniform(0.2, 1.5) * (10 if rng.random() < 0.03 else 1)

"""Names how well a service is known, and gives the figures of all services at one moment as columns. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from logwarden.daemon.records import Partition


class ServiceState(IntEnum):
    """How well a service is known. The names are those of the HTTP API and of metrics."""

    LEARNING = 0
    """It has logged too little for an alert."""
    KNOWN = 1
    NOISY = 2
    """New lines are so common in it that novelty alone is no evidence."""

    @property
    def word(self) -> str:
        """The state as users read it."""
        return self.name.lower()


STATES = tuple(ServiceState)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServiceTable:
    """The services of one member as they were at one moment. Columns (s,) belong to the same s services."""

    at_ms: int
    """Wall clock of the moment."""
    partitions: tuple[Partition, ...] = ()
    """Partitions that have services."""
    partition: npt.NDArray[np.int64]
    """(s,) place in `partitions`."""
    names: npt.NDArray[Any]
    states: npt.NDArray[np.int8]
    """(s,) values of `ServiceState`."""
    progress: npt.NDArray[np.float32]
    """(s,) share of the learning that is done, 0–1."""
    lines: npt.NDArray[np.int64]
    known_lines: npt.NDArray[np.int64]
    """(s,) distinct masked lines."""
    per_minute: npt.NDArray[np.int64]
    """(s,) lines that were read within the last minute."""
    seen_ms: npt.NDArray[np.int64]
    """(s,) time of the newest line; -1 if it has none."""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAlert:
    """The newest alert of a service since this member has it."""

    at_ms: int | None
    """Time of its line; None if the line has none."""
    score: float

"""Defines a publication: messages that belong together, and the lines that are done once they are acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.records import Message

Marks = list[tuple[Assignment, npt.NDArray[np.int64]]]
"""Lines by assignment: the offsets of their records, one entry per line."""


class PublicationKind(Enum):
    """What the messages of a publication are."""

    ALERTS = "alerts"
    DEAD_LETTERS = "dead_letters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Messages to send, and what their acknowledgement means."""

    kind: PublicationKind
    messages: tuple[Message, ...]
    marks: Marks
    delays_ms: tuple[int, ...] = ()
    """Milliseconds from a line's own time to its alert, for each alert whose line has a time."""
    stages: tuple[str, ...] = ()
    """The step that failed, for each dead letter."""

    @property
    def is_gone(self) -> bool:
        """True if none of its partitions is assigned to this member any more: the next owner will publish it."""
        return all(assignment.ended for assignment, _ in self.marks)

"""Defines a publication: one message, and the lines that are done once the broker has acknowledged it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.records import Message
from logwarden.daemon.standing import LastAlert

Marks = list[tuple[Assignment, npt.NDArray[np.int64]]]
"""Lines by assignment: the offsets of their records, one entry per line."""

_OBJECTS_BYTES = 1_024
"""Memory of a publication beside its key and value: the objects, their headers and the offsets."""


class Draft(Protocol):
    """A message that is put together when it is sent, because it is smaller before."""

    @property
    def topic(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes of the message's value."""

    @property
    def waiting_bytes(self) -> int:
        """Memory that the draft takes."""

    def message(self) -> Message:
        """Returns the message."""


class PublicationKind(Enum):
    """What the message of a publication is."""

    ALERT = "alert"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A message to send, and what its acknowledgement means."""

    kind: PublicationKind
    content: Message | Draft
    owner: Assignment
    """The assignment of the lines."""
    offsets: npt.NDArray[np.int64]
    """The lines that are done then: the offsets of their records, one entry per line."""
    delay_ms: int | None = None
    """Milliseconds from a line's own time to its alert. None: the line has no time, or this is no alert."""
    service: str = ""
    """Service of the alert."""
    alert: LastAlert | None = None
    """What people are shown of the alert. None: this is no alert."""
    stage: str | None = None
    """The step that failed, for a dead letter."""
    whole: Message | None = None
    """The message before it was shortened. None: it is whole."""
    refusals: int = 0
    """Times that the topic refused the message."""

    @property
    def is_gone(self) -> bool:
        """True if its partition is not assigned to this member any more: the next owner will publish it."""
        return self.owner.ended

    @property
    def topic(self) -> str:
        """The output topic."""
        return self.content.topic

    @property
    def message(self) -> Message:
        """The message, put together now if it is a draft."""
        return self.content if isinstance(self.content, Message) else self.content.message()

    @property
    def size(self) -> int:
        """Bytes of the message's value, which is what a request is filled with."""
        return len(self.content.value or b"") if isinstance(self.content, Message) else self.content.size

    @property
    def waiting_bytes(self) -> int:
        """Memory that it takes while it waits."""
        if not isinstance(self.content, Message):
            return _OBJECTS_BYTES + self.content.waiting_bytes
        whole = 0 if self.whole is None else len(self.whole.value or b"")
        return _OBJECTS_BYTES + len(self.content.value or b"") + len(self.content.key or b"") + whole

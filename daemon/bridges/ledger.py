"""Accounts for the records of one partition between fetch and delivery, and so for the offset that may be committed.

The position is the lowest offset that is not done. Records above it that are done stand in the commit's metadata, so
that the next owner repeats none of them:

    read 100 to 106; 101 and 104 are not done   →   position 101, metadata "1 <topic> 107 0,3"
    the next owner reads from 101 on, and skips 102, 103, 105 and 106

Arithmetic only: knows no Kafka client, no clock, no incident.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from logwarden.daemon.records import Bounds, Committed

VERSION = "1"
FIRST = "1f"
"""Begins the metadata of a group that has not yet announced all that was open at its first start."""
_MOST_CHARS = 3_500
"""Characters of the metadata: brokers take 4,096 bytes."""
_FORM = re.compile(r"1f? (\S*) ([0-9]{1,19}) ([0-9,]*)")
"""The identity of a topic has any form without blanks: of the real client it is cluster and topic, with a slash."""


class DeliveryLedger:
    """The records of one partition for one period of ownership.

    `position`: the first offset of this period. `redo`: offsets below `sure` with which the period before was not done;
    it was done with the other ones below `sure`. `topic`: identity of the topic.
    """

    def __init__(
        self, position: int, *, is_first: bool = False, sure: int = 0, redo: Iterable[int] = (), topic: str = ""
    ) -> None:
        self.context_end = position
        """Records below this offset are context: an earlier period was done with them, or there was none."""
        self.is_first = is_first
        """True if the group has committed nothing yet. Then what is still open in the context is announced."""
        self._next = 0 if is_first else position
        self._sure = sure
        self._redo = frozenset(redo)
        self._topic = topic
        self._open: dict[int, None] = {}
        """Offsets that are not done, rising."""

    def is_done(self, offset: int) -> bool:
        """Returns True for a record that an earlier period was done with."""
        return offset < self.context_end or (offset < self._sure and offset not in self._redo)

    def open(self, offset: int) -> None:
        """Takes a record into account. Offsets rise over all calls. Of the context, those that are announced."""
        assert offset >= self._next, "records come in order and once"
        self._open[offset] = None
        self._next = offset + 1

    def passed(self, position: int) -> None:
        """Takes into account that no record below `position` is still to come."""
        self._next = max(self._next, position)

    def done(self, offsets: Iterable[int]) -> None:
        """Marks records as delivered, left out or buried. An offset that is not open changes nothing."""
        for offset in offsets:
            self._open.pop(offset, None)

    @property
    def waiting(self) -> int:
        """Records that are not done."""
        return len(self._open)

    def to_commit(self) -> Committed:
        """Returns what to commit. It is where the group began until all that was open there is announced."""
        position = next(iter(self._open), self._next)
        if position < self.context_end:
            return Committed(self.context_end, f"{FIRST} {self._topic} 0 ")
        head = f"{VERSION} {self._topic}"
        later = [offset - position for offset in self._open]
        size = 0
        texts: list[str] = []
        for place, text in enumerate(map(str, later)):
            size += len(text) + 1
            if size > _MOST_CHARS:  # the rest is repeated: what is known ends before the first that does not fit
                return Committed(position, f"{head} {position + later[place]} {','.join(texts)}")
            texts.append(text)
        return Committed(position, f"{head} {max(self._next, self._sure)} {','.join(texts)}")


def ledger_of(committed: Committed | None, bounds: Bounds) -> DeliveryLedger:
    """Returns the ledger of a new period of ownership, which begins at the committed offset.

    Without one, or with one of another topic of the same name, the group begins at the end, and all before is context.
    The begin must be committed at once, since an incident that opens and ends before the next start is no history.
    """
    found = _FORM.fullmatch(committed.metadata) if committed is not None else None
    is_known = committed is not None and (found is None or not found[1] or found[1] == bounds.incarnation)
    if committed is None or not is_known or committed.offset > bounds.end:
        return DeliveryLedger(bounds.end, is_first=True, topic=bounds.incarnation)
    if committed.metadata.startswith(FIRST):
        return DeliveryLedger(committed.offset, is_first=True, topic=bounds.incarnation)
    position = max(committed.offset, bounds.earliest)
    sure, redo = (int(found[2]), found[3]) if found is not None else (0, "")
    return DeliveryLedger(
        position,
        sure=min(sure, bounds.end),
        redo=(committed.offset + int(each) for each in redo.split(",") if each),
        topic=bounds.incarnation,
    )

"""Decides when a destination is tried again: back-off with jitter, pauses that it demands, probes while it is down.

Arithmetic on monotonic seconds; belongs to the event loop.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from random import Random

FIRST_S, LAST_S = 0.5, 60.0
"""Seconds before the second attempt, and the most between two."""
DOWN_AFTER = 5
"""Failures in a row after which a destination counts as down: one probe at a time, until one is taken."""
_MOST_DEMANDED_S = 3_600.0


def backoff_s(failures: int, random: Random) -> float:
    """Returns the seconds to wait after this number of failures: twice as many each time, half of them by chance."""
    full = min(LAST_S, FIRST_S * 2.0 ** min(max(failures, 1) - 1, 16))
    return full * (0.5 + random.random() / 2)


def retry_after_s(header: str | None, now_ms: int) -> float | None:
    """Returns the seconds that a header Retry-After demands, at most an hour. Returns None for another text."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _MOST_DEMANDED_S)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError):
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return min(max(0.0, moment.timestamp() - now_ms / 1000), _MOST_DEMANDED_S)


class Pace:
    """When a destination may get its next request."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0
        self._not_before = 0.0

    @property
    def is_down(self) -> bool:
        """True after several failures in a row."""
        return self._failures >= DOWN_AFTER

    @property
    def not_before(self) -> float:
        """The moment before which nothing is sent."""
        return self._not_before

    def may_send(self, now: float, on_their_way: int, at_once: int) -> bool:
        """Returns True if another request may begin."""
        return now >= self._not_before and on_their_way < (1 if self.is_down else at_once)

    def taken(self) -> None:
        """Notes a request that was taken."""
        self._failures = 0

    def failed(self, now: float, demanded_s: float | None) -> None:
        """Notes a request that was not taken. `demanded_s`: the pause that the destination demands."""
        self._failures += 1
        pause_s = backoff_s(self._failures - DOWN_AFTER + 1, self._random) if self.is_down else 0.0
        self._not_before = max(self._not_before, now + max(pause_s, demanded_s or 0.0))

    def again_at(self, now: float, attempts: int) -> float:
        """Returns when a notice is sent again after this number of failed attempts."""
        return now + backoff_s(attempts, self._random)

"""Names the facts that the bridge reports, and keeps those from which its probes judge it.

Belongs to the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from logwarden.daemon.health import sentence_of
from logwarden.daemon.readiness import Reason


class BridgeTelemetry(Protocol):
    """Receives facts about one destination each; `daemon/web/bridge_metrics.py` counts them for Prometheus."""

    def delivered(self, destination: str, action: str, delay_s: float) -> None:
        """Counts a notice that was taken, `delay_s` after the record about the incident was published."""

    def retried(self, destination: str) -> None:
        """Counts a notice that was not taken, and is sent again."""

    def left_out(self, destination: str, reason: str) -> None:
        """Counts a record of which nothing is sent: `severity`, `kind`, `service`, `planned`, `unchanged`, `joined`,
        `unreadable`."""

    def buried(self, destination: str) -> None:
        """Counts a notice that became a dead letter."""

    def standing(self, destination: str, *, waiting: int, oldest_s: float, announced: int, is_failing: bool) -> None:
        """Replaces the figures of this moment: records not done, age of the oldest, open incidents, and failing."""


class DestinationFacts:
    """What is known about one destination, each fact with its time. `now`: monotonic seconds."""

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self.name = name
        self._now = now
        self._since: dict[str, float] = {}
        self._sentences: dict[str, str] = {}
        self.partitions = 0
        self.waiting = 0
        self.announced = 0
        self.delivered = 0
        self.assigned(False)

    def trouble(self, code: str, sentence: str, hint: str = "") -> bool:
        """Notes what keeps incidents from being delivered. Returns True if it is news."""
        words = f"{sentence_of(sentence)} {sentence_of(hint) if hint else ''}".strip()
        is_news = code not in self._since
        self._since.setdefault(code, self._now())
        self._sentences[code] = words
        return is_news

    def works(self, code: str) -> bool:
        """Notes the end of a trouble. Returns True if there was one."""
        self._sentences.pop(code, None)
        return self._since.pop(code, None) is not None

    def note(self, code: str, sentence: str, hint: str = "") -> None:
        """Notes a trouble, or its end if the sentence is empty."""
        if sentence:
            self.trouble(code, sentence, hint)
        else:
            self.works(code)

    def assigned(self, is_member: bool, partitions: int = 0) -> None:
        """Notes whether the group has assigned partitions, which may be none."""
        self.partitions = partitions
        if is_member:
            self.works("not_assigned")
        else:
            self.trouble("not_assigned", "the group has not assigned partitions yet", "wait for the rebalance")

    @property
    def is_failing(self) -> bool:
        """True while the destination takes nothing."""
        return "destination_failing" in self._since

    def reasons(self, unready_after_s: float) -> list[Reason]:
        """Returns why incidents do not reach the destination. A trouble that may pass must have lasted for a while."""
        found = []
        for code, since in self._since.items():
            lasted = self._now() - since
            if code == "not_assigned" or lasted > unready_after_s:
                message = f"{self.name}: {self._sentences[code]}"
                found.append(Reason(code=code, message=message, since_s=lasted))
        return found

    def figures(self) -> dict[str, Any]:
        """Returns the figures for people who look at `/readyz`."""
        return {
            "partitions": self.partitions,
            "waiting": self.waiting,
            "announced": self.announced,
            "delivered": self.delivered,
            "trouble": list(self._sentences.values()),
        }


class BridgeFacts:
    """The facts of all destinations, and of the process."""

    def __init__(self, destinations: Sequence[DestinationFacts], *, unready_after_s: float) -> None:
        self.destinations = destinations
        self.draining = False
        self._unready_after_s = unready_after_s

    def reasons(self) -> list[Reason]:
        """Returns why the bridge is not ready; empty when it is."""
        found = [reason for one in self.destinations for reason in one.reasons(self._unready_after_s)]
        if self.draining:
            message = "The bridge received a signal to stop and finishes what is on its way."
            found.insert(0, Reason(code="draining", message=message, since_s=0.0))
        return found

    def figures(self) -> dict[str, Any]:
        """Returns the figures of each destination."""
        return {one.name: one.figures() for one in self.destinations}

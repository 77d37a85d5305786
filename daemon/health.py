"""Collects the facts from which the probes answer. Plain data: each part of the daemon sets its own fact."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class HealthState:
    """Facts about this member. Mutable on purpose, and written on the event loop only."""

    assigned: bool = False
    """The consumer group has assigned this member its partitions (none is fine: a spare replica is ready)."""
    warm: bool = False
    """The model is loaded and has scored once."""
    draining: bool = False
    """The daemon received a signal to stop and finishes the lines in flight."""
    failure: str | None = None
    """Reason why the daemon cannot continue. None: it can."""
    unreadable: dict[tuple[str, int], str] = field(default_factory=dict)
    """For each (topic, partition) that stands still at a batch which cannot be read: the sentence about it."""

    def failed(self, reason: str) -> None:
        """Records that the daemon cannot continue; keeps the first reason, as later ones follow from it."""
        self.failure = self.failure or reason

    @property
    def live(self) -> bool:
        """False if a restart would help."""
        return self.failure is None

    @property
    def reasons(self) -> list[str]:
        """Reasons why the daemon is not ready; empty when it is."""
        facts = {
            f"failed: {self.failure}": self.failure is not None,
            "no partitions assigned yet": not self.assigned,
            "the model is not warm yet": not self.warm,
            "draining": self.draining,
        }
        return [reason for reason, is_true in facts.items() if is_true] + list(self.unreadable.values())

"""Defines the bounds of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from logwarden.daemon.pipeline.publisher import MAX_WAITING_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineLimits:
    """Every bound of the pipeline. Times in seconds."""

    max_windows: int
    max_delay_s: float
    max_wait_s: float
    """Time that a line may wait for its window's step to fill."""
    max_in_flight_lines: int
    max_context_records: int
    commit_interval_s: float
    revoke_budget_s: float
    """Shared by all waits of one revoke; the next owner repeats what is not done by then."""
    retry_s: float = 1.0
    max_waiting_bytes: int = MAX_WAITING_BYTES
    group: str = ""
    """Consumer group."""
    state_topic: str = ""
    """Topic of what services have learned. Empty: it is not kept."""

"""Defines the bounds of a pipeline, and when it makes cuts of what its services have learned."""

from __future__ import annotations

from dataclasses import dataclass

from logwarden.daemon.pipeline.compact import MAX_COMPACT_BYTES
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
    starts_at_end: bool = False
    """Where a group begins that has committed nothing. False: at the oldest record kept."""
    learn_records: int = 0
    """Records of each partition that are learned before such a begin at the end."""
    learn_s: float = 60.0
    """Time for that, from the assignment on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutLimits:
    """When an assignment makes a cut. The state topic gets about `share` of the input's bytes."""

    group: str = ""
    """Consumer group, which is part of every key: groups may share a state topic."""
    share: float = 0.02
    least_bytes: int = 256 * 1024
    """Input bytes between two cuts, however small a cut is."""
    max_records: int = 50_000
    """Input records between two cuts, however large a cut is: the next owner reads them again."""
    max_age_s: float = 6 * 3600.0
    """Seconds after which the next record makes a cut, however few records there were: long before they are deleted."""
    most_share: float = 0.05
    """Share of the input's bytes that a cut may take at most. The services that changed least wait for a later one."""
    max_compact_bytes: int = MAX_COMPACT_BYTES
    """Memory of evicted services."""

"""Judges from a member's facts whether it is ready, and names the reasons if it is not. Pure: reads the facts only.

A reason is a fault that an operator acts on, or a state in which the member does not do its work. A fault that may pass
by itself must have lasted for `HealthState.unready_after_s`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from logwarden.daemon.health import STAGES, HealthState, Stage, sentence_of

STALLED_S = 60.0
"""Seconds after which a batch in work makes the daemon unready: 4,096 new lines take 20 seconds on a slow core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One fact that makes the daemon unready."""

    code: str
    """Stable name for programs."""
    message: str
    """Complete sentences for people, with the action to take."""
    since_s: float
    """Seconds for which it has been so."""
    topic: str | None = None
    partition: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns the fields that are set."""
        fields = {"code": self.code, "message": self.message, "since_s": round(self.since_s, 1)}
        place = {"topic": self.topic, "partition": self.partition}
        return fields | {name: value for name, value in place.items() if value is not None}


def reasons(health: HealthState) -> list[Reason]:
    """Returns the reasons why the daemon is not ready; empty when it is."""
    return [*_of_the_member(health), *_of_the_broker(health), *_of_stages(health), *_of_topics(health)]


def figures(health: HealthState) -> dict[str, Any]:
    """Returns the figures beside the reasons, for people who look at `/readyz`."""
    ages = {stage: health.since_progress_s(stage) for stage in STAGES}
    slope = health.lag_per_s
    return {
        "partitions": health.partitions,
        "lag": health.lag_records,
        "lag_per_s": None if slope is None else round(slope, 1),
        "seconds_since": {stage: None if age is None else round(age, 1) for stage, age in ages.items()},
        "in_flight": health.in_flight,
        "paused": health.paused,
        "services": health.services,
        "services_learning": health.services_learning,
        "services_noisy": health.services_noisy,
        "incidents": health.incidents,
        "feedback": health.feedback,
        "lines_per_service": round(health.lines_per_service, 1),
        "learning_partitions": health.learning_partitions,
        "learning_records_left": health.learning_records_left,
        "services_restored": health.services_restored,
        "services_forgotten": health.services_forgotten,
        "without_memory": list(dict.fromkeys(health.without_memory.values())),
    }


def _of_the_member(health: HealthState) -> Iterator[Reason]:
    if health.failure is not None:
        message = f"The daemon cannot continue: {sentence_of(health.failure)} Restart it."
        yield Reason(code=health.failure_code, message=message, since_s=health.since_s("failed"))
    if not health.assigned:
        message = "The consumer group has not assigned partitions to this member yet. Wait for the rebalance."
        yield Reason(code="not_assigned", message=message, since_s=health.since_s("unassigned"))
    if not health.warm:
        message = "The model is not loaded yet. Wait for it."
        yield Reason(code="not_warm", message=message, since_s=health.since_s("cold"))
    if health.draining:
        message = "The daemon received a signal to stop and finishes the lines in flight."
        yield Reason(code="draining", message=message, since_s=health.since_s("draining"))


def _of_the_broker(health: HealthState) -> Iterator[Reason]:
    silent = health.silent_s
    if silent is not None and silent > health.unready_after_s:
        message = (
            f"No broker has answered a fetch for {silent:.0f} s. Check that the brokers run and that every partition "
            "has a leader."
        )
        yield Reason(code="broker_silent", message=message, since_s=silent)
    failing = health.waited_s("commit")
    if failing > health.unready_after_s:
        message = (
            f"No commit has succeeded for {failing:.0f} s, so a restart repeats the work since "
            f"then.{_cause(health, 'commit')} Check the brokers and this client's permission to read the group."
        )
        yield Reason(code="commits_failing", message=message, since_s=failing)


def _of_stages(health: HealthState) -> Iterator[Reason]:
    limits: dict[Stage, float] = {"ingest": STALLED_S, "score": STALLED_S, "publish": health.unready_after_s}
    for stage, limit in limits.items():
        waited = health.waited_s(stage)
        if waited > limit and not (stage == "publish" and health.blocked_topics):  # the topic is the better reason
            message = (
                f"Work has waited {waited:.0f} s for the stage {stage!r}, which finished none.{_cause(health, stage)} "
                "Check the brokers and the log."
            )
            yield Reason(code=f"{stage}_stalled", message=message, since_s=waited)


def _cause(health: HealthState, stage: Stage) -> str:
    error = health.errors.get(stage, "")
    return f" {sentence_of(error)}" if error else ""


def _of_topics(health: HealthState) -> Iterator[Reason]:
    for topic, sentence in health.blocked_topics.items():
        since = health.blocked_topics.since_s(topic)
        if since > health.unready_after_s:
            yield Reason(code="publish_blocked", message=sentence, since_s=since, topic=topic)
    for topic, sentence in health.missing_topics.items():
        since = health.missing_topics.since_s(topic)
        yield Reason(code="input_topic_missing", message=sentence, since_s=since, topic=topic)
    for (topic, partition), sentence in health.unreadable.items():
        since = health.unreadable.since_s((topic, partition))
        message = sentence_of(sentence)
        yield Reason(code="batch_unreadable", message=message, since_s=since, topic=topic, partition=partition)
    for (topic, partition), sentence in health.without_schema.items():
        since = health.without_schema.since_s((topic, partition))
        if since > health.unready_after_s:
            yield Reason(code="schema_missing", message=sentence, since_s=since, topic=topic, partition=partition)
    for (topic, partition), sentence in health.stalled.items():
        since = health.stalled.since_s((topic, partition))
        if since > STALLED_S:
            yield Reason(code="partition_stalled", message=sentence, since_s=since, topic=topic, partition=partition)

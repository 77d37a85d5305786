"""From windows to what must be sent and what is done: scores a batch and makes the alerts of the few that call for one.

Runs on the score worker. It knows the model by its port, verdicts and alerts; of queues, acknowledgements and commits
it knows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from logwarden.daemon import alerts
from logwarden.daemon.aggregator import Work, by_assignment
from logwarden.daemon.offsets import Assignment
from logwarden.daemon.ports import Clock, Scorer
from logwarden.daemon.records import Message
from logwarden.model.verdicts import AlertPolicy, Scores
from logwarden.model.windowing import WindowBatch, concatenate

Marks = list[tuple[Assignment, npt.NDArray[np.int64]]]


@dataclass(slots=True)
class Publication:
    """Messages to send, and the lines that are done once they are acknowledged."""

    messages: list[Message]
    marks: Marks
    delays_ms: list[int] = field(default_factory=list)
    """How long after its line each alert was made."""
    dead_stages: list[str] = field(default_factory=list)

    @property
    def gone(self) -> bool:
        """Whether none of its partitions is ours any more: the next owner will publish it."""
        return all(assignment.ended for assignment, _ in self.marks)


@dataclass(slots=True)
class Judged:
    """A scored batch: what is done at once, and what is done when its alert is out."""

    quiet: Marks
    publications: list[Publication]
    windows: int
    lines: int


class Judge:
    """A scorer, and the threshold that makes an alert of a score."""

    def __init__(
        self, scorer: Scorer, judgement: AlertPolicy, clock: Clock, *, alerts_topic: str, max_alert_line_chars: int
    ) -> None:
        self._scorer = scorer
        self._judgement = judgement
        self._clock = clock
        self._alerts_topic = alerts_topic
        self._max_alert_line_chars = max_alert_line_chars

    def judge(self, batch: Sequence[Work]) -> Judged:
        """Scores the windows whose partitions are still ours; the others are left to the next owner."""
        windows = concatenate([work.windows for work in batch])
        owners = np.concatenate([work.assignments for work in batch])
        services = np.concatenate([work.services for work in batch])
        ours = np.fromiter((not owner.ended for owner in owners), bool, len(owners))
        if not ours.all():
            windows, owners, services = windows.select(ours), owners[ours], services[ours]
        scores = self._scorer.score(windows)
        assert len(scores.probability) == len(windows), "the scorer answers every window"
        flagged = self._judgement.alerts_due(windows, scores)
        places, window = windows.fresh_lines()
        offsets = windows.columns["offset"][places]
        quiet = ~flagged[window]
        return Judged(
            quiet=by_assignment(owners[window[quiet]], offsets[quiet]),
            publications=[
                self._alert(windows, scores, place, owners[place], services[place], offsets[window == place])
                for place in np.flatnonzero(flagged).tolist()
            ],
            windows=len(windows),
            lines=len(offsets),
        )

    def _alert(
        self,
        windows: WindowBatch,
        scores: Scores,
        place: int,
        owner: Assignment,
        service: str,
        offsets: npt.NDArray[np.int64],
    ) -> Publication:
        topic, partition = owner.partition
        now_ms = self._clock.now_ms()
        verdict = self._judgement.verdict(windows, scores, place, service=service, topic=topic, partition=partition)
        alert = alerts.build(verdict, now_ms=now_ms, max_line_chars=self._max_alert_line_chars)
        message = Message(
            topic=self._alerts_topic,
            key=alerts.key(alert),
            value=alerts.encode(alert),
            headers=tuple(alerts.headers(alert)),
        )
        stamp = verdict.window.newest.timestamp_ms
        return Publication([message], [(owner, offsets)], [] if stamp is None else [now_ms - stamp])

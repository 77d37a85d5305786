"""Turns windows into publications and done lines: scores a batch and builds the alerts that are due.

Runs on the score worker. Knows the model by its port, the alert policy and alerts; knows nothing of queues,
acknowledgements and commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from logwarden.daemon.incidents.alert import alert_message, build_alert
from logwarden.daemon.pipeline.ingest import Work, by_assignment
from logwarden.daemon.pipeline.partitions import Assignment, TopicProfile
from logwarden.daemon.pipeline.publication import Marks, Publication, PublicationKind
from logwarden.daemon.ports import Clock, Engine
from logwarden.model.verdicts import AlertPolicy, Scores
from logwarden.model.windowing import WindowBatch, concatenate

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredBatch:
    """The result of one batch: lines that are done now, and publications whose lines are done later."""

    quiet: Marks
    publications: list[Publication]
    windows: int
    lines: int


@dataclass(frozen=True, slots=True)
class _Batch:
    """Windows (w,) with their scores, assignments (w,) and services (w,)."""

    windows: WindowBatch
    scores: Scores
    owners: npt.NDArray[np.object_]
    services: npt.NDArray[np.object_]


class WindowJudge:
    """Judges windows with the engine that it is given for each batch, so that a reload is a swap between batches."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def judge(self, engine: Engine, work: Sequence[Work]) -> ScoredBatch:
        """Scores the windows whose assignments have not ended; the next owner scores the others."""
        windows = concatenate([piece.windows for piece in work])
        owners = np.concatenate([piece.assignments for piece in work])
        services = np.concatenate([piece.services for piece in work])
        active = np.fromiter((not owner.ended for owner in owners), bool, len(owners))
        if not active.all():
            windows, owners, services = windows.select(active), owners[active], services[active]
        scores = engine.scorer.score(windows)
        assert len(scores.probability) == len(windows), "the scorer answers every window"
        flagged = _flagged(engine.policy, windows, scores, owners)
        # One row per new line: `places` is its place in the flat columns, `window` the window that judges it.
        places, window = windows.fresh_lines()
        offsets = windows.columns["offset"][places]
        quiet = ~flagged[window]
        batch = _Batch(windows, scores, owners, services)
        return ScoredBatch(
            quiet=by_assignment(owners[window[quiet]], offsets[quiet]),
            publications=[
                self._publication(engine.policy, batch, place, offsets[window == place])
                for place in np.flatnonzero(flagged).tolist()
            ],
            windows=len(windows),
            lines=len(offsets),
        )

    def _publication(
        self, policy: AlertPolicy, batch: _Batch, place: int, offsets: npt.NDArray[np.int64]
    ) -> Publication:
        owner: Assignment = batch.owners[place]
        topic, partition = owner.partition
        now_ms = self._clock.now_ms()
        verdict = _policy_of(policy, owner.profile).verdict(
            batch.windows, batch.scores, place, service=batch.services[place], topic=topic, partition=partition
        )
        alert = build_alert(verdict, now_ms=now_ms, max_line_chars=owner.profile.max_alert_line_chars)
        stamp = verdict.window.newest.timestamp_ms
        return Publication(
            kind=PublicationKind.ALERTS,
            messages=(alert_message(alert, owner.profile.alerts_topic),),
            marks=[(owner, offsets)],
            delays_ms=() if stamp is None else (now_ms - stamp,),
        )


def _flagged(policy: AlertPolicy, windows: WindowBatch, scores: Scores, owners: npt.NDArray[np.object_]) -> Mask:
    """Returns a mask (w,) of the windows that raise an alert, each by the profile of its topic."""
    profiles = dict.fromkeys(owner.profile for owner in owners)
    if len(profiles) <= 1:  # the usual case: one comparison for all windows
        policies = [_policy_of(policy, profile) for profile in profiles] or [policy]
        return policies[0].alerts_due(windows, scores)
    flagged = np.zeros(len(windows), bool)
    for profile in profiles:
        of_profile = np.fromiter((owner.profile is profile for owner in owners), bool, len(owners))
        flagged |= of_profile & _policy_of(policy, profile).alerts_due(windows, scores)
    return flagged


def _policy_of(policy: AlertPolicy, profile: TopicProfile) -> AlertPolicy:
    return policy if profile.threshold is None else replace(policy, threshold=profile.threshold)

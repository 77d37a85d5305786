"""Turns windows into publications and done lines: scores a batch and builds the alerts that are due.

Runs on the score worker. Knows the model by its port, the alert policy and alerts; knows nothing of queues,
acknowledgements and commits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from logwarden.daemon.incidents.alert import kind_name
from logwarden.daemon.incidents.encoding import AlertWriter
from logwarden.daemon.pipeline.budget_book import key_of
from logwarden.daemon.pipeline.partitions import Assignment, TopicProfile, by_assignment
from logwarden.daemon.pipeline.publication import Marks, Publication, PublicationKind
from logwarden.daemon.pipeline.work import Work
from logwarden.daemon.ports import Clock, Engine
from logwarden.daemon.standing import LastAlert
from logwarden.model.budget import AlertBudget
from logwarden.model.feedback import NO_FEEDBACK, FeedbackBook, FeedbackKind
from logwarden.model.incidents import Plan
from logwarden.model.kinds import is_silence, states_failure
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
    withheld: int = 0
    """Windows that reached the model's threshold in a service that had used up its budget, and not the strict one."""
    suppressed: Mapping[str, int] = field(default_factory=dict)
    """Windows that raised no alert because a person gave feedback, by its kind."""
    planned: int = 0
    """Alerts on lines that were logged in an announced maintenance."""


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
        self._budget = AlertBudget()

    def judge(self, engine: Engine, work: Sequence[Work], feedback: FeedbackBook = NO_FEEDBACK) -> ScoredBatch:
        """Scores the windows whose assignments have not ended; the next owner scores the others.

        `feedback`: what is in force now.
        """
        windows = concatenate([piece.windows for piece in work])
        owners = np.concatenate([piece.assignments for piece in work])
        services = np.concatenate([piece.services for piece in work])
        first_ms = np.concatenate([piece.first_ms for piece in work])
        active = np.fromiter((not owner.ended for owner in owners), bool, len(owners))
        if not active.all():
            windows, owners, services = windows.select(active), owners[active], services[active]
            first_ms = first_ms[active]
        scores = engine.policy.judged(windows, engine.scorer.score(windows))
        assert len(scores.probability) == len(windows), "the scorer answers every window"
        batch = _Batch(windows, scores, owners, services)
        due = _due(engine.policy, batch)
        places = np.flatnonzero(due)
        due[places] = engine.policy.have_learned(services[places].tolist(), windows, first_ms[places], places)
        suppressed, plans = self._heeded(batch, due, feedback)
        over = self._over_budget(engine.policy, batch, due, plans)
        flagged = due & (~over | (scores.probability >= engine.policy.beyond_budget.threshold))
        # One row per new line: `places` is its place in the flat columns, `window` the window that judges it.
        places, window = windows.fresh_lines()
        offsets = windows.columns["offset"][places]
        quiet = ~flagged[window]
        return ScoredBatch(
            quiet=by_assignment(owners[window[quiet]], offsets[quiet]),
            publications=self._publications(engine.policy, batch, np.flatnonzero(flagged), over, offsets, plans),
            windows=len(windows),
            lines=len(offsets),
            withheld=int(due.sum() - flagged.sum()),
            suppressed=suppressed,
            planned=len(plans),
        )

    def _heeded(self, batch: _Batch, due: Mask, feedback: FeedbackBook) -> tuple[Mapping[str, int], Mapping[int, Plan]]:
        """Removes from the mask of due windows (w,) those that people expect or muted. Returns how many, by the reason.

        Returns beside it the maintenance of each window that is due in one. A line without a time is of now.
        """
        suppressed, plans = Counter[str](), dict[int, Plan]()
        if not len(feedback):
            return suppressed, plans
        columns = batch.windows.columns
        is_failure = states_failure(batch.windows, batch.scores.kinds)
        now_ms = self._clock.now_ms()
        for place in np.flatnonzero(due).tolist():
            end, service = batch.windows.ends[place], batch.services[place]
            time_ms = int(columns["timestamp"][end])
            time_ms = now_ms if time_ms < 0 else time_ms
            text = columns["text"][end].decode("utf-8", "replace")
            judgement = feedback.judgement(service, kind_name(int(columns["kind"][end])), text, time_ms)
            if judgement in (FeedbackKind.EXPECTED, FeedbackKind.MUTE):
                due[place] = False
                suppressed[judgement.value] += 1
            elif (plan := feedback.plan(service, time_ms, is_failure=bool(is_failure[place]))) is not None:
                plans[place] = plan
        return suppressed, plans

    def _over_budget(self, policy: AlertPolicy, batch: _Batch, due: Mask, planned: Container[int]) -> Mask:
        """Returns a mask (w,) of the due windows whose service had used up its budget. Counts them against it.

        Those of an announced maintenance neither need the budget nor use it up.
        """
        over = np.zeros(len(due), bool)
        if not policy.budget_per_day:
            return over
        # A topic with a threshold of its own has no budget.
        unplanned = [i for i in np.flatnonzero(due).tolist() if i not in planned]
        places = np.array([i for i in unplanned if batch.owners[i].profile.threshold is None], int)
        owners = batch.owners[places].tolist()
        services = [key_of(service) for service in batch.services[places].tolist()]
        times, offsets = (batch.windows.newest(name)[places].tolist() for name in ("timestamp", "offset"))
        for owner, offset, service, time_ms in zip(owners, offsets, services, times, strict=True):
            for known, episodes in owner.budgets.take_before():
                self._budget.put((owner.system, known), episodes)
            owner.budgets.counted(offset, service, time_ms, policy.budget_per_day)
        keys = [(owner.system, service) for owner, service in zip(owners, services, strict=True)]
        over[places] = policy.over_budget(self._budget, keys, batch.windows, places)
        return over

    def _publications(
        self,
        policy: AlertPolicy,
        batch: _Batch,
        flagged: npt.NDArray[np.int64],
        over: Mask,
        offsets: npt.NDArray[np.int64],
        plans: Mapping[int, Plan],
    ) -> list[Publication]:
        """Returns the publications of the flagged windows, in order.

        `over` (w,): windows of services beyond their budget. `offsets`: of all fresh lines, by window. `plans`: the
        maintenance of each window that has one.
        """
        now_ms = self._clock.now_ms()
        # Windows with 3, 1 and 2 fresh lines have theirs at 0–2, 3 and 4–5: each begins where the one before it ends.
        ends = np.cumsum(batch.windows.fresh)
        begins = (ends - batch.windows.fresh).tolist()
        stamps, newest = (batch.windows.newest(name).tolist() for name in ("timestamp", "offset"))
        writers: dict[int, AlertWriter] = {}
        policies: dict[TopicProfile, AlertPolicy] = {}
        beyond_budget = replace(policy.beyond_budget, learning_lines=0)
        probabilities = batch.scores.probability.round(4).tolist()
        is_silent = is_silence(batch.scores.kinds).tolist()
        publications = []
        for place in flagged.tolist():
            owner: Assignment = batch.owners[place]
            profile = owner.profile
            if profile not in policies:
                policies[profile] = _policy_of(policy, profile)
            chars = profile.max_alert_line_chars
            if chars not in writers:
                writers[chars] = AlertWriter(batch.windows, batch.scores, flagged, max_line_chars=chars)
            draft = writers[chars].draft(
                place,
                beyond_budget if over[place] else policies[profile],
                service=batch.services[place],
                partition=owner.partition,
                alerts_topic=profile.alerts_topic,
                now_ms=now_ms,
                incarnation=owner.incarnation,
                original=owner.originals.get(newest[place], b""),
                max_original_chars=profile.max_original_chars,
                plan=plans.get(place),
            )
            stamp = stamps[place]
            publications.append(
                Publication(
                    kind=PublicationKind.ALERT,
                    content=draft,
                    owner=owner,
                    offsets=offsets[begins[place] : ends[place]],
                    delay_ms=None if stamp < 0 or is_silent[place] else now_ms - stamp,
                    service=batch.services[place],
                    alert=LastAlert(at_ms=None if stamp < 0 else stamp, score=probabilities[place]),
                )
            )
        return publications


def _due(policy: AlertPolicy, batch: _Batch) -> Mask:
    """Returns a mask (w,) of the windows that reach the threshold, each by the profile of its topic.

    Their services may still be learning.
    """
    windows, scores, owners = batch.windows, batch.scores, batch.owners
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
    """Returns the rule of a topic. It overlooks learning, which differs between the services of a topic."""
    threshold = policy.threshold if profile.threshold is None else profile.threshold
    return replace(policy, threshold=threshold, learning_lines=0)

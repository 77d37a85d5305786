"""Labelled recordings as trials: one stream of lines in time order, sessions with labels, and a split by time.

Every session is BEFORE the split (history, and what a baseline may learn from), in the TEST, or NEITHER. A session with
lines on both sides of the split is NEITHER: its lines count in the history, and no method learns from it or is tested
on it. Knows no model and computes no figure.

Legend: n lines · s sessions
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from logwarden.training.corpora import BlockLines, EventSessions, FaultRound

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HISTORY_SHARE = 0.2
"""Share of the HDFS blocks and of the virtual machines that stand before the split."""
FAULT_HISTORY_SHARE = 0.4
"""Share of the OpenStack tests of each campaign before the split; of these only clean second rounds are history."""
EVERY_NTH_TEST = 3
"""Every third OpenStack test is read: 300,000 lines instead of a million keep the command to a few minutes."""

BEFORE, TEST, NEITHER = 0, 1, 2

_ERROR = re.compile(r"\d{4}-\d\d-\d\d \S+ \d+ (?:ERROR|CRITICAL|TRACE) ")
_TIME = slice(0, 23)  # of a line of OpenStack: 2018-06-26 03:21:04.036


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A stream with labelled sessions. Line and session arrays are parallel to their kind."""

    name: str
    lines: list[str]
    service: Ints
    """(n,) the service in whose history a line counts."""
    group: Ints
    """(n,) the group whose lines share windows."""
    session: Ints
    """(n,) the session of each line."""
    anomalous: Bools
    """(s,) labels."""
    part: npt.NDArray[np.int8]
    """(s,) BEFORE, TEST or NEITHER."""
    unit: str
    """The plural of what a session is, for people."""
    history: str
    """The supervision of a method that is given nothing but the history."""
    facts: dict[str, npt.NDArray[np.float64]]
    """Name → (n,) what each line adds to a count that separates the classes by itself; printed beside any result."""

    @property
    def scored(self) -> Bools:
        """Returns (n,) the lines of tested sessions."""
        return np.asarray(self.part[self.session] == TEST)

    @property
    def quiet(self) -> Bools:
        """Returns (n,) the lines before the split that are history of a tested service."""
        tested = np.unique(self.service[self.scored])
        return np.asarray((self.part[self.session] == BEFORE) & np.isin(self.service, tested))

    def raw(self) -> Trial:
        """Returns the same stream without groups: windows then hold lines of a service, as in the daemon."""
        return _with_group(self, self.service)


def hdfs_trial(recording: BlockLines) -> Trial:
    """Returns the blocks of HDFS as one service's stream; the first fifth, by their first line, are history."""
    n, s = len(recording.lines), len(recording.blocks)
    block = recording.block.astype(np.int64)
    # A block stands BEFORE when its last line does, in the TEST when its first line does. The cut is the first line of
    # the block at a fifth of the order (here at the second of three):
    #   block [0, 1, 0, 1, 2, 2]
    #   first [0, 1, 4], last [2, 3, 5], cut = 1
    #   part  [NEITHER, TEST, TEST]
    first, last = np.full(s, n), np.zeros(s, np.int64)
    np.minimum.at(first, block, np.arange(n))
    np.maximum.at(last, block, np.arange(n))
    cut = np.sort(first)[int(HISTORY_SHARE * s)]
    part = np.where(first >= cut, TEST, np.where(last < cut, BEFORE, NEITHER)).astype(np.int8)
    return Trial(
        name="hdfs",
        lines=recording.lines,
        service=np.zeros(n, np.int64),
        group=block,
        session=block,
        anomalous=recording.anomalous,
        part=part,
        unit="blocks",
        history="none",
        facts={},
    )


def openstack_vm_trial(recording: EventSessions, seed: int) -> Trial:
    """Returns the lives of virtual machines in a random order, one after another: the file is sorted by label."""
    order = np.random.default_rng(seed).permutation(len(recording.sessions))
    # A number in the variable places, long enough to be no status code, so that masking treats them as in real lines.
    texts = [template.replace("<*>", "1234567") for template in recording.templates]
    sessions = [recording.sessions[number] for number in order]
    lengths = [len(session.events) for session in sessions]
    owner = np.repeat(np.arange(len(sessions)), lengths)
    cut = int(HISTORY_SHARE * len(sessions))
    return Trial(
        name="openstack-vm",
        lines=[texts[event] for session in sessions for event in session.events],
        service=np.zeros(len(owner), np.int64),
        group=owner,
        session=owner,
        anomalous=np.array([session.anomalous for session in sessions], bool),
        part=np.where(np.arange(len(sessions)) < cut, BEFORE, TEST).astype(np.int8),
        unit="machines",
        history="none",
        facts={},
    )


def openstack_faults_trial(rounds: Iterable[FaultRound], *, every: int = EVERY_NTH_TEST) -> Trial:
    """Returns the rounds of the fault injection; each campaign is a deployment with its own history per service.

    Per campaign the first tests by time stand before the split, both rounds of a test on one side. History is their
    clean second rounds. Their other rounds get services of their own: only the baselines with labels learn from them.
    """
    tests: dict[str, list[FaultRound]] = {}
    for one in rounds:
        tests.setdefault(one.split_key, []).append(one)
    chosen: list[tuple[FaultRound, bool]] = []  # with whether it stands before the split
    for campaign in dict.fromkeys(test[0].campaign for test in tests.values()):
        by_time = sorted((t for t in tests.values() if t[0].campaign == campaign), key=lambda t: min(map(_begin, t)))
        by_time = by_time[::every]
        cut = round(FAULT_HISTORY_SHARE * len(by_time))
        for place, test in enumerate(by_time):
            chosen += [(one, place < cut) for one in sorted(test, key=_begin)]
    lines: list[str] = []
    columns: list[tuple[int, int, int, int]] = []  # service, group, session, lines of the event
    services, groups = dict[tuple[str, str, bool], int](), 0
    for session, (one, before) in enumerate(chosen):
        apart = before and (one.failed or one.round == 1)  # not history of any tested service
        for name, events in sorted(one.services.items()):
            service = services.setdefault((one.campaign, name, apart), len(services))
            columns.append((service, groups, session, len(events)))
            lines += events
            groups += 1
    # One row for each (round, service) becomes one value for each of its lines:
    #   table      service group session lines    [[0, 0, 0, 2], [1, 1, 0, 1]]
    #   of_line    [0, 0, 1]    column 0, each value repeated by column 3
    table = np.array(columns, np.int64)
    of_line, group, owner = (np.repeat(table[:, i], table[:, 3]) for i in range(3))
    errors = np.array([event.count("\n") + 1 if _ERROR.match(event) else 0 for event in lines], np.float64)
    length = np.array([event.count("\n") + 1 for event in lines], np.float64)
    return Trial(
        name="openstack-faults",
        lines=lines,
        service=of_line,
        group=group,
        session=owner,
        anomalous=np.array([one.failed for one, _ in chosen], bool),
        part=np.array([BEFORE if before else TEST for _, before in chosen], np.int8),
        unit="rounds",
        history="normal only",
        facts={"ERROR lines": errors, "fewer lines": -length},
    )


def in_windows(trial: Trial, size: int) -> Trial:
    """Turns each `size` lines of a group into a session with their label, so that length cannot separate the classes.

    A shorter rest at the end of a group is NEITHER. Sessions must not share groups.
    """
    # With size 2 and five lines of two groups:
    #   group  [0, 1, 0, 0, 1]
    #   rank   [0, 0, 1, 2, 1]    place of a line within its group
    #   window [0, 2, 0, 1, 2]    numbered by (group, rank // size); window 1 is a rest, so NEITHER
    _, group = np.unique(trial.group, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(group))])[:-1]
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - starts[group[order]]
    _, first, window = np.unique(group * (len(group) + 1) + rank // size, return_index=True, return_inverse=True)
    owner = trial.session[first]
    whole = np.bincount(window) == size
    return Trial(
        name=trial.name,
        lines=trial.lines,
        service=trial.service,
        group=trial.group,
        session=window,
        anomalous=trial.anomalous[owner],
        part=np.where(whole, trial.part[owner], NEITHER).astype(np.int8),
        unit=f"{size}-line windows",
        history=trial.history,
        facts={name: added for name, added in trial.facts.items() if name != "fewer lines"},
    )


def _with_group(trial: Trial, group: Ints) -> Trial:
    return Trial(**{name: getattr(trial, name) for name in Trial.__dataclass_fields__ if name != "group"}, group=group)


def _begin(one: FaultRound) -> str:
    return min((events[0][_TIME] for events in one.services.values() if events), default="")

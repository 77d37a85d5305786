"""Finds the services of a run that fall silent after a past, looking once a second as the daemon does.

All services of a system share one partition here. A silence needs no model: times of lines are all that it is made of.

Legend: n lines of a run · k silences · v services
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logwarden.model.arrays import Bools, Doubles, Ints
from logwarden.model.defaults import LEARNING_LINES
from logwarden.model.rhythm import Rhythm
from logwarden.training.faultlab.labels import State
from logwarden.training.faultlab.recording import RECOVERY_TAIL_S
from logwarden.training.faultlab.release import LabelledRun

LOOK_MS = 1_000


@dataclass(frozen=True, slots=True)
class RunSilences:
    """The silences of one run."""

    times: Doubles
    """(k,) seconds of the run at which each was found."""
    reached: Bools
    """(faults, k) in a service in reach, from the injection to the end of the tail."""
    normal: Bools
    """(k,) in no fault's time and in no tail."""


def silences_of(runs: Sequence[LabelledRun], judged: int, past: str) -> RunSilences:
    """Returns the silences of a run after a past of the other runs: their fault-free time, or all of them."""
    names = sorted({line.service for run in runs for line in run.recording.lines})
    longest, lines = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    for number, run in enumerate(runs):
        if number != judged:
            states = run.labels.states
            counted = states == State.NORMAL if past == "peace" else np.ones(len(states), bool)
            slots, at_ms = _columns(run, names)
            np.maximum.at(longest, *_pauses(slots, at_ms, counted))
            np.add.at(lines, slots[counted], 1)
    run = runs[judged]
    found = found_silences(*_columns(run, names), longest, lines)
    times, own = np.array([at / 1000 for at, _ in found]), np.array([slot for _, slot in found], np.int64)
    return RunSilences(times, *_places(run, times, [names[slot] for slot in own.tolist()]))


def found_silences(slots: Ints, at_ms: Ints, longest_ms: Ints, lines: Ints) -> list[tuple[int, int]]:
    """Returns the silences of n lines of a run, in order: the time of each in milliseconds, and its slot.

    `longest_ms`, `lines` (v,): the longest pause and the lines of each slot before the run.
    """
    every, known = np.arange(len(lines)), lines.copy()
    rhythm = Rhythm(len(lines))
    rhythm.set_slots(every, np.column_stack([np.full(len(lines), -1), longest_ms]))
    found, silent_after, begin = list[tuple[int, int]](), np.full(len(lines), -1), 0
    for now_ms in range(LOOK_MS, int(at_ms[-1]) + LOOK_MS, LOOK_MS):
        end = int(np.searchsorted(at_ms, now_ms))
        if end > begin:
            rhythm.observe(slots[begin:end], at_ms[begin:end])
            np.add.at(known, slots[begin:end], 1)
            begin = end
        silence = rhythm.silent(every, now_ms)
        for slot, after_ms in zip(silence.slots.tolist(), silence.after_ms.tolist(), strict=True):
            if known[slot] >= LEARNING_LINES and silent_after[slot] != after_ms:
                silent_after[slot] = after_ms
                found.append((now_ms, slot))
    return found


def _columns(run: LabelledRun, names: Sequence[str]) -> tuple[Ints, Ints]:
    """(n,) slots and times in milliseconds of a run's lines."""
    number = {name: place for place, name in enumerate(names)}
    lines = run.recording.lines
    return np.array([number[line.service] for line in lines]), np.array([round(1000 * line.t) for line in lines])


def _pauses(slots: Ints, at_ms: Ints, counted: Bools) -> tuple[Ints, Ints]:
    """Returns the slots of all pauses between two counted lines of a slot, and their lengths."""
    # One slot, lines at 1 2 9 10 11, of which those at 2 and 9 are not counted: one pause, of 1, between 10 and 11.
    order = np.argsort(slots, kind="stable")
    slots, at_ms, counted = slots[order], at_ms[order], counted[order]
    ends = np.flatnonzero((slots[1:] == slots[:-1]) & counted[1:] & counted[:-1]) + 1
    return slots[ends], at_ms[ends] - at_ms[ends - 1]


def _places(run: LabelledRun, times: Doubles, services: Sequence[str]) -> tuple[Bools, Bools]:
    """Returns which faults reach which silences (faults, k), and which lie in fault-free time (k,)."""
    faults = run.recording.faults
    reached, normal = np.zeros((len(faults), len(times)), bool), np.ones(len(times), bool)
    for row, event in zip(reached, faults, strict=True):
        during = (times >= event.injected_at) & (times <= event.recovered_at + RECOVERY_TAIL_S)
        row[:] = during & np.isin(services, event.services)
        normal &= ~during
    return reached, normal

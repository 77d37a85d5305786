"""The services of a recorded run that fall silent: after which pause, after which past, and whom it concerns."""

from __future__ import annotations

import numpy as np

from logwarden.model.defaults import LEARNING_LINES
from logwarden.training.benchmark.silences import found_silences, silences_of
from logwarden.training.faultlab.labels import RunLabels, State
from logwarden.training.faultlab.recording import Event, Line, Recording
from logwarden.training.faultlab.release import LabelledRun


def run_of(web: list[float], peer: list[float], fault: tuple[float, float]) -> LabelledRun:
    """A run in which two services log at these times, and a fault reaches the first between two times."""
    lines = sorted([Line(t=at, service="web", text="fine") for at in web], key=lambda line: line.t)
    lines = sorted([*lines, *(Line(t=at, service="peer", text="fine") for at in peer)], key=lambda line: line.t)
    begin, end = fault
    event = Event(
        kind="fault",
        name="stopped",
        cause="process",
        what="SIGSTOP",
        services=("web",),
        injected_at=begin,
        cleared_at=end,
        recovered_at=end,
    )
    states = [State.QUIET if begin <= line.t <= end else State.NORMAL for line in lines]
    recording = Recording(
        system="x",
        versions={},
        seed=0,
        started="",
        clean_until=begin,
        events=(event,),
        lines=tuple(lines),
        skipped={},
        dropped={},
    )
    labels = RunLabels(states=np.array(states, np.uint8), fault=np.full(len(lines), -1, np.int16), silent=())
    return LabelledRun(system="x", repetition=1, recording=recording, labels=labels, by_time="train", by_system="train")


def test_a_silence_is_found_once_a_pause_is_longer_than_ever() -> None:
    """The longest pause was of 4 s: after 9 s without a line a known service is silent, once, and no young one."""
    chatty = np.arange(0, 30_000, 500)
    at_ms = np.concatenate([chatty, [0, 20_000, 1_000]])
    slots = np.concatenate([np.zeros(len(chatty), np.int64), [1, 1, 2]])
    order = np.argsort(at_ms, kind="stable")
    longest, lines = np.array([1_000, 4_000, 4_000]), np.array([5_000, 5_000, LEARNING_LINES - 2])
    assert found_silences(slots[order], at_ms[order], longest, lines) == [(10_000, 1)]
    lines[2] += 1
    assert found_silences(slots[order], at_ms[order], longest, lines) == [(10_000, 1), (11_000, 2)]


def test_a_past_teaches_the_pauses_of_its_kind() -> None:
    """A pause during a fault is none of fault-free time, so that the next one as long is a silence; else it is not."""
    calm = [number / 2 for number in range(2_400)]
    past = run_of([*calm, 1_240.0, 1_300.0, 1_300.5], [], fault=(1_200.0, 1_299.0))
    judged = run_of([*calm[:100], 80.0, 80.5], [number / 4 for number in range(400)], fault=(50.0, 80.0))
    found = silences_of([past, judged], 1, "peace")
    assert (found.times.tolist(), found.reached.tolist(), found.normal.tolist()) == ([54.0], [[True]], [False])
    assert not len(silences_of([past, judged], 1, "faults").times)

"""Announced stops: known to the peers of the service that announced one, for a minute, and to no one else."""

from __future__ import annotations

import numpy as np
import pytest

from logwarden.model.announcements import RARE, REACH_MS
from logwarden.model.calm import Signs
from logwarden.model.evidence import announcements, connections
from logwarden.model.history import History

PRIMARY, REPLICA, STRANGER = 0, 1, 2
WORK, STOP = 7, 8


def measured(history: History, lines: list[tuple[int, int, int]]) -> list[float]:
    """Returns how recently a peer announced a stop, of lines given as slot, line and second."""
    slots, hashes, seconds = (np.array(column, np.int64) for column in zip(*lines, strict=True))
    plain = np.zeros(len(lines), bool)
    signs = Signs(plain, np.zeros(len(lines), np.int64), plain, seconds * 1000, hashes == STOP)
    return [round(float(share), 3) for share in history.observe(slots, hashes, signs).calm.announced]


@pytest.fixture
def history() -> History:
    """Two services of one system and one of another, each with some work done."""
    history = History(3)
    history.join(np.arange(3), np.array([0, 0, 1]))
    measured(history, [(slot, WORK, 0) for slot in (PRIMARY, REPLICA, STRANGER) for _ in range(2 * RARE)])
    return history


def test_peers_of_a_service_that_stops_know_of_it(history: History) -> None:
    """For a minute, less and less; the service itself and another system do not."""
    lines = [(PRIMARY, STOP, 100), *((slot, WORK, 100) for slot in (PRIMARY, REPLICA, STRANGER))]
    assert measured(history, lines) == [0, 0, 1, 0]
    assert measured(history, [(REPLICA, WORK, second) for second in (99, 130, 159, 160, 1000)]) == [0, 0.5, 0.017, 0, 0]


def test_a_line_that_a_service_logs_all_the_time_announces_nothing(history: History) -> None:
    """Workers that log each connection that they close are not about to stop."""
    assert measured(history, [(PRIMARY, STOP, 100)] * 3 + [(REPLICA, WORK, 300)])[-1] == 0
    measured(history, [(PRIMARY, STOP, 400)])
    assert measured(history, [(REPLICA, WORK, 401)]) == [0]


def test_an_announcement_moves_with_its_service(history: History) -> None:
    """A process that gets the services' states measures the same; a cleared slot has announced nothing."""
    measured(history, [(PRIMARY, STOP, 100), (REPLICA, STOP, 110)])
    other = History(3)
    other.join(np.arange(3), np.array([0, 0, 1]))
    for slot in (REPLICA, PRIMARY):
        other.put(slot, history.take(slot))
    other.clear(np.array([REPLICA]))
    assert measured(other, [(PRIMARY, WORK, 130), (REPLICA, WORK, 130)]) == [0, 0.5]
    assert measured(history, [(PRIMARY, WORK, 130), (REPLICA, WORK, 130)]) == [round(1 - 20_000 / REACH_MS, 3), 0.5]


@pytest.mark.parametrize(
    ("text", "announces"),
    [
        ("INFO received SIGTERM, shutting down", True),
        ("LOG: database system is shut down", True),
        ("ERROR shutting down: disk is full", False),
        ("WARN stopping worker * after a crash", False),
        ("INFO order * accepted", False),
    ],
)
def test_harmless_lines_about_a_stop_announce_it(text: str, announces: bool) -> None:
    """A line that states trouble, or names a failure, excuses nothing that peers log."""
    assert announcements([text]).tolist() == [announces]


@pytest.mark.parametrize(
    ("text", "connects"),
    [
        ("FATAL: could not connect to the primary server: connection refused", True),
        ("WARN lost the heartbeat of peer *", True),
        ("ERROR no space left on device", False),
        ("FATAL out of memory", False),
    ],
)
def test_a_stop_explains_lost_connections_only(text: str, connects: bool) -> None:
    """A full disk is no consequence of a peer that restarts."""
    assert connections([text]).tolist() == [connects]

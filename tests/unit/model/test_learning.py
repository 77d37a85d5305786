"""How long a service learns: by lines or by time, and by a rule of its own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from logwarden.model.calm import EARLIEST_MS
from logwarden.model.history import History
from logwarden.model.learning import DAY_MS, LEAST_SHARE, LearningNeed, LearningRules, learned_share
from tests.oracles import plain_signs

HOUR_MS = DAY_MS // 24


def share(need: LearningNeed, lines: int, elapsed_ms: int) -> float:
    return float(
        learned_share(np.array([float(need.lines)]), np.array([need.days]), np.array([lines]), np.array([elapsed_ms]))[
            0
        ]
    )


@pytest.mark.parametrize(
    ("need", "lines", "elapsed_ms", "expected"),
    [
        (LearningNeed(1_000), 250, 90 * DAY_MS, 0.25),  # by lines only: time does not count
        (LearningNeed(1_000), 1_000, -1, 1.0),
        (LearningNeed(1_000), 999, -1, 0.999),
        (LearningNeed(1_000, 3.0), 200, 3 * DAY_MS, 1.0),  # a fifth of the lines, and the days
        (LearningNeed(1_000, 3.0), 199, 30 * DAY_MS, 0.995),  # time alone teaches nothing
        (LearningNeed(1_000, 3.0), 400, 3 * DAY_MS // 2, 0.5),
        (LearningNeed(1_000, 3.0), 600, 3 * HOUR_MS, 0.6),  # whichever is further
        (LearningNeed(1_000, 3.0), 999, 3 * DAY_MS - 1, 0.9999),
        (LearningNeed(0, 3.0), 0, -1, 1.0),  # no learning at all
        (LearningNeed(1, math.inf), 0, 0, 0.0),
    ],
)
def test_a_service_has_learned_by_lines_or_by_time(
    need: LearningNeed, lines: int, elapsed_ms: int, expected: float
) -> None:
    """A busy service is known after its lines, a slow one after some days; neither before it has logged a fifth."""
    assert share(need, lines, elapsed_ms) == pytest.approx(expected, abs=1e-4)
    assert (share(need, lines, elapsed_ms) >= 1.0) == (expected == 1.0)


def test_every_line_count_from_the_wanted_one_on_has_learned() -> None:
    """No rounding keeps a service one line too long, or lets it go one line too early."""
    for wanted in (1, 3, 7, 49, 200, 1_000, 9_999):
        assert share(LearningNeed(wanted), wanted, -1) == 1.0
        assert share(LearningNeed(wanted), wanted - 1, -1) < 1.0
        least = math.ceil(wanted * LEAST_SHARE)
        assert share(LearningNeed(wanted, 1.0), least, DAY_MS) == 1.0


def test_the_first_rule_that_matches_counts() -> None:
    """A service has the need of its own rule, and all others the common one."""
    common, web, cron = LearningNeed(1_000, 3.0), LearningNeed(200), LearningNeed(50, 2.0)
    rules = LearningRules(common, [(lambda name: name.startswith("web"), web), (lambda name: "cron" in name, cron)])
    assert [rules.of(name) for name in ("web-cron", "cron", "db")] == [web, cron, common]
    lines, days = rules.needs(["db", "web-1", "cron"])
    assert (lines.tolist(), days.tolist()) == ([1_000, 200, 50], [3.0, math.inf, 2.0])


def test_the_first_time_of_a_service_does_not_depend_on_the_batches() -> None:
    """The first line that has a time counts, whatever came with it; a clock that was not set counts as no time."""
    times = np.array([-1, 5_000, EARLIEST_MS + 7, EARLIEST_MS + 3, EARLIEST_MS + 9])
    for sizes in ([5], [1, 1, 1, 1, 1], [2, 3], [3, 2]):
        history, start = History(2), 0
        for size in sizes:
            signs = plain_signs(size)
            signs.at_ms[:] = times[start : start + size]
            history.observe(np.ones(size, np.int64), np.arange(start, start + size), signs)
            start += size
        assert history.first_ms(np.array([0, 1])).tolist() == [-1, EARLIEST_MS + 7]
        other = History(2)
        other.put(0, history.take(1))
        assert other.first_ms(np.array([0])).tolist() == [EARLIEST_MS + 7]
        history.clear(np.array([1]))
        assert history.first_ms(np.array([1])).tolist() == [-1]

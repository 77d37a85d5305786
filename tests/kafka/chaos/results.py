"""The results file of a campaign: one JSON object per line, appended at once, so that a killed campaign can resume.

A `round` has its faults and its recovery. A `check` ends an episode: the account of all its lines. Only episodes with a
check count for the totals; a campaign that was killed leaves rounds without one.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

RECOVERY_GOAL_S = 10.0
CALM_LOAD = 6.0
"""Load of the machine up to which times say something about the group: the campaign alone makes about three."""
GOALS = {"member_kills": 150, "broker_kills": 40, "lines": 1_000_000}
SUMMED = (
    *("sent", "aborted", "alerted", "not_scored", "aborted_alerted", "never_sent", "ids_that_differ", "ids_shared"),
    *("ids_shared_by_incarnations", "windows_that_differ", "excused", "unknown", "delivered_again", "lag"),
)
MUST_BE_ZERO = (
    *("not_scored", "aborted_alerted", "never_sent", "ids_that_differ", "ids_shared", "windows_that_differ"),
    *("lag", "stuck", "stops_not_clean", "broken_off", "feedback_lost", "feedback_missing"),
)
FEEDBACK = ("given", "withdrawn", "refused", "given_up", "lost", "missing")
IN_FORCE_GOAL_S = 5.0


class Results:
    """The file, and what it says so far."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not resume:
            raise FileExistsError(f"{path} exists: add --resume to continue it, or name another file")
        self.lines: list[dict[str, Any]] = list(_whole_lines(path)) if path.exists() else []

    def add(self, kind: str, **fields: Any) -> None:
        """Appends one line."""
        line = {"type": kind, **fields}
        self.lines.append(line)
        with self._path.open("a", encoding="utf-8") as file:
            print(json.dumps(line, default=str), file=file, flush=True)

    @property
    def rounds(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["type"] == "round"]

    @property
    def checks(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["type"] == "check"]

    @property
    def next_episode(self) -> int:
        return 1 + max((line["episode"] for line in self.lines), default=0)

    @property
    def next_round(self) -> int:
        return 1 + max((line["round"] for line in self.rounds), default=0)

    def broken_off_in_a_row(self) -> int:
        """Returns how many episodes broke off since the last one that was checked."""
        kinds = [line["type"] for line in self.lines if line["type"] != "round"]
        return len(list(takewhile("broken off".__eq__, reversed(kinds))))

    def totals(self) -> Counter[str]:
        """Returns the sums over the episodes that were checked."""
        totals: Counter[str] = Counter()
        for check in self.checks:
            totals["member_kills"] += check["counts"].get("member_kills", 0)
            totals["broker_kills"] += check["broker_kills"]
            for name in ("forked", "whole"):
                totals[f"starts_{name}"] += check["counts"].get(name, 0)
            for name in SUMMED:
                totals[name] += check["findings"].get(name, 0)
            for name in FEEDBACK:
                totals[f"feedback_{name}"] += check.get("feedback", {}).get(name, 0)
            totals["ended_by_themselves"] += len(check["ended"])
            totals["stops"] += len(check["stops"])
            totals["stops_not_clean"] += sum(not is_clean(stop) for stop in check["stops"])
        totals["lines"] = totals["sent"]
        totals["episodes"] = len(self.checks)
        totals["stuck"] = sum(line["stuck"] for line in self.rounds + self.checks)
        totals["rounds"] = len(self.rounds)
        totals["broken_off"] = sum(line["type"] == "broken off" for line in self.lines)
        checked = {check["episode"] for check in self.checks}
        totals["rounds_without_a_check"] = sum(line["episode"] not in checked for line in self.rounds)
        return totals

    def recoveries(self, name: str, most_load: float = math.inf) -> list[float]:
        """Returns `falling_s` or `caught_up_s` of the rounds up to a load of the machine, in order."""
        rounds = (line for line in self.rounds if line["load"] <= most_load)
        return sorted(line[name] for line in rounds if line[name] is not None)

    def feedback(self, name: str) -> list[float]:
        """Returns the seconds until members had feedback, `calm_s` or `troubled_s`, in order."""
        return sorted(seconds for check in self.checks for seconds in check.get("feedback", {}).get(name, ()))

    def faults(self) -> int:
        """Returns the number of lines and rounds that break a promise."""
        totals = self.totals()
        return sum(totals[name] for name in MUST_BE_ZERO)

    def summary(self, goals: Mapping[str, int]) -> str:
        """Returns the figures beside their goals, for people."""
        totals = self.totals()
        minutes = sum(line["seconds"] for line in self.rounds) / 60
        wanted = {name: f"   goal {goal:,}" for name, goal in goals.items()}
        rows = [
            f"rounds                    {totals['rounds']:>10,}   in {totals['episodes']} checked episodes and "
            f"{minutes:.0f} minutes; {totals['rounds_without_a_check']} rounds without a check",
            *(f"{name:<25} {totals[name]:>10,}{wanted.get(name, '')}" for name in GOALS),
            f"member starts             {totals['starts_forked'] + totals['starts_whole']:>10,}   "
            f"{totals['starts_forked']:,} forks of a process with the imports done, {totals['starts_whole']:,} new",
        ]
        for name, label in (("falling_s", "until lag falls"), ("caught_up_s", "until caught up")):
            for most_load, where in ((math.inf, "all rounds"), (CALM_LOAD, f"of load up to {CALM_LOAD:.0f}")):
                times = self.recoveries(name, most_load)
                goal = f"   goal p95 <= {RECOVERY_GOAL_S:.0f} s" if name == "falling_s" else ""
                figures = "  ".join(f"p{p} {percentile(times, p):.1f}" for p in (50, 95, 99))
                worst = max(times, default=math.nan)
                rows.append(f"{label:<25} {figures}  max {worst:.1f} s{goal}   ({len(times)} rounds, {where})")
        for name, label in (("calm_s", "feedback on a member"), ("troubled_s", "the same after faults")):
            times = self.feedback(name)
            figures = "  ".join(f"p{p} {percentile(times, p):.1f}" for p in (50, 95, 99))
            late = sum(seconds > IN_FORCE_GOAL_S for seconds in times)
            worst = max(times, default=math.nan)
            rows.append(f"{label:<25} {figures}  max {worst:.1f} s   goal <= 5 s: {late} of {len(times)} later")
        rows += [f"{name:<25} {totals[name]:>10,}   goal 0" for name in MUST_BE_ZERO]
        rows += [f"{f'feedback_{name}':<25} {totals[f'feedback_{name}']:>10,}" for name in FEEDBACK[:4]]
        others = ("aborted", "excused", "unknown", "delivered_again", "ids_shared_by_incarnations", "stops")
        rows += [f"{name:<25} {totals[name]:>10,}" for name in (*others, "ended_by_themselves")]
        rows += [f"    {line}" for check in self.checks for ended in check["ended"] for line in ended["log"][-1:]]
        return "\n".join(rows)


def is_clean(stop: Mapping[str, Any]) -> bool:
    """Returns True if a SIGTERM ended a member with 0, or with 1 and no traceback."""
    return stop["code"] == 0 or (stop["code"] == 1 and not any("Traceback" in line for line in stop["log"]))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Returns the nearest-rank percentile of ordered numbers, or NaN without any."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def _whole_lines(path: Path) -> Iterable[dict[str, Any]]:
    """Yields the lines of a file whose last one may be cut by a kill, and cuts it off."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    for line in whole.splitlines():
        yield json.loads(line)

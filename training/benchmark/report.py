"""Lays the figures out as BENCHMARKS.md. Computes no figure.

Baselines that beat the model stay in the tables, and the best figure of each column is bold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from logwarden.training.benchmark.incidents import incident_section
from logwarden.training.benchmark.kinds import kind_section
from logwarden.training.benchmark.lastlook import last_look_section
from logwarden.training.benchmark.plots import PAST_NAMES
from logwarden.training.benchmark.public import public_sections
from logwarden.training.evaluation.tables import Grid

Figures = Mapping[str, Any]
Rows = list[tuple[str, ...]]
MARKS = ("20", "50", "100", "200", "400")


def document(figures: Figures) -> str:
    """Returns the text of BENCHMARKS.md."""
    parts = [
        _head(figures),
        *(_compared(figures, past) for past in figures["faultlab"]),
        *alert_sections(figures),
        *(last_look_section(found, figures["faultlab"]) for found in [figures.get("last_look")] if found),
        _thresholds(figures),
        _systems(figures),
        _levels(figures),
        _young(figures),
        _calibration(figures),
        _ablations(figures),
        _explanations(figures),
        *public_sections(figures["public"]),
    ]
    return "\n\n".join(parts) + "\n"


def alert_sections(figures: Figures) -> list[str]:
    """Returns the sections about incidents and about kinds of anomalies, where there are figures of them."""
    sections = {"incidents": incident_section, "kinds": kind_section}
    return [section(figures[name], PAST_NAMES) for name, section in sections.items() if name in figures]


def _head(figures: Figures) -> str:
    lines = sum(one["lines"] for one in figures["systems"].values())
    faults = sum(one["faults"] for one in figures["systems"].values())
    left_out = "".join(f"\n- Left out: {sentence}." for sentence in figures["left_out"])
    return f"""# Benchmarks

Written by `make benchmark`. Model {figures["model"]}, threshold {figures["threshold"]:g}. The figures of this page
and of the plots are in [figures.json](docs/benchmarks/figures.json). What the numbers mean stands in
[docs/detection.md](docs/detection.md), what was tried in [training/LOG.md](training/LOG.md).

**Protocol.** The last run of each of {len(figures["systems"])} real systems under real faults is judged
({lines:,} lines, {faults} faults), after a past made of its other runs. A system is judged by trees
trained on the labelled lines of the others; no method sees its labels. Services that know less than 1,000 lines raise
no alert, under any method.

- *Fault-free past*: the fault-free time of two runs. *Past with the same faults*: two whole runs. *Past with each fault
  twice*: the same, and the time of each fault once more. The last two are contaminated pasts.
- *False alarm*: an alert in fault-free time, planned restarts included. *Folded*: alerts of a service within 60 s are
  one. Rates are means of the systems, per million fault-free lines.
- *Faults found at N*: one threshold for all systems, at which N folded false alarms per million lines are raised. It is
  chosen on the same runs, for every method alike; what frozen thresholds do stands in a table of its own.
- An alert that never ends is one episode: a rule that fires on every line has few folded false alarms and many others.
- *Rarity by severity*: bits of surprise times ½, 1 or 1½: for a plain line, a warning, a failure.
- A few faults more or less are noise: a run has some ten faults and a handful of false alarms.{left_out}"""


def _compared(figures: Figures, past: str) -> str:
    methods = figures["faultlab"][past]
    columns: list[tuple[str, Callable[[Figures], float | None], Callable[[float], str]]] = [
        ("AP by lines", lambda m: m["ap"], _share),
        ("AP by windows", lambda m: m["window_ap"], _share),
        ("worst system", lambda m: m["worst_ap"], _share),
        *((f"found at {mark}", lambda m, mark=mark: m["found_at"][mark], _whole) for mark in MARKS),
        ("at 50, unfolded", lambda m: m["found_unfolded_at"]["50"], _whole),
        ("per service and day at 100", lambda m: m["per_service_day_at"]["100"], _tenth),
    ]
    table = _bold_best(methods, columns, lower=("per service and day at 100",))
    own = {name: m["at_threshold"] for name, m in methods.items() if "at_threshold" in m}
    rows: Rows = [
        (
            name,
            f"{m['found']} of {m['faults']}",
            _whole(m["false_per_million"]),
            _whole(m["folded_per_million"]),
            f"{m['episodes'] - m['false_episodes']} of {m['episodes']}",
            f"{_tenth(m['per_service_day_median'])} · {_tenth(m['per_service_day_mean'])}",
            f"{m['services_without']} of {m['services']}",
            f"{_tenth(m['outside_plans_per_hour'])} · {_tenth(m['outside_plans_worst_per_hour'])}",
        )
        for name, m in own.items()
    ]
    header = (
        *("method, at its own threshold", "faults found", "false alarms/M", "folded/M", "right episodes"),
        *("per service and day, median · mean", "services without", "outside planned changes, an hour, mean · worst"),
    )
    title = PAST_NAMES.get(past, past)
    return f"""## {title[0].upper()}{title[1:]}

{table}

{_table(header, rows)}

![Faults found over false alarms per million lines](docs/benchmarks/found-{past}.svg)
![Faults found over false alarms per service and day](docs/benchmarks/found-{past}-per-day.svg)"""


def _thresholds(figures: Figures) -> str:
    frozen, default = figures["frozen"], figures["at_default"]
    rows: Rows = [
        (
            f"frozen on the others, {PAST_NAMES[past]}",
            f"{one['found']}",
            _whole(one["per_million"]),
            f"{one['at_most']} of {one['systems']}",
            f"{one['within']} of {one['systems']}",
        )
        for past, one in frozen["pasts"].items()
    ]
    for name, one in (("frozen, three pasts together", frozen["together"]), ("default, three pasts together", default)):
        rows.append((name, "", "", f"{one['at_most']} of {one['systems']}", f"{one['within']} of {one['systems']}"))
    header = ("threshold", "faults found", "folded/M", "at most 1.5 times its budget", "within a factor of 1.5")
    factors: Rows = [
        (system, f"{frozen['together']['factors'][system]:.2f}", f"{default['factors'][system]:.2f}")
        for system in default["factors"]
    ]
    by_system = _table(("system", "frozen / 100", f"default / {default['budget_per_million']:.0f}"), factors)
    return f"""## One threshold for systems never seen

The threshold is frozen where the other systems have {frozen["budget_per_million"]:.0f} folded false alarms per million
lines. A run has 6,000 to 60,000 lines. So at this budget a system is allowed one to six alarms, and one alarm moves its
factor by .2 to 2.

{_table(header, rows)}

{by_system}"""


def _systems(figures: Figures) -> str:
    pasts = list(figures["faultlab"])
    ours = {past: figures["faultlab"][past]["logwarden"] for past in pasts}
    rows: Rows = []
    for system, facts in figures["systems"].items():
        cells = []
        for past in pasts:
            own = ours[past]["at_threshold"]["by_system"][system]
            cells.append(
                f"{_share(ours[past]['ap_by_system'][system])} · {own['found']} of {own['faults']} · "
                f"{_whole(own['folded_per_million'])}"
            )
        rows.append((system, f"{facts['evidence']:,} of {facts['lines']:,}", *cells))
    header = ("system", "evidence", *(f"{PAST_NAMES[past]}: AP · found · folded/M" for past in pasts))
    return f"## System by system, at the default threshold\n\n{_table(header, rows)}"


def _levels(figures: Figures) -> str:
    rows: Rows = []
    for past, plain in figures["level_word_removed"].items():
        for name, one in (("as logged", figures["faultlab"][past]["logwarden"]), ("level word removed", plain)):
            own = one["at_threshold"]
            rows.append(
                (
                    f"{PAST_NAMES[past]}, {name}",
                    _share(one["ap"]),
                    _whole(one["found_at"]["100"]),
                    f"{own['found']} of {own['faults']}",
                    _whole(own["folded_per_million"]),
                )
            )
    header = ("lines", "AP", "found at 100", "found at the default threshold", "folded/M")
    return f"## Without the level word\n\n{_table(header, rows)}"


def _young(figures: Figures) -> str:
    rows: Rows = [
        (
            f"{int(age):,}",
            f"{one['found']} of {one['faults']}",
            _whole(one["false_per_million"]),
            f"{one['found_by_rule']} of {one['faults']}",
            _whole(one["false_per_million_by_rule"]),
        )
        for age, one in figures["young"].items()
    ]
    header = ("known lines", "faults found", "false alarms/M", "keyword rule: found", "keyword rule: false alarms/M")
    dull: Rows = [
        (
            f"{one['lines']:,}",
            f"{one['failures_found']} of {one['failures']}",
            f"{one['harmless_alerts']} of {one['harmless']}",
        )
        for one in figures["monotone"]
    ]
    return f"""## Young and monotone services

A young service knows its last lines before a fault, and nothing else. Its false alarms are those on the next thousand
lines of a run without a past, every line counted. By default a service of less than 1,000 lines raises no alert.

{_table(header, rows)}

A monotone service has logged lines of three kinds (made up), then new ones.

{_table(("lines of three kinds", "blatant failures found", "harmless new lines that alert"), dull)}"""


def _calibration(figures: Figures) -> str:
    one = figures["calibration"]
    rows: Rows = [
        (f"{b['low']:g} to {b['high']:g}", f"{b['lines']:,}", _share(b["stated"]), _share(b["seen"]))
        for b in one["bins"]
    ]
    header = ("probability", "lines", "mean stated", "share that was evidence")
    return f"""## Calibration

Expected calibration error on systems left out, three pasts together, 15 bins: mean {one["ece"]:.3f},
worst {one["worst"]:.3f} ({one["worst_system"]}). Most lines are plain, so read the upper bins of the table. The
laboratory has a thousand times as many faulty lines as a service in production. Therefore the scale is set
by alarms and not by this share.

{_table(header, rows)}

![Probability stated and share that was evidence](docs/benchmarks/calibration.svg)"""


def _ablations(figures: Figures) -> str:
    rows: Rows = []
    heads: Rows = []
    pasts = list(figures["faultlab"])
    for name, one in figures["ablations"].items():
        rows.append((name, *(_ablated(one[past]) for past in pasts)))
        if "head_alone" in one:
            heads.append((name, *(_ablated(one["head_alone"][past]) for past in pasts)))
    whole: Rows = [
        (
            "head as shipped",
            *(_ablated(figures["faultlab"][past]["the head alone"]) for past in pasts),
        )
    ]
    header = ("", *(f"{PAST_NAMES[past]}: AP · worst · found at 50 · at 100" for past in pasts))
    return f"""## Ablations

The twins were trained again without each input of the last step. Changes of the head need no training: the likeliest
expert alone, all experts, all with the same share, the same attention to every line, no mixture. The floor
keeps its inputs.

{_table(header, rows)}

The head alone, without the last step:

{_table(header, [*whole, *heads])}"""


def _explanations(figures: Figures) -> str:
    rows: Rows = [
        (
            PAST_NAMES[past],
            str(one["alerts"]),
            _percent(one["named"]),
            _percent(one["newest"]),
            _percent(one["named_in_window"]),
            f"{one['area']:.3f}",
        )
        for past, one in figures["explanations"].items()
    ]
    causes = list(next(iter(figures["explanations"].values()))["missed"])
    missed: Rows = [
        (PAST_NAMES[past], *(str(one["missed"][cause]) for cause in causes))
        for past, one in figures["explanations"].items()
    ]
    header = ("", "first alerts", "first evidence named", "it is the newest line", "named, where in the window", "area")
    return f"""## The line named is the line guilty

Of the first alert of each fault. *Named*: the first line of evidence that its service wrote in the fault is the newest
line or among the three heaviest. *Area*: between the probability as lines are deleted at random and heaviest first.

{_table(header, rows)}

First evidence that was not named lies:

{_table(("", *causes), missed)}

![Probability as lines are deleted](docs/benchmarks/deletion.svg)"""


def _table(header: tuple[str, ...], rows: Rows) -> str:
    return Grid("", header, rows).markdown().removeprefix("****\n\n")


def _bold_best(
    methods: Mapping[str, Figures],
    columns: Sequence[tuple[str, Callable[[Figures], float | None], Callable[[float], str]]],
    *,
    lower: Sequence[str] = (),
) -> str:
    values = {name: [read(one) for _, read, _ in columns] for name, one in methods.items()}
    rows: Rows = []
    for name, row in values.items():
        cells = []
        for place, (title, _, show) in enumerate(columns):
            every = [shown for other in values.values() if (shown := other[place]) is not None]
            value = row[place]
            if value is None:
                cells.append("-")
                continue
            best = min(every) if title in lower else max(every)
            text = show(value)
            cells.append(f"**{text}**" if show(best) == text and title not in lower else text)
        rows.append((name, *cells))
    return _table(("method", *(title for title, _, _ in columns)), rows)


def _ablated(one: Figures) -> str:
    at = one["found_at"]
    return f"{_share(one['ap'])} · {_share(one['worst_ap'])} · {at['50']} · {at['100']}"


def _share(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _tenth(value: float) -> str:
    return f"{value:.1f}"

"""Counts the alerts on logs of healthy machines: `python -m tests.bench.false_alarms /var/log/dpkg.log …`.

Every alert on such a log is a false alarm. Each file or folder is scanned as `logwarden scan` does it, with the
settings of the environment and the shipped model, and judged behind its learning lines. Prints alarms per million
judged events and the kinds of lines that raised most of them. Asserts nothing: the logs are the reader's own.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from logwarden.daemon.commands.files import find_sources
from logwarden.daemon.commands.scan import Counts, Scanner, load_engine
from logwarden.daemon.settings.reading import read_settings
from logwarden.model.masking import mask_line

SHOWN_KINDS = 8
SHOWN_CHARS = 110


def main(names: Sequence[str]) -> None:
    settings = read_settings()
    engine = load_engine(settings)
    all_alarms = all_judged = 0
    for name in names:
        sources = find_sources([Path(name)]).files
        scanner = Scanner(settings, engine)
        scanner.count(sources)
        counts, kinds = Counts(), Counter[str]()
        for source in sources:
            for verdicts in scanner.judge(source, counts, every=False):
                kinds.update(mask_line(verdict.window.newest.text) for verdict in verdicts)
        events = counts.services.total()
        learned = sum(min(scanner.learning_lines(service), lines) for service, lines in counts.services.items())
        judged = events - learned
        all_alarms, all_judged = all_alarms + counts.anomalies, all_judged + judged
        print(f"\n{name}: {counts.lines:,} lines, {events:,} events, {_rate(counts.anomalies, judged)}")
        for kind, times in kinds.most_common(SHOWN_KINDS):
            print(f"  {times:>4} times  {kind[:SHOWN_CHARS]}")
    print(f"\nin all: {_rate(all_alarms, all_judged)}")


def _rate(alarms: int, judged: int) -> str:
    per_million = alarms / judged * 1e6 if judged else 0.0
    return f"{alarms} alarms on {judged:,} judged events, {per_million:,.0f} per million"


if __name__ == "__main__":
    main(sys.argv[1:] or ["/var/log/dpkg.log", "/var/log/apt/term.log"])

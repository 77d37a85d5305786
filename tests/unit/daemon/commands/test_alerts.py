"""`logwarden alerts`: which alerts it shows, and where it begins and ends."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from tests.unit.daemon.test_command_line import an_alert, called, topic

__all__ = ["topic"]


@pytest.mark.parametrize(
    ("arguments", "offsets"),
    [
        ([], [0, 1, 2, 3, None]),
        (["--service", "web-*"], [0, 2]),
        (["--service", "web-*", "--service", "db"], [0, 2, 3]),
        (["--severity", "warning"], [1, 2]),
        (["--severity", "critical", "--severity", "warning", "--service", "web-[12]"], [0, 2]),
        (["--service", "web-*", "--limit", "1"], [0]),
        (["--kind", "new_line", "--service", "db"], [3]),
        (["--kind", "silence", "--kind", "rate_up"], []),
    ],
)
def test_alerts_are_chosen_by_service_severity_and_kind(
    topic: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    offsets: list[int | None],
) -> None:
    """With a choice only alerts are shown that it names, and a limit counts those that are shown."""
    chosen = (("web-1", 0.97), ("api", 0.6), ("web-2", 0.6), ("db", 0.97))
    topic.values = [an_alert(n, service=name, score=score).encode() for n, (name, score) in enumerate(chosen)]
    topic.values.append(b"other")
    code, out, err = called(monkeypatch, capsys, "alerts", "--format", "jsonl", *arguments)
    shown: list[int | None] = [json.loads(line)["logwarden"]["source"]["last_offset"] for line in out.splitlines()]
    assert (code, shown + [None] * err.count("not an alert")) == (0, offsets)


def test_alerts_begin_at_a_time_and_may_end(
    topic: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--since` takes an age or a date, `--no-follow` ends with what is there, and another text is a sentence."""
    assert called(monkeypatch, capsys, "alerts", "--since", "2026-11-23T10:00Z", "--no-follow")[0] == 0
    assert (topic.since_ms, topic.follow) == (1_795_428_000_000, False)
    assert called(monkeypatch, capsys, "alerts", "--since", "30m")[0] == 0
    assert topic.follow
    assert called(monkeypatch, capsys, "alerts", "--since", "soon") == (
        2,
        "",
        "logwarden: 'soon' is no time\n"
        "  write a time ago, such as 30m, 2h or 7d, or a date such as 2026-11-23T10:00Z\n",
    )

"""An alert becomes shorter without losing what it is about."""

from __future__ import annotations

import itertools
import json

import pytest

from logwarden.daemon.incidents.alert import build_alert, decode_alert
from logwarden.daemon.incidents.shortening import shorter_alert
from tests.unit.daemon.incidents.test_alert import VALIDATOR, verdict


@pytest.mark.parametrize(("lines", "chars"), [(32, 1_000), (32, 20), (1, 60_000), (512, 3), (2, 300)])
def test_an_alert_becomes_shorter_until_nothing_can_go(lines: int, chars: int) -> None:
    """Each step is valid by the schema, keeps the id and the newest line, and is at most half as long, but the last."""
    whole = build_alert(verdict(*(f"{i} " + "ü" * chars for i in range(lines))), now_ms=None)
    value: bytes | None = whole.encode()
    steps = []
    while value is not None:
        steps.append(value)
        value = shorter_alert(value)
    for longer, shorter in itertools.pairwise(steps):
        alert = decode_alert(shorter)
        VALIDATOR.validate(json.loads(shorter))
        assert (alert.id, alert.logwarden.shortened) == (whole.id, True)
        assert alert.logwarden.lines[-1].newest
        assert len(shorter) <= len(longer) // 2 or shorter is steps[-1]
    assert len(steps[-1]) < 1_300, "an id, the facts, and the beginning of the newest line"
    assert len(decode_alert(steps[-1]).logwarden.lines) == 1
    assert '"shortened"' not in whole.encode().decode()


def test_the_newest_line_is_the_last_to_be_truncated() -> None:
    """Long lines lose their ends before a line is dropped, so that the way to the fault stays visible."""
    shorter = shorter_alert(build_alert(verdict(*["x" * 1_000] * 8), now_ms=None).encode())
    assert shorter is not None
    assert [len(line.text) for line in decode_alert(shorter).logwarden.lines] == [250] * 8

"""Any bytes in a record make a line, a blank or a dead letter, exactly one of them, and never an exception."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import get_args

from hypothesis import example, given
from hypothesis import strategies as st

from logwarden.daemon.records import InputFormat
from tests.oracles import LogRecord, default_decoder

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "log", "service", "name", "time", "kubernetes", "labels", "app"]), inner
        )
    ),
    max_leaves=8,
)
VALUES = st.none() | st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode())


@given(st.lists(VALUES, max_size=6), st.sampled_from(get_args(InputFormat)), st.integers(1, 40))
def test_every_record_comes_out_once(values: list[bytes | None], form: InputFormat, limit: int) -> None:
    """No record is dropped or doubled; lines are bounded UTF-8 on one line, each with a service and a time."""
    found = default_decoder(form=form, max_line_chars=limit).decode([LogRecord(value) for value in values])
    dead = [place for place, _ in found.dead]
    assert sorted([*{*found.places, *dead}, *found.blank]) == list(range(len(values)))
    assert len(set(dead)) == len(dead), "an event of many that is broken costs the record one dead letter"
    assert found.places == sorted(found.places)
    assert len(found.lines) == len(found.services) == len(found.timestamps) == len(found.places)
    for place in set(found.places):
        index = [i for at, i in zip(found.places, found.index, strict=True) if at == place]
        assert index == list(range(len(index)))
    for line in found.lines:
        assert len(line.decode()) <= limit
        assert line.strip(b" \t\r\n\0")
        assert b"\n" not in line
    assert all(found.services)


@given(st.integers(0, 4 * 10**12), st.integers(-14 * 60, 14 * 60))
@example(1_091_681_422_679, 0)  # a float of seconds would lose its last millisecond
def test_a_time_with_milliseconds_is_read_exactly(ms: int, zone_min: int) -> None:
    """No millisecond is lost to rounding, whatever the time zone."""
    moment = EPOCH + timedelta(milliseconds=ms)
    written = (moment + timedelta(minutes=zone_min)).replace(tzinfo=None).isoformat(timespec="milliseconds")
    zone = f"{'-' if zone_min < 0 else '+'}{abs(zone_min) // 60:02}:{abs(zone_min) % 60:02}"
    value = json.dumps({"message": "x", "time": written + zone}).encode()
    assert default_decoder().decode([LogRecord(value)]).timestamps == [ms]

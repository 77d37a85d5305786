"""Times as loggers, databases and clouds write them, read to the millisecond."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from logwarden.daemon.decoding.times import time_ms
from tests.unit.daemon.decoding.test_json_logs import read_time

BERLIN = ZoneInfo("Europe/Berlin")


def ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


AT = "2026-01-02T03:04:05.678+00:00"
SECOND = "2026-01-02T03:04:05+00:00"
FORMS: list[tuple[object, str]] = [
    ("2026-01-02T03:04:05.678Z", AT),
    ("2026-01-02T04:04:05.678+01:00", AT),
    ("2026-01-02T03:04:05.678901234Z", AT),
    ("2026-01-02 03:04:05,678", AT),
    ("2026-01-02 03:04:05.678 UTC", AT),
    ("2026-01-02 04:04:05.678 +0100", AT),
    ("2026/01/02 03:04:05.678", AT),
    ("2026/01/02 03:04:05", SECOND),
    ("2026-01-02T03:04:05.678+00:00[Europe/London]", AT),
    ("20260102T030405.678Z", AT),
    ("02/Jan/2026:04:04:05 +0100", SECOND),
    ("[02/Jan/2026:03:04:05 +0000]", SECOND),
    ("02-Jan-2026 03:04:05.678", AT),
    ("Fri, 02 Jan 2026 03:04:05 GMT", SECOND),
    ("Fri Jan  2 03:04:05 2026", SECOND),
    ("Fri Jan 02 03:04:05.678 2026", AT),
    ("Jan 2, 2026, 3:04:05 AM".replace("3:", "03:"), SECOND),
    ("1/2/2026 3:04:05 AM", SECOND),
    ("13/1/2026 15:04:05", "2026-01-13T15:04:05+00:00"),
    ("1/13/2026 3:04:05 PM", "2026-01-13T15:04:05+00:00"),
    ("/Date(1767323045678)/", AT),
    ("2026-01-01T23:59:60Z", "2026-01-01T23:59:59+00:00"),
    ({"epochSecond": 1_767_323_045, "nanoOfSecond": 678_000_000}, AT),
    ({"seconds": "1767323045", "nanos": 678_000_000}, AT),
    ({"date": "2026-01-02 04:04:05.678000", "timezone_type": 1, "timezone": "+01:00"}, AT),
    ({"$date": "2026-01-02T03:04:05.678Z"}, AT),
    ({"$date": {"$numberLong": "1767323045678"}}, AT),
    ("2.1.2026 03:04:05", SECOND),
    ("20260102030405", SECOND),
    ("20260102030405678", AT),
    ("2026年1月2日 03:04:05", SECOND),
    ("2026-01-02 03:04:05.678 +0000 UTC m=+0.000123", AT),
    ("@1767323045", SECOND),
    ([2026, 1, 2, 3, 4, 5, 678_000_000], AT),
    ([1_767_323_045, 678_000_000], AT),
    ({"$numberLong": "1767323045678"}, AT),
    (1_767_323_045.678, AT),
    (1_767_323_045_678, AT),
    (1_767_323_045_678_000, AT),
    (1_767_323_045_678_000_000, AT),
    ("1767323045678901", AT),
]
NO_TIMES: list[object] = [
    *("yesterday", "12:04", "Jan  2 03:04:05", "2026-13-02 03:04:05", "Fri, 99 Jan 2026 03:04:05 GMT", "version 2.0.1"),
    *(
        "0001-01-01T00:00:00+14:00",
        "1/2/2026",
        "x" * 500,
        "",
        "2026-01-02T03:04:05+99:00",
        {},
        {"date": None},
        [],
        True,
    ),
    *(
        {"epochSecond": "9" * 40},
        {"seconds": 10**30},
        float("nan"),
        float("inf"),
        12,
        86_400.5,
        [2026, 1, 2],
        [2026, 13, 2, 3, 4],
        [10**30, 0],
        "\u0662\u0660\u0662\u0666-01-02 03:04:05",
    ),
]


@pytest.mark.parametrize(("written", "moment"), FORMS, ids=lambda value: str(value)[:40])
def test_a_time_is_read_in_every_form(written: object, moment: str) -> None:
    """Text with or without a zone, numbers of any unit, objects of loggers and databases."""
    assert time_ms(written) == ms(moment)


@pytest.mark.parametrize("value", NO_TIMES, ids=lambda value: str(value)[:40])
def test_what_is_no_time_is_none(value: object) -> None:
    """Other text is no time, and neither is a moment outside the calendar."""
    assert time_ms(value) is None


def test_a_time_without_a_zone_is_read_in_the_zone_that_was_set() -> None:
    """Machines log local time; one with a zone keeps its own."""
    assert time_ms("2026-01-02 04:04:05,678", BERLIN) == ms(AT)
    assert time_ms("02/Jan/2026:04:04:05", BERLIN) == ms(SECOND)
    assert time_ms("2026-01-02 03:04:05.678Z", BERLIN) == ms(AT)
    assert time_ms({"date": "2026-01-02 03:04:05.678", "timezone": "UTC"}, BERLIN) == ms(AT)
    assert time_ms({"date": "2026-01-02 04:04:05.678", "timezone": "Europe/Berlin"}) == ms(AT)
    assert time_ms({"date": "2026-01-02 04:04:05.678", "timezone": "no/zone"}, BERLIN) == ms(AT)


@pytest.mark.parametrize(
    "key",
    [
        *("@timestamp", "timestamp", "time", "ts", "@t", "eventTime", "datetime", "date", "asctime", "log_time"),
        *("created_at", "isodate", "time_local", "logged_at", "event.created", "Timestamp", "t", "start_time"),
    ],
)
def test_a_time_is_found_under_every_name(key: str) -> None:
    """Each logger has its own name for the time."""
    assert read_time({key: "2026-01-02T03:04:05.678Z"}) == ms(AT)


@pytest.mark.parametrize(
    "event",
    [
        {"instant": {"epochSecond": 1_767_323_045, "nanoOfSecond": 678_000_000}},
        {"timeMillis": 1_767_323_045_678},
        {"__REALTIME_TIMESTAMP": "1767323045678000"},
        {"timeUnixNano": "1767323045678000000", "body": {"stringValue": "x"}},
        {"t": {"$date": "2026-01-02T03:04:05.678Z"}},
        {"timestamp": "no time", "time": 1_767_323_045_678},
        {"uptime": 12, "request_time": 0.25, "queuedAt": "2026-01-02T03:04:05.678Z"},
        {"fecha": "2026-01-02T03:04:05.678Z"},
        {"jobDate": "x", "myTimestamp": 1_767_323_045_678},
    ],
)
def test_a_time_is_found_in_the_form_of_its_logger(event: dict[str, object]) -> None:
    """A field that contains no time leaves the turn to the next one."""
    assert read_time(event) == ms(AT)

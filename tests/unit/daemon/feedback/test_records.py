"""Records of feedback: what is written, what is read, and what is refused with a sentence."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jsonschema
import msgspec
import pytest

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.feedback import records
from logwarden.daemon.feedback.giving import (
    ended,
    is_over,
    judged,
    maintained,
    muted,
    outdated,
    refuse_too_many,
    the_one,
)
from logwarden.daemon.feedback.records import decode_feedback, feedback_message, feedback_of, key_of, written
from logwarden.daemon.incidents.incident import IncidentRecord, build_incident
from logwarden.daemon.profiles import kind_of
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from logwarden.model.feedback import FeedbackBook, FeedbackKind
from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incidents import Finding
from tests.sim.incidents import BEGIN_MS

NOW_MS = BEGIN_MS + 600_000
DAY_MS = 86_400_000
SCHEMA = json.loads(
    resources.files("logwarden.daemon.feedback").joinpath("feedback.schema.json").read_text(encoding="utf-8")
)


def incident(*rows: tuple[str, str]) -> IncidentRecord:
    """The record of an incident with these (service, text) lines, a second apart."""
    fold, kind = IncidentFold(), kind_of(Settings())
    for number, (service, text) in enumerate(rows):
        at = BEGIN_MS + 1_000 * number
        fold.add(
            Finding(
                id=f"finding {number}",
                service=service,
                kind=f"{service}:{kind(text)}",
                time_ms=at,
                clock_ms=at,
                evidence=2.0,
                text=text,
            )
        )
    [found] = fold.advance(0)
    return build_incident(found)


TWO = incident(("db", "disk 7 is full"), ("web", "lost db-1"))


def book_of(key: str, record: records.FeedbackRecord) -> FeedbackBook:
    return FeedbackBook([feedback_of(key, record, kind_of(Settings()))])


def test_a_judgement_is_about_the_lines_of_its_incident() -> None:
    """From the incident's last line on, for ever, for its services and their kinds of lines, whatever the numbers."""
    key, record = judged(TWO, FeedbackKind.EXPECTED, now_ms=NOW_MS, reason="nightly", by="ann")
    assert key == f"incident/{TWO.id}"
    book, kind = book_of(key, record), kind_of(Settings())
    after = BEGIN_MS + 1_001
    assert book.judgement("db", kind("disk 31 is full"), "", after) is FeedbackKind.EXPECTED
    assert book.judgement("db", kind("disk 31 is full"), "", after - 1) is None
    assert book.judgement("db", kind("disk is full"), "", after) is None
    assert book.judgement("other", kind("disk 31 is full"), "", after) is None
    assert book.judgement("db", kind("disk 31 is full"), "", after + 10**12) is FeedbackKind.EXPECTED


def test_a_judgement_of_some_services_is_about_their_lines() -> None:
    """`--service` narrows it to lines of such services, widens it to others of the name, and needs a line."""
    key, record = judged(TWO, FeedbackKind.EXPECTED, now_ms=NOW_MS, services=["d*"], for_ms=DAY_MS)
    assert [line.service for line in record.lines] == ["db"]
    assert record.until == written(NOW_MS + DAY_MS)
    assert book_of(key, record).judgement("db2", kind_of(Settings())("disk 1 is full"), "", NOW_MS) is not None
    with pytest.raises(ConfigurationError, match=r"no line of the incident .* is of the service 'shop'") as caught:
        judged(TWO, FeedbackKind.REAL, now_ms=NOW_MS, services=["shop"])
    assert caught.value.hint == "name one of 'db', 'web'"


def test_a_kind_of_lines_survives_a_release_that_masks_otherwise() -> None:
    """A line is known by the hash of then and by the masks of now; a truncated text is known by the hash alone."""
    _, record = judged(TWO, FeedbackKind.EXPECTED, now_ms=NOW_MS)
    now = read_settings({"LOGWARDEN_INPUT__MASKS": '{"disk": "disk"}'})
    found = feedback_of("a", record, kind_of(now)).kinds
    assert found >= {kind_of(now)("disk 9 is full"), kind_of(Settings())("disk 9 is full")}
    assert kind_of(now)("disk 9 is full") != kind_of(Settings())("disk 9 is full")
    [line] = record.lines[:1]
    cut = msgspec.structs.replace(record, lines=(msgspec.structs.replace(line, text="disk …"),))
    assert feedback_of("a", cut, kind_of(now)).kinds == {line.dedup_key[-16:]}


def test_a_mute_has_the_key_of_its_text() -> None:
    """The same mute twice is one, of another service it is another, and one that mutes everything is refused."""
    key, record = muted("check of *", now_ms=NOW_MS, for_ms=5)
    assert key == muted("check of *", now_ms=NOW_MS + 9)[0] != muted("check of *", now_ms=NOW_MS, services=["a"])[0]
    assert book_of(key, record).judgement("any", "", "a check of db", NOW_MS) is FeedbackKind.MUTE
    with pytest.raises(ConfigurationError, match="feedback of the kind 'mute' needs a pattern"):
        muted("* **", now_ms=NOW_MS)


def test_a_maintenance_has_an_end() -> None:
    """An hour without a length, a week at most, and `stop` ends it; the lines before stay planned."""
    key, record = maintained("deploy-7", now_ms=NOW_MS, services=["web"], reason="7.1")
    assert (key, record.until) == ("maintenance/deploy-7", written(NOW_MS + 3_600_000))
    with pytest.raises(ConfigurationError, match="at most seven days"):
        maintained("deploy-7", now_ms=NOW_MS, for_ms=8 * DAY_MS)
    with pytest.raises(ConfigurationError, match="name of the maintenance is too long"):
        maintained("x" * 300, now_ms=NOW_MS)
    stopped = ended(record, NOW_MS + 60_000)
    plan = book_of(key, stopped).plan("web", NOW_MS + 59_000)
    assert plan is not None
    assert (plan.id, plan.reason, plan.until_ms) == (key, "7.1", NOW_MS + 60_000)
    assert book_of(key, stopped).plan("web", NOW_MS + 600_000) is None
    assert is_over(stopped, NOW_MS + 60_000)
    assert not is_over(record, NOW_MS + 60_000)
    assert ended(record, 0).until == written(NOW_MS)


def test_every_record_is_what_the_schema_promises() -> None:
    """What the commands write is valid by the published schema, and is read as it was written."""
    hostile = incident(("a\udc80b", "x\udcff\x1b[2J\n" * 99))
    for key, record in (
        judged(TWO, FeedbackKind.REAL, now_ms=NOW_MS, for_ms=9, reason="\udcff", by="ann"),
        judged(hostile, FeedbackKind.EXPECTED, now_ms=NOW_MS),
        muted("a\udcff text", now_ms=NOW_MS, services=["a"]),
        maintained("x\udcff", now_ms=NOW_MS, systems=["shop"]),
    ):
        message = feedback_message(key, record, "feedback")
        assert message.value is not None
        jsonschema.validate(json.loads(message.value), SCHEMA)
        assert decode_feedback(message.value) == record
    assert feedback_message("a", None, "feedback").value is None


def test_a_deploy_job_writes_a_maintenance_by_hand() -> None:
    """The fewest fields that a shell script needs."""
    value = {"schema_version": 1, "kind": "maintenance", "given": "2026-11-23T10:00:00Z"}
    value |= {"until": "2026-11-23T11:10:00+01:00", "services": ["web"]}
    jsonschema.validate(value, SCHEMA)
    found = feedback_of("deploy", decode_feedback(json.dumps(value).encode()), str)
    assert (found.from_ms, found.until_ms) == (BEGIN_MS, BEGIN_MS + 600_000)


BASE: dict[str, Any] = {"schema_version": 1, "kind": "mute", "given": "2026-11-23T10:00:00Z", "pattern": "abc"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema_version": 2}, "schema version 2, not 1"),
        ({"kind": "odd"}, "odd"),
        ({"given": "today"}, "'today' is no time with a zone"),
        ({"given": "2026-11-23T10:00:00"}, "no time with a zone"),
        ({"until": "2026-11-23T09:00:00Z"}, "ends before it begins"),
        ({"pattern": "*a*"}, "needs a pattern"),
        ({"pattern": "a" * 1_025}, "longer than 1,024"),
        ({"services": ["a"] * 65}, "more than 64"),
        ({"kind": "expected"}, "needs lines"),
        ({"kind": "maintenance"}, "needs an end"),
        ({"kind": "real", "lines": [{"service": "a", "text": "b" * 5_000}]}, "longer than"),
        ({"services": "web"}, "array"),
    ],
)
def test_a_wrong_record_is_refused_with_a_sentence(change: dict[str, Any], sentence: str) -> None:
    """Whoever writes to the topic may be wrong, and the log says why a record does not count."""
    decode_feedback(json.dumps(BASE).encode())
    with pytest.raises(ValueError, match=sentence):
        decode_feedback(json.dumps(BASE | change).encode())


@pytest.mark.parametrize("value", [b"", b"[]", b"\xff", b'{"given": "\xff"}', b"[" * 99_999, b" " * 300_000])
def test_bytes_that_are_no_feedback_are_refused(value: bytes) -> None:
    """Nothing that a topic may contain is more than a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the decoder's
        decode_feedback(value)


def test_keys_have_a_length() -> None:
    """An empty key would be that of every producer who forgets one."""
    assert key_of(b"incident/\xff") == "incident/\ufffd"
    for key in (b"", b"x" * 257):
        with pytest.raises(ValueError, match="needs 1 to 256"):
            key_of(key)


def test_an_id_may_be_shortened_while_it_is_the_only_one() -> None:
    """As with commits: a unique begin is enough, a short or an ambiguous one is refused."""
    ids = ["abcd1", "abcd2", "abcx", "abcd"]
    assert the_one("abcd1", ids, "incident") == "abcd1"
    assert the_one("abcx", ids, "incident") == "abcx"
    assert the_one("abcd", ids, "incident") == "abcd"
    for prefix, sentence in (("zz", "no incident begins"), ("abc", "more than one incident"), ("abcx1", "no incident")):
        with pytest.raises(ConfigurationError, match=sentence):
            the_one(prefix, ids, "incident")
    with pytest.raises(ConfigurationError, match="'xyz' is too short"):
        the_one("xyz", ["xyz123"], "incident")


def test_what_ended_long_ago_is_removed() -> None:
    """A month after the end of a mute, a week after a maintenance, and never what teaches the model."""
    entries = {
        "mute": muted("a text", now_ms=NOW_MS, for_ms=1)[1],
        "for ever": muted("b text", now_ms=NOW_MS)[1],
        "maintenance": maintained("x", now_ms=NOW_MS)[1],
        "real": judged(TWO, FeedbackKind.REAL, now_ms=NOW_MS, for_ms=1)[1],
    }
    assert outdated(entries, NOW_MS + 6 * DAY_MS) == []
    assert outdated(entries, NOW_MS + 8 * DAY_MS) == ["maintenance"]
    assert outdated(entries, NOW_MS + 99 * DAY_MS) == ["mute", "maintenance"]


def test_what_the_daemon_would_not_apply_is_refused() -> None:
    """A person who adds the 257th mute learns it from the command; those that have ended take no room."""
    entries = {f"{number}": muted(f"text {number}", now_ms=NOW_MS)[1] for number in range(256)}
    with pytest.raises(ConfigurationError, match="256 entries of the kind 'mute' are in force"):
        refuse_too_many(entries, FeedbackKind.MUTE, NOW_MS)
    refuse_too_many(entries, FeedbackKind.MAINTENANCE, NOW_MS)
    entries["7"] = ended(entries["7"], NOW_MS)
    refuse_too_many(entries, FeedbackKind.MUTE, NOW_MS)

"""From settings to decoder and profile: every setting arrives where it is used."""

from __future__ import annotations

import pytest

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.profiles import decoder_of, profiles_of
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from tests.oracles import LogRecord


def settings_of(**values: str) -> Settings:
    return read_settings({f"LOGWARDEN_{name}": value for name, value in values.items()})


RECORD = LogRecord(b'{"what": "disk full", "who": "db", "when": "2024-01-01T00:00:00Z", "message": "x"}')


def test_a_decoder_reads_by_the_paths_of_the_settings() -> None:
    """Text, service and time come from the configured paths and not from the usual ones."""
    settings = settings_of(INPUT__TEXT_PATHS="what", INPUT__SERVICE_PATHS="who", INPUT__TIME_PATHS="when")
    found = decoder_of(settings).decode([RECORD])
    assert (found.lines, found.services, found.timestamps) == ([b"disk full"], ["db"], [1_704_067_200_000])


def test_a_format_may_replace_the_configured_one() -> None:
    """`scan` reads plain files as raw lines whatever the daemon's setting is."""
    settings = settings_of(INPUT__FORMAT="json", INPUT__TEXT_PATHS="what")
    assert decoder_of(settings).decode([RECORD]).lines == [b"disk full"]
    assert decoder_of(settings, format="raw").decode([RECORD]).lines == [RECORD.value]


def test_charset_and_zone_are_those_of_the_settings() -> None:
    """A producer of another country writes its own charset and its own time."""
    settings = settings_of(INPUT__ENCODING="cp866", INPUT__TIMEZONE="Asia/Tokyo")
    found = decoder_of(settings).decode([LogRecord("2024-01-01 09:00:00 ошибка".encode("cp866"))])
    assert (found.lines, found.timestamps) == (["2024-01-01 09:00:00 ошибка".encode()], [1_704_067_200_000])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ENCODING", "utf-99", "no charset: write auto"),
        ("ENCODING", "base64", "no charset: write auto"),
        ("TIMEZONE", "Europe/Nowhere", "no time zone: write a name"),
        ("TIMEZONE", "../etc/passwd", "no time zone: write a name"),
    ],
)
def test_a_charset_or_zone_that_is_none_is_refused(name: str, value: str, words: str) -> None:
    """A wrong name is found at start, with what to write instead."""
    with pytest.raises(ConfigurationError, match=words):
        settings_of(**{f"INPUT__{name}": value})


def test_long_lines_are_cut_at_the_limit() -> None:
    """The limit of reading is the one of `limits`, not the one of alerts."""
    settings = settings_of(LIMITS__MAX_LINE_CHARS="64", ALERTS__MAX_LINE_CHARS="16")
    found = decoder_of(settings).decode([LogRecord(b"a" * 64), LogRecord(b"a" * 65)])
    assert found.cut == 1
    assert len(found.lines[1].decode()) == 64


def test_a_topic_has_the_format_that_is_pinned_to_it() -> None:
    """A name counts before the patterns, the patterns count in order, and other topics have the format of all."""
    settings = settings_of(
        KAFKA__INPUT_TOPICS="app,web,^audit-",
        INPUT__FORMAT="json",
        INPUT__FORMATS="^audit-old=raw,^audit-=cef,web=access,audit-old-web=access",
    )
    profile_of = profiles_of(settings)
    request = LogRecord(b'192.0.2.7 - - [23/Nov/2026:10:00:00 +0000] "GET /cart HTTP/1.1" 502 157')
    event = LogRecord(b"CEF:0|V|Wall|4|7|Worm found|9|act=blocked")
    read = {
        topic: [bool(profile_of(topic).decoder.decode([record]).lines) for record in (RECORD, request, event)]
        for topic in ("app", "web", "audit-old-web", "audit-fw", "audit-old-fw")
    }
    assert read == {
        "app": [True, False, False],
        "web": [False, True, False],
        "audit-old-web": [False, True, False],
        "audit-fw": [False, False, True],
        "audit-old-fw": [True, True, True],
    }
    assert profile_of("web") is profile_of("audit-old-web"), "topics of one format share one decoder"


def test_a_profile_names_the_topics_of_the_settings() -> None:
    """Topics of one format share one profile, by identity, so that a batch needs one comparison."""
    lengths = {"ALERTS__MAX_LINE_CHARS": "99", "ALERTS__MAX_ORIGINAL_CHARS": "7"}
    settings = settings_of(KAFKA__ALERTS_TOPIC="found", KAFKA__DEAD_LETTER_TOPIC="buried", **lengths)
    profile_of = profiles_of(settings)
    profile = profile_of("a")
    assert profile_of("b") is profile
    assert (profile.alerts_topic, profile.dead_letter_topic) == ("found", "buried")
    assert (profile.max_alert_line_chars, profile.max_original_chars) == (99, 7)
    assert profile.threshold is None, "the model's own threshold, which settings may replace in the policy"

"""`logwarden feedback`, `mute` and `maintenance`: options in, one line about what was given out."""

from __future__ import annotations

import getpass
import io
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from logwarden.daemon.__main__ import app
from logwarden.daemon.commands import feedback as commands
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.feedback.office import FeedbackOffice
from logwarden.daemon.feedback.records import FeedbackRecord
from logwarden.daemon.kafka import connection
from logwarden.daemon.kafka.compacted import CompactedTopic
from logwarden.daemon.records import KeyedRecord
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.kafka import KafkaSettings
from logwarden.model.feedback import FeedbackKind
from tests.feedback_stand_ins import FeedbackTopic
from tests.unit.daemon.feedback.test_office import alert
from tests.unit.daemon.feedback.test_records import TWO

Run = Callable[..., str]


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> FeedbackTopic:
    """The topic that the commands of a test use."""
    made = FeedbackTopic(TWO)

    @asynccontextmanager
    async def office(_: Settings) -> AsyncIterator[FeedbackOffice]:
        yield made.office

    monkeypatch.setattr(commands, "_office", office)
    monkeypatch.setattr(commands, "SystemClock", lambda: made.clock)
    return made


@pytest.fixture
def run(topic: FeedbackTopic) -> Run:
    """Runs a command line to its end, and returns what it printed."""

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return run


def entries(topic: FeedbackTopic) -> list[FeedbackRecord]:
    import asyncio

    return list(asyncio.run(topic.office.entries()).values())


def test_an_incident_is_judged(topic: FeedbackTopic, run: Run) -> None:
    """The line names the kind, the services, a line of the incident and the reason; the note names the way back."""
    printed = run("feedback", TWO.id[:8], "--expected", "--for", "7d", "--service", "d*", "--note", "nightly")
    assert "EXPECTED" in printed
    assert "disk 7 is full" in printed
    assert "(nightly)" in printed
    assert f"logwarden feedback undo incident/{TWO.id}" in printed
    [record] = entries(topic)
    assert (record.kind, record.services, record.until) == (FeedbackKind.EXPECTED, ("d*",), "2026-11-30T10:10:00.000Z")
    run("feedback", TWO.id, "--real")
    assert [one.kind for one in entries(topic)] == [FeedbackKind.REAL]


def test_feedback_is_listed_and_undone(topic: FeedbackTopic, run: Run) -> None:
    """What has ended is listed on request only, for people and for programs."""
    run("mute", "check of *", "--service", "web")
    run("feedback", "undo", "mute/")
    assert "no feedback to show" in run("feedback", "list")
    assert "MUTE" in run("feedback", "list", "--all")
    [row] = run("feedback", "list", "--all", "--format", "jsonl").splitlines()
    assert json.loads(row)["pattern"] == "check of *"


def test_maintenance_is_announced_listed_and_ended(topic: FeedbackTopic, run: Run) -> None:
    """A deploy job begins and ends it; the list has those that ended as well."""
    run("maintenance", "start", "deploy-7", "--system", "shop", "--for", "10m", "--reason", "7.1")
    assert "until 2026-11-23T10:20:00.000Z  system shop  (7.1)" in run("maintenance", "list")
    topic.clock.at += 60_000
    run("maintenance", "stop")
    assert "ended 2026-11-23T10:11:00.000Z" in run("maintenance", "list")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("feedback", "abcd"), "either expected or real"),
        (("feedback", "abcd", "--expected", "--real"), "either expected or real"),
        (("feedback", "undo"), "undo needs a name"),
        (("mute", "abc", "--for", "soon"), "no length of time"),
        (("feedback", "abcd", "efgh", "--real"), "'efgh' is one word too many"),
        (("maintenance", "stop", "deploy-7", "--for", "10m"), "'stop' takes no --service"),
        (("maintenance", "list", "--system", "shop"), "'list' takes no --service"),
    ],
)
def test_options_that_mean_nothing_are_refused(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    """With one sentence, before anything is read or written."""
    with pytest.raises(ConfigurationError, match=sentence):
        run(*arguments)


def test_judged_lines_are_exported(topic: FeedbackTopic, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output has the rows that `logwarden train --lines` reads, and nothing else."""
    values = [KeyedRecord(b"db", alert(3, "a", "bb", "ccc"))]

    async def read(_: CompactedTopic) -> list[KeyedRecord]:
        return values

    monkeypatch.setattr(CompactedTopic, "read_all", read)
    out, notes = io.StringIO(), Console(file=io.StringIO(), width=200)

    def export() -> str:
        import asyncio

        asyncio.run(commands.export(Settings(), out, notes))
        assert isinstance(notes.file, io.StringIO)
        return notes.file.getvalue()

    assert "Judge incidents with" in export()
    record = {"schema_version": 1, "kind": "real", "given": "2026-11-23T10:00:00Z"}
    record["lines"] = [{"service": "db", "text": "x", "dedup_key": f"db:{3:016x}"}]
    _write(topic, "incident/1", record)
    assert "1 lines were judged real, 0 expected" in export()
    assert [json.loads(row)["label"] for row in out.getvalue().splitlines()] == [None, None, 1]


async def test_without_a_topic_there_is_no_office() -> None:
    """The sentence names the setting."""
    with pytest.raises(ConfigurationError, match="there is no feedback topic"):
        await commands.undo(Settings(kafka=KafkaSettings(feedback_topic=None)), "x", Console())


def _write(topic: FeedbackTopic, key: str, record: dict[str, Any]) -> None:
    from logwarden.daemon.records import Message

    topic.sink.sent.append([Message(topic="feedback", key=key.encode(), value=json.dumps(record).encode())])


async def test_an_office_is_opened_without_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Access is checked first, so that a refused login is one sentence; topics are reached when they are used."""
    checked: list[KafkaSettings] = []

    async def check(settings: KafkaSettings) -> None:
        checked.append(settings)

    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(connection, "check_access", check)
    monkeypatch.setattr(getpass, "getuser", nameless)
    async with commands._office(Settings()) as office:
        assert isinstance(office, FeedbackOffice)
        assert office._by == socket.gethostname()
    assert len(checked) == 1


@pytest.mark.parametrize(
    ("choice", "sentence"), [("--expected", "The incident ends once it is quiet"), ("--real", "are not judged.\n")]
)
def test_a_long_incident_is_judged_in_part(topic: FeedbackTopic, run: Run, choice: str, sentence: str) -> None:
    """A person learns that the record lists some of its lines only, and what ends the incident."""
    assert "kinds of lines" not in run("feedback", TWO.id, choice)
    facts = msgspec.structs.replace(TWO.logwarden, more_lines=7)
    long = msgspec.structs.replace(TWO, logwarden=facts).encode()
    topic.incidents[0] = KeyedRecord(TWO.id.encode(), long)
    printed = run("feedback", TWO.id, choice)
    assert "lists 2 kinds of lines, and the others are not judged." in printed
    assert sentence in printed

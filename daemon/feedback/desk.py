"""Keeps the feedback that is in force in this replica: follows the topic, and reads the file when it changes.

Every replica reads the topic from its begin and follows it, without a group. So each has the same feedback, seconds
after it was given, and has it again after a restart. A topic that is missing or cannot be read stops no alert: what was
read last stays in force, and readiness, a metric and one log line show why. Belongs to the event loop; other threads
read the book, which is replaced as a whole.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import structlog

from logwarden.daemon.errors import BrokerUnavailable, LogwardenError, TopicUnusable
from logwarden.daemon.feedback.file import read_file
from logwarden.daemon.feedback.newest import NewestRecords, name_of, read_record
from logwarden.daemon.feedback.records import FeedbackRecord, KindOf, feedback_of
from logwarden.daemon.health import HealthState, sentence_of
from logwarden.daemon.ports import Clock, TopicFollower
from logwarden.daemon.records import FollowedEntries
from logwarden.daemon.telemetry import Telemetry
from logwarden.model.feedback import NO_FEEDBACK, Feedback, FeedbackBook, FeedbackKind, Tails

log = structlog.get_logger(__name__)

RETRY_S = 2.0
"""Seconds between two attempts to reach the topic: it is in force within five seconds after it was created."""
READ_AGAIN_S = 300.0
"""Seconds after which the topic is read from its begin again."""
FILE_S = 2.0
"""Seconds between two looks at the file."""

_Entry = tuple[FeedbackRecord, Feedback]
LoadFile = Callable[[Path], bytes]


class FeedbackDesk:
    """The task. `run` never returns by itself. `book` is what is in force now."""

    def __init__(
        self,
        topic: TopicFollower | None,
        clock: Clock,
        telemetry: Telemetry,
        health: HealthState,
        *,
        kind_of: KindOf,
        name: str = "",
        file: Path | None = None,
        load: LoadFile = Path.read_bytes,
        system: re.Pattern[str] | None = None,
        tails: Tails | None = None,
    ) -> None:
        self._topic = topic
        self._clock = clock
        self._telemetry = telemetry
        self._health = health
        self._kind_of = kind_of
        self._name = name
        self._file = file
        self._load = load
        self._system = system
        self._tails = tails
        self._of_topic = NewestRecords[_Entry]()
        self._incoming = NewestRecords[_Entry]()
        """What is being read from the begin of the topic, before it replaces what is in force."""
        self._of_file: list[Feedback] = []
        self._content: bytes | None = None
        self._failures: dict[str, str] = {}
        """Why the topic or the file is not read now."""
        self._is_read = asyncio.Event()
        """Set as well where the topic cannot be read: nothing waits for it."""
        self._was_read = False
        self.book = NO_FEEDBACK

    async def run(self) -> None:
        """Follows the topic and the file until it is cancelled."""
        self._look_at_file()
        self._rebuild()  # a user who keeps feedback in a file may never create the topic
        if self._topic is None:
            self._is_read.set()
        elif not self._failures:
            self._health.feedback = "starting"
        await asyncio.gather(self._follow_file(), self._follow_topic())

    def complete_entries(self) -> dict[str, FeedbackRecord] | None:
        """Returns what was read of the topic by its keys. Returns None while it has never been read as a whole."""
        return self.entries() if self._was_read else None

    def entries(self) -> dict[str, FeedbackRecord]:
        """Returns what was read of the topic by its keys."""
        return {key: record for key, (record, _) in self._of_topic.newest.items()}

    def note(self) -> str:
        """Returns the sentences why feedback is not read now; empty if it is."""
        return " ".join(self._failures.values())

    async def read_once(self, limit_s: float) -> None:
        """Waits until the topic was read, or cannot be read now, so that the first alert is judged by it."""
        try:
            async with asyncio.timeout(limit_s):
                await self._is_read.wait()
        except TimeoutError:
            log.warning("feedback_not_read_yet", topic=self._name, limit_s=limit_s)

    # ---------------------------------------------------------------- the topic

    async def _follow_topic(self) -> None:
        while self._topic is not None:
            is_silent = False
            try:
                await self._read(self._topic)
                continue
            except LogwardenError as error:
                is_silent = isinstance(error, BrokerUnavailable) and not isinstance(error, TopicUnusable)
                self._failed("topic", f"{sentence_of(str(error))} {sentence_of(error.hint)}".strip())
            except Exception as error:  # a bug here must not end the daemon, which publishes alerts without feedback
                log.exception("feedback_bug")
                self._failed("topic", f"Feedback met a bug of logwarden ({type(error).__name__}); see the log.")
            if not is_silent:  # a broker that answers a moment later has feedback for the first alert
                self._is_read.set()
            await self._clock.sleep(RETRY_S)

    async def _read(self, topic: TopicFollower) -> None:
        """Follows the topic from its begin for a while. A topic that was created again is then read as a whole."""
        self._incoming, until = NewestRecords[_Entry](), self._clock.monotonic() + READ_AGAIN_S
        async with aclosing(cast(Any, topic.follow(0))) as pieces:
            async for piece in pieces:
                self._take(piece)
                # A topic that was created again while it was read never reaches its old end: nothing comes any more.
                is_idle = piece.is_caught_up or not piece.entries
                if is_idle and self._clock.monotonic() >= until:
                    return

    def _take(self, piece: FollowedEntries) -> None:
        """Takes records in the order of their partitions, and applies them once nothing older is missing."""
        partitions = piece.partitions or [0] * len(piece.entries)
        counts = Counter(self._enter(*row, number) for row, number in zip(piece.entries, partitions, strict=True))
        for outcome, count in counts.items():
            self._telemetry.feedback_read(outcome, count)
        is_new = counts or self._of_topic is not self._incoming or "topic" in self._failures
        if piece.is_caught_up and is_new:
            self._of_topic, self._was_read = self._incoming, True
            self._failures.pop("topic", None)
            self._note_scattered()
            self._rebuild()
            self._is_read.set()

    def _note_scattered(self) -> None:
        """Shows that feedback may come back that was taken back or replaced: compaction forgets the newer record."""
        scattered = self._of_topic.scattered
        if not scattered:
            self._failures.pop("keys", None)
            return
        name, (one, other) = min(scattered.items())
        self._failed(
            "keys",
            f"The key {name[:80]!r} has feedback in the partitions {one} and {other} of the topic {self._name!r}, and "
            f"{len(scattered) - 1:,} other keys have it in two, so that older feedback may come back. Partitions "
            "were added, or a client chooses them otherwise (librdkafka needs partitioner=murmur2_random). Create the "
            "topic again with one partition, and give the feedback again.",
        )

    def _enter(self, key: bytes, value: bytes | None, time_ms: int, partition: int) -> str:
        """Enters one record. Returns what became of it."""
        name, entry, outcome = name_of(key), None, "removed"
        if value is not None:
            try:
                record = read_record(key, value)
                entry, outcome = (record, feedback_of(name, record, self._kind_of)), "read"
            except ValueError as error:
                log.warning("feedback_unreadable", topic=self._name, key=name[:80], reason=str(error)[:300])
                outcome = "unreadable"
        return outcome if self._incoming.put(name, entry, time_ms=time_ms, partition=partition) else "refused"

    # ---------------------------------------------------------------- the file

    async def _follow_file(self) -> None:
        while self._file is not None:
            await self._clock.sleep(FILE_S)
            if self._look_at_file():
                self._rebuild()

    def _look_at_file(self) -> bool:
        """Reads the file if it has changed. Returns True if its entries have changed.

        A file that cannot be used leaves the last good one in force.
        """
        if self._file is None:
            return False
        try:
            content = self._load(self._file)
            if content == self._content:
                return False
            self._content = content
            self._of_file = read_file(content, self._kind_of)
        except (OSError, ValueError) as error:
            cause = (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
            self._failed("file", f"The feedback file {self._file} cannot be used: {sentence_of(cause)} Correct it.")
            return False
        self._failures.pop("file", None)
        log.info("feedback_file_read", file=str(self._file), entries=len(self._of_file))
        return True

    # ---------------------------------------------------------------- what is in force

    def _rebuild(self) -> None:
        of_topic = [entry for _, entry in self._of_topic.newest.values()]
        self.book = FeedbackBook([*self._of_file, *of_topic], system=self._system, tails=self._tails)
        if self.book.refused:
            self._report_refused()
        self._show()

    def _report_refused(self) -> None:
        """Counts and logs feedback in force for which there is no room. What has ended makes room without a word."""
        now_ms = self._clock.now_ms()
        refused = sum(one.until_ms is None or one.until_ms > now_ms for one in self.book.refused)
        if refused:
            self._telemetry.feedback_read("refused", refused)
            log.warning("feedback_refused", entries=refused, hint="undo feedback that is not needed")

    def _failed(self, what: str, sentence: str) -> None:
        """Shows why feedback is not read; logs each reason once until it is read again."""
        if self._failures.get(what) != sentence:
            self._failures[what] = sentence
            log.warning("feedback_not_read", topic=self._name, reason=sentence)
        self._show()

    def _show(self) -> None:
        counts = Counter(entry.kind for entry in self.book)
        self._health.feedback = self.note() or "followed"
        self._telemetry.feedback({kind.value: counts[kind] for kind in FeedbackKind}, failing=bool(self._failures))

"""Errors of the daemon, sorted by what the caller does next. Each carries its facts and writes its own sentence.

LogwardenError
├── ConfigurationError     stop, exit code 2: the operator must change a setting
├── FatalError             stop, exit code 1: going on would lose or repeat work
│   ├── BrokerRefused      stop, exit code 1: the broker answered and said no (credentials, permissions)
│   └── TaskEnded          stop, exit code 1: a task that should run for ever ended
├── BrokerUnavailable      retry: nobody answered
├── OffsetsGone            continue at the oldest offset kept: retention deleted the wanted ones, an incident
├── UnreadableBatch        continue with the other partitions: one stands still at a batch that cannot be read
└── UndecodableRecord      skip this record: it goes to the dead-letter topic
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_DRAINED = 0
EXIT_FATAL = 1
EXIT_CONFIGURATION = 2


class LogwardenError(Exception):
    """Root of the tree. `hint` says what to do about it; `str()` is one sentence."""

    hint: str = ""


class ConfigurationError(LogwardenError):
    """A setting is wrong, or something a setting names is not there."""

    def __init__(self, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint


class FatalError(LogwardenError):
    """The daemon must stop; what is not committed will be replayed by the next owner of the partition."""

    def __init__(self, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint


class BrokerRefused(FatalError):
    """The broker was reached and refused us: wrong password, missing permission, unsupported mechanism."""


class TaskEnded(FatalError):
    """One of the tasks that live as long as the daemon ended without being told to."""

    def __init__(self, task: str) -> None:
        super().__init__(f"the task {task!r} ended although it should run as long as the daemon does")
        self.task = task


class BrokerUnavailable(LogwardenError):
    """No broker answered in time; trying again may help."""

    def __init__(self, bootstrap: str, cause: str) -> None:
        super().__init__(f"no Kafka broker answered at {bootstrap}: {cause}")
        self.bootstrap = bootstrap
        self.hint = "check LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS and that the broker is up"


class OffsetsGone(LogwardenError):
    """The broker no longer holds the offsets that we wanted to read next."""

    def __init__(self, partitions: Sequence[tuple[str, int]]) -> None:
        names = ", ".join(f"{topic}/{partition}" for topic, partition in partitions)
        super().__init__(f"the offsets wanted next are gone from {names}")
        self.partitions = partitions


class UnreadableBatch(LogwardenError):
    """A batch on the broker that the client cannot decode: damaged, or compressed in a way that it does not know."""

    def __init__(self, partition: tuple[str, int], offset: int, reason: str) -> None:
        self.topic, self.partition = partition
        self.offset = offset
        self.reason = reason
        super().__init__(f"{self.topic}/{self.partition} stands still at offset {offset}: {reason}")
        self.hint = "compare the partition's replicas; to skip the batch, commit a later offset for the stopped group"


class UndecodableRecord(LogwardenError):
    """A record that holds no log line. `stage` says which step gave up on it."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage

"""Errors of the daemon, sorted by what the caller does next. Each carries its facts and writes its own sentence.

LogwardenError
├── ConfigurationError     stop, exit code 2: the operator must change a setting
├── FatalError             stop, exit code 1: going on would lose or repeat work
│   ├── BrokerRefused      stop, exit code 1: the broker answered and refused (credentials, permissions)
│   ├── TaskEnded          stop, exit code 1: a task that should run as long as the daemon ended
│   └── Stuck              stop, exit code 3: the daemon does nothing although it could; a restart helps
├── IncidentsFound         stop, exit code 4: a scan found what its caller wants to fail on
├── BrokerUnavailable      retry: no broker answered
│   ├── TopicUnusable      retry: an output topic is missing, or this member may not write to it
│   └── SessionFailed      retry: an address answered, but TLS or the login failed in a way that may pass
├── RegistryUnavailable    retry: no schema registry answered, or it refused this client; records of a schema wait
├── DestinationUnavailable retry: a destination of the bridge does not take an incident now
├── NoticeRefused          bury what was to be sent: a destination of the bridge will never take it
├── SchemaRefused          bury the records of a schema: the registry has none of this number, or it cannot be used
├── OffsetsGone            continue at the oldest offset kept: retention deleted the wanted ones, an incident
├── TopicRecreated         continue with the new topic from its begin: the one that was read was deleted
├── UnreadableBatch        continue with the other partitions: one is stopped at a batch that cannot be read
├── BatchSkipped           continue: a batch that cannot be read was left out, as the operator has set
└── UndecodableRecord      skip this record: it goes to the dead-letter topic
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_DRAINED = 0
EXIT_FATAL = 1
EXIT_CONFIGURATION = 2
EXIT_STUCK = 3
EXIT_FOUND = 4


class LogwardenError(Exception):
    """Root of the tree. `str()` is one sentence; `hint` is the action to take, empty if there is none."""

    hint: str = ""
    exit_code: int = EXIT_FATAL


class ConfigurationError(LogwardenError):
    """A setting is wrong, or the file, folder or device that it names is missing."""

    exit_code = EXIT_CONFIGURATION

    def __init__(self, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint


class FatalError(LogwardenError):
    """The daemon must stop. The next owner of the partitions replays the lines that are not committed."""

    def __init__(self, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint


class BrokerRefused(FatalError):
    """The broker answered and refused: wrong password, missing permission, unsupported mechanism, wrong certificate."""


class IncidentsFound(LogwardenError):
    """A scan found incidents, and its caller set `--fail-on incident`."""

    exit_code = EXIT_FOUND

    def __init__(self, count: int) -> None:
        super().__init__("1 incident was found" if count == 1 else f"{count:,} incidents were found")


class TaskEnded(FatalError):
    """One of the tasks that should run as long as the daemon ended by itself."""

    def __init__(self, task: str) -> None:
        super().__init__(f"the task {task!r} ended, although it should run as long as the daemon")
        self.task = task


class Stuck(FatalError):
    """The daemon has work, nothing outside keeps it from doing it, and yet nothing is done."""

    exit_code = EXIT_STUCK


class BrokerUnavailable(LogwardenError):
    """No broker answered in time; a retry may succeed."""

    def __init__(self, bootstrap: str, cause: str) -> None:
        super().__init__(f"no Kafka broker answered at {bootstrap}: {cause}")
        self.bootstrap = bootstrap
        self.hint = "check LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS and that the broker is running"


class TopicUnusable(BrokerUnavailable):
    """A topic of the daemon's own cannot be used. `hint` is what the operator does; a retry succeeds after that."""

    def __init__(self, topic: str, reason: str, *, hint: str, use: str = "written to") -> None:
        LogwardenError.__init__(self, f"the topic {topic!r} cannot be {use}: {reason}")
        self.topic = topic
        self.hint = hint


class TopicMissing(TopicUnusable):
    """A topic of the daemon's own does not exist."""


class RegistryUnavailable(LogwardenError):
    """The schema registry did not answer the question for a schema. Records of the schema wait meanwhile."""

    def __init__(self, sentence: str, *, hint: str) -> None:
        super().__init__(sentence)
        self.hint = hint


class SchemaRefused(LogwardenError):
    """Records of a schema cannot be read. `may_come`: the registry may have the schema later."""

    def __init__(self, reason: str, *, may_come: bool = False) -> None:
        super().__init__(reason)
        self.may_come = may_come


class DestinationUnavailable(LogwardenError):
    """A destination of the bridge did not take an incident, and may take it later.

    `retry_after_s`: the pause that it asked for. `hint`: what the operator can do; empty if waiting is all.
    """

    def __init__(self, sentence: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.hint = hint
        self.retry_after_s = retry_after_s


class NoticeRefused(LogwardenError):
    """A destination of the bridge refused what was sent about an incident; a retry would be refused as well."""


class TopicRecreated(LogwardenError):
    """A topic was deleted and created again: offsets that this member knows are those of other lines now."""

    def __init__(self, partitions: Sequence[tuple[str, int]]) -> None:
        names = ", ".join(sorted({topic for topic, _ in partitions}))
        super().__init__(f"the topic was deleted and created again: {names}")
        self.partitions = partitions


class SessionFailed(BrokerUnavailable):
    """An address answered, but no session began. A retry may succeed: brokers restart, and certificates are renewed."""

    def __init__(self, bootstrap: str, sentence: str, *, hint: str) -> None:
        LogwardenError.__init__(self, sentence)
        self.bootstrap = bootstrap
        self.hint = hint


class OffsetsGone(LogwardenError):
    """The broker no longer has the offsets that this member wanted to read next."""

    def __init__(self, partitions: Sequence[tuple[str, int]]) -> None:
        names = ", ".join(f"{topic}/{partition}" for topic, partition in partitions)
        super().__init__(f"the broker no longer has the next offsets of {names}")
        self.partitions = partitions


class UnreadableBatch(LogwardenError):
    """The client cannot decode a batch on the broker: damaged, or compressed with a codec that it does not have."""

    def __init__(self, partition: tuple[str, int], offset: int, reason: str) -> None:
        self.topic, self.partition = partition
        self.offset = offset
        self.reason = reason
        super().__init__(f"{self.topic}/{self.partition} is stopped at offset {offset}: {reason}")
        self.hint = "compare the partition's replicas; LOGWARDEN_KAFKA__UNREADABLE_BATCHES=skip leaves such batches out"


class BatchSkipped(LogwardenError):
    """The offsets from `first` to `last` were left out, because their batch cannot be decoded."""

    def __init__(self, partition: tuple[str, int], first: int, last: int, reason: str) -> None:
        self.topic, self.partition = partition
        self.first, self.last = first, last
        self.reason = reason
        super().__init__(f"the offsets {first} to {last} of {self.topic}/{self.partition} were skipped: {reason}")


class UndecodableRecord(LogwardenError):
    """A record from which no log line can be read. `stage` is the step that failed."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage

"""Names what the pipeline needs from the world. `daemon/service.py` builds everything that has an effect.

Knows no implementation: `daemon/kafka` and `daemon/engine` are the real ones, `tests/sim` has others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from logwarden.daemon.health import HealthState
from logwarden.daemon.records import (
    AlertBatch,
    Bounds,
    Committed,
    Delivery,
    Entries,
    Fetched,
    FollowedEntries,
    KeyedRecord,
    Message,
    Partition,
    Record,
    SchemaText,
)
from logwarden.daemon.roster import GroupDescription
from logwarden.daemon.telemetry import Telemetry
from logwarden.model.feedback import NO_FEEDBACK, FeedbackBook
from logwarden.model.lines import LineTable
from logwarden.model.verdicts import AlertPolicy, Scores
from logwarden.model.windowing import WindowBatch

T = TypeVar("T")

TRANSACTION_TIMEOUT_S = 5.0
"""Time after which brokers end the transaction of a writer that died: until then readers wait behind it."""


class Clock(Protocol):
    """See `daemon/clock.py`."""

    def monotonic(self) -> float: ...
    def now_ms(self) -> int: ...
    async def sleep(self, seconds: float) -> None: ...


class RebalanceListener(Protocol):
    """Called by the source at a rebalance. Both calls may take time; the group waits for them."""

    async def on_revoked(self, partitions: Sequence[Partition]) -> None: ...
    async def on_assigned(self, partitions: Sequence[Partition]) -> None: ...


class Source(Protocol):
    """Where records come from. Errors: BrokerUnavailable (try again), BrokerRefused (stop)."""

    async def start(self, listener: RebalanceListener) -> None:
        """Joins the group. Returns once the broker was reached."""

    async def fetch(self) -> Fetched:
        """Returns the records that have arrived, in order per partition; waits a moment if there are none.

        Raises OffsetsGone once for partitions whose next offset the broker no longer has. Raises UnreadableBatch when
        a partition stands still at a batch that cannot be read; the other partitions continue. Raises BatchSkipped
        after such a batch was left out. Raises TopicRecreated for partitions whose topic is no longer the one that
        `bounds` described.
        """

    async def committed(self, partitions: Sequence[Partition] | None) -> Mapping[Partition, Committed]:
        """Returns committed offsets with their metadata; partitions without one are left out.

        None: of all partitions of the topics that the group reads.
        """

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        """Returns the offsets that these partitions hold."""

    def silent_s(self) -> float:
        """Seconds since the broker last answered a fetch of a partition that is read; 0 without such partitions."""

    def missing_topics(self) -> list[str]:
        """Returns the input topics, of those given by name, that the cluster lacks, as of its last answer."""

    def end(self, partition: Partition) -> int | None:
        """Returns the offset that the partition's next record will get, as of the last fetch; None before it."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Makes the next fetch of a partition start at this offset."""

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        """Commits. Raises BrokerUnavailable if the broker did not take it."""

    def pause(self, partitions: Collection[Partition]) -> None:
        """Lets `fetch` return nothing of these partitions, without leaving the group."""

    def resume(self, partitions: Collection[Partition]) -> None:
        """Ends `pause` for these partitions."""

    async def stop(self) -> None:
        """Leaves the group."""


class Sink(Protocol):
    """Where alerts and dead letters go."""

    async def start(self) -> None: ...

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
        """Returns the outcome of each message, all of which are for one topic.

        Raises TopicUnusable if the topic is missing or this member may not write to it, BrokerUnavailable if no broker
        answered, BrokerRefused if no retry can help. Whatever it raises, some messages may be in the topic.
        """

    async def stop(self) -> None: ...


class SchemaRegistry(Protocol):
    """Where schemas come from."""

    async def schema(self, number: int) -> SchemaText:
        """Returns a schema with all that it refers to.

        Raises RegistryUnavailable if a later question may be answered, SchemaRefused if there is no such schema.
        """


class StateReader(Protocol):
    """Where the records of the state topic are read again."""

    async def read(self, partitions: Collection[int], take: Callable[[Entries], None]) -> None:
        """Passes the records (key, value) that belong to input partitions of these numbers to `take`, in order.

        Passes none if the topic does not exist. Raises BrokerUnavailable if they cannot be read now, TopicUnusable if
        this member may not read them.
        """


class Transaction(Protocol):
    """Messages of one topic that readers see once all of them count. Errors: BrokerUnavailable."""

    async def send(self, messages: Sequence[Message]) -> None:
        """Writes messages. Their place in the log is final."""

    async def read(self) -> Sequence[KeyedRecord]:
        """Returns all records of the topic, those of transactions that were not committed included."""

    async def commit(self) -> None:
        """Makes the messages count."""


class Transactions(Protocol):
    """Transactions of one topic, one at a time in the whole cluster."""

    def begin(self) -> AbstractAsyncContextManager[Transaction]:
        """Begins one, which ends every earlier one. One that is left without a commit, or whose writer dies, is void.

        Raises BrokerUnavailable if that is not possible now, TopicUnusable if the brokers do not allow it.
        """


class AlertReader(Protocol):
    """Where alerts are read again to be folded. One member of the group reads all of them; the others stand by."""

    async def start(self) -> None:
        """Joins the group. Raises BrokerUnavailable if that is not possible now."""

    async def fetch(self, partitions: Collection[int] | None = None) -> AlertBatch:
        """Returns the alerts that have arrived, of these partitions only if some are named; waits a moment if none."""

    async def published(self) -> Sequence[tuple[bytes, bytes | None]]:
        """Returns the newest records (key, value) of the incidents topic. Raises BrokerUnavailable if it has none."""

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Commits the offset from which the next term reads each partition."""

    async def stop(self) -> None:
        """Leaves the group."""


class TopicFollower(Protocol):
    """Where a topic is read as it grows."""

    def follow(self, since_ms: int) -> AsyncIterator[FollowedEntries]:
        """Yields the records from this time of publication on as they come. Ends by LogwardenError only."""


class GroupReader(Protocol):
    """Where the members of this group are looked up for people."""

    async def describe(self) -> GroupDescription:
        """Returns the members. Raises LogwardenError only."""


class PieceReader(Protocol):
    """Where some records are looked up for people."""

    async def read(self, partition: Partition, offset: int, most: int) -> Sequence[Record]:
        """Returns at most `most` records from this offset on; none if they are deleted. Raises LogwardenError only."""


class Scorer(Protocol):
    """The model, on its device."""

    def score(self, batch: WindowBatch) -> Scores:
        """Scores windows; called on one thread at a time."""


class Worker(Protocol):
    """Runs functions one after another, away from the event loop."""

    async def run(self, function: Callable[..., T], *args: Any) -> T: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Everything that comes from one model, so that another model replaces it as a whole."""

    scorer: Scorer
    table: LineTable
    """Line ids and embeddings; filled by the one stream that is opened on it, read where windows are scored."""
    policy: AlertPolicy
    """The rule that makes an alert of a score, with the model's revision."""
    device: str = "cpu"
    """Where the scorer computes, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world of one pipeline."""

    source: Source
    sink: Sink
    ingest_worker: Worker
    score_worker: Worker
    clock: Clock
    telemetry: Telemetry
    health: HealthState
    state: StateReader | None = None
    """None: what services have learned is not kept."""
    feedback: Callable[[], FeedbackBook] = lambda: NO_FEEDBACK
    """Returns the feedback of people that is in force now."""

"""What the pipeline asks of the world. Everything with an effect is one of these, built in `logwarden.daemon.service`.

Knows no implementation: `daemon/kafka` and `daemon/engine` are the real ones, `tests/sim` has others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from logwarden.daemon.records import Bounds, Committed, Message, Partition, Record
from logwarden.model.verdicts import Scores
from logwarden.model.windowing import WindowBatch

T = TypeVar("T")


class Clock(Protocol):
    """See `logwarden.daemon.clock.SystemClock`."""

    def monotonic(self) -> float: ...
    def now_ms(self) -> int: ...
    async def sleep(self, seconds: float) -> None: ...


class RebalanceListener(Protocol):
    """Told by the source when partitions come and go. Both calls may take time; the group waits for them."""

    async def on_revoked(self, partitions: Sequence[Partition]) -> None: ...
    async def on_assigned(self, partitions: Sequence[Partition]) -> None: ...


class Source(Protocol):
    """Where records come from. Errors: BrokerUnavailable (try again), BrokerRefused (stop)."""

    async def start(self, listener: RebalanceListener) -> None:
        """Joins the group. Returns once the broker was reached."""

    async def fetch(self) -> Mapping[Partition, Sequence[Record]]:
        """What has arrived, in order per partition; waits a moment if nothing has, then returns nothing.

        Raises OffsetsGone once for partitions whose next offset the broker no longer holds.
        """

    async def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, Committed]:
        """Committed offsets with their metadata; partitions without one are left out."""

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        """The offsets these partitions hold."""

    def end(self, partition: Partition) -> int | None:
        """The offset that the partition's next record will get, as last heard; None if nothing was heard yet."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Makes the next fetch of a partition start at this offset."""

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        """Commits; BrokerUnavailable if it did not happen."""

    def pause(self) -> None:
        """Lets `fetch` return nothing, without leaving the group."""

    def resume(self) -> None:
        """Ends `pause`."""

    async def stop(self) -> None:
        """Leaves the group."""


class Sink(Protocol):
    """Where alerts and dead letters go."""

    async def start(self) -> None: ...

    async def send(self, messages: Sequence[Message]) -> None:
        """Returns when every message is acknowledged by all in-sync replicas; BrokerUnavailable if one is not."""

    async def stop(self) -> None: ...


class Scorer(Protocol):
    """The model, on its device."""

    def score(self, batch: WindowBatch) -> Scores:
        """Scores windows; called on one thread at a time."""


class Worker(Protocol):
    """Runs functions one after another, away from the event loop."""

    async def run(self, function: Callable[..., T], *args: Any) -> T: ...

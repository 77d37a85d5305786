"""What a member publishes when it joins, and what it reads of the others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaConnectionError

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.kafka import group as module
from logwarden.daemon.kafka.assignor import publishing
from logwarden.daemon.kafka.client import ReadingClient
from logwarden.daemon.kafka.group import KafkaGroup, member_of
from logwarden.daemon.records import Partition
from logwarden.daemon.roster import GroupDescription, MemberCard
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.fakes import capture, events

CARD = MemberCard(id="a1", name="pod-0/1", address="http://10.0.0.7:8080")
ASSIGNED = ConsumerProtocolMemberAssignment(0, [("logs", [2, 0]), ("audit", [1])], b"").encode()


def joined(card: bytes) -> bytes:
    metadata: bytes = publishing(lambda: card).metadata(["logs"]).encode()
    return metadata


def test_the_card_travels_beside_the_subscription() -> None:
    """The coordinator passes on what a member published, with its partitions."""
    member = member_of("id-1", "client", "/10.0.0.7", joined(CARD.encode()), ASSIGNED)
    assert (member.member_id, member.host, member.card) == ("id-1", "10.0.0.7", CARD)
    assert member.partitions == (Partition("audit", 1), Partition("logs", 0), Partition("logs", 2))


def test_partitions_are_divided_as_before() -> None:
    """Members of both releases may lead the group: the name of the protocol and its division are the client's own."""
    theirs = publishing.__globals__["RoundRobinPartitionAssignor"]
    ours = publishing(CARD.encode)
    assert ours.name == theirs.name == "roundrobin"
    cluster = SimpleNamespace(partitions_for_topic=lambda topic: {0, 1, 2, 3, 4})
    members = {"old": theirs.metadata(["logs"]), "new": ours.metadata(["logs"])}
    assert ours.assign(cluster, members) == theirs.assign(cluster, members)
    assert ours.metadata(["logs"]).subscription == ["logs"]


def test_a_card_that_fails_keeps_no_member_from_its_group() -> None:
    """The data path does not depend on what people see."""

    def failing() -> bytes:
        raise RuntimeError("no address")

    with capture() as caught:
        metadata = publishing(failing).metadata(["logs"])
    assert (metadata.subscription, metadata.user_data) == (["logs"], b"")
    assert events(caught, "no_member_card") == [{"error": "no address", "log_level": "warning"}]


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        b"",
        b"\x00",
        b"\xff" * 40,
        joined(b""),
        joined(b"{}")[:-1],
        b"\x00\x00\x7f\xff\xff\xff",
        joined(b"\xff" * 99),
    ],
)
def test_other_metadata_are_a_member_without_a_card(metadata: bytes | None) -> None:
    """Bytes of any other program are no error: its member is named, and not asked."""
    member = member_of("id-1", "client", "/10.0.0.7", metadata, metadata)
    assert member.card is None
    assert isinstance(member.partitions, tuple)


class Admin:
    """A coordinator that answers, or does not."""

    failure: Exception | None = None
    answer: Any = None
    closed = 0

    def __init__(self, **_: Any) -> None: ...

    async def start(self) -> None:
        if Admin.failure is not None:
            raise Admin.failure

    async def describe_consumer_groups(self, groups: list[str]) -> list[Any]:
        return [SimpleNamespace(groups=[(*Admin.answer[:1], groups[0], *Admin.answer[1:])])]

    async def close(self) -> None:
        Admin.closed += 1


async def test_a_group_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer is of connections of its own, which are closed whatever happened."""
    monkeypatch.setattr(module, "AIOKafkaAdminClient", Admin)
    monkeypatch.setattr(Admin, "closed", 0)
    member = ("id-1", "client", "/10.0.0.7", joined(CARD.encode()), ASSIGNED)
    group = KafkaGroup(KafkaSettings())
    monkeypatch.setattr(Admin, "answer", (0, "Stable", "consumer", "roundrobin", [member], -1))
    assert await group.describe() == GroupDescription(members=(member_of(*member),), is_stable=True)
    monkeypatch.setattr(Admin, "answer", (0, "PreparingRebalance", "consumer", "", []))
    assert await group.describe() == GroupDescription(members=(), is_stable=False)
    monkeypatch.setattr(Admin, "answer", (16, "", "", "", []))
    with pytest.raises(BrokerUnavailable):
        await group.describe()
    monkeypatch.setattr(Admin, "failure", KafkaConnectionError("gone"))
    with pytest.raises(BrokerUnavailable, match="gone"):
        await group.describe()
    assert Admin.closed == 4


def test_the_local_address_is_the_one_towards_the_brokers() -> None:
    """Of several connections one counts that other machines may reach."""

    def connection(*name: object) -> Any:
        writer = SimpleNamespace(get_extra_info=lambda _: name or None)
        return SimpleNamespace(_writer=writer)

    client = object.__new__(ReadingClient)
    client._conns = {}
    assert client.local_host() is None
    client._conns = {1: SimpleNamespace(_writer=None), 2: connection()}
    assert client.local_host() is None
    client._conns |= {3: connection("127.0.0.1", 5), 4: connection("192.168.0.7", 6)}
    assert client.local_host() == "192.168.0.7"
    client._conns = {1: connection("::1", 5, 0, 0)}
    assert client.local_host() == "::1"

"""Proves that the harness is a real broker: its commits, acknowledged records, passwords and end. Knows nothing of
the daemon."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError
from aiokafka.structs import OffsetAndMetadata

from tests.kafka.broker import POLL_S, Broker, BrokerFailed, create_topics
from tests.kafka.evidence import eventually
from tests.kafka.jars import REPOSITORY, missing_requirements
from tests.kafka.topics import LOG_PARTITIONS, Topics

DEADLINE_S = 30.0


@asynccontextmanager
async def producing(bootstrap: str, **settings: object) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, **settings)
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def consuming(topics: Topics, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=topics.bootstrap,
        group_id=topics.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def values(consumer: AIOKafkaConsumer, count: int) -> list[bytes]:
    async with asyncio.timeout(DEADLINE_S):
        return [(await consumer.getone()).value for _ in range(count)]


def listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


async def test_commit_metadata_round_trip(topics: Topics) -> None:
    """Any admin client reads back a consumer's commit, offset and metadata."""
    partition = TopicPartition(topics.alerts, 0)
    committed = OffsetAndMetadata(3, '{"v":1,"context":0}')
    async with producing(topics.bootstrap) as producer, consuming(topics, topics.alerts) as consumer:
        sent = [b"one", b"two", b"three"]
        for value in sent:
            await producer.send_and_wait(topics.alerts, value, partition=0)
        assert await values(consumer, len(sent)) == sent
        await consumer.commit({partition: committed})

    admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap)
    try:
        await admin.start()
        assert await admin.list_consumer_group_offsets(topics.group) == {partition: committed}
    finally:
        await admin.close()


async def test_topics_have_the_partitions_asked_for(topics: Topics) -> None:
    """A topic is created with its partitions once, and a second creation is refused rather than ignored."""
    async with producing(topics.bootstrap) as producer:
        assert await producer.partitions_for(topics.logs) == set(range(LOG_PARTITIONS))
    with pytest.raises(TopicAlreadyExistsError):
        await create_topics(topics.bootstrap, {topics.logs: LOG_PARTITIONS})


async def test_acked_records_survive_a_kill(broker: Broker, topics: Topics) -> None:
    """Acknowledged records and commits survive SIGKILL, and earlier clients find the broker again."""
    async with producing(topics.bootstrap) as producer, consuming(topics, topics.alerts) as consumer:
        await producer.send_and_wait(topics.alerts, b"before", partition=0)
        assert await values(consumer, 1) == [b"before"]
        await consumer.commit()

        bootstrap = broker.bootstrap
        await asyncio.to_thread(broker.restart)
        assert broker.bootstrap == bootstrap

        async with asyncio.timeout(DEADLINE_S):
            await producer.send_and_wait(topics.alerts, b"after", partition=0)
        assert await values(consumer, 1) == [b"after"]

        async def committed() -> bool:
            # Until the group is loaded again, the broker answers with an error that the client reads as "nothing".
            return bool(await consumer.committed(TopicPartition(topics.alerts, 0)) == 1)

        await eventually(committed, DEADLINE_S, "the commit from before the kill")


async def test_a_suspended_broker_answers_once_resumed(broker: Broker, topics: Topics) -> None:
    """A hung broker accepts a request and answers it when it continues."""
    async with producing(topics.bootstrap) as producer:
        await producer.send_and_wait(topics.alerts, b"before", partition=0)
        broker.suspend()
        pending = await producer.send(topics.alerts, b"during", partition=0)
        done, _ = await asyncio.wait({pending}, timeout=0.5)
        assert not done
        broker.resume()
        async with asyncio.timeout(DEADLINE_S):
            assert (await pending).offset == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_only_the_right_password_opens_the_sasl_listener(broker: Broker, topics: Topics, mechanism: str) -> None:
    """The SASL listener refuses a wrong password and serves the right one."""
    login = {"sasl_mechanism": mechanism, "sasl_plain_username": broker.sasl_user, "sasl_plain_password": "wrong"}
    with pytest.raises(KafkaConnectionError):
        async with producing(broker.sasl_bootstrap, security_protocol="SASL_PLAINTEXT", **login):
            pass
    login["sasl_plain_password"] = broker.sasl_password
    async with producing(broker.sasl_bootstrap, security_protocol="SASL_PLAINTEXT", **login) as producer:
        assert (await producer.send_and_wait(topics.alerts, b"let in")).offset == 0


async def test_the_sasl_listener_wants_a_login(broker: Broker) -> None:
    """A client without a login is refused by the SASL listener."""
    with pytest.raises(KafkaError):
        async with producing(broker.sasl_bootstrap, request_timeout_ms=2_000):
            pass


@pytest.mark.usefixtures("broker")  # for the skip without Java
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_jvm_dies_with_its_owner(tmp_path: Path, number: signal.Signals) -> None:
    """The broker ends soon after the process that owns it, however that process ends."""
    command = [sys.executable, "-m", "tests.kafka.broker", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as owner:
        try:
            assert owner.stdout is not None
            host, port = owner.stdout.readline().strip().split(":")
            with socket.create_connection((host, int(port)), timeout=DEADLINE_S):
                os.kill(owner.pid, number)
                code = owner.wait(DEADLINE_S)
        finally:
            owner.kill()
    assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_S
    while listens(host, int(port)):
        assert time.monotonic() < deadline, "the JVM outlived its owner"
        time.sleep(POLL_S)


def test_a_failed_start_shows_the_jvm_log(broker: Broker) -> None:
    """A refused setting raises an error with the JVM's own complaint, and leaves no JVM behind."""
    properties = broker.directory / "server.properties"
    good = properties.read_text(encoding="utf-8")
    broker.stop()
    try:
        properties.write_text(good + "num.io.threads=none\n", encoding="utf-8")
        with pytest.raises(BrokerFailed, match=r"num\.io\.threads"):
            broker.start()
        assert not broker.is_running
    finally:
        properties.write_text(good, encoding="utf-8")


def test_missing_java_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason for a skip without Java names the package to install, in one line."""
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "java" else f"/usr/bin/{name}")
    reason = missing_requirements()
    assert reason is not None
    assert "Java 17 and Maven" in reason
    assert "\n" not in reason

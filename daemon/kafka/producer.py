"""Produces alerts and dead letters: an outlet for each topic, so that a producer that fails harms no other topic.

Knows what the client's errors mean for the daemon; refuses to know what is in a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, TopicUnusable
from logwarden.daemon.kafka.connection import REFUSALS, reason, translated
from logwarden.daemon.kafka.outlet import Outlet
from logwarden.daemon.records import Delivery, Message
from logwarden.daemon.settings.kafka import KafkaSettings

log = structlog.get_logger(__name__)


class KafkaSink:
    """Idempotent producers that wait for all in-sync replicas, one per topic."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._outlets: dict[str, Outlet] = {}

    async def start(self) -> None:
        """Connects, and logs the output topics that cannot be used yet: what belongs there waits until they can."""
        for topic in (self._settings.alerts_topic, self._settings.dead_letter_topic):
            try:
                async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                    await self._outlet(topic).open()
            except TopicUnusable as error:
                log.warning("output_topic_missing", topic=topic, error=str(error), hint=error.hint)
            except (KafkaError, OSError, TimeoutError) as error:
                await self._outlet(topic).close(at_once=True)
                raise translated(error, self._settings) from error
        await self._start_state()

    async def _start_state(self) -> None:
        """Opens the way to the state topic, which creates the topic. Whatever fails here is tried again by a write."""
        topic = self._settings.state_topic
        if topic is None:
            return
        try:
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                await self._outlet(topic).open()
        except TopicUnusable as error:
            log.warning("state_topic_missing", topic=topic, error=str(error), hint=error.hint)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._outlet(topic).close(at_once=True)
            log.debug("state_topic_not_opened", topic=topic, error=reason(error))

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
        outlet = self._outlet(topic)
        outcomes = [Delivery.FAILED] * len(messages)
        try:
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                await outlet.send(messages, outcomes)
        except (KafkaError, OSError, TimeoutError, TopicUnusable) as error:
            if not isinstance(error, TopicUnusable):  # it keeps its connection, to ask again whether the topic is there
                await outlet.close(at_once=True)
            if all(outcome is Delivery.FAILED for outcome in outcomes):
                raise self._meaning(topic, error) from error
            failed = outcomes.count(Delivery.FAILED)
            log.warning("some_messages_failed", topic=topic, failed=failed, error=reason(error))
        return outcomes

    async def stop(self) -> None:
        outlets, self._outlets = list(self._outlets.values()), {}
        await asyncio.gather(*(outlet.close() for outlet in outlets))

    def _outlet(self, topic: str) -> Outlet:
        if topic not in self._outlets:
            self._outlets[topic] = Outlet(topic, self._settings)
        return self._outlets[topic]

    def _meaning(self, topic: str, error: BaseException) -> BrokerUnavailable | BrokerRefused:
        """Returns the error of `daemon/errors.py` for a client's error about this topic."""
        if isinstance(error, TopicUnusable):
            return error
        if isinstance(error, TopicAuthorizationFailedError):
            user = self._settings.sasl_username or "this client"
            return TopicUnusable(
                topic,
                f"the broker does not let {user} write to it",
                hint=f"allow it with `kafka-acls.sh --add --producer --allow-principal User:{user} --topic {topic}`",
            )
        if isinstance(error, REFUSALS):
            return BrokerRefused(f"the Kafka broker refused to take a message: {reason(error)}")
        return BrokerUnavailable(self._settings.bootstrap_servers, reason(error))

"""Requests topics without creating them, and reads the ids of topics, which the client's own request lacks.

Source of the layouts: Kafka's protocol guide, "Metadata API (Key: 3)", versions 10 to 12. The client knows versions up
to 5, and its requests let a broker create the topic. Brokers without version 10 get the client's own layouts.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

from aiokafka.protocol import metadata as old
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

METADATA = 3
"""The key of the request."""
UNKNOWN_TOPIC, TOPIC_REFUSED = 3, 29
"""Error codes of a topic: no broker has it; this client may not see it."""
_NO_ID = bytes(16)


class Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka ships no types
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


_TOPICS_ASKED = (
    "topics",
    CompactArray(("topic_id", Uuid), ("name", CompactString()), ("tags", TaggedFields)),
)
_BROKERS = (
    "brokers",
    CompactArray(
        ("node_id", Int32),
        ("host", CompactString()),
        ("port", Int32),
        ("rack", CompactString()),
        ("tags", TaggedFields),
    ),
)
_PARTITIONS = CompactArray(
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline_replicas", CompactArray(Int32)),
    ("tags", TaggedFields),
)
_TOPICS = (
    "topics",
    CompactArray(
        ("error_code", Int16),
        ("name", CompactString()),
        ("topic_id", Uuid),
        ("is_internal", Boolean),
        ("partitions", _PARTITIONS),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    ),
)
_ANSWER = (
    ("throttle_time_ms", Int32),
    _BROKERS,
    ("cluster_id", CompactString()),
    ("controller_id", Int32),
    _TOPICS,
)


class _Response10(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = METADATA, 10
    SCHEMA = Schema(*_ANSWER, ("authorized_operations", Int32), ("tags", TaggedFields))


class _Response11(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = METADATA, 11
    SCHEMA = Schema(*_ANSWER, ("tags", TaggedFields))


class _Response12(_Response11):
    API_VERSION = 12


class _Request10(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION: ClassVar[bool] = True
    API_KEY, API_VERSION, RESPONSE_TYPE = METADATA, 10, _Response10
    SCHEMA = Schema(
        _TOPICS_ASKED,
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Request11(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION: ClassVar[bool] = True
    API_KEY, API_VERSION, RESPONSE_TYPE = METADATA, 11, _Response11
    SCHEMA = Schema(
        _TOPICS_ASKED,
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Request12(_Request11):
    API_KEY, API_VERSION, RESPONSE_TYPE = METADATA, 12, _Response12


class TopicsRequest(
    Request[  # type: ignore[misc]
        old.MetadataRequest_v0
        | old.MetadataRequest_v1
        | old.MetadataRequest_v2
        | old.MetadataRequest_v3
        | old.MetadataRequest_v4
        | old.MetadataRequest_v5
        | _Request10
        | _Request11
        | _Request12
    ]
):
    """Requests these topics, or all of them with None. The broker creates none, from version 4 on."""

    API_KEY = METADATA

    def __init__(self, topics: Sequence[str] | None) -> None:
        self._topics = None if topics is None else list(topics)

    def build(self, request_struct_class: Any) -> Any:
        version = request_struct_class.API_VERSION
        if version < 1:
            return request_struct_class(self._topics or [])
        if version < 4:
            return request_struct_class(self._topics)
        if version < 10:
            return request_struct_class(self._topics, False)
        asked: list[Any] | None = None if self._topics is None else [(_NO_ID, name, {}) for name in self._topics]
        return request_struct_class(asked, False, *((False, False) if version == 10 else (False,)), {})


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsAnswer:
    """What a broker reports about topics. Has the fields that the client's `ClusterMetadata.update_metadata` reads."""

    brokers: Sequence[tuple[int, str, int, str | None]]
    controller_id: int
    topics: Sequence[tuple[int, str, bool, Sequence[tuple[Any, ...]]]]
    """Error code, name, True for a topic of Kafka itself, and the partitions."""
    incarnations: Mapping[str, str]
    """Identity of each topic: cluster id and topic id, as Kafka's own tools print them. Lacks topics without an id."""
    knows_ids: bool
    """The broker speaks a version that has ids."""
    API_VERSION: int = 5

    @property
    def errors(self) -> dict[str, int]:
        """Error code of each topic that has one."""
        return {name: code for code, name, _, _ in self.topics if code}


def answer_of(response: Any) -> TopicsAnswer:
    """Returns the answer in a response of any version."""
    version = response.API_VERSION
    brokers = [tuple(broker[:4]) if version else (*broker, None) for broker in response.brokers]
    controller = response.controller_id if version else -1
    if version < 10:
        topics: list[Any] = [topic if version else (topic[0], topic[1], False, topic[2]) for topic in response.topics]
        return TopicsAnswer(brokers=brokers, controller_id=controller, topics=topics, incarnations={}, knows_ids=False)
    cluster = response.cluster_id or ""
    return TopicsAnswer(
        brokers=brokers,
        controller_id=controller,
        topics=[
            (code, name, internal, [(part[0], part[1], part[2], part[4], part[5], part[6]) for part in partitions])
            for code, name, _, internal, partitions, _, _ in response.topics
        ],
        incarnations={
            name: f"{cluster}/{_printed(topic_id)}"
            for code, name, topic_id, _, _, _, _ in response.topics
            if not code and topic_id != _NO_ID  # a cluster that was upgraded half way has no ids yet
        },
        knows_ids=True,
    )


def _printed(topic_id: bytes) -> str:
    return base64.urlsafe_b64encode(topic_id).decode().rstrip("=")

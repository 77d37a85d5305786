"""Schemas and values as a registry frames them, for tests."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import fastavro
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from logwarden.daemon.records import SchemaText

LOG: dict[str, Any] = {
    "type": "record",
    "name": "shop.Log",
    "fields": [
        {"name": "message", "type": "string"},
        {"name": "level", "type": {"type": "enum", "name": "Level", "symbols": ["INFO", "ERROR"]}},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "service", "type": ["null", "string"], "default": None},
        {"name": "status", "type": ["null", "int"], "default": None},
    ],
}
EVENT: dict[str, Any] = {
    "message": "no stock",
    "level": "ERROR",
    "timestamp": 1_795_429_200_000,
    "service": "till",
    "status": 503,
}


def avro_text(schema: object, *references: tuple[str, object]) -> SchemaText:
    named = tuple((name, json.dumps(reference)) for name, reference in references)
    return SchemaText(kind="AVRO", text=json.dumps(schema), references=named)


def avro(record: object, schema: Any = LOG) -> bytes:
    """Returns a record without a frame."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), record)
    return stream.getvalue()


def framed(number: int, content: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + content


def message_type(name: str, *fields: tuple[str, int | str]) -> DescriptorProto:
    """Returns a type of messages; a field has a number of a type, or the name of one."""
    made = DescriptorProto(name=name)
    for number, (field, kind) in enumerate(fields, start=1):
        made.field.append(_field(field, number, kind))
    return made


def _field(name: str, number: int, kind: int | str) -> FieldDescriptorProto:
    field = FieldDescriptorProto(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if isinstance(kind, int):
        field.type = kind
    else:
        is_enum = kind.endswith("Level")
        field.type = FieldDescriptorProto.TYPE_ENUM if is_enum else FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = kind
    return field


def serialized(file: FileDescriptorProto) -> str:
    return base64.b64encode(file.SerializeToString()).decode()


def log_file(*types: DescriptorProto, package: str = "shop", imports: tuple[str, ...] = ()) -> FileDescriptorProto:
    """Returns a file with a type `Log`, an enum `LogLevel`, and more types."""
    file = FileDescriptorProto(name="log.proto", package=package, syntax="proto3", dependency=imports)
    level = file.enum_type.add(name="LogLevel")
    for number, name in enumerate(("LOG_LEVEL_EMERGENCY", "LOG_LEVEL_ERROR", "LOG_LEVEL_INFO")):
        level.value.add(name=name, number=number)
    log = message_type(
        "Log", ("message", 9), ("level", f".{package}.LogLevel"), ("timestamp", 3), ("service", 9), ("status", 5)
    )
    file.message_type.extend([log, *types])
    return file


def protobuf_text(file: FileDescriptorProto, *references: tuple[str, FileDescriptorProto]) -> SchemaText:
    named = tuple((name, serialized(reference)) for name, reference in references)
    return SchemaText(kind="PROTOBUF", text=serialized(file), references=named)

"""Reads values that a schema registry frames: a zero, the schema's number, the record. Schemas come as an argument.

Knows no registry: `daemon/pipeline/schemas.py` has every schema at hand before a value of it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from logwarden.daemon.decoding import avro, framing, protobuf
from logwarden.daemon.decoding.plain import Misfit
from logwarden.daemon.errors import UndecodableRecord
from logwarden.daemon.records import SchemaText

FRAME_BYTES = 5
"""A zero and the four bytes of a schema's number stand before values of a schema registry."""
_WIDE_FRAME_BYTES = 9
"""Other registries write the number in eight bytes, of which the first four are zero."""
STAGE = "schema"
"""Stage of the dead letter of a record that its schema does not read."""
_COMPILERS = {"AVRO": avro.compiled, "PROTOBUF": protobuf.compiled}


class RecordSchema(NamedTuple):
    """A schema that is ready to read records."""

    kind: str
    """AVRO, PROTOBUF or JSON."""
    read: Callable[[bytes], dict[str, Any]]
    """Reads the bytes behind the number. Raises Misfit with a sentence."""


Schemas = Callable[[int], RecordSchema | str]
"""Returns the schema of a number, or the sentence that explains why records of it cannot be read."""


def compiled(schema: SchemaText) -> RecordSchema:
    """Returns a schema that reads records. Raises Misfit for one that cannot be used, or is not to be trusted."""
    if schema.kind == "JSON":
        return RecordSchema("JSON", _no_record)
    compile = _COMPILERS.get(schema.kind)
    if compile is None:
        raise Misfit(f"it is of the type {schema.kind[:40]!r}, and only AVRO, PROTOBUF and JSON are read")
    return RecordSchema(schema.kind, compile(schema))


def number_of(value: bytes | None) -> int | None:
    """Returns the number of the schema in which a value is written. Returns None for a value without a frame."""
    if value is None or value[:1] != b"\0" or len(value) < _frame_bytes(value):
        return None
    number = int.from_bytes(value[1 : _frame_bytes(value)], "big")
    return None if number == 0 or framing.frames_of(value) else number


def content_of(value: bytes) -> bytes:
    """Returns what stands behind the number of a schema."""
    return value[_frame_bytes(value) :]


def _frame_bytes(value: bytes) -> int:
    return FRAME_BYTES if any(value[1:FRAME_BYTES]) else _WIDE_FRAME_BYTES


def read(value: bytes, schemas: Schemas, number: int, *, wanted: str = "") -> dict[str, Any] | None:
    """Returns the record in a frame. Returns None if what follows the frame is JSON.

    `wanted`: the only type of schemas that is read; empty for any. Raises UndecodableRecord.
    """
    schema = schemas(number)
    if isinstance(schema, str):
        if not wanted and content_of(value).lstrip()[:1] in (b"{", b"["):  # it is readable without its schema
            return None
        raise UndecodableRecord(STAGE, f"the value is written in schema {number} of the schema registry: {schema}")
    if wanted and schema.kind != wanted:
        raise UndecodableRecord(STAGE, f"the value is written in schema {number}, which is {schema.kind}, not {wanted}")
    if schema.kind == "JSON":
        return None
    try:
        return schema.read(content_of(value))
    except Misfit as error:
        raise UndecodableRecord(STAGE, f"the value does not fit schema {number}: {error}") from None


def _no_record(_: bytes) -> dict[str, Any]:
    raise AssertionError("a value of a JSON schema is read as JSON")

"""Recognizes values that a serializer of a schema registry wrote: a magic byte, the schema's number, the payload.

JSON in such a frame is read without its schema. Avro and Protobuf are not: their bytes mean nothing without it, and
must never be learned as text.
"""

from __future__ import annotations

from logwarden.daemon.errors import UndecodableRecord

_HEADER_BYTES = 5
_MAX_SCHEMA = 100_000_000
"""Registries count from 1. A text in UTF-16 begins with a NUL too, and would have a larger number."""
_GLUE_BYTES = 18


def payload_of(value: bytes) -> bytes:
    """Returns the JSON inside a frame, or the value itself if it is in no frame.

    Raises UndecodableRecord for a frame around anything else.
    """
    begin = value[:1]
    if begin == b"\0" and len(value) > _HEADER_BYTES:
        schema = int.from_bytes(value[1:_HEADER_BYTES], "big")
        if 0 < schema < _MAX_SCHEMA and value[_HEADER_BYTES:].strip(b"\0"):
            return _json_in(value[_HEADER_BYTES:], f"schema {schema}")
    elif begin == b"\x03" and len(value) > _GLUE_BYTES and value[1] in (0, 5):
        return _json_in(value[_GLUE_BYTES:], f"schema {value[2:_GLUE_BYTES].hex()}")
    return value


def _json_in(payload: bytes, schema: str) -> bytes:
    if payload.lstrip()[:1] in (b"{", b"["):
        return payload
    raise UndecodableRecord(
        "schema",
        f"the value is framed for a schema registry ({schema}) and is no JSON; "
        "Avro and Protobuf cannot be read, write logs as JSON or text",
    )

"""Reads messages of Protobuf by the serialized description of their file, without generated code.

The library bounds the depth of messages. What a message leaves out is left out, but not a level whose number is zero.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import re
from collections.abc import Callable
from typing import Any

from logwarden.daemon.decoding.plain import MAX_DEPTH, Misfit, text_of
from logwarden.daemon.records import SchemaText

_MAIN = "logwarden/main.proto"
_WELL_KNOWN = re.compile(
    r"google/protobuf/(any|api|duration|empty|field_mask|source_context|struct|timestamp|type|wrappers)\.proto"
)
_MAX_INDEXES = 32
_NO_NAME = ("UNSPECIFIED", "UNKNOWN", "UNDEFINED")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def compiled(schema: SchemaText) -> Callable[[bytes], dict[str, Any]]:
    """Returns what reads the messages of a file. Raises Misfit for a file that cannot be used."""
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass

    pool, added = DescriptorPool(), set[str]()
    try:
        for name, text in schema.references:
            _add(pool, added, _file(text, name))
        file = _file(schema.text, _MAIN)
        _add(pool, added, file)
    except (TypeError, ValueError, KeyError) as error:
        raise Misfit(f"it is no schema of Protobuf: {' '.join(str(error).split())[:200]}") from None

    classes: dict[bytes, Any] = {}

    def read(content: bytes) -> dict[str, Any]:
        indexes, start = _indexes(content)
        head = content[:start]
        if head not in classes:
            if len(classes) >= _MAX_CLASSES:
                classes.clear()
            classes[head] = GetMessageClass(pool.FindMessageTypeByName(_name_of(file, indexes)))
        return _message(classes[head], content[start:])

    return read


_MAX_CLASSES = 1_000
"""Types of messages of one file that are remembered by their place."""


def _message(kind: Any, content: bytes) -> dict[str, Any]:
    from google.protobuf.message import DecodeError

    try:
        return _object(kind.FromString(content))
    except DecodeError as error:
        raise Misfit(" ".join(str(error).split())[:200]) from None


def _file(text: str, name: str) -> Any:
    """Returns the description of a file under the name by which others import it."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.message import DecodeError

    try:
        file = FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, DecodeError):
        raise Misfit("the registry does not return it in its serialized form") from None
    file.name = name
    return file


def _add(pool: Any, added: set[str], file: Any) -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    for name in file.dependency:
        if name not in added:
            # A file that the registry does not have may only declare options, which change nothing here.
            _add(pool, added, _well_known(name) or FileDescriptorProto(name=name))
    if file.name not in added:
        pool.Add(file)
        added.add(file.name)


def _well_known(name: str) -> Any:
    found = _WELL_KNOWN.fullmatch(name)
    if found is None:
        return None
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    module = importlib.import_module(f"google.protobuf.{found[1]}_pb2")
    return FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)


def _indexes(content: bytes) -> tuple[list[int], int]:
    """Returns the place of the message's type in its file, and where the message begins."""
    # 00 → the first type of the file · 04 02 00 → 2 numbers: type 1 of the file, its inner type 0 (zigzag: 4 is 2)
    count, place = _varint(content, 0)
    if count == 0:
        return [0], place
    if not 0 < count <= _MAX_INDEXES:
        raise Misfit("the place of its type in the schema is broken")
    indexes = []
    for _ in range(count):
        index, place = _varint(content, place)
        indexes.append(index)
    return indexes, place


def _varint(content: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    for at in range(place, min(len(content), place + 5)):
        number |= (content[at] & 0x7F) << shift
        shift += 7
        if content[at] < 0x80:
            return (number >> 1) ^ -(number & 1), at + 1
    raise Misfit("the place of its type in the schema is broken")


def _name_of(file: Any, indexes: list[int]) -> str:
    names, types = [file.package] if file.package else [], file.message_type
    for index in indexes:
        if not 0 <= index < len(types):
            raise Misfit("the schema does not contain its type")
        names.append(types[index].name)
        types = types[index].nested_type
    return ".".join(names)


def _object(message: Any, depth: int = 0) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise Misfit("it is nested too deeply")
    out: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.type == field.TYPE_ENUM and not field.is_repeated and not field.has_presence:
            name = _enum(field, getattr(message, field.name))
            if not str(name).endswith(_NO_NAME):
                out[field.name] = name
    for field, value in message.ListFields():
        if field.type == field.TYPE_ENUM and not field.is_repeated and not field.has_presence:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            kind = field.message_type.fields_by_name["value"]
            out[field.name] = {str(key): _value(kind, value[key], depth) for key in value}
        elif field.is_repeated:
            out[field.name] = [_value(field, part, depth) for part in value]
        else:
            out[field.name] = _value(field, value, depth)
    return out


def _value(field: Any, value: Any, depth: int) -> Any:
    if field.type == field.TYPE_ENUM:
        return _enum(field, value)
    if isinstance(value, bytes):
        return text_of(value)
    if field.message_type is None:
        return value
    if field.message_type.full_name.startswith("google.protobuf.") and not field.message_type.full_name.endswith(
        ".Any"
    ):
        from google.protobuf.json_format import Error, MessageToDict

        try:
            return MessageToDict(value)
        except (ValueError, RecursionError, Error):  # such as a time beyond the year 9999
            pass
    return _object(value, depth + 1)


def _enum(field: Any, number: int) -> str | int:
    """Returns the name of an enum's number without the name of the enum before it, as style guides want it."""
    found = field.enum_type.values_by_number.get(number)
    if found is None:
        return number
    prefix = _WORD.sub("_", field.enum_type.name).upper() + "_"
    return str(found.name).removeprefix(prefix)

"""Reads records of Avro by their schema. A schema that could make a short record fill the memory is refused.

Logical types are left out, so that a time is the number that JSON would have.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from logwarden.daemon.decoding.plain import Misfit, plain
from logwarden.daemon.records import SchemaText

_MAX_DEPTH = 100
"""Types inside types, of a schema and of a record: the reader uses the thread's stack for each."""
_MAX_JSON_DEPTH = 4 * _MAX_DEPTH
_MAX_VALUES = 10_000
"""Values in a record of which each list is empty."""
_MAX_VALUES_PER_BYTE = 8
"""Values to which a byte of a record may expand, such as those of an empty record in a list."""


def compiled(schema: SchemaText) -> Callable[[bytes], dict[str, Any]]:
    """Returns what reads the records of a schema. Raises Misfit for a schema that cannot be used."""
    # Imported when the first such schema comes: most installations never see one.
    from fastavro import parse_schema
    from fastavro.schema import SchemaParseException, UnknownType

    names: dict[str, Any] = {}
    try:
        for _, text in schema.references:
            parse_schema(_document(text), names)
        parsed = parse_schema(_document(schema.text), names)
        shape = _Shapes(names).of(parsed)
    except (SchemaParseException, UnknownType, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Misfit(f"it is no schema of Avro: {_words(error)}") from None
    except RecursionError:
        raise Misfit("its types are nested too deeply") from None
    if shape.values > _MAX_VALUES:
        raise Misfit(f"its records have more than {_MAX_VALUES:,} fields")
    return _reader(parsed, names, is_recursive=shape.is_recursive)


def _reader(parsed: Any, names: dict[str, Any], *, is_recursive: bool) -> Callable[[bytes], dict[str, Any]]:
    if is_recursive:  # the fast reader overflows the thread's stack, which ends the process; this one raises an error
        from fastavro._read_py import schemaless_reader
    else:
        from fastavro import schemaless_reader

    def read(content: bytes) -> dict[str, Any]:
        stream = io.BytesIO(content)
        try:
            record = schemaless_reader(stream, parsed)
        except RecursionError:
            raise Misfit("it is nested too deeply") from None
        except Exception as error:  # the library raises whatever a wrong byte leads to
            raise Misfit(_words(error) or "it ends too early") from None
        if rest := len(content) - stream.tell():
            raise Misfit(f"{rest} bytes are left behind it")
        return plain(record) if isinstance(record, dict) else {"message": plain(record)}

    return read


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _document(text: str) -> Any:
    """Returns a schema without its logical types. Raises Misfit if it is nested too deeply to be parsed."""
    depth = deepest = 0
    for char in text:
        depth += (char in "{[") - (char in "}]")
        deepest = max(deepest, depth)
    if deepest > _MAX_JSON_DEPTH:
        raise Misfit("its types are nested too deeply")
    return _bare(json.loads(text))


def _bare(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in schema.items() if key not in ("logicalType", "default")}
    return [_bare(part) for part in schema] if isinstance(schema, list) else schema


class _Shape(NamedTuple):
    """How much a value of a type can be, without what is in its lists."""

    values: int
    bytes: int
    """The least number."""
    depth: int
    is_recursive: bool = False


class _Shapes:
    """Measures the types of a parsed schema. Raises Misfit for one that could fill the memory or the stack."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self._known: dict[str, _Shape] = {}
        self._open: set[str] = set()

    def of(self, schema: Any, depth: int = 0) -> _Shape:
        """Returns the shape of a type."""
        if depth > _MAX_DEPTH:
            raise Misfit("its types are nested too deeply")
        if isinstance(schema, list):
            return self._choice([self.of(part, depth + 1) for part in schema])
        if isinstance(schema, str):
            return self._named(schema, depth)
        kind = schema["type"]
        match kind:
            case "record" | "error":
                return self._record(schema, depth)
            case "array":
                return self._choice([self.of(schema["items"], depth + 1)], is_list=True)
            case "map":
                return self._choice([self.of(schema["values"], depth + 1)])
            case "fixed":
                return _Shape(1, schema["size"], 0)
            case "enum":
                return _Shape(1, 1, 0)
        return self.of(kind, depth)

    def _named(self, name: str, depth: int) -> _Shape:
        if name in self._open:
            return _Shape(1, 1, 0, is_recursive=True)
        if name in self._names:
            return self._known.get(name) or self.of(self._names[name], depth)
        return _Shape(1, int(name != "null"), 0)

    def _record(self, schema: dict[str, Any], depth: int) -> _Shape:
        name = schema["name"]
        self._open.add(name)
        fields = [self.of(field["type"], depth + 1) for field in schema["fields"]]
        self._open.discard(name)
        shape = _Shape(
            1 + sum(field.values for field in fields),
            sum(field.bytes for field in fields),
            1 + max((field.depth for field in fields), default=0),
            any(field.is_recursive for field in fields),
        )
        if shape.depth > _MAX_DEPTH:
            raise Misfit("its types are nested too deeply")
        self._known[name] = shape
        return shape

    def _choice(self, parts: list[_Shape], *, is_list: bool = False) -> _Shape:
        """Returns the shape of a type of which each value costs a byte before it, or of a list."""
        before = 0 if is_list else 1
        for part in parts:
            if part.values > _MAX_VALUES_PER_BYTE * (part.bytes + before):
                raise Misfit("a few bytes of its records could expand to any number of values")
        depth = 1 + max((part.depth for part in parts), default=0)
        if depth > _MAX_DEPTH:
            raise Misfit("its types are nested too deeply")
        return _Shape(1, 1, depth, any(part.is_recursive for part in parts))

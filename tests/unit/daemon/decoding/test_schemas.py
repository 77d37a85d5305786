"""Values behind the number of a schema: Avro and Protobuf become the events that JSON would have been."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from logwarden.daemon.decoding.decoder import Decoded
from logwarden.daemon.decoding.plain import Misfit, plain
from logwarden.daemon.decoding.schemas import RecordSchema, compiled, number_of
from logwarden.daemon.records import InputFormat, SchemaText
from tests.oracles import LogRecord, default_decoder
from tests.schemas import EVENT, LOG, avro, avro_text, framed, log_file, message_type, protobuf_text

NEST = {"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}


def decoded(*values: bytes, form: InputFormat = "auto", **schemas: SchemaText | str) -> Decoded:
    """Decodes values with the schemas `s1`, `s2` …; a string is why a schema is not to be had."""
    known = {int(name[1:]): text if isinstance(text, str) else compiled(text) for name, text in schemas.items()}

    def lookup(number: int) -> RecordSchema | str:
        return known.get(number, "the registry does not have it")

    return default_decoder(form=form, schemas=lookup).decode([LogRecord(value) for value in values])


def message(file: FileDescriptorProto, name: str = "shop.Log", **fields: Any) -> bytes:
    pool = DescriptorPool()
    pool.AddSerializedFile(Timestamp.DESCRIPTOR.file.serialized_pb)
    pool.Add(file)
    return bytes(GetMessageClass(pool.FindMessageTypeByName(name))(**fields).SerializeToString())


# ---------------------------------------------------------------- what they become


def test_a_record_of_avro_becomes_what_its_json_becomes() -> None:
    """Text, service and time do not depend on how the producer wrote the record."""
    found = decoded(framed(7, avro(EVENT)), json.dumps(EVENT).encode(), s7=avro_text(LOG))
    assert found.lines == [b"ERROR no stock status=503"] * 2
    assert found.services == ["till"] * 2
    assert found.timestamps == [1_795_429_200_000] * 2


def test_a_number_may_have_eight_bytes() -> None:
    """Other registries write longer numbers; without its schema the record is refused by that number."""
    value = b"\0" + (7).to_bytes(8, "big") + avro(EVENT)
    assert decoded(value, s7=avro_text(LOG)).lines == [b"ERROR no stock status=503"]
    ((_, letter),) = decoded(value).dead
    assert "schema 7" in letter.reason
    assert decoded(b"\0" + (7).to_bytes(8, "big") + b'{"message":"no stock"}').lines == [b"no stock"]


def test_a_message_of_protobuf_becomes_what_its_json_becomes() -> None:
    """The name of an enum's number is the level, without the enum's own name."""
    file = log_file()
    value = framed(7, b"\0" + message(file, **(EVENT | {"level": 1})))
    found = decoded(value, json.dumps(EVENT).encode(), s7=protobuf_text(file))
    assert found.lines == [b"ERROR no stock status=503"] * 2
    assert (found.services, found.timestamps) == (["till"] * 2, [1_795_429_200_000] * 2)


def test_a_level_that_is_number_zero_is_kept() -> None:
    """A message does not carry zeros, and the severest level may be one."""
    file = log_file()
    found = decoded(framed(7, b"\0" + message(file, message="down")), s7=protobuf_text(file))
    assert found.lines == [b"CRITICAL down"]


def test_a_type_is_found_by_its_place_in_the_file() -> None:
    """The numbers before a message lead to the second type of the file, and to a type inside it."""
    second = message_type("Second", ("text", 9))
    second.nested_type.append(message_type("Inner", ("msg", 9)))
    file = log_file(second)
    inner = message(file, "shop.Second.Inner", msg="from inside")
    found = decoded(
        framed(7, b"\x02\x02" + message(file, "shop.Second", text="from the second")),
        framed(7, b"\x04\x02\x00" + inner),
        s7=protobuf_text(file),
    )
    assert found.lines == [b"from the second", b"from inside"]


@pytest.mark.parametrize(
    "places", [b"", b"\x02", b"\x02\x0a", b"\x01", b"\x80\x80\x80\x80\x80\x80", b"\x7e" + b"\0" * 63]
)
def test_a_broken_place_is_a_dead_letter(places: bytes) -> None:
    """Numbers that lead to no type, or end early, cost their record only."""
    found = decoded(framed(7, places), b"served", s7=protobuf_text(log_file()))
    assert (found.lines, [letter.stage for _, letter in found.dead]) == ([b"served"], ["schema"])


def test_schemas_may_refer_to_others() -> None:
    """Types of other subjects, and the files that come with Protobuf, are known."""
    origin = {"type": "record", "name": "shop.Origin", "fields": [{"name": "name", "type": "string"}]}
    log = {
        "type": "record",
        "name": "shop.Log",
        "fields": [{"name": "message", "type": "string"}, {"name": "host", "type": "shop.Origin"}],
    }
    whole = {**log, "fields": [{"name": "message", "type": "string"}, {"name": "host", "type": origin}]}
    value = avro({"message": "no stock", "host": {"name": "h1"}}, whole)
    assert decoded(framed(7, value), s7=avro_text(log, ("shop.Origin", origin))).lines == [b"no stock"]

    common = FileDescriptorProto(name="x", package="c", syntax="proto3")
    common.message_type.append(message_type("Problem", ("message", 9)))
    imports = ("common.proto", "google/protobuf/timestamp.proto", "options/nobody_has.proto")
    outer = message_type("Outer", ("message", 9), ("error", ".c.Problem"), ("time", ".google.protobuf.Timestamp"))
    file = log_file(outer, imports=imports)
    content = b"\x0a\x02no" + b"\x12\x06\x0a\x04full" + b"\x1a\x06\x08" + b"\x90\xd8\x8c\xd8\x06"
    found = decoded(framed(7, b"\x02\x02" + content), s7=protobuf_text(file, ("common.proto", common)))
    assert found.lines == [b"no: full"]
    assert found.timestamps == [1_795_370_000_000]


def test_maps_lists_and_bytes_become_those_of_json() -> None:
    """Bytes that are text are text; others are digits."""
    assert plain({"a": b"text", "b": b"\xff\x00", "c": [(1, None)], 3: True}) == {
        "a": "text",
        "b": "ff00",
        "c": [[1, None]],
        "3": True,
    }
    schema = {
        "type": "record",
        "name": "L",
        "fields": [
            {"name": "message", "type": "bytes"},
            {"name": "tags", "type": {"type": "map", "values": "string"}},
            {"name": "id", "type": {"type": "fixed", "name": "F", "size": 2}},
        ],
    }
    value = avro({"message": b"no stock", "tags": {"level": "ERROR"}, "id": b"\xff\xfe"}, schema)
    assert compiled(avro_text(schema)).read(value) == {"message": "no stock", "tags": {"level": "ERROR"}, "id": "fffe"}


def test_json_of_a_registry_is_json() -> None:
    """The registry numbers JSON as well, and its values need no schema to be read."""
    value = framed(7, b'{"message": "no stock"}')
    assert decoded(value, s7=SchemaText(kind="JSON", text="{}")).lines == [b"no stock"]
    assert decoded(value).lines == [b"no stock"], "not even if the registry has lost it"


# ---------------------------------------------------------------- what is not read


@pytest.mark.parametrize("value", [framed(7, avro(EVENT))[:-1], framed(7, avro(EVENT)) + b"x", framed(7, b"\xff" * 40)])
def test_a_record_that_does_not_fit_is_a_dead_letter(value: bytes) -> None:
    """A record that ends early, or is longer than its schema allows, is no event."""
    found = decoded(value, s7=avro_text(LOG))
    [(_, letter)] = found.dead
    assert letter.stage == "schema"
    assert letter.reason.startswith("the value does not fit schema 7: ")


def test_a_schema_that_is_not_to_be_had_is_named() -> None:
    """The dead letter has the number, and what the registry answered."""
    [(_, letter)] = decoded(framed(9, avro(EVENT))).dead
    assert letter.reason == ("the value is written in schema 9 of the schema registry: the registry does not have it")


def test_without_a_registry_it_is_a_dead_letter_as_before() -> None:
    """No schema, no guess: such a value is never learned as text."""
    [(_, letter)] = default_decoder().decode([LogRecord(framed(7, avro(EVENT)))]).dead
    assert (letter.stage, letter.reason) == ("binary", "the value is written in schema 7 of a schema registry")


def test_a_pinned_format_reads_schemas_of_its_type_only() -> None:
    """A topic of Avro has no Protobuf, no JSON and no text."""
    file = log_file()
    values = (
        framed(7, avro(EVENT)),
        framed(8, b"\0" + message(file, message="x")),
        framed(9, b'{"message": "x"}'),
        b'{"message": "x"}',
        b"served",
        b"",
    )
    schemas: dict[str, SchemaText | str] = {
        "s7": avro_text(LOG),
        "s8": protobuf_text(file),
        "s9": SchemaText(kind="JSON", text="{}"),
    }
    found = decoded(*values, form="avro", **schemas)
    assert (found.places, [place for place, _ in found.dead], found.blank) == ([0], [1, 2, 3, 4], [5])
    assert found.dead[0][1].reason == "the value is written in schema 8, which is PROTOBUF, not AVRO"
    found = decoded(*values, form="protobuf", **schemas)
    assert (found.places, [place for place, _ in found.dead], found.blank) == ([1], [0, 2, 3, 4], [5])
    for form in ("raw", "json"):
        assert default_decoder(form=form, schemas=lambda _: "x").schemas is None, "it needs no schema"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (framed(7, b"x"), 7),
        (framed(2**31, b"x"), 2**31),
        (framed(7, b""), 7),
        (None, None),
        (b"", None),
        (b"\0\0\0\0", None),
        (b"\0" * 64, None),
        (b"\0" * 8 + b"\7x", 7),
        (b"\0" * 7 + b"\7", None),
        (b"\1\0\0\0\7x", None),
        (b"\0\0\0\5hello", None),
        (b"\0\0\0\5hello\0\0\0\2me", None),
    ],
)
def test_a_frame_has_a_number(value: bytes | None, number: int | None) -> None:
    """Zeros are no frame, and neither are texts behind their sizes."""
    assert number_of(value) == number


# ---------------------------------------------------------------- schemas that are no good


def deep(levels: int) -> dict[str, Any]:
    schema: Any = "string"
    for number in range(levels):
        schema = {"type": "record", "name": f"R{number}", "fields": [{"name": "f", "type": schema}]}
    return dict(schema)


def doubling(levels: int) -> dict[str, Any]:
    """Returns a record whose fields are two records whose fields are two records …, of nothing."""
    fields: list[Any] = [{"name": "end", "type": "null"}]
    schema: dict[str, Any] = {"type": "record", "name": "R", "fields": fields}
    for number in range(levels):
        name = schema["name"]
        schema = {
            "type": "record",
            "name": f"R{number}",
            "fields": [{"name": "a", "type": schema}, {"name": "b", "type": name}],
        }
    return schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "record", "name": "L", "fields": "x"}, "it is no schema of Avro"),
        ({"type": "no such type"}, "it is no schema of Avro"),
        ({"type": "record", "name": "L", "fields": [{"name": "a", "type": "x.Missing"}]}, "it is no schema of Avro"),
        ({"type": "array", "items": "null"}, "could expand to any number of values"),
        ({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}, "could expand"),
        ({"type": "array", "items": {"type": "record", "name": "E", "fields": []}}, "could expand"),
        ({"type": "map", "values": doubling(5)}, "could expand"),
        (doubling(30), "more than 10,000 fields"),
        (deep(110), "nested too deeply"),
        (deep(3_000), "nested too deeply"),
    ],
)
def test_a_schema_that_cannot_be_trusted_is_refused(schema: dict[str, Any], words: str) -> None:
    """A short record must not fill the memory, and no schema the stack of the thread."""
    with pytest.raises(Misfit, match=words):
        compiled(_written(schema))


def _written(schema: object) -> SchemaText:
    """Returns a schema as text, however deep it is."""
    text, levels = "", 0
    while isinstance(schema, dict) and str(schema.get("name", "")).startswith("R") and len(schema["fields"]) == 1:
        text += f'{{"type": "record", "name": "{schema["name"]}", "fields": [{{"name": "f", "type": '
        schema, levels = schema["fields"][0]["type"], levels + 1
    return SchemaText(kind="AVRO", text=text + json.dumps(schema) + "}]}" * levels)


def test_a_chain_of_references_is_no_way_around_the_depth() -> None:
    """Each schema is flat, and together they are a thousand types deep."""
    chain = [
        (f"R{n}", {"type": "record", "name": f"R{n}", "fields": [{"name": "f", "type": f"R{n - 1}" if n else "int"}]})
        for n in range(1_000)
    ]
    with pytest.raises(Misfit, match="nested too deeply"):
        compiled(avro_text(chain[-1][1], *chain[:-1]))


@pytest.mark.parametrize("levels", [50, 5_000, 1_000_000])
def test_a_record_of_any_depth_does_not_end_the_process(levels: int) -> None:
    """A type inside itself lets a record of a megabyte be a million deep; the thread's stack is not."""
    found: list[Decoded] = []
    value = framed(7, b"\x02" * levels + b"\x00")
    thread = threading.Thread(target=lambda: found.append(decoded(value, s7=avro_text(NEST))))
    thread.start()
    thread.join()
    [(_, letter)] = found[0].dead
    assert letter.stage in ("schema", "text"), "too deep, or an event without a text"


def test_a_chain_in_a_record_is_read() -> None:
    """An exception has a cause that has a cause."""
    schema = {
        "type": "record",
        "name": "E",
        "fields": [{"name": "message", "type": "string"}, {"name": "cause", "type": ["null", "E"]}],
    }
    record = {"message": "no order", "cause": {"message": "disk full", "cause": None}}
    assert compiled(avro_text(schema)).read(avro(record, schema)) == record


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SchemaText(kind="PROTOBUF", text='syntax = "proto3";'), "does not return it in its serialized form"),
        (SchemaText(kind="PROTOBUF", text="AAAA"), "serialized form|no schema"),
        (SchemaText(kind="THRIFT", text=""), "of the type 'THRIFT', and only AVRO, PROTOBUF and JSON are read"),
        (protobuf_text(log_file(message_type("X", ("y", ".shop.Missing")))), "it is no schema of Protobuf"),
    ],
)
def test_a_schema_of_another_kind_is_refused(text: SchemaText, words: str) -> None:
    """What cannot be read is named before the first record of it is decoded."""
    with pytest.raises(Misfit, match=words):
        compiled(text)


def test_a_message_may_not_be_deeper_than_the_library_allows() -> None:
    """A message inside itself a thousand times is a dead letter."""
    file = log_file(message_type("Nest", ("next", ".shop.Nest")))
    content = b""
    for _ in range(1_000):
        size, head = len(content), b"\x0a"
        while size >= 128:
            head, size = head + bytes([size & 127 | 128]), size >> 7
        content = head + bytes([size]) + content
    found = decoded(framed(7, b"\x02\x02" + content), s7=protobuf_text(file))
    assert [letter.stage for _, letter in found.dead] == ["schema"]

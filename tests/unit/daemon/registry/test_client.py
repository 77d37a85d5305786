"""The client of a schema registry: what it asks, and what each answer means."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from logwarden.daemon.decoding.schemas import compiled
from logwarden.daemon.errors import RegistryUnavailable, SchemaRefused
from logwarden.daemon.records import SchemaText
from logwarden.daemon.registry import client as clients
from logwarden.daemon.registry.client import RegistryClient
from tests.registry_stand_in import registry_stand_in


def client(url: str, **options: Any) -> RegistryClient:
    return RegistryClient(url, time.monotonic, **options)


async def test_a_schema_of_avro_is_one_request() -> None:
    """An answer without a type is Avro; a slash too many at the URL does no harm."""
    with registry_stand_in({"/schemas/ids/7": {"schema": '"string"'}}) as registry:
        found = await client(registry.url + "/").schema(7)
    assert found == SchemaText(kind="AVRO", text='"string"')
    assert registry.requests == ["/schemas/ids/7"]
    assert registry.logins == []


async def test_references_come_before_what_refers_to_them() -> None:
    """Each is fetched once, and a subject's name may contain anything."""
    answers = {
        "/schemas/ids/7": {
            "schema": "main",
            "references": [
                {"name": "a", "subject": "x/a b", "version": 3},
                {"name": "b", "subject": "b", "version": 1},
            ],
        },
        "/subjects/x%2Fa%20b/versions/3": {
            "schema": "first",
            "references": [{"name": "b", "subject": "b", "version": 1}],
        },
        "/subjects/b/versions/1": {"schema": "second"},
    }
    with registry_stand_in(answers) as registry:
        found = await client(registry.url).schema(7)
    assert found.references == (("b", "second"), ("a", "first"))
    assert len(registry.requests) == 3


async def test_protobuf_is_requested_in_its_serialized_form() -> None:
    """The text of a file would have to be compiled; its description is ready."""
    plain = {"schema": "syntax", "schemaType": "PROTOBUF", "references": [{"name": "b", "subject": "b", "version": 1}]}
    answers = {
        "/schemas/ids/7": plain,
        "/schemas/ids/7?format=serialized": {"schema": "AA=="},
        "/subjects/b/versions/1": {"schema": "syntax", "schemaType": "PROTOBUF"},
        "/subjects/b/versions/1?format=serialized": {"schema": "AB=="},
    }
    with registry_stand_in(answers) as registry:
        found = await client(registry.url).schema(7)
    assert found == SchemaText(kind="PROTOBUF", text="AA==", references=(("b", "AB=="),))


async def test_a_login_is_read_for_each_request() -> None:
    """A password file may change while the daemon runs."""
    passwords = iter(("old", "new"))
    with registry_stand_in({"/schemas/ids/7": {"schema": "x"}}) as registry:
        asked = client(registry.url, username="anna", password=lambda: next(passwords))
        await asked.schema(7)
        await asked.schema(7)
    assert registry.logins == ["anna:old", "anna:new"]


@pytest.mark.parametrize(
    ("behaviour", "words", "hint"),
    [
        ({"status": 401}, "refuses this client with status 401", "SCHEMA_REGISTRY_USERNAME and its password"),
        ({"status": 403}, "refuses this client with status 403", "may read all subjects"),
        ({"status": 500}, "answered with status 500", "check the registry"),
        (
            {"status": 302, "headers": {"Location": "http://127.0.0.1:9/x"}},
            "answered with status 302",
            "_URL, the path",
        ),
        ({"answers": {"/schemas/ids/7": b"<html>"}}, "is no schema registry", "_URL, the path included"),
        ({"answers": {"/schemas/ids/7": ["schema"]}}, "is no schema registry", "_URL"),
        ({"answers": {"/schemas/ids/7": {"schema": 3}}}, "is no schema registry", "_URL"),
        ({"answers": {"/schemas/ids/7": b"\xff"}}, "is no schema registry", "_URL"),
    ],
)
async def test_what_may_pass_is_asked_again(behaviour: dict[str, Any], words: str, hint: str) -> None:
    """An outage, a wrong password and a wrong address bury no record: they wait until it is repaired."""
    answers = behaviour.pop("answers", {})
    with (
        registry_stand_in(answers, **behaviour) as registry,
        pytest.raises(RegistryUnavailable, match=words) as caught,
    ):
        await client(registry.url, username="anna", password=lambda: "hunter2").schema(7)
    assert hint in caught.value.hint
    assert registry.url in str(caught.value)
    assert "hunter2" not in str(caught.value) + caught.value.hint


async def test_a_page_that_is_not_there_is_a_wrong_address() -> None:
    """Only a registry has the codes of a registry: another server's 404 must bury nothing."""

    class Elsewhere(dict[str, Any]):
        def __contains__(self, key: object) -> bool:
            return True

        def __getitem__(self, key: str) -> bytes:
            return b'{"detail": "no resource"}'

    with (
        registry_stand_in(Elsewhere(), status=404) as registry,
        pytest.raises(RegistryUnavailable, match="answered with status 404") as caught,
    ):
        await client(registry.url).schema(7)
    assert "the path included" in caught.value.hint


async def test_nothing_at_the_address_is_an_outage() -> None:
    """A refused connection and a name that does not exist may pass."""
    with pytest.raises(RegistryUnavailable, match=r"cannot be reached: .*refused") as caught:
        await client("http://127.0.0.1:9").schema(7)
    assert "the registry is running" in caught.value.hint
    with pytest.raises(RegistryUnavailable, match="cannot be reached"):
        await client("http://registry.invalid").schema(7)


async def test_a_registry_that_hangs_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a server that sends nothing nor one that sends slowly keeps a thread for long."""
    with registry_stand_in({"/schemas/ids/7": {"schema": "x"}}, delay_s=20.0) as registry:
        with pytest.raises(RegistryUnavailable, match=r"cannot be reached: .*timed out"):
            await client(registry.url, timeout_s=0.2).schema(7)
        monkeypatch.setattr(clients, "_SCHEMA_S", 0.1)
        with pytest.raises(RegistryUnavailable, match=r"no answer within 0\.1 s"):
            await client(registry.url, timeout_s=10.0).schema(7)
    monkeypatch.undo()
    ticks = itertools.count(0.0, 6.0)
    with (
        registry_stand_in({"/schemas/ids/7": {"schema": "x" * 100_000}}) as registry,
        pytest.raises(RegistryUnavailable, match="no whole answer within 10 s"),
    ):
        await RegistryClient(registry.url, lambda: next(ticks)).schema(7)


async def test_a_certificate_that_is_not_trusted_names_the_setting(tmp_path: Path) -> None:
    """TLS fails in the client's own words, and a missing file is named."""
    nothing = tmp_path / "ca.pem"
    nothing.write_text("no certificate")
    with pytest.raises(RegistryUnavailable) as caught:
        await client("https://127.0.0.1:9", cafile=nothing).schema(7)
    assert "SCHEMA_REGISTRY_CAFILE" in caught.value.hint


async def test_a_password_file_that_is_gone_is_an_outage() -> None:
    """The operator replaces it, and the next request reads it."""

    def gone() -> str:
        raise ValueError("names the file 'x', which cannot be read: gone")

    with pytest.raises(RegistryUnavailable, match="PASSWORD_FILE names the file 'x', which cannot be read"):
        await client("http://127.0.0.1:9", username="anna", password=gone).schema(7)


@pytest.mark.parametrize(
    ("answers", "words", "may_come"),
    [
        ({}, "the registry does not have it", True),
        (
            {"/schemas/ids/7": {"schema": "x", "references": [{"name": "a", "subject": "a", "version": 1}]}},
            "does not have a schema to which it refers",
            True,
        ),
        ({"/schemas/ids/7": {"schema": "x", "references": [{"name": "a"}]}}, "its references are broken", False),
        ({"/schemas/ids/7": {"schema": "x", "references": [3]}}, "its references are broken", False),
        ({"/schemas/ids/7": {"schema": "x" * 2_000_000}}, "more than 1,048,576 bytes", False),
        ({"/schemas/ids/7": b'{"schema":"x","a":' + b"[" * 200_000}, "nested too deeply", False),
    ],
)
async def test_a_schema_that_is_not_to_be_had_is_refused(answers: dict[str, Any], words: str, may_come: bool) -> None:
    """Its records are dead letters with this reason; one that the registry lacks may come later."""
    with registry_stand_in(answers) as registry, pytest.raises(SchemaRefused, match=words) as caught:
        await client(registry.url).schema(7)
    assert caught.value.may_come is may_come


async def test_references_are_bounded() -> None:
    """Neither their number nor their depth nor their size is for the registry to decide."""

    def reference(n: int) -> dict[str, Any]:
        return {"name": f"n{n}", "subject": f"s{n}", "version": 1}

    chain = {f"/subjects/s{n}/versions/1": {"schema": "x", "references": [reference(n + 1)]} for n in range(40)}
    with (
        registry_stand_in({**chain, "/schemas/ids/7": {"schema": "x", "references": [reference(0)]}}) as registry,
        pytest.raises(SchemaRefused, match="nested too deeply"),
    ):
        await client(registry.url).schema(7)
    many = {f"/subjects/s{n}/versions/1": {"schema": "x"} for n in range(100)}
    main = {"/schemas/ids/7": {"schema": "x", "references": [reference(n) for n in range(100)]}}
    with (
        registry_stand_in({**many, **main}) as registry,
        pytest.raises(SchemaRefused, match="refers to more than 64 schemas"),
    ):
        await client(registry.url).schema(7)
    large = {path: {"schema": "x" * 600_000} for path in many}
    with (
        registry_stand_in({**large, **main}) as registry,
        pytest.raises(SchemaRefused, match="have more than 1,048,576 bytes"),
    ):
        await client(registry.url).schema(7)
    assert len(registry.requests) < 5


async def test_protobuf_that_a_registry_returns_as_text_is_compiled() -> None:
    """Some registries ignore the wish for another form; their references are texts as well."""
    text = 'syntax = "proto3"; import "b.proto"; message Log { string message = 1; B b = 2; }'
    refers = [{"name": "b.proto", "subject": "b", "version": 1}]
    plain = {"schema": text, "schemaType": "PROTOBUF", "references": refers}
    answers = {
        "/schemas/ids/7": plain,
        "/schemas/ids/7?format=serialized": plain,
        "/subjects/b/versions/1": {"schema": 'syntax = "proto3"; message B { string x = 1; }'},
    }
    with registry_stand_in(answers) as registry:
        found = await client(registry.url).schema(7)
    assert compiled(found).read(b"\0\x0a\x02no\x12\x03\x0a\x01x") == {"message": "no", "b": {"x": "x"}}

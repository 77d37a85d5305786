"""The HTTP API over a real socket: refusals, tokens, bodies, and the description of it all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.standing import ServiceTable
from logwarden.daemon.web.api import MAX_BODY_BYTES
from tests.unit.daemon.web.serving import NOW_MS, TABLE, Served, incident_value, serving, settings_of

# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/services?limit=0", "bad_parameter", "limit is '0', but it must be an integer from 1 to 1000."),
        ("/services?limit=1e3", "bad_parameter", "limit is '1e3'"),
        ("/services?limit=%D9%A1", "bad_parameter", "must be an integer"),
        ("/services?state=new", "bad_parameter", "state is 'new', but it must be one of learning, known, noisy."),
        ("/services?severity=error", "unknown_parameter", "There is no parameter 'severity'."),
        ("/services?since=yesterday", "bad_parameter", "'yesterday' is no time; write a time ago"),
        ("/services?since=9999999d", "bad_parameter", "is no time"),
        ("/services?limit=1&limit=2", "bad_parameter", "limit is given 2 times"),
        ("/services?after=nothing", "bad_parameter", "after is no value of `next`"),
        ("/services?after=WzFd", "bad_parameter", "after is no value of `next`"),
        ("/services?service=" + "x" * 300, "bad_parameter", "at most 256 characters"),
        ("/services?" + "&".join(["service=x"] * 33), "bad_parameter", "write at most 32"),
        ("/services?" + "&".join(["service=x"] * 65), "bad_parameter", "more than 64 values"),
        ("/incidents?severity=high", "bad_parameter", "must be one of critical, error, warning, info."),
        ("/incidents?kind=newline", "bad_parameter", "kind is 'newline', but it must be one of new_line, "),
        ("/incidents?after=WzEsMl0", "bad_parameter", "after is no value of `next`"),
        ("/openapi.json?limit=1", "unknown_parameter", "This path has no parameters."),
    ],
)
async def test_a_wrong_question_is_refused_with_a_sentence(served: Served, path: str, code: str, words: str) -> None:
    """A question that is not understood is never answered as if it had not been asked."""
    status, body = await served.ask(path)
    assert (status, body["error"]["code"]) == (400, code)
    assert words in body["error"]["message"]


async def test_a_pattern_cannot_stop_the_daemon(served: Served) -> None:
    """A pattern of many stars is matched in time that grows with the name, not with the power of its stars."""
    name = "a" * 2_000
    served.table = lambda: _table_of(name)
    stars = "*a" * 100 + "*b"
    assert await asyncio.wait_for(served.names(f"service={stars}"), 5) == []


async def _table_of(name: str) -> ServiceTable:
    names = TABLE.names.copy()
    names[:] = name
    return replace(TABLE, names=names)


# ---------------------------------------------------------------- tokens


async def test_without_a_token_nobody_writes(served: Served) -> None:
    """A daemon that was given no token takes no writes, whatever the client sends."""
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        status, body = await served.ask("/notes", method="POST", headers=headers, json={"text": "x"})
        assert (status, body["error"]["code"]) == (403, "writes_off")
        assert "LOGWARDEN_HTTP__TOKEN" in body["error"]["message"]
    assert served.notes == []


@pytest.mark.parametrize(
    "given", ["", "open sesame", "Bearer", "Bearer open", "Basic open sesame", "Bearer open sesame2", "Bearer öpen"]
)
async def test_another_token_is_refused(with_token: Served, given: str) -> None:
    """Only the daemon's token opens, and no refusal shows it."""
    for method, path in (("POST", "/notes"), ("GET", "/services"), ("GET", "/openapi.json")):
        headers = {"Authorization": given} if given else {}
        status, body = await with_token.ask(path, method=method, headers=headers, data=b'{"text": "x"}')
        assert (status, body["error"]["code"]) == (401, "unauthorized")
        assert "sesame" not in body["error"]["message"]
    assert with_token.notes == []


async def test_the_token_opens(with_token: Served) -> None:
    """With the token a client reads and writes."""
    headers = {"Authorization": "Bearer open sesame"}
    assert (await with_token.ask("/services", headers=headers))[0] == 200
    status, body = await with_token.ask("/notes", method="POST", headers=headers, json={"text": "planned"})
    assert (status, body, with_token.notes) == (200, {"text": "planned"}, ["planned"])


async def test_a_token_in_a_file_is_read_again(tmp_path: Path) -> None:
    """A rotated token counts from the next request on; a file that is missing then is a sentence, not an opening."""
    file = tmp_path / "token"
    file.write_text("first\n", encoding="utf-8")
    found, server = await serving(settings_of(HTTP__TOKEN_FILE=str(file)))
    note: dict[str, Any] = {"method": "POST", "json": {"text": "x"}}
    assert (await found.ask("/notes", headers={"Authorization": "bearer first"}, **note))[0] == 200
    file.write_text("second", encoding="utf-8")
    assert (await found.ask("/notes", headers={"Authorization": "Bearer first"}, **note))[0] == 401
    assert (await found.ask("/notes", headers={"Authorization": "Bearer second"}, **note))[0] == 200
    file.unlink()
    status, body = await found.ask("/notes", headers={"Authorization": "Bearer second"}, **note)
    await server.stop()
    assert (status, body["error"]["code"]) == (503, "token_unreadable")
    assert len(found.notes) == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"HTTP__TOKEN": "a", "HTTP__TOKEN_FILE": __file__}, "are both set"),
        ({"HTTP__TOKEN_FOR_READS": "true"}, "nobody could read"),
    ],
)
def test_settings_of_the_token_agree(values: dict[str, str], words: str) -> None:
    """Settings that contradict each other are refused before anything listens."""
    with pytest.raises(ConfigurationError, match=words):
        settings_of(**values)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "bad_body"),
        (b"[]", 400, "bad_body"),
        (b'{"text": 1}', 400, "bad_body"),
        (b"\xff", 400, "bad_body"),
        (b"[" * 60_000, 400, "bad_body"),
        (b'{"text": "' + b"x" * MAX_BODY_BYTES + b'"}', 413, "body_too_large"),
    ],
)
async def test_a_body_is_bounded_and_checked(with_token: Served, data: bytes, status: int, code: str) -> None:
    """Whatever a client with the token sends, the daemon answers with a reason."""
    headers = {"Authorization": "Bearer open sesame"}
    found = await with_token.ask("/notes", method="POST", headers=headers, data=data)
    assert (found[0], found[1]["error"]["code"]) == (status, code)
    assert with_token.notes == []


# ---------------------------------------------------------------- the description


async def test_answers_are_what_the_description_promises(served: Served) -> None:
    """Every path answers as OpenAPI describes it, refusals included; a field that is missing there would fail."""
    status, description = await served.ask("/openapi.json")
    assert (status, description["openapi"]) == (200, "3.1.0")
    served.shelf.put(b"", incident_value("a"), NOW_MS)
    for path, method in (("/services", "get"), ("/incidents", "get"), ("/notes", "post")):
        operation = description["paths"][f"/api/v1{path}"][method]
        for outcome, query in (("200", ""), ("default", "?nothing=1")):
            status, body = await served.ask(path + query, method=method.upper())
            wanted = outcome if status == 200 else "default"
            schema = operation["responses"][wanted]["content"]["application/json"]["schema"]
            closed(description["components"]["schemas"])
            jsonschema.validate(body, {**schema, "components": description["components"]})
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert names <= {"service", "severity", "state", "kind", "history", "scope", "since", "limit", "after"}
    assert description["paths"]["/api/v1/notes"]["post"]["security"] == [{"token": []}]


def closed(schemas: dict[str, Any]) -> None:
    """Lets the schemas of objects refuse fields that they do not describe."""
    for schema in schemas.values():
        if schema.get("type") == "object":
            schema["additionalProperties"] = False


async def test_what_the_api_does_not_serve_is_refused_like_the_rest(served: Served) -> None:
    """Another path and another method get a code and a sentence, and the methods that there are."""
    async with aiohttp.ClientSession() as session:
        for method, path, status, code, allowed in (
            ("GET", "/nothing", 404, "no_such_path", None),
            ("GET", "/services/", 404, "no_such_path", None),
            ("PUT", "/services", 405, "bad_method", "GET, HEAD"),
            ("OPTIONS", "/openapi.json", 405, "bad_method", "GET, HEAD"),
            ("DELETE", "/notes", 405, "bad_method", "POST"),
        ):
            async with session.request(method, f"{served.url}/api/v1{path}") as answer:
                assert (answer.status, answer.headers.get("Allow")) == (status, allowed)
                assert (await answer.json())["error"]["code"] == code
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with session.head(f"{served.url}/api/v1/services") as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_a_path_that_is_not_there_is_a_404(served: Served) -> None:
    """Another version of the API, or another path, is not found."""
    async with aiohttp.ClientSession() as session, session.get(f"{served.url}/api/v2/services") as answer:
        assert answer.status == 404

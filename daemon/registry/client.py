"""Fetches schemas from a schema registry: Confluent's HTTP interface, which other registries offer as well.

One schema is a few requests, away from the event loop, within a time and a size. No message contains a password, and no
password leaves for another host than the configured one.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import urllib.error
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from logwarden.daemon.errors import RegistryUnavailable, SchemaRefused
from logwarden.daemon.records import SchemaText
from logwarden.daemon.registry.proto_text import serialized

_NAME = "LOGWARDEN_INPUT__SCHEMA_REGISTRY_"
TIMEOUT_S = 10.0
"""Seconds for one request."""
_SCHEMA_S = 30.0
"""Seconds for a schema with all that it refers to."""
MAX_BYTES = 1_048_576
"""Bytes of an answer, and of all schemas to which one refers."""
_MAX_REFERENCES, _MAX_DEPTH = 64, 16
_UNKNOWN = (40401, 40402, 40403)
"""Codes of a registry that has no such subject, version or schema. Another 404 is a wrong address."""
_ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"
_KIND = "AVRO"
"""Type of a schema whose answer names none."""


class RegistryClient:
    """The registry at a URL. `password` is called for each request, so that a file with it may change."""

    def __init__(
        self,
        url: str,
        clock: Callable[[], float],
        *,
        username: str | None = None,
        password: Callable[[], str | None] = lambda: None,
        cafile: Path | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._username = username
        self._password = password
        self._cafile = cafile
        self._timeout_s = timeout_s

    async def schema(self, number: int) -> SchemaText:
        """Returns a schema with all that it refers to. Raises RegistryUnavailable or SchemaRefused."""
        try:
            async with asyncio.timeout(_SCHEMA_S):
                return await asyncio.to_thread(self._schema, number)
        except TimeoutError:
            raise self._unreachable(f"no answer within {_SCHEMA_S:g} s") from None

    def _schema(self, number: int) -> SchemaText:
        path = f"/schemas/ids/{number}"
        answer = self._get(path)
        kind, text = str(answer.get("schemaType") or _KIND), answer["schema"]
        form = ""
        if kind == "PROTOBUF":
            form = "?format=serialized"
            text = self._get(path + form)["schema"]
            if text == answer["schema"]:  # the registry knows no other form than the text
                form = ""
        found: dict[str, str] = {}
        self._collect(answer, form, found, 0)
        if kind == "PROTOBUF" and not form:
            text, found = serialized(text, found)
        return SchemaText(kind=kind, text=text, references=tuple(found.items()))

    def _collect(self, answer: dict[str, Any], form: str, found: dict[str, str], depth: int) -> None:
        """Adds the schemas to which one refers, those first to which others refer. `form`: query of their form."""
        references = answer.get("references") or ()
        if depth > _MAX_DEPTH:
            raise SchemaRefused("its references are nested too deeply")
        for reference in references if isinstance(references, list) else ():
            try:
                name, path = str(reference["name"]), f"/subjects/{quote(str(reference['subject']), safe='')}"
                path = f"{path}/versions/{int(reference['version'])}"
            except (TypeError, KeyError, ValueError):
                raise SchemaRefused("its references are broken") from None
            if name in found:
                continue
            if len(found) >= _MAX_REFERENCES:
                raise SchemaRefused(f"it refers to more than {_MAX_REFERENCES} schemas")
            inner = self._get(path)
            self._collect(inner, form, found, depth + 1)
            found[name] = (self._get(path + form) if form else inner)["schema"]
            if sum(map(len, found.values())) > MAX_BYTES:
                raise SchemaRefused(f"the schemas to which it refers have more than {MAX_BYTES:,} bytes")

    def _get(self, path: str) -> dict[str, Any]:
        """Returns the answer to a request, which contains a schema."""
        try:
            body = self._body(path)
            answer = json.loads(body)
        except urllib.error.HTTPError as error:
            raise self._refused(error, path) from None
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from None
        except RecursionError:
            raise SchemaRefused("the answer of the registry is nested too deeply") from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("schema"), str):
            raise RegistryUnavailable(
                f"what answers at {self._url} is no schema registry", hint=f"check {_NAME}URL, the path included"
            )
        return answer

    def _body(self, path: str) -> bytes:
        opener = build_opener(_NoRedirects, HTTPSHandler(context=ssl.create_default_context(cafile=self._cafile)))
        request = Request(self._url + path, headers={"Accept": _ACCEPT})
        if self._username is not None:
            try:
                password = self._password() or ""
            except ValueError as error:
                raise RegistryUnavailable(f"{_NAME}PASSWORD_FILE {error}", hint="write the password into it") from None
            login = b64encode(f"{self._username}:{password}".encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {login}")
        deadline = self._clock() + self._timeout_s
        body = bytearray()
        with opener.open(request, timeout=self._timeout_s) as response:
            while part := response.read1(65_536):
                body += part
                if len(body) > MAX_BYTES:
                    raise SchemaRefused(f"the answer of the registry has more than {MAX_BYTES:,} bytes")
                if self._clock() > deadline:
                    raise TimeoutError(f"no whole answer within {self._timeout_s:g} s")
        return bytes(body)

    def _refused(self, error: urllib.error.HTTPError, path: str) -> RegistryUnavailable | SchemaRefused:
        with error:
            try:
                code = json.loads(error.read(65_536)).get("error_code")
            except (ValueError, AttributeError, OSError, http.client.HTTPException, RecursionError):
                code = None
        if error.code == 404 and code in _UNKNOWN:
            words = "the registry does not have it"
            if not path.startswith("/schemas/"):
                words = "the registry does not have a schema to which it refers"
            return SchemaRefused(words, may_come=True)
        if error.code in (401, 403):
            return RegistryUnavailable(
                f"the schema registry {self._url} refuses this client with status {error.code}",
                hint=f"check {_NAME}USERNAME and its password, and that the user may read all subjects",
            )
        hint = "check the registry" if error.code >= 500 else f"check {_NAME}URL, the path included"
        return RegistryUnavailable(f"the schema registry {self._url} answered with status {error.code}", hint=hint)

    def _unreachable(self, reason: object) -> RegistryUnavailable:
        hint = f"check {_NAME}URL and that the registry is running"
        if isinstance(reason, ssl.SSLError):
            hint = f"set {_NAME}CAFILE to the authority that signed the registry's certificate"
        return RegistryUnavailable(f"the schema registry {self._url} cannot be reached: {reason}", hint=hint)


class _NoRedirects(HTTPRedirectHandler):
    """Makes a redirect an error: the password is for the configured host only."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None

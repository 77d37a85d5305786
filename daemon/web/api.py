"""Frames the HTTP API: what an endpoint is, who may use it, how it refuses. Knows no endpoint.

Reading needs no token unless the operator wants one. Writing needs one, and is off without a configured token. Every
answer is JSON, every refusal a code for programs and a sentence for people. A request is bounded in size, number of
values and time.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from logwarden.daemon.settings.groups import HttpSettings
from logwarden.daemon.settings.secret_files import secret_of
from logwarden.daemon.web.questions import Parameter, Question, Refusal

ROOT = "/api/v1"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Of every answer."""
MAX_BODY_BYTES = 65_536
BODY_TIMEOUT_S = 10.0
MAX_VALUES = 64
"""Values of all parameters of one request."""


class ErrorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was refused."""

    code: str
    """Stable name for programs."""
    message: str
    """Complete sentences for people, with the action to take."""


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every refusal."""

    error: ErrorFacts


class PartitionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A partition of an input topic."""

    topic: str
    partition: int


class MemberFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The member of the group that answers."""

    id: str
    """Random text of its process."""
    name: str
    """Host and process."""
    group: str
    version: str
    partitions: tuple[PartitionFacts, ...]
    """Those assigned to it. Other members answer for the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path and method. `method` GET reads; every other one writes and needs the token."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    """Below `ROOT`."""
    summary: str
    answer: type[msgspec.Struct]
    reply: Callable[[Question], Awaitable[msgspec.Struct]]
    """Returns the answer. Raises Refusal."""
    parameters: tuple[Parameter, ...] = ()
    body: type[msgspec.Struct] | None = None

    @property
    def writes(self) -> bool:
        """True if it changes something."""
        return self.method != "GET"


Proofs = Callable[[str, str, str], bool]
"""Returns True if a header proves, with this token and for this path, that the client is a member of the group."""


class Access:
    """Decides who may read and write. Other members of the group may read with a proof in place of the token."""

    def __init__(self, settings: HttpSettings, is_proof: Proofs = lambda *_: False) -> None:
        self._settings = settings
        self._is_proof = is_proof

    def check(self, request: web.Request, *, writes: bool) -> None:
        """Raises Refusal for a request without the right token, where one is needed."""
        if not writes and not self._settings.token_for_reads:
            return
        try:
            token = secret_of(self._settings.token, self._settings.token_file)  # a file is read again: tokens change
        except ValueError as error:
            raise Refusal(503, "token_unreadable", f"LOGWARDEN_HTTP__TOKEN_FILE {error}. Repair the file.") from None
        if token is None:
            message = (
                "This daemon takes no writes, because it has no token. Set LOGWARDEN_HTTP__TOKEN_FILE or "
                "LOGWARDEN_HTTP__TOKEN, and restart it."
            )
            raise Refusal(403, "writes_off", message)
        header = request.headers.get("Authorization", "")
        if not writes and self._is_proof(header, token, _plain(request)):
            return
        kind, _, given = header.partition(" ")
        is_right = hmac.compare_digest(given.strip().encode(errors="replace"), token.encode())
        if kind.lower() != "bearer" or not is_right:
            message = "The token is missing or wrong. Send the header Authorization: Bearer and the daemon's token."
            raise Refusal(401, "unauthorized", message)


def _plain(request: web.Request) -> str:
    """Returns path and query in one form, however a client has escaped them."""
    return f"{request.path}?{urlencode(list(request.query.items()))}"


def routes(endpoints: Sequence[Endpoint], access: Access) -> list[web.RouteDef]:
    """Returns the routes of endpoints."""
    return [web.route(each.method, ROOT + each.path, _served(each, access)) for each in endpoints]


def refusing_route(methods: Mapping[str, Collection[str]]) -> web.RouteDef:
    """Returns the route of all other paths below `ROOT`, and of all other methods. `methods`: those of each path."""

    async def refuse(request: web.Request) -> web.Response:
        allowed = ", ".join(sorted(methods.get(request.path, ())))
        if not allowed:
            message = f"There is no such path. GET {ROOT}/openapi.json describes those that there are."
            return refused(Refusal(404, "no_such_path", message))
        response = refused(Refusal(405, "bad_method", f"This path takes the methods {allowed} only."))
        response.headers["Allow"] = allowed
        return response

    return web.route("*", f"{ROOT}/{{rest:.*}}", refuse)


def _served(endpoint: Endpoint, access: Access) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.Response:
        try:
            access.check(request, writes=endpoint.writes)
            return as_json(await endpoint.reply(await _question(request, endpoint)))
        except Refusal as refusal:
            return refused(refusal)

    return serve


def refused(refusal: Refusal) -> web.Response:
    """Returns the response of a refusal."""
    return as_json(ErrorAnswer(error=ErrorFacts(code=refusal.code, message=str(refusal))), refusal.status)


def as_json(answer: object, status: int = 200) -> web.Response:
    """Returns a response whose body is this value."""
    headers = dict(HEADERS)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = msgspec.json.encode(answer)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


async def _question(request: web.Request, endpoint: Endpoint) -> Question:
    known = {parameter.name: parameter for parameter in endpoint.parameters}
    if len(request.query) > MAX_VALUES:
        raise Refusal(400, "bad_parameter", f"The query has more than {MAX_VALUES} values. Write fewer.")
    values: dict[str, list[str]] = {}
    for name, value in request.query.items():
        if name not in known:
            allowed = ", ".join(known) or "none"
            message = f"There is no parameter {name[:80]!r}. The parameters of this path: {allowed}."
            raise Refusal(400, "unknown_parameter", message)
        values.setdefault(name, []).append(value)
    for each in endpoint.parameters:
        if each.is_required and not any(values.get(each.name, ())):
            raise Refusal(400, "bad_parameter", f"The parameter {each.name} is missing. {each.meaning}")
    for name, given in values.items():
        if len(given) > 1 and not known[name].is_repeatable:
            raise Refusal(400, "bad_parameter", f"{name} is given {len(given)} times, but it takes one value.")
    return Question(values, None if endpoint.body is None else await _body(request, endpoint.body))


async def _body(request: web.Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            data = await request.content.read(MAX_BODY_BYTES + 1)
            while not request.content.at_eof() and len(data) <= MAX_BODY_BYTES:
                data += await request.content.read(MAX_BODY_BYTES + 1 - len(data))
    except TimeoutError:
        raise Refusal(408, "body_late", f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from None
    if len(data) > MAX_BODY_BYTES:
        raise Refusal(413, "body_too_large", f"The body has more than {MAX_BODY_BYTES:,} bytes. Send less.")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refusal(400, "bad_body", f"The body is not what this path takes: {error}.") from None

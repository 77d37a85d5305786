"""Describes the API as OpenAPI 3.1, generated from its endpoints and the types of their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from logwarden.daemon.incidents.brief import IncidentBrief
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.settings.groups import HttpSettings
from logwarden.daemon.web import events
from logwarden.daemon.web.api import (
    ROOT,
    Access,
    Endpoint,
    ErrorAnswer,
    Proofs,
    as_json,
    refused,
    refusing_route,
    routes,
)
from logwarden.daemon.web.api_incident import IncidentAnswer, SimilarIncident
from logwarden.daemon.web.api_incidents import IncidentsAnswer
from logwarden.daemon.web.questions import Parameter, Refusal
from logwarden.model.version import __version__

_REF = "#/components/schemas/{name}"
_PASSED_ON = (
    (IncidentsAnswer, "incidents", IncidentRecord),
    (IncidentAnswer, "incident", IncidentRecord),
    (SimilarIncident, "incident", IncidentBrief),
)
"""Fields whose bytes are passed on as they are, so that their type does not have the form: answer, field, form."""


def api_routes(
    endpoints: Sequence[Endpoint], settings: HttpSettings, is_proof: Proofs = lambda *_: False
) -> list[web.RouteDef]:
    """Returns the routes of endpoints, of their description, and of what neither of them serves."""
    access, description = Access(settings, is_proof), openapi(endpoints, has_events=settings.page)
    methods = {path: {method.upper() for method in operations} for path, operations in description["paths"].items()}
    methods = {path: known | {"HEAD"} if "GET" in known else known for path, known in methods.items()}

    async def describe(request: web.Request) -> web.Response:
        try:
            access.check(request, writes=False)
            if request.query:
                raise Refusal(400, "unknown_parameter", "This path has no parameters.")
        except Refusal as refusal:
            return refused(refusal)
        return as_json(description)

    return [*routes(endpoints, access), web.get(f"{ROOT}/openapi.json", describe), refusing_route(methods)]


def openapi(endpoints: Sequence[Endpoint], *, has_events: bool = True) -> dict[str, Any]:
    """Returns the description of these endpoints, of the events where there are any, and of itself."""
    types = dict.fromkeys([ErrorAnswer, IncidentRecord, IncidentBrief, *(each.answer for each in endpoints)])
    types |= dict.fromkeys(each.body for each in endpoints if each.body is not None)
    schemas, components = msgspec.json.schema_components(tuple(types), ref_template=_REF)
    named = dict(zip(types, schemas, strict=True))
    for answer, field, form in _PASSED_ON:
        if answer.__name__ in components:
            described = components[answer.__name__]["properties"][field]
            described.get("items", described).update(named[form])
    paths: dict[str, dict[str, Any]] = {}
    for each in endpoints:
        paths.setdefault(ROOT + each.path, {})[each.method.lower()] = _operation(each, named)
    if has_events:
        stream = {"text/event-stream": {"schema": {"type": "string"}}}
        paths[events.PATH] = {"get": _reading(events.SUMMARY, (events.FOLLOW,), stream, named)}
    itself = {"application/json": {"schema": {"type": "object"}}}
    paths[f"{ROOT}/openapi.json"] = {"get": _reading("This description.", (), itself, named)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "logwarden",
            "version": __version__,
            "description": "Services and incidents of a logwarden daemon. Writing needs the daemon's token.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(endpoint: Endpoint, named: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "parameters": [_parameter(parameter) for parameter in endpoint.parameters],
        "responses": {
            "200": _content("The answer.", named[endpoint.answer]),
            "default": _content("Why the request is refused.", named[ErrorAnswer]),
        },
        # Reading may need the token: LOGWARDEN_HTTP__TOKEN_FOR_READS.
        "security": [{"token": []}] if endpoint.writes else [{}, {"token": []}],
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True} | _content("", named[endpoint.body])
    return operation


def _reading(
    summary: str, parameters: Sequence[Parameter], content: Mapping[str, Any], named: Mapping[Any, Any]
) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": [_parameter(parameter) for parameter in parameters],
        "responses": {
            "200": {"description": "The answer.", "content": content},
            "default": _content("Why the request is refused.", named[ErrorAnswer]),
        },
        "security": [{}, {"token": []}],
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.is_required,
        "description": parameter.meaning,
        "schema": {"type": "array", "items": schema} if parameter.is_repeatable else schema,
        "explode": True,
    }


def _content(meaning: str, schema: Any) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}

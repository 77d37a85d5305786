"""One incident by its id, and those before it that logged the same lines."""

from __future__ import annotations

import json

import jsonschema

from logwarden.daemon.incidents.shelf import IncidentShelf
from logwarden.daemon.web.api_incident import IncidentEndpoint
from logwarden.daemon.web.api_schema import api_routes
from logwarden.daemon.web.server import HttpServer
from tests.unit.daemon.web.serving import NOW_MS, Served, incident_value, settings_of
from tests.unit.daemon.web.test_api_access import closed


async def test_an_incident_has_its_record_and_similar_ones() -> None:
    """Similar ones share a kind of line in the same service, the newest first; an unknown id is refused."""
    shelf, http = IncidentShelf(), settings_of().http
    for id, age_s in (("a", 0), ("b", 60), ("c", 30)):
        shelf.put(b"", incident_value(id, age_s=age_s), NOW_MS)
    ended = json.loads(incident_value("b", age_s=60, status="resolved"))
    ended["logwarden"]["resolution"] = {"kind": "expected", "feedback": "incident/b", "by": "ann", "reason": "nightly"}
    shelf.put(b"", json.dumps(ended).encode(), NOW_MS)
    other = json.loads(incident_value("d"))
    other["logwarden"]["lines"][0]["dedup_key"] = "another"
    shelf.put(b"", json.dumps(other).encode(), NOW_MS)
    server = HttpServer(http, api_routes([IncidentEndpoint(shelf).endpoint], http))
    await server.start()
    served = Served(f"http://127.0.0.1:{server.port}")
    try:
        status, body = await served.ask("/incident?id=a")
        assert (status, body["incident"]) == (200, json.loads(incident_value("a")))
        assert [(one["incident"]["id"], one["shared"]) for one in body["similar"]] == [("c", 1), ("b", 1)]
        assert body["similar"][1]["incident"]["resolution"] == ended["logwarden"]["resolution"]
        _, description = await served.ask("/openapi.json")
        schemas = description["components"]["schemas"]
        closed(schemas)
        jsonschema.validate(body, {**schemas["IncidentAnswer"], "components": description["components"]})
        assert schemas["SimilarIncident"]["properties"]["incident"]["$ref"].endswith("/IncidentBrief")
        assert (await served.ask("/incident?id=d"))[1]["similar"] == []
        for query, refusal in (("", (400, "bad_parameter")), ("?id=z", (404, "no_such_incident"))):
            status, body = await served.ask(f"/incident{query}")
            assert (status, body["error"]["code"]) == refusal
    finally:
        await server.stop()

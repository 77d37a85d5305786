"""A schema registry on loopback, with as much of Confluent's interface as the client asks for."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class RegistryStandIn:
    """Answers each path with its object; `status` other than 200 answers everything."""

    answers: dict[str, Any] = field(default_factory=dict)
    """Objects of JSON by path with its query; bytes are sent as they are. A path without one is an unknown schema."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    requests: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    url: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str) -> tuple[int, bytes]:
        if path not in self.answers:
            unknown = 404 if self.status == 200 else self.status
            return unknown, json.dumps({"error_code": 40403, "message": "Schema not found"}).encode()
        found = self.answers[path]
        return self.status, found if isinstance(found, bytes) else json.dumps(found).encode()


@contextmanager
def registry_stand_in(answers: dict[str, Any], *, port: int = 0, **behaviour: Any) -> Iterator[RegistryStandIn]:
    """Yields a running registry."""
    registry = RegistryStandIn(answers, **behaviour)

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.requests.append(self.path)
            if login := self.headers["Authorization"]:
                registry.logins.append(b64decode(login.removeprefix("Basic ")).decode())
            registry.stopping.wait(registry.delay_s)
            status, body = registry.answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **registry.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Answers) as server:
        registry.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield registry
        finally:
            registry.stopping.set()
            server.shutdown()
            thread.join()

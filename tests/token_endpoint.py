"""A token endpoint on loopback, as an identity provider runs it: OAuth 2 client credentials, unsecured tokens."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


def unsecured_token(subject: str, *, life_s: float = 600, age_s: float = 0) -> str:
    """Returns a token that nobody signed: brokers without a validator of their own accept it until its end."""
    issued = int(time.time() - age_s)
    parts = ({"alg": "none"}, {"sub": subject, "iat": issued, "exp": issued + int(life_s)})
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


@dataclass
class TokenEndpoint:
    """Answers with `answer` and `status`; records what was requested."""

    answer: object = None
    """The JSON of the response; None: a new token for ten minutes. Bytes are sent as they are."""
    status: int = 200
    delay_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    logins: list[str] = field(default_factory=list)
    forms: list[dict[str, list[str]]] = field(default_factory=list)
    url: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)

    def body(self) -> bytes:
        if isinstance(self.answer, bytes):
            return self.answer
        answer = {"access_token": unsecured_token("endpoint"), "token_type": "Bearer", "expires_in": 600}
        return json.dumps(answer if self.answer is None else self.answer).encode()


@contextmanager
def token_endpoint(**behaviour: Any) -> Iterator[TokenEndpoint]:
    """Yields a running endpoint."""
    endpoint = TokenEndpoint(**behaviour)

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            endpoint.logins.append(b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode())
            endpoint.forms.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            endpoint.stopping.wait(endpoint.delay_s)
            body = endpoint.body()
            self.send_response(endpoint.status)
            for name, value in {"Content-Length": str(len(body)), **endpoint.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/token"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield endpoint
        finally:
            endpoint.stopping.set()
            server.shutdown()
            thread.join()

"""Serves the page at `/`: a few files of this folder, which a browser keeps and checks by their hash.

The files hold no data. The page requests what it shows from the API, with the token where one is needed. By its headers
it loads nothing else, runs no script of a text, and stands in no frame.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "static"
FRONT = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


def page_routes() -> list[web.RouteDef]:
    """Returns the routes of the page's files."""
    files = sorted(path for path in FOLDER.iterdir() if path.suffix in TYPES)
    return [web.get("/" if path.name == FRONT else f"/page/{path.name}", _served(path)) for path in files]


def _served(path: Path) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    plain = path.read_bytes()
    packed = gzip.compress(plain, mtime=0)
    # Weak: the packed body is other bytes with the same meaning.
    tag = f'W/"{hashlib.blake2b(plain, digest_size=12).hexdigest()}"'
    headers = {**HEADERS, "ETag": tag}

    async def serve(request: web.Request) -> web.StreamResponse:
        known = {each.strip() for each in request.headers.get("If-None-Match", "").split(",")}
        if tag in known:
            return web.Response(status=304, headers=headers)
        is_packed = "gzip" in request.headers.get("Accept-Encoding", "")
        encoding = {"Content-Encoding": "gzip"} if is_packed else {}
        body = packed if is_packed else plain
        return web.Response(body=body, headers={**headers, **encoding, "Content-Type": TYPES[path.suffix]})

    return serve

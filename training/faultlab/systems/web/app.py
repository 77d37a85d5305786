"""A small web shop on SQLite. It is copied into a run and started there as a program, so it imports only the library.

    python shop.py NAME PORT DATABASE

It logs as applications with the standard `logging` do: every request, its meaning, and a traceback for an unexpected
error. An unknown product and an empty shelf are expected; a malformed order is not.
"""

import contextlib
import hashlib
import json
import logging
import random
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PRODUCTS = 400
# Some products are out of stock: a refused order is normal.
SOLD_OUT_EVERY = 12
WORDS = ("kettle", "lamp", "chair", "blanket", "mirror", "clock")
_ORDERS = 30_000
_SLOW_MS = 60
_LOCK_WAIT_S = 3.0

_SCHEMA = """
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, stock INTEGER, picture TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, product INTEGER, quantity INTEGER, placed REAL);
"""
_REPORT = "SELECT product, sum(quantity) AS sold FROM orders GROUP BY product ORDER BY sold DESC LIMIT 10"

requests = logging.getLogger("shop.access")
orders = logging.getLogger("shop.orders")
store = logging.getLogger("shop.store")


def create(database: Path, seed: int) -> None:
    """Creates an assortment and the orders of some past weeks."""
    rng = random.Random(seed)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(_SCHEMA)
        for number in range(1, PRODUCTS + 1):
            stock = 0 if number % SOLD_OUT_EVERY == 0 else 1_000_000
            product = (f"{rng.choice(WORDS)} no. {number}", rng.randint(5, 300), stock)
            connection.execute("INSERT INTO products (name, price, stock) VALUES (?, ?, ?)", product)
        connection.executemany(
            "INSERT INTO orders (product, quantity, placed) VALUES (?, ?, ?)",
            ((rng.randint(1, PRODUCTS), rng.randint(1, 5), rng.random()) for _ in range(_ORDERS)),
        )


class Refused(Exception):
    """A request that the shop understood and will not serve."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Request(BaseHTTPRequestHandler):
    """One request. The names of the methods are those of the standard library."""

    server_version = "shop"
    # A proxy that disconnects half-way must not occupy a thread.
    timeout = 15
    database = Path()

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._order)

    def do_PUT(self) -> None:
        self._answer(self._picture)

    def log_message(self, format: str, *arguments: object) -> None:
        """Logs the complaints of the standard library about requests that it cannot parse."""
        requests.warning(format, *arguments)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Logs nothing: `_answer` logs the request with its size and time."""

    def _answer(self, serve: Callable[[], tuple[int, Any]]) -> None:
        began = time.monotonic()
        requests.info("%s %s: started", self.command, urlsplit(self.path).path)
        try:
            status, answer = serve()
        except Refused as refused:
            status, answer = refused.status, {"error": str(refused)}
        except ConnectionError:
            requests.info("%s: client went away while it was read", self.path)
            return
        except Exception:  # the last line of defence of a server: whatever it is, the client gets an answer
            requests.exception("unhandled exception in %s %s", self.command, urlsplit(self.path).path)
            status, answer = 500, {"error": "internal server error"}
        body = json.dumps(answer).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            requests.info("%s: client went away before it was answered", self.path)
            return
        took_ms = 1000 * (time.monotonic() - began)
        requests.info('"%s" %d %d %.1fms', self.requestline, status, len(body), took_ms)

    def _get(self) -> tuple[int, Any]:
        url = urlsplit(self.path)
        with self._connection() as connection:
            match url.path.split("/")[1:]:
                case ["health"]:
                    return 200, self._rows(connection, "SELECT count(*) FROM products")
                case ["products", number]:
                    rows = self._rows(connection, "SELECT name, price, stock FROM products WHERE id = ?", number)
                    if not rows:
                        raise Refused(404, "no such product")
                    return 200, rows[0]
                case ["search"]:
                    (word,) = parse_qs(url.query)["q"]
                    found = self._rows(connection, "SELECT id, name FROM products WHERE name LIKE ?", f"%{word}%")
                    store.info("search for %r found %d products", word, len(found))
                    return 200, found
                case ["report"]:
                    return 200, self._rows(connection, _REPORT)
        raise Refused(404, "no such page")

    def _order(self) -> tuple[int, Any]:
        order = json.loads(self._body())
        product, quantity = int(order["product"]), int(order["quantity"])
        with self._connection() as connection, connection:
            rows = self._rows(connection, "SELECT stock FROM products WHERE id = ?", product)
            if not rows:
                raise Refused(404, "no such product")
            (stock,) = rows[0]
            if stock < quantity:
                orders.warning("product %d: %d wanted, %d in stock", product, quantity, stock)
                raise Refused(409, "out of stock")
            connection.execute("UPDATE products SET stock = stock - ? WHERE id = ?", (quantity, product))
            placed = connection.execute(
                "INSERT INTO orders (product, quantity, placed) VALUES (?, ?, ?)", (product, quantity, time.time())
            )
        orders.info("order %d placed: %d of product %d", placed.lastrowid, quantity, product)
        return 201, {"order": placed.lastrowid}

    def _picture(self) -> tuple[int, Any]:
        number, picture = urlsplit(self.path).path.split("/")[2], self._body()
        digest = hashlib.sha256(picture).hexdigest()
        with self._connection() as connection, connection:
            connection.execute("UPDATE products SET picture = ? WHERE id = ?", (digest, number))
        store.info("picture of product %s replaced, %d bytes", number, len(picture))
        return 200, {"digest": digest}

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.database, timeout=_LOCK_WAIT_S)) as connection:
            store.info("opened %s for %s", self.database.name, self.command)
            yield connection

    def _rows(self, connection: sqlite3.Connection, sql: str, *values: object) -> list[Any]:
        began = time.monotonic()
        rows = connection.execute(sql, values).fetchall()
        took_ms = 1000 * (time.monotonic() - began)
        store.info("%d rows in %.1f ms", len(rows), took_ms)
        if took_ms > _SLOW_MS:
            store.warning("slow query, %.0f ms: %s", took_ms, sql)
        return rows


def main(name: str, port: str, database: str) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    Request.database = Path(database)
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Request)
    log = logging.getLogger("shop")

    def leave(number: int, frame: object) -> None:
        log.info("received %s, shutting down", signal.Signals(number).name)
        # From another thread: shutdown() waits for the loop that this very thread runs.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, leave)
    log.info("%s listening on port %s, database %s", name, port, database)
    server.serve_forever()
    server.server_close()
    log.info("%s stopped", name)


if __name__ == "__main__":
    main(*sys.argv[1:])

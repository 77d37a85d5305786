"""The requests of load, probes and attacks on the web shop. Knows no server process and no fault.

Every request is made by curl, which checks nginx's certificate as a browser does.
"""

import json
import random
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.systems.web.app import PRODUCTS, SOLD_OUT_EVERY, WORDS

_DEADLINE_S = 25
_PAGES = ("index.html", "terms.html", "style.css", "logo.png")
_UPLOAD_KB = (40, 160)

# A client sends the bytes of an order; a broken client sends others to the same address.
Body = Callable[[random.Random], bytes]


class WebClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, port: int, authority: Path) -> None:
        self._workshop = workshop
        self._port = port
        self._authority = authority
        self._pages = workshop.path / "static"
        self._uploads = workshop.path / "uploads"

    def prepare(self, rng: random.Random) -> None:
        """Writes the pages that nginx serves itself and the pictures to upload."""
        for directory in (self._pages, self._uploads):
            directory.mkdir()
        for page in _PAGES:
            (self._pages / page).write_bytes(rng.randbytes(rng.randint(900, 9000)))
        for number in range(4):
            (self._uploads / f"{number}.jpg").write_bytes(rng.randbytes(1024 * rng.randint(*_UPLOAD_KB)))

    def page(self, rng: random.Random) -> bool:
        """Reads a file of nginx; some do not exist."""
        if rng.random() < 0.08:
            return self._ask("/static/favicon.ico", "404")
        return self._ask(f"/static/{rng.choice(_PAGES)}", "200")

    def browse(self, rng: random.Random) -> bool:
        """Reads a product; some are no longer sold."""
        if rng.random() < 0.06:
            return self._ask(f"/products/{PRODUCTS + rng.randint(1, 99)}", "404")
        return self._ask(f"/products/{rng.randint(1, PRODUCTS)}", "200")

    def search(self, rng: random.Random) -> bool:
        return self._ask(f"/search?q={rng.choice(WORDS)}", "200")

    def report(self) -> bool:
        return self._ask("/report", "200")

    def order(self, rng: random.Random, body: Body | None = None) -> bool:
        """Sends an order, sometimes for a sold-out product; `body` replaces its content."""
        product = rng.randint(1, PRODUCTS)
        sent = order_of(product, rng.randint(1, 4)) if body is None else body(rng)
        expected = "409" if product % SOLD_OUT_EVERY == 0 else "201"
        letter = self._workshop.path / f"order-{rng.randrange(10**12)}"
        letter.write_bytes(sent)
        try:
            return self._ask("/orders", expected, "-H", "Content-Type: application/json", "--data-binary", f"@{letter}")
        finally:
            letter.unlink()

    def upload(self, rng: random.Random) -> bool:
        """Uploads a picture of a product. Some uploads are aborted half-way, as on a slow line."""
        picture = ["-T", str(self._uploads / f"{rng.randrange(4)}.jpg")]
        url = f"/products/{rng.randint(1, PRODUCTS)}/picture"
        if rng.random() < 0.2:
            self._status(url, *picture, "--limit-rate", "12k", "--max-time", f"{rng.uniform(0.8, 1.6):.1f}")
            return True
        return self._ask(url, "200", *picture)

    def served(self) -> bool:
        """Returns True if nginx, HAProxy and a shop answer: a read, a write and an upload."""
        rng = random.Random(1)
        picture = ["-T", str(self._uploads / "0.jpg")]
        return (
            self._ask("/static/index.html", "200")
            and self._ask("/products/1", "200")
            and self.order(rng)
            and self._ask("/products/1/picture", "200", *picture)
        )

    def _ask(self, path: str, expected: str, *options: str) -> bool:
        return self._status(path, "--max-time", str(_DEADLINE_S), *options) == expected

    def _status(self, path: str, *options: str) -> str:
        """Returns the status of the answer; 000 if there was none."""
        finished = self._workshop.run(
            [
                *("curl", "--silent", "--cacert", str(self._authority), "--output", "/dev/null"),
                *("--write-out", "%{http_code}", *options, f"https://127.0.0.1:{self._port}{path}"),
            ],
            timeout_s=_DEADLINE_S + 5,
        )
        return finished.output


class Console:
    """HAProxy's socket for its administrator, which leaves no line in the log."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def set_state(self, name: str, state: str) -> None:
        self._ask(f"set server shop/{name} state {state}")

    def server(self, name: str) -> Mapping[str, str]:
        """Returns HAProxy's report on one shop; all values are empty if HAProxy does not answer."""
        try:
            heads, *rows = self._ask("show stat").removeprefix("# ").splitlines()
        except (OSError, ValueError):  # the latter when it goes away in the middle
            return {"status": "", "scur": ""}
        table = [dict(zip(heads.split(","), row.split(","), strict=False)) for row in rows if row]
        return next(row for row in table if row["svname"] == name)

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_DEADLINE_S)
            line.connect(str(self._path))
            line.sendall(f"{command}\n".encode())
            with line.makefile() as answer:
                return answer.read()


def order_of(product: int, quantity: int) -> bytes:
    return json.dumps({"product": product, "quantity": quantity}).encode()


def broken_order(rng: random.Random) -> bytes:
    """Returns an order with a mistake, as the next version of a client might send it."""
    product, quantity = rng.randint(1, PRODUCTS), rng.randint(1, 4)
    broken: Mapping[str, bytes] = {
        "renamed": json.dumps({"product_id": product, "quantity": quantity}).encode(),
        "cut off": order_of(product, quantity)[: rng.randint(8, 24)],
        "not a number": json.dumps({"product": product, "quantity": rng.choice(("two", "", "1,5"))}).encode(),
        "null": json.dumps({"product": product, "quantity": None}).encode(),
        "a list": json.dumps([product, quantity]).encode(),
        "another encoding": f'{{"product": {product}, "quantity": {quantity}, "note": "f\xfcr"}}'.encode("latin-1"),
    }
    return broken[rng.choice(list(broken))]

"""The requests of load, probes and attacks on the proxy. Knows no server process and no fault.

Every request is made by curl through squid, for members of a staff. Each has a password for the proxy and the same one
for the reports of the origin.
"""

import os
import random
import subprocess
import time
from pathlib import Path

from logwarden.training.faultlab.process import Workshop

STAFF = {"anna": "pear-lantern-42", "bernd": "oak-harbour-17", "clara": "fig-meadow-83"}
_DEADLINE_S = 25
_ORIGIN = "http://intranet.example"
_DAY_S = 86_400
_ARTICLES, _FILES, _REPORTS = 40, 6, 5
_FILE_KB = (300, 700)


class SquidClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, port: int) -> None:
        self._workshop = workshop
        self._port = port
        self._site = workshop.path / "site"

    def prepare(self, rng: random.Random) -> None:
        """Writes the pages of the origin. A cache may keep old ones for long, the news not."""
        for name, count, kilobytes in (
            *(("docs", _ARTICLES, (1, 30)), ("news", 6, (1, 12))),
            *(("files", _FILES, _FILE_KB), ("reports", _REPORTS, (2, 20))),
        ):
            directory = self._site / name
            directory.mkdir(parents=True)
            for number in range(1, count + 1):
                page = directory / page_name(name, number)
                page.write_bytes(rng.randbytes(1024 * rng.randint(*kilobytes)))
                modified = time.time() - _DAY_S * rng.uniform(1, 60)
                os.utime(page, (modified, modified))

    def read(self, rng: random.Random) -> bool:
        """Reads an article; some do not exist, some bypass the cache, some go without a password first."""
        if rng.random() < 0.07:
            return self._ask(rng, f"/docs/{page_name('docs', _ARTICLES + rng.randint(1, 50))}", "404")
        options = ("-H", "Cache-Control: no-cache") if rng.random() < 0.3 else ()
        first_asked = ("--proxy-anyauth",) if rng.random() < 0.15 else ()
        return self._ask(rng, f"/docs/{page_name('docs', rng.randint(1, _ARTICLES))}", "200", *options, *first_asked)

    def news(self, rng: random.Random) -> bool:
        return self._ask(rng, f"/news/{page_name('news', rng.randint(1, 6))}", "200")

    def advertisement(self, rng: random.Random) -> bool:
        """Requests an embedded page that the proxy forbids."""
        return self._status(rng.choice(list(STAFF)), f"http://ads.example/banner/{rng.randint(1, 99)}") == "403"

    def download(self, rng: random.Random) -> bool:
        """Downloads a large file; some clients abort."""
        path = f"/files/{page_name('files', rng.randint(1, _FILES))}"
        if rng.random() < 0.15:
            self._status(rng.choice(list(STAFF)), _ORIGIN + path, "--limit-rate", "100k", "--max-time", "1.5")
            return True
        return self._ask(rng, path, "200", "--limit-rate", "400k")

    def report(self, rng: random.Random, password: str | None = None) -> bool:
        """Reads a page that needs a password of the origin too."""
        user = rng.choice(list(STAFF))
        path = f"/reports/{page_name('reports', rng.randint(1, _REPORTS))}"
        sent = f"{user}:{password or STAFF[user]}"
        return self._status(user, _ORIGIN + path, "--user", sent) == "200"

    def log_in(self, rng: random.Random, password: str) -> bool:
        """Reads an article with a wrong password for the proxy."""
        path = f"/docs/{page_name('docs', rng.randint(1, _ARTICLES))}"
        return self._status(rng.choice(list(STAFF)), _ORIGIN + path, password=password) == "200"

    def crawl(self, rng: random.Random) -> "subprocess.Popen[str]":
        """Downloads at a rate so low that it does not end by itself."""
        path = f"/files/{page_name('files', rng.randint(1, _FILES))}"
        user = rng.choice(list(STAFF))
        return self._workshop.open([*self._curl(user, STAFF[user]), "--limit-rate", "2k", _ORIGIN + path])

    def purge(self, rng: random.Random) -> bool:
        """Removes an article from the cache; status 404 if it was not cached."""
        url = f"{_ORIGIN}/docs/{page_name('docs', rng.randint(1, _ARTICLES))}"
        return self._status(rng.choice(list(STAFF)), url, "--request", "PURGE") in ("200", "404")

    def served(self) -> bool:
        """Returns True if squid, the origin behind it and the passwords of both work."""
        rng = random.Random(1)
        fresh = ("-H", "Cache-Control: no-cache")
        return self._ask(rng, f"/docs/{page_name('docs', 1)}", "200", *fresh) and self.report(rng)

    def _ask(self, rng: random.Random, path: str, expected: str, *options: str) -> bool:
        return self._status(rng.choice(list(STAFF)), _ORIGIN + path, *options) == expected

    def _status(self, user: str, url: str, *options: str, password: str | None = None) -> str:
        """Returns the status of the answer; 000 if there was none."""
        limit = () if "--max-time" in options else ("--max-time", str(_DEADLINE_S))
        finished = self._workshop.run(
            [*self._curl(user, password or STAFF[user]), "--write-out", "%{http_code}", *limit, *options, url],
            timeout_s=_DEADLINE_S + 5,
        )
        return finished.output

    def _curl(self, user: str, password: str) -> list[str]:
        proxy = f"http://127.0.0.1:{self._port}"
        return ["curl", "--silent", "--output", "/dev/null", "--proxy", proxy, "--proxy-user", f"{user}:{password}"]


def page_name(directory: str, number: int) -> str:
    return f"{directory}-{number}.{'bin' if directory == 'files' else 'html'}"


def write_passwords(workshop: Workshop, path: Path) -> None:
    path.write_text("")
    for user, password in STAFF.items():
        workshop.must(["htpasswd", "-mb", str(path), user, password])

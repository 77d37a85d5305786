"""The requests that the proxy is loaded, probed and attacked with. Knows no server process and no fault.

Everything is asked by curl through squid, by members of a staff who each have a password for the proxy and, on the
origin, the same one for the reports.
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
    """All requests that are ever made of the system while it is recorded."""

    def __init__(self, workshop: Workshop, port: int) -> None:
        self._workshop = workshop
        self._port = port
        self._site = workshop.path / "site"

    def prepare(self, rng: random.Random) -> None:
        """The origin's pages. Old ones may be kept by a cache for long, the news not."""
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
        """An article; now and then one that was never written, or afresh, or before the proxy has asked who it is."""
        if rng.random() < 0.07:
            return self._ask(rng, f"/docs/{page_name('docs', _ARTICLES + rng.randint(1, 50))}", "404")
        options = ("-H", "Cache-Control: no-cache") if rng.random() < 0.3 else ()
        first_asked = ("--proxy-anyauth",) if rng.random() < 0.15 else ()
        return self._ask(rng, f"/docs/{page_name('docs', rng.randint(1, _ARTICLES))}", "200", *options, *first_asked)

    def news(self, rng: random.Random) -> bool:
        return self._ask(rng, f"/news/{page_name('news', rng.randint(1, 6))}", "200")

    def advertisement(self, rng: random.Random) -> bool:
        """What pages embed and the proxy forbids."""
        return self._status(rng.choice(list(STAFF)), f"http://ads.example/banner/{rng.randint(1, 99)}") == "403"

    def download(self, rng: random.Random) -> bool:
        """A large file; some people lose their patience."""
        path = f"/files/{page_name('files', rng.randint(1, _FILES))}"
        if rng.random() < 0.15:
            self._status(rng.choice(list(STAFF)), _ORIGIN + path, "--limit-rate", "100k", "--max-time", "1.5")
            return True
        return self._ask(rng, path, "200", "--limit-rate", "400k")

    def report(self, rng: random.Random, password: str | None = None) -> bool:
        """A page for which the origin wants a password too."""
        user = rng.choice(list(STAFF))
        path = f"/reports/{page_name('reports', rng.randint(1, _REPORTS))}"
        sent = f"{user}:{password or STAFF[user]}"
        return self._status(user, _ORIGIN + path, "--user", sent) == "200"

    def log_in(self, rng: random.Random, password: str) -> bool:
        """An article with a password for the proxy that is not the right one."""
        path = f"/docs/{page_name('docs', rng.randint(1, _ARTICLES))}"
        return self._status(rng.choice(list(STAFF)), _ORIGIN + path, password=password) == "200"

    def crawl(self, rng: random.Random) -> "subprocess.Popen[str]":
        """A download over a line so slow that it does not end by itself."""
        path = f"/files/{page_name('files', rng.randint(1, _FILES))}"
        user = rng.choice(list(STAFF))
        return self._workshop.open([*self._curl(user, STAFF[user]), "--limit-rate", "2k", _ORIGIN + path])

    def purge(self, rng: random.Random) -> bool:
        """An article taken out of the cache; 404 says that it was not there."""
        url = f"{_ORIGIN}/docs/{page_name('docs', rng.randint(1, _ARTICLES))}"
        return self._status(rng.choice(list(STAFF)), url, "--request", "PURGE") in ("200", "404")

    def served(self) -> bool:
        """squid, the origin behind it and the passwords of both."""
        rng = random.Random(1)
        fresh = ("-H", "Cache-Control: no-cache")
        return self._ask(rng, f"/docs/{page_name('docs', 1)}", "200", *fresh) and self.report(rng)

    def _ask(self, rng: random.Random, path: str, expected: str, *options: str) -> bool:
        return self._status(rng.choice(list(STAFF)), _ORIGIN + path, *options) == expected

    def _status(self, user: str, url: str, *options: str, password: str | None = None) -> str:
        """The status of the answer; 000 when there was none."""
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

"""The requests of load, probes and attacks on the shop. Knows no server process and no fault.

Clean load and faults both use this module: one curl, the same pages and parameters, the same staff.
"""

import random

from logwarden.training.faultlab.process import Workshop

PASSWORDS = {"anna": "pear-lantern-42", "boris": "quiet-harbour-17", "clara": "seven-bridges-58"}
# Few enough that some run out of stock within minutes.
ITEMS = 20
_CLIENT_DEADLINE_S = 24
_REFUSED_ORDER = "409"


class TomcatClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, port: int) -> None:
        self._workshop = workshop
        self._root = f"http://127.0.0.1:{port}"

    def served(self) -> bool:
        """Returns True if the shop, its stock, its receipts and the logins work."""
        desk = all(self.desk(1, user, password) for user, password in PASSWORDS.items())
        return desk and self.order("1", "1")

    def browse(self, rng: random.Random) -> bool:
        """Reads a page, sometimes a picture that does not exist."""
        if rng.random() < 0.08:
            return self._get(f"/images/item-{rng.randint(1, ITEMS)}.png") == "404"
        return self.show(rng.randint(1, ITEMS))

    def show(self, item: int) -> bool:
        return self._get(f"/index.jsp?item={item}") == "200"

    def order(self, item: str, quantity: str) -> bool:
        return self._get(f"/order.jsp?item={item}&quantity={quantity}") in ("200", _REFUSED_ORDER)

    def report(self, rows: int) -> bool:
        return self._get(f"/report.jsp?rows={rows}") == "200"

    def desk(self, item: int, user: str, password: str) -> bool:
        return self._get(f"/desk.jsp?item={item}", "-u", f"{user}:{password}") == "200"

    def count(self, rng: random.Random) -> bool:
        """Reads the stock as a member of the staff; sometimes the first password is mistyped."""
        user, item = rng.choice(list(PASSWORDS)), rng.randint(1, ITEMS)
        if rng.random() < 0.1:
            self.desk(item, user, PASSWORDS[user] + rng.choice("asdf2"))
        return self.desk(item, user, PASSWORDS[user])

    def _get(self, path: str, *options: str) -> str:
        """Returns the status; 000 if there was no answer."""
        argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", str(_CLIENT_DEADLINE_S), *options]
        return self._workshop.run([*argv, self._root + path], timeout_s=_CLIENT_DEADLINE_S + 1).output.strip()

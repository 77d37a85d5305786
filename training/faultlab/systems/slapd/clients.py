"""The client programs of load, probes, operators and attacks on OpenLDAP. Knows no server process, no fault.

Clean load and faults both use this module: the same ldap* programs, the same people, services and entries.
"""

import itertools
import random
import re
import threading
from collections.abc import Sequence

from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.systems.slapd.conf import (
    ASSETS,
    CONFIG_ROOT,
    GROUPS,
    PASSWORD,
    PEOPLE,
    SERVICE,
    SERVICE_PASSWORD,
    SUFFIX,
    USERS,
    asset,
)

_CLIENT_DEADLINE_S = 25.0
# Result codes of LDAP, which the programs end with.
_OK, _NO_SUCH_OBJECT, _EXISTS = 0, 32, 68
_CONTEXT = re.compile(r"^contextCSN: (\S+)", re.MULTILINE)


class SlapdClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, provider: int, replica: int) -> None:
        self._workshop = workshop
        self.provider = provider
        self.replica = replica
        self._numbers = itertools.count(1)
        self._last = 0
        self._lock = threading.Lock()

    def log_in(self, port: int, rng: random.Random, password: str | None = None) -> bool:
        """Binds with the name of a person, as a login form does."""
        number = rng.randint(1, USERS)
        return self._run("ldapwhoami", port, self._user(number, password)) == _OK

    def look_up(self, port: int, rng: random.Random) -> bool:
        """Reads an entry or a mail address anonymously; some requests name a branch that was moved away."""
        if rng.random() < 1 / 8:
            base = f"ou=printers,{SUFFIX}"
            return self._run("ldapsearch", port, (), "-b", base, f"(cn=printer{rng.randint(1, 9)})") == _NO_SUCH_OBJECT
        number = rng.randint(1, USERS + 3)
        question = rng.choice((f"(uid=user{number})", f"(mail=user{number}@lab.example)"))
        return self._run("ldapsearch", port, (), "-b", PEOPLE, question, "cn", "mail", "telephoneNumber") == _OK

    def teams(self, port: int, rng: random.Random) -> bool:
        """Reads the groups of a person with the name of the person."""
        number = rng.randint(1, USERS)
        base = f"ou=groups,{SUFFIX}"
        question = f"(|(member=uid=user{number},{PEOPLE})(cn=team{rng.randint(1, GROUPS)}))"
        return self._run("ldapsearch", port, self._user(number), "-b", base, question, "cn") == _OK

    def add_asset(self, rng: random.Random) -> bool:
        """Adds a device to the inventory; one in eight exists already."""
        if rng.random() < 1 / 8:
            return self._write("ldapadd", self._inventory(), asset(0, "")) == _EXISTS
        with self._lock:
            self._last = next(self._numbers)
            number = self._last
        return self._write("ldapadd", self._inventory(), _noted_asset(number, rng)) == _OK

    def drop_asset(self, rng: random.Random) -> bool:
        """Deletes a device; some are deleted already."""
        dn = f"cn=asset{rng.randint(1, max(1, self._last - 2))},{ASSETS}"
        return self._run("ldapdelete", self.provider, self._inventory(), dn) in (_OK, _NO_SUCH_OBJECT)

    def change_telephone(self, rng: random.Random) -> bool:
        number = rng.randint(1, USERS)
        return self._write("ldapmodify", self._user(number), _telephone(number, rng)) == _OK

    def trespass(self, rng: random.Random) -> bool:
        """Sends the writes of the load with the name of a person who may not write."""
        me, other = rng.sample(range(1, USERS + 1), 2)
        kind = rng.choice(("add", "drop", "change"))
        if kind == "add":
            return self._write("ldapadd", self._user(me), _noted_asset(self._last + 1, rng)) == _OK
        if kind == "drop":
            return self._run("ldapdelete", self.provider, self._user(me), f"cn=asset0,{ASSETS}") == _OK
        return self._write("ldapmodify", self._user(me), _telephone(other, rng)) == _OK

    def import_assets(self, rng: random.Random, count: int) -> bool:
        """Adds many devices over one connection."""
        with self._lock:
            numbers = [next(self._numbers) for _ in range(count)]
            self._last = numbers[-1]
        rows = [row for number in numbers for row in ("", *_noted_asset(number, rng))]
        return self._write("ldapadd", self._inventory(), rows) == _OK

    def set_idle_time(self, port: int, seconds: int) -> bool:
        """Changes the idle time-out, as an operator does on a running server."""
        who = ("-D", CONFIG_ROOT, "-w", SERVICE_PASSWORD)
        rows = ["dn: cn=config", "changetype: modify", "replace: olcIdleTimeout", f"olcIdleTimeout: {seconds}"]
        return self._write("ldapmodify", who, rows, port) == _OK

    def served(self) -> bool:
        """Returns True if both servers answer and the replica has all that the provider had just before."""
        ours = self._state(self.provider)
        return ours != "" and self._state(self.replica) >= ours

    def _state(self, port: int) -> str:
        """Returns the moment of the last change of a server; empty if it does not answer."""
        words = ("-b", SUFFIX, "-s", "base", "(objectClass=*)", "contextCSN")
        finished = self._workshop.run(_words("ldapsearch", port, self._user(1), *words), timeout_s=_CLIENT_DEADLINE_S)
        return max(_CONTEXT.findall(finished.output), default="") if finished.ok else ""

    def _write(self, program: str, who: Sequence[str], rows: Sequence[str], port: int | None = None) -> int | None:
        return self._run(program, port or self.provider, who, feed="\n".join(rows).lstrip() + "\n")

    def _run(self, program: str, port: int, who: Sequence[str], *words: str, feed: str = "") -> int | None:
        return self._workshop.run(_words(program, port, who, *words), timeout_s=_CLIENT_DEADLINE_S, feed=feed).code

    def _user(self, number: int, password: str | None = None) -> Sequence[str]:
        return "-D", f"uid=user{number},{PEOPLE}", "-w", password or PASSWORD.format(number=number)

    def _inventory(self) -> Sequence[str]:
        return "-D", SERVICE, "-w", SERVICE_PASSWORD


def _words(program: str, port: int, who: Sequence[str], *words: str) -> list[str]:
    plain = ["-LLL"] if program == "ldapsearch" else []
    return [program, "-x", *plain, "-o", "nettimeout=10", "-H", f"ldap://127.0.0.1:{port}", *who, *words]


def _noted_asset(number: int, rng: random.Random) -> list[str]:
    # Long enough that an entry needs several pages in a row: single pages are always free, and a full disk would have
    # no effect.
    return asset(number, "".join(rng.choices("0123456789abcdef", k=rng.randint(9000, 14000))))


def _telephone(number: int, rng: random.Random) -> list[str]:
    value = f"telephoneNumber: +49 30 {rng.randint(1000, 9999)}"
    return [f"dn: uid=user{number},{PEOPLE}", "changetype: modify", "replace: telephoneNumber", value]

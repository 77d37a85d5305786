"""The client programs of load, probes, operators and attacks on BIND. Knows no server process and no fault.

Clean load and faults both use this module: the same dig, nsupdate and rndc, the same names and keys.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.systems.bind.conf import (
    ALGORITHM,
    DYNAMIC,
    HOSTS,
    OUTSIDE,
    REVERSE,
    STATIC,
    TRANSFER_KEY,
    UPDATE_KEY,
)

_CLIENT_DEADLINE_S = 25.0
_STATUS = re.compile(r"status: (\w+)")
_ANSWERED = frozenset({"NOERROR", "NXDOMAIN"})
# Updates that come in while one is written are put together, so a secondary that follows may be some of them behind.
_MOST_BEHIND = 12
_LEASES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class BindPorts:
    primary: int
    primary_control: int
    secondary: int
    secondary_control: int
    upstream: int


class BindClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, ports: BindPorts, secrets: dict[str, str]) -> None:
        self._workshop = workshop
        self.ports = ports
        self._secrets = secrets

    def look_up(self, port: int, rng: random.Random) -> bool:
        """Looks up some names of the office, a few of them mistyped."""
        names = [
            (f"host{rng.randint(1, HOSTS + 4)}.{STATIC}", "A"),
            (STATIC, "MX"),
            (f"www.{STATIC}", "AAAA"),
            (f"{rng.randint(1, HOSTS)}.1.{REVERSE}", "PTR"),
            (f"pc{rng.randint(1, _LEASES)}.{DYNAMIC}", rng.choice(("A", "TXT"))),
        ]
        return self._all_answered(port, rng.sample(names, rng.randint(2, 3)))

    def stray(self, rng: random.Random) -> bool:
        """Sends the primary a query for a foreign name, as a misconfigured laptop does; the primary refuses."""
        outside = f"www{rng.randint(1, 30)}.{rng.choice(OUTSIDE)}"
        return self._ask(self.ports.primary, [(outside, "A")]) == ["REFUSED"]

    def resolve(self, rng: random.Random) -> bool:
        """Resolves foreign names through the forwarder; one in eight belongs to a domain without a server."""
        if rng.random() < 1 / 8:
            return self._ask(self.ports.secondary, [(f"www{rng.randint(1, 5)}.partner.example", "A")]) == ["SERVFAIL"]
        kinds = rng.choices(("A", "AAAA"), k=rng.randint(1, 2))
        return self._all_answered(
            self.ports.secondary, [(f"www{rng.randint(1, 30)}.{rng.choice(OUTSIDE)}", kind) for kind in kinds]
        )

    def lease(self, rng: random.Random, secret: str | None = None) -> bool:
        """Registers a name as a DHCP server does for a new lease; one in six names is taken and refused."""
        name = f"pc{rng.randint(1, _LEASES)}.{DYNAMIC}"
        note = "".join(rng.choices("0123456789abcdef", k=230))
        steps = [f"update delete {name} TXT", f"update delete {name} A"]
        steps += [f"update add {name} 60 A 10.20.2.{rng.randint(2, 250)}"]
        # Long, as the notes of an inventory are: the journal must grow by blocks, not by bytes.
        steps += [f'update add {name} 60 TXT "{note}" "{note[::-1]}" "{note.swapcase()}"']
        taken = rng.random() < 1 / 6
        if taken:
            steps = [f"prereq yxrrset {name} MX", *steps]
        answered = self._update(steps, secret)
        return "NXRRSET" in answered if taken else answered == ""

    def copy_zone(self, zone: str, secret: str | None = None) -> bool:
        """Transfers a whole zone, as a monitor of the zone does."""
        key = f"{ALGORITHM}:{TRANSFER_KEY}:{secret or self._secrets[TRANSFER_KEY]}"
        finished = self._workshop.run(
            [*self._dig(self.ports.primary), "-y", key, zone, "AXFR"], timeout_s=_CLIENT_DEADLINE_S
        )
        return finished.ok and "XFR size" in finished.output

    def control(self, port: int, *command: str) -> bool:
        """Sends a command of the operator to a server through rndc."""
        where = ["-s", "127.0.0.1", "-p", str(port), "-k", str(self._workshop.path / "control.key")]
        return self._workshop.run(["rndc", *where, *command], timeout_s=_CLIENT_DEADLINE_S).ok

    def check(self) -> bool:
        """Sends the queries of a monitor to both servers."""
        return self.control(self.ports.primary_control, "status") and self.control(
            self.ports.secondary_control, "zonestatus", DYNAMIC
        )

    def served(self) -> bool:
        """Returns True if both servers answer for every zone, the copies are current and the forwarder answers."""
        ours, theirs = self._serials(self.ports.primary), self._serials(self.ports.secondary)
        if len(ours) != 2 or len(theirs) != 2 or ours[0] != theirs[0] or not 0 <= ours[1] - theirs[1] <= _MOST_BEHIND:
            return False
        return self._all_answered(self.ports.secondary, [(f"mail.{OUTSIDE[0]}", "A")])

    def _serials(self, port: int) -> list[int]:
        """Returns the serials of the static and the dynamic zone, of those that are served."""
        finished = self._workshop.run(
            [*self._dig(port, tries=1), STATIC, "SOA", DYNAMIC, "SOA"], timeout_s=_CLIENT_DEADLINE_S
        )
        # Only in the answer section: a server that has lost the zone may name its parent's.
        return [int(serial) for serial in re.findall(r"\sIN\s+SOA\s+ns1\S+ \S+ (\d+) ", finished.output)]

    def _all_answered(self, port: int, questions: Sequence[tuple[str, str]]) -> bool:
        statuses = self._ask(port, questions)
        return len(statuses) == len(questions) and _ANSWERED.issuperset(statuses)

    def _ask(self, port: int, questions: Sequence[tuple[str, str]]) -> list[str]:
        words = [word for question in questions for word in question]
        return _STATUS.findall(self._workshop.run([*self._dig(port), *words], timeout_s=_CLIENT_DEADLINE_S).output)

    def _update(self, steps: Sequence[str], secret: str | None) -> str:
        """Sends an update and returns the complaints of nsupdate."""
        key = f"{ALGORITHM}:{UPDATE_KEY}:{secret or self._secrets[UPDATE_KEY]}"
        feed = "\n".join((f"server 127.0.0.1 {self.ports.primary}", f"zone {DYNAMIC}", *steps, "send")) + "\n"
        finished = self._workshop.run(
            ["nsupdate", "-t", "20", "-u", "5", "-r", "3", "-y", key], timeout_s=_CLIENT_DEADLINE_S, feed=feed
        )
        return "" if finished.ok else finished.output or "no answer"

    def _dig(self, port: int, tries: int = 3) -> list[str]:
        return ["dig", "-r", "@127.0.0.1", "-p", str(port), "+time=5", f"+tries={tries}"]

"""The messages of load, probes and attacks on the mail servers. Knows no server process and no fault.

Every message is sent by curl: by people of the office with their passwords over TLS, and from outside without.
"""

import random
import subprocess
import time
from pathlib import Path

from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.systems.postfix.conf import DOMAIN

PEOPLE = {"anna": "pear-lantern-42", "bernd": "oak-harbour-17", "clara": "fig-meadow-83", "dora": "elm-bottle-61"}
BOXES = (*PEOPLE, "office", "orders", "support")
_OUTSIDE = ("news.example", "shop.example", "partner.example")
_DEADLINE_S = 25
_WORDS = ("invoice", "meeting", "offer", "minutes", "question", "delivery", "holiday", "draft")
# What curl ends with when the server refused a recipient or a log-in.
_REFUSED = 55
_ARRIVES_S = 4.0
_KEPT = 12


class PostfixClients:
    """The messages of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, port: int, authority: Path, boxes: Path) -> None:
        self._workshop = workshop
        self._port = port
        self._authority = authority
        self._boxes = boxes

    def submit(self, rng: random.Random, password: str | None = None) -> bool:
        """Sends a message from a person of the office to some others."""
        person = rng.choice(list(PEOPLE))
        some = rng.sample(BOXES, rng.choice((1, 1, 1, 2, 3)))
        return self._send(rng, *self._as(person, password or PEOPLE[person]), to=some, sender=f"{person}@{DOMAIN}")

    def receive(self, rng: random.Random) -> bool:
        """Sends a message from outside."""
        return self._send(rng, to=[rng.choice(BOXES)], sender=f"{rng.choice(_WORDS)}@{rng.choice(_OUTSIDE)}")

    def attach(self, rng: random.Random) -> bool:
        """Sends a message with an attachment from outside."""
        sender = f"{rng.choice(_WORDS)}@{rng.choice(_OUTSIDE)}"
        return self._send(rng, to=[rng.choice(BOXES)], sender=sender, kilobytes=rng.randint(100, 500))

    def misaddress(self, rng: random.Random) -> bool:
        """Sends a message to a person who left, or to another domain; the server refuses both."""
        gone = f"{rng.choice(_WORDS)}-{rng.randint(1, 60)}@{DOMAIN if rng.random() < 0.7 else rng.choice(_OUTSIDE)}"
        sender = f"{rng.choice(_WORDS)}@{rng.choice(_OUTSIDE)}"
        mail = self._message(rng, sender, [gone], 0)
        return self._curl(mail, sender, [gone]) == _REFUSED

    def clear_away(self, rng: random.Random) -> bool:
        """Removes all but the newest messages of a mailbox, as its reader does."""
        fresh = self._boxes / rng.choice(BOXES) / "new"
        if fresh.is_dir():
            for path in sorted(fresh.iterdir(), key=lambda path: path.name)[:-_KEPT]:
                path.unlink(missing_ok=True)
        return True

    def linger(self, rng: random.Random) -> "subprocess.Popen[str]":
        """Sends a message at a rate so low that it does not end by itself."""
        sender, box = f"{rng.choice(_WORDS)}@{rng.choice(_OUTSIDE)}", rng.choice(BOXES)
        mail = self._workshop.path / "slow.eml"
        if not mail.exists():
            mail.write_text(self._message(rng, sender, [box], 900))
        slowly = ("--limit-rate", "2k", "--upload-file", str(mail))
        return self._workshop.open([*self._argv(sender, [f"{box}@{DOMAIN}"]), *slowly])

    def served(self) -> bool:
        """Returns True if a person's message is in the mailbox of another within seconds."""
        rng = random.Random()
        person, box = rng.choice(list(PEOPLE)), rng.choice(BOXES)
        sender = f"{person}@{DOMAIN}"
        mail = self._message(rng, sender, [f"{box}@{DOMAIN}"], 0)
        mark = mail.splitlines()[0]
        if self._curl(mail, sender, [f"{box}@{DOMAIN}"], *self._as(person, PEOPLE[person])) != 0:
            return False
        deadline = time.monotonic() + _ARRIVES_S
        while time.monotonic() < deadline:
            fresh = self._boxes / box / "new"
            if fresh.is_dir() and any(mark in _start(path) for path in fresh.iterdir()):
                return True
            time.sleep(0.1)
        return False

    def _send(self, rng: random.Random, *options: str, to: list[str], sender: str, kilobytes: int = 0) -> bool:
        some = [f"{box}@{DOMAIN}" for box in to]
        return self._curl(self._message(rng, sender, some, kilobytes), sender, some, *options) == 0

    def _message(self, rng: random.Random, sender: str, to: list[str], kilobytes: int) -> str:
        head = {
            "Message-ID": f"<{rng.getrandbits(48):015d}.{rng.randint(100, 999)}@{sender.partition('@')[2]}>",
            "From": sender,
            "To": ", ".join(to),
            "Subject": f"{rng.choice(_WORDS)} {rng.randint(1, 400)}",
        }
        lines = [f"{rng.choice(_WORDS)} {rng.randint(1, 999)}" for _ in range(rng.randint(2, 40))]
        lines += [rng.randbytes(34).hex() + "0000" for _ in range(kilobytes * 1024 // 74)]
        return "\r\n".join([*(f"{name}: {value}" for name, value in head.items()), "", *lines, ""])

    def _as(self, person: str, password: str) -> tuple[str, ...]:
        login = f"{person}@{DOMAIN}:{password}"
        return ("--ssl-reqd", "--cacert", str(self._authority), "--user", login, "--login-options", "AUTH=PLAIN")

    def _curl(self, mail: str, sender: str, to: list[str], *options: str) -> int | None:
        argv = [*self._argv(sender, to), "--max-time", str(_DEADLINE_S), *options, "--upload-file", "-"]
        return self._workshop.run(argv, timeout_s=_DEADLINE_S + 5, feed=mail).code

    def _argv(self, sender: str, to: list[str]) -> list[str]:
        recipients = [word for address in to for word in ("--mail-rcpt", address)]
        url = f"smtp://127.0.0.1:{self._port}/{sender.partition('@')[2]}"
        return ["curl", "--silent", "--url", url, "--mail-from", sender, *recipients]


def _start(path: Path) -> str:
    """Returns the first lines of a message; nothing if its reader has removed it meanwhile."""
    try:
        with path.open(errors="replace") as file:
            return file.read(2_000)
    except FileNotFoundError:
        return ""

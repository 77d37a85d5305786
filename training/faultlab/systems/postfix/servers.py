"""The two mail servers of one run, with their maps, passwords and certificate. Knows no fault."""

import pwd
import random
import shutil
import signal
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.systems.postfix import conf
from logwarden.training.faultlab.systems.postfix.clients import BOXES, PEOPLE

RELAY, STORE = "postfix", "postfix-store"
BOTH = (RELAY, STORE)
_USER = "postfix"


class PostfixServers:
    """The server that takes the mail, and the one that keeps the mailboxes on `disk`."""

    def __init__(self, workshop: Workshop, rng: random.Random, disk: SmallDisk, ports: dict[str, int]) -> None:
        self._workshop = workshop
        self._disk = disk
        self._ports = ports
        self._idle_s = 20
        self._people = list(BOXES)
        self._rng = rng
        self.logs = workshop.path / "logs"
        self.boxes = disk.path / "boxes"
        for directory in (self.logs, self.boxes, *(self.etc(name) for name in BOTH), self.etc(RELAY) / "sasl"):
            directory.mkdir(parents=True)
        for directory in (self.logs, self.boxes, *(workshop.path / name / "data" for name in BOTH)):
            directory.mkdir(exist_ok=True)
            shutil.chown(directory, _USER, _USER)
        for name in BOTH:
            self.spool(name).mkdir(exist_ok=True)
            self.configure(name)
        self._write_maps()
        self._write_passwords()
        self._certify()
        self.children = {name: self._describe(name) for name in BOTH}

    def etc(self, name: str) -> Path:
        return self._workshop.path / name / "etc"

    def spool(self, name: str) -> Path:
        return (self._disk.path if name == STORE else self._workshop.path / name) / "spool"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @property
    def authority(self) -> Path:
        return self.etc(RELAY) / "server.crt"

    @property
    def map_file(self) -> Path:
        """Returns the map of all people, as the server that takes the mail reads it."""
        return self.etc(RELAY) / "recipients.db"

    def launch(self, name: str) -> None:
        self._workshop.launch(self.children[name], self._ports[name])

    def stop(self, name: str) -> None:
        self.children[name].stop(signal.SIGTERM)

    def reload(self, name: str) -> None:
        self._workshop.run(["postfix", "-c", str(self.etc(name)), "reload"], timeout_s=20)

    def rotate(self, name: str) -> None:
        """Moves the log away; the server opens another."""
        self._workshop.must(["postfix", "-c", str(self.etc(name)), "logrotate"], timeout_s=20)

    def tidy(self, name: str) -> None:
        """Checks the queue's files and requests another attempt at each of them."""
        self._workshop.must(["postsuper", "-c", str(self.etc(name)), "-s"], timeout_s=20)
        self._workshop.must(["postqueue", "-c", str(self.etc(name)), "-f"], timeout_s=20)

    def waiting(self) -> bool:
        """Returns True if a message waits for another attempt in either queue."""
        return any(path.is_file() for name in BOTH for path in (self.spool(name) / "deferred").rglob("*"))

    def retune(self) -> None:
        self._idle_s = 45 - self._idle_s
        self.configure(RELAY)
        self.reload(RELAY)

    def welcome(self) -> None:
        """Enters another person into the maps of both servers."""
        self._people.append(f"trainee-{self._rng.randint(100, 999)}")
        self._write_maps()

    def write_map(self) -> None:
        self._postmap(RELAY, "recipients", [f"{person}@{conf.DOMAIN} ok" for person in self._people])

    def configure(self, name: str, mistake: tuple[str, str] = ("", "")) -> None:
        template = conf.RELAY if name == RELAY else conf.STORE
        user = pwd.getpwnam(_USER)
        text = template.format(
            name=f"{name}.{conf.DOMAIN}",
            domain=conf.DOMAIN,
            etc=self.etc(name),
            spool=self.spool(name),
            data=self._workshop.path / name / "data",
            logs=self.logs,
            log=self.log(name),
            idle=self._idle_s,
            boxes=self.boxes,
            uid=user.pw_uid,
            gid=user.pw_gid,
        )
        right, wrong = mistake
        (self.etc(name) / "main.cf").write_text(text.replace(right, wrong) if right else text)
        (self.etc(name) / "master.cf").write_text(conf.MASTER.format(port=self._ports[name]))

    def _write_maps(self) -> None:
        self.write_map()
        self._postmap(RELAY, "transport", [f"{conf.DOMAIN} smtp:[127.0.0.1]:{self._ports[STORE]}"])
        self._postmap(STORE, "mailboxes", [f"{person}@{conf.DOMAIN} {person}/" for person in self._people])

    def _postmap(self, name: str, table: str, rows: list[str]) -> None:
        path = self.etc(name) / table
        path.write_text("".join(f"{row}\n" for row in rows))
        self._workshop.must(["postmap", "-c", str(self.etc(name)), f"hash:{path}"])

    def _write_passwords(self) -> None:
        path = self.etc(RELAY) / "passwords"
        (self.etc(RELAY) / "sasl" / "smtpd.conf").write_text(conf.SASL.format(path=path).lstrip())
        for person, password in PEOPLE.items():
            argv = ["saslpasswd2", "-f", str(path), "-p", "-c", "-u", conf.DOMAIN, person]
            done = self._workshop.run(argv, timeout_s=20, feed=f"{password}\n")
            assert done.ok, done.output
        shutil.chown(path, _USER, _USER)

    def _certify(self) -> None:
        key, certificate = self.etc(RELAY) / "server.key", self.etc(RELAY) / "server.crt"
        made = ["-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", f"/CN={RELAY}.{conf.DOMAIN}"]
        named = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
        self._workshop.must(["openssl", "req", "-x509", *made, *named])

    def _describe(self, name: str) -> Child:
        argv = ["postfix", "-c", str(self.etc(name)), "start-fg"]
        return self._workshop.child(argv, self.logs / f"{name}-start.log")

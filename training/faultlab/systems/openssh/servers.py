"""The SSH servers of one run, with the accounts, homes and keys of their users. Knows no fault."""

import random
import shutil
import signal
import time
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.systems.openssh import conf
from logwarden.training.faultlab.systems.openssh.clients import (
    UIDS,
    WITH_KEYS,
    OpenSSHClients,
    OpenSSHPorts,
)

FRONT, VAULT = "sshd", "sshd-backup"
BOTH = (FRONT, VAULT)
SSHD = "/usr/sbin/sshd"


class OpenSSHServers:
    """The front host and the backup host; the homes of both are on `disk`."""

    def __init__(self, workshop: Workshop, rng: random.Random, disk: SmallDisk, ports: OpenSSHPorts) -> None:
        self._workshop = workshop
        self._rng = rng
        self._ports = ports
        self._max_sessions = 12
        self._key_number = 0
        self.logs, self._etc, self._homes = workshop.path / "logs", workshop.path / "etc", disk.path / "home"
        for directory in (self.logs, self._etc, self._homes, workshop.path / "run/sshd", workshop.path / "keys"):
            directory.mkdir(parents=True)
        self._write_client_config()
        self.clients = OpenSSHClients(workshop, self._etc / "ssh_config", workshop.path / "keys")
        self._settle_people()
        self.front, self.vault = self._server(FRONT), self._server(VAULT)
        for name in BOTH:
            self._configure(name)

    def child(self, name: str) -> Child:
        return self.front if name == FRONT else self.vault

    def launch(self, name: str) -> None:
        self._workshop.launch(self.child(name), self._ports.front if name == FRONT else self._ports.vault)

    def _reload(self) -> None:
        """Sends SIGHUP: sshd executes itself again under its old pid and does not listen for a moment."""
        self.front.send(signal.SIGHUP)
        time.sleep(1.0)

    def correct(self) -> None:
        self._configure(FRONT)
        # It does not live on with its old settings, as other servers do.
        self.front.reap()
        self.launch(FRONT)

    def retune(self) -> None:
        self._max_sessions = 12 if self._max_sessions == 10 else 10
        self._configure(FRONT)
        self._reload()

    def rotate(self) -> None:
        log = self.logs / f"{FRONT}.log"
        log.replace(log.with_suffix(".log.1"))
        self._reload()

    def renew_key(self) -> None:
        """Installs a new key. The key before it stays valid until the next renewal, for logins that have begun."""
        self._key_number += 1
        before = self.clients.keys["deploy"]
        fresh = self._new_key(f"deploy-{self._key_number}")
        keys = self.keys_of("deploy")
        keys.write_text(_public(before).read_text() + _public(fresh).read_text())
        self.clients.keys = {**self.clients.keys, "deploy": fresh}

    def config(self, name: str) -> Path:
        return self._etc / f"{name}_config"

    def keys_of(self, user: str) -> Path:
        return self._homes / user / ".ssh" / "authorized_keys"

    def _configure(self, name: str) -> None:
        text = conf.SERVER.format(
            port=self._ports.front if name == FRONT else self._ports.vault,
            host_key=self._etc / f"{name}_host_key",
            max_sessions=self._max_sessions,
            sftp_log=self.logs / f"{name}-sftp.log",
        )
        self.config(name).write_text(text)

    def _server(self, name: str) -> Child:
        """Describes a server that writes its own log (-E), so that a SIGHUP makes it open the file again."""
        root = self._workshop.path
        private = {
            root / "run": "/run",
            self.logs: "/var/log",
            self._etc / "passwd": "/etc/passwd",
            self._etc / "shadow": "/etc/shadow",
        }
        pairs = [str(path) for pair in private.items() for path in pair]
        server = [SSHD, "-D", "-E", str(self.logs / f"{name}.log"), "-f", str(self.config(name))]
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", conf.PRIVATELY, "sh"]
        return self._workshop.child([*argv, *pairs, "--", *server], self.logs / f"{name}.out")

    def _settle_people(self) -> None:
        """Writes accounts and homes, and the keys of the users who log in by key."""
        (self._etc / "passwd").write_text(conf.passwd(str(self._homes), UIDS))
        (self._etc / "shadow").write_text(conf.shadow(list(UIDS)))
        (self._etc / "shadow").chmod(0o600)
        for user, uid in UIDS.items():
            keys = self.keys_of(user)
            keys.parent.mkdir(parents=True, mode=0o700)
            keys.write_text(_public(self._new_key(user)).read_text() if user in WITH_KEYS else "")
            (keys.parent.parent / "notes.txt").write_bytes(self._rng.randbytes(30_000))
            for path in (keys.parent.parent, *keys.parent.parent.rglob("*")):
                shutil.chown(path, uid, uid)
        self._new_key(self.clients.retired_key.name)

    def _new_key(self, name: str) -> Path:
        path = self._workshop.path / "keys" / name
        self._keygen(path)
        return path

    def _keygen(self, path: Path) -> None:
        self._workshop.must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)])

    def _write_client_config(self) -> None:
        known = self._etc / "known_hosts"
        for name, alias in ((FRONT, "front"), (VAULT, "vault")):
            host_key = self._etc / f"{name}_host_key"
            self._keygen(host_key)
            with known.open("a") as file:
                file.write(f"{alias} {_public(host_key).read_text()}")
            # The sessions of all users write to one file.
            sftp_log = self.logs / f"{name}-sftp.log"
            sftp_log.touch()
            sftp_log.chmod(0o666)
        text = conf.CLIENT.format(front=self._ports.front, vault=self._ports.vault, known_hosts=known)
        (self._etc / "ssh_config").write_text(text)


def _public(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")

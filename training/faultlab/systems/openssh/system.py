"""OpenSSH: a front server for logins and uploads, and a vault that is reached directly and through it.

Owns configuration, accounts, servers, faults and planned changes; knows nothing of recording. Requests are made by
`clients` alone. The servers run in a mount namespace of their own with accounts of their own, so that no account
and no file of this machine is touched. The homes stand on a small tmpfs, so that it can be filled.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.openssh import conf
from logwarden.training.faultlab.systems.openssh.clients import (
    PASSWORD,
    UIDS,
    WITH_KEYS,
    WITH_PASSWORDS,
    Clients,
    Ports,
    Prompt,
)

FRONT, VAULT = "sshd", "sshd-backup"
BOTH = (FRONT, VAULT)
_SSHD = "/usr/sbin/sshd"
_DISK_MB = 24
# Names that guessers try on any machine, and none of which lives here.
_STRANGERS = ("admin", "oracle", "test", "ubuntu", "postgres", "git", "pi", "ftpuser")


class OpenSSH:
    """See the module."""

    name = "openssh"
    never_in_clean = (
        "[Ii]nvalid user|bad ownership|MaxStartups|Bad configuration|No space left|not responding|connect_to|fatal:"
        "|Timeout before"
    )

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/openssh")
        self._probing = random.Random(f"{seed}/openssh/probe")
        self._network = Network()
        self._prompts: list[Prompt] = []
        self._max_sessions = 12
        self._key_number = 0
        self._locked_out = "deploy"

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {name: (self._logs / f"{name}.log", self._logs / f"{name}-sftp.log") for name in BOTH}

    def missing(self) -> Sequence[str]:
        programs = {
            _SSHD: "openssh-server",
            "/usr/lib/openssh/sftp-server": "openssh-sftp-server",
            "ssh": "openssh-client",
            "sshpass": "sshpass",
            "unshare": "util-linux",
        }
        return missing_packages(programs)

    def versions(self) -> Mapping[str, str]:
        return {"openssh": self._workshop.run(["ssh", "-V"], timeout_s=10).output.strip()}

    def setup(self, workshop: Workshop) -> None:
        if os.geteuid() != 0:
            raise StartFailed("sshd", "only root can run a server that logs other users in")
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        self._logs, self._etc, self._homes = workshop.path / "logs", workshop.path / "etc", self._disk.path / "home"
        for directory in (self._logs, self._etc, self._homes, workshop.path / "run/sshd", workshop.path / "keys"):
            directory.mkdir(parents=True)
        self._ports = Ports(**dict(zip(("front", "vault"), free_ports(2, self._rng), strict=True)))
        self._write_client_config()
        self._clients = Clients(workshop, self._etc / "ssh_config", workshop.path / "keys")
        self._settle_people()
        self._front, self._vault = self._server(FRONT), self._server(VAULT)
        for name in BOTH:
            self._configure(name)

    def start(self) -> None:
        self._launch(FRONT)
        self._launch(VAULT)

    def workload(self) -> Sequence[Client]:
        clients = self._clients

        def either(rng: random.Random) -> str:
            return rng.choice(WITH_PASSWORDS)

        def watch(rng: random.Random) -> bool:
            return clients.watch(rng, "vault")

        front, vault, both = frozenset({FRONT}), frozenset({VAULT}), frozenset(BOTH)
        return (
            Client(name="command", every_s=7, touches=front, run=lambda rng: clients.command(rng, "deploy", "front")),
            Client(
                name="old-key", every_s=16, touches=front, run=lambda rng: clients.command_with_old_key(rng, "front")
            ),
            Client(name="password", every_s=13, touches=front, run=lambda rng: clients.typed_command(rng, either(rng))),
            Client(name="upload", every_s=6, touches=front, run=lambda rng: clients.upload(rng, "front")),
            Client(name="copy", every_s=15, touches=front, run=lambda rng: clients.copy(rng, "front")),
            Client(name="jump", every_s=6, touches=both, run=clients.jump),
            Client(name="backup", every_s=8, touches=vault, run=lambda rng: clients.upload(rng, "vault")),
            # Three, so that one or another is nearly always there to be cut off.
            *(Client(name=name, every_s=5, touches=vault, run=watch) for name in ("watch", "watch-2", "watch-3")),
        )

    def healthy(self) -> bool:
        return self._clients.served(self._probing)

    def benign(self) -> Sequence[Disturbance]:
        def restart(name: str, drained: frozenset[str], services: tuple[str, ...]) -> Disturbance:
            return Disturbance(
                name=f"{name}_restart",
                cause="restart",
                what=f"{name} stopped and started, its clients held back",
                services=services,
                inject=lambda: self._child(name).stop(),
                clear=lambda: self._launch(name),
                hold_s=1.0,
                drained=drained,
            )

        return (
            restart(FRONT, frozenset({FRONT}), BOTH),
            restart(VAULT, frozenset({VAULT}), BOTH),
            Disturbance(
                name="config_reload",
                cause="reload",
                what="another MaxSessions, SIGHUP",
                services=(FRONT,),
                inject=self._retune,
                drained=frozenset({FRONT}),
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="the log moved away, SIGHUP",
                services=(FRONT,),
                inject=self._rotate,
                drained=frozenset({FRONT}),
            ),
            Disturbance(
                name="key_renewal",
                cause="maintenance",
                what="a new key for the account that deploys, the old one withdrawn",
                services=BOTH,
                inject=self._renew_key,
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="password_guessing",
                cause="security",
                what="the password login of the load with guessed names and passwords",
                services=BOTH,
                inject=self._guess_passwords,
            ),
            Disturbance(
                name="login_flood",
                cause="resource",
                what="logins left waiting at the password prompt, more than MaxStartups",
                services=(FRONT,),
                inject=self._flood_prompts,
                clear=self._leave_prompts,
                hold_s=4,
            ),
            Disturbance(
                name="bad_config_reload",
                cause="configuration",
                what="a misspelt option, SIGHUP; corrected and started again",
                services=BOTH,
                inject=self._misconfigure,
                clear=self._correct,
                hold_s=8,
            ),
            Disturbance(
                name="key_file_modes",
                cause="configuration",
                what="a user's .ssh made writable for all",
                services=BOTH,
                inject=self._open_key_file,
                clear=lambda: self._keys_of(self._locked_out).parent.chmod(0o700),
                hold_s=10,
            ),
            Disturbance(
                name="backup_sigkill",
                cause="process",
                what="SIGKILL to the listener of the backup host, started again",
                services=BOTH,
                inject=self._vault.kill,
                clear=lambda: self._launch(VAULT),
                hold_s=12,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the file system of the homes filled to the last block",
                services=BOTH,
                inject=lambda: self._disk.fill(self._rng.uniform(13, 16)),
                clear=self._disk.empty,
                impossible=self._disk.impossible,
            ),
            Disturbance(
                name="backup_cut_off",
                cause="dependency",
                what="all packets to and from the backup host lost",
                services=BOTH,
                inject=lambda: self._network.drop([self._ports.vault]),
                clear=self._network.heal,
                hold_s=17,
                impossible=self._network.impossible,
            ),
        )

    def stop(self) -> None:
        self._leave_prompts()
        for child in (self._front, self._vault):
            child.stop()

    def _guess_passwords(self) -> None:
        """From the desks of the load: names that are tried on any machine, as well as names that live here."""
        for _ in range(self._rng.randint(18, 24)):
            user = self._rng.choice((*_STRANGERS, "root", *WITH_PASSWORDS, *WITH_KEYS))
            host = "vault" if self._rng.random() < 0.25 else "front"
            guess = f"{PASSWORD[:-2]}{self._rng.randint(43, 99)}"
            self._clients.password_command(self._rng, user, host, guess)
            time.sleep(self._rng.uniform(0.2, 0.6))

    def _flood_prompts(self) -> None:
        """More than the 34 that may wait, a few in a second; the probability to be turned away grows from 24 on."""
        for _ in range(self._rng.randint(44, 50)):
            self._prompts.append(self._clients.prompt(self._rng, self._rng.choice(WITH_PASSWORDS), "front"))
            time.sleep(self._rng.uniform(0.1, 0.35))

    def _leave_prompts(self) -> None:
        for prompt in self._prompts:
            prompt.leave()
        self._prompts.clear()

    def _misconfigure(self) -> None:
        mistake = self._rng.choice(
            ("MaxSession 12", "PermitRootLogon no", "ClientAliveInterval 3 seconds", "UseDNS of")
        )
        path = self._config(FRONT)
        path.write_text(path.read_text() + mistake + "\n")
        self._front.send(signal.SIGHUP)

    def _correct(self) -> None:
        self._configure(FRONT)
        # It does not live on with its old settings, as other servers do.
        self._front.reap()
        self._launch(FRONT)

    def _open_key_file(self) -> None:
        self._locked_out = self._rng.choice(("deploy", "ops", "backup"))
        self._keys_of(self._locked_out).parent.chmod(0o777)

    def _retune(self) -> None:
        self._max_sessions = 12 if self._max_sessions == 10 else 10
        self._configure(FRONT)
        self._reload()

    def _rotate(self) -> None:
        log = self._logs / f"{FRONT}.log"
        log.replace(log.with_suffix(".log.1"))
        self._reload()

    def _reload(self) -> None:
        """Starts itself anew under its old number; until then it listens still or not at all."""
        self._front.send(signal.SIGHUP)
        time.sleep(1.0)

    def _renew_key(self) -> None:
        """Logins that have begun may still come with the key before, so that one stays valid until the next time."""
        self._key_number += 1
        before = self._clients.keys["deploy"]
        fresh = self._new_key(f"deploy-{self._key_number}")
        keys = self._keys_of("deploy")
        keys.write_text(_public(before).read_text() + _public(fresh).read_text())
        self._clients.keys = {**self._clients.keys, "deploy": fresh}

    def _child(self, name: str) -> Child:
        return self._front if name == FRONT else self._vault

    def _launch(self, name: str) -> None:
        self._workshop.launch(self._child(name), self._ports.front if name == FRONT else self._ports.vault)

    def _server(self, name: str) -> Child:
        """It writes its log by itself (-E), so that a SIGHUP makes it open the file anew."""
        root = self._workshop.path
        private = {
            root / "run": "/run",
            self._logs: "/var/log",
            self._etc / "passwd": "/etc/passwd",
            self._etc / "shadow": "/etc/shadow",
        }
        pairs = [str(path) for pair in private.items() for path in pair]
        server = [_SSHD, "-D", "-E", str(self._logs / f"{name}.log"), "-f", str(self._config(name))]
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", conf.PRIVATELY, "sh"]
        return self._workshop.child([*argv, *pairs, "--", *server], self._logs / f"{name}.out")

    def _config(self, name: str) -> Path:
        return self._etc / f"{name}_config"

    def _configure(self, name: str) -> None:
        text = conf.SERVER.format(
            port=self._ports.front if name == FRONT else self._ports.vault,
            host_key=self._etc / f"{name}_host_key",
            max_sessions=self._max_sessions,
            sftp_log=self._logs / f"{name}-sftp.log",
        )
        self._config(name).write_text(text)

    def _settle_people(self) -> None:
        """Accounts, homes, and the keys of those who come with keys."""
        (self._etc / "passwd").write_text(conf.passwd(str(self._homes), UIDS))
        (self._etc / "shadow").write_text(conf.shadow(list(UIDS)))
        (self._etc / "shadow").chmod(0o600)
        for user, uid in UIDS.items():
            keys = self._keys_of(user)
            keys.parent.mkdir(parents=True, mode=0o700)
            keys.write_text(_public(self._new_key(user)).read_text() if user in WITH_KEYS else "")
            (keys.parent.parent / "notes.txt").write_bytes(self._rng.randbytes(30_000))
            for path in (keys.parent.parent, *keys.parent.parent.rglob("*")):
                shutil.chown(path, uid, uid)
        self._new_key(self._clients.retired_key.name)

    def _keys_of(self, user: str) -> Path:
        return self._homes / user / ".ssh" / "authorized_keys"

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
            sftp_log = self._logs / f"{name}-sftp.log"
            sftp_log.touch()
            sftp_log.chmod(0o666)
        text = conf.CLIENT.format(front=self._ports.front, vault=self._ports.vault, known_hosts=known)
        (self._etc / "ssh_config").write_text(text)


def _public(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")

"""OpenSSH: a front server for logins and uploads, and a backup host that is reached directly and through it.

Requests are made by `clients` alone, servers and accounts belong to `servers`. The servers run in a mount namespace of
their own with accounts of their own, so that no account and no file of the machine changes. The homes are on a small
tmpfs, so that it can be filled.
"""

import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.openssh.clients import (
    PASSWORD,
    WITH_KEYS,
    WITH_PASSWORDS,
    OpenSSHPorts,
    Prompt,
)
from logwarden.training.faultlab.systems.openssh.servers import BOTH, FRONT, SSHD, VAULT, OpenSSHServers

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
        self._locked_out = "deploy"

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {name: (self._servers.logs / f"{name}.log", self._servers.logs / f"{name}-sftp.log") for name in BOTH}

    def missing(self) -> Sequence[str]:
        programs = {
            SSHD: "openssh-server",
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
        self._ports = OpenSSHPorts(**dict(zip(("front", "vault"), free_ports(2, self._rng), strict=True)))
        self._servers = OpenSSHServers(workshop, self._rng, self._disk, self._ports)
        self._clients = self._servers.clients

    def start(self) -> None:
        self._servers.launch(FRONT)
        self._servers.launch(VAULT)

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
                inject=lambda: self._servers.child(name).stop(),
                clear=lambda: self._servers.launch(name),
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
                inject=self._servers.retune,
                drained=frozenset({FRONT}),
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="the log moved away, SIGHUP",
                services=(FRONT,),
                inject=self._servers.rotate,
                drained=frozenset({FRONT}),
            ),
            Disturbance(
                name="key_renewal",
                cause="maintenance",
                what="a new key for the account that deploys, the old one withdrawn",
                services=BOTH,
                inject=self._servers.renew_key,
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
                clear=self._servers.correct,
                hold_s=8,
            ),
            Disturbance(
                name="key_file_modes",
                cause="configuration",
                what="a user's .ssh made writable for all",
                services=BOTH,
                inject=self._open_key_file,
                clear=lambda: self._servers.keys_of(self._locked_out).parent.chmod(0o700),
                hold_s=10,
            ),
            Disturbance(
                name="backup_sigkill",
                cause="process",
                what="SIGKILL to the listener of the backup host, started again",
                services=BOTH,
                inject=self._servers.vault.kill,
                clear=lambda: self._servers.launch(VAULT),
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
        for child in (self._servers.front, self._servers.vault):
            child.stop()

    def _guess_passwords(self) -> None:
        """Tries passwords from the addresses of the load, for common names and for names of real accounts."""
        for _ in range(self._rng.randint(18, 24)):
            user = self._rng.choice((*_STRANGERS, "root", *WITH_PASSWORDS, *WITH_KEYS))
            host = "vault" if self._rng.random() < 0.25 else "front"
            guess = f"{PASSWORD[:-2]}{self._rng.randint(43, 99)}"
            self._clients.password_command(self._rng, user, host, guess)
            time.sleep(self._rng.uniform(0.2, 0.6))

    def _flood_prompts(self) -> None:
        """Opens more logins than the 34 that may wait, a few per second; sshd rejects some from 24 on."""
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
        path = self._servers.config(FRONT)
        path.write_text(path.read_text() + mistake + "\n")
        self._servers.front.send(signal.SIGHUP)

    def _open_key_file(self) -> None:
        self._locked_out = self._rng.choice(("deploy", "ops", "backup"))
        self._servers.keys_of(self._locked_out).parent.chmod(0o777)

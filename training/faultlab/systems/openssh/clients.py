"""The client programs of load, probes and attacks on OpenSSH. Knows no server process and no fault.

Clean load and faults both use this module: the same ssh, sftp, scp and sshpass with one configuration, from the same
few addresses."""

import random
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from logwarden.training.faultlab.guard import family, kill_all
from logwarden.training.faultlab.process import Workshop

PASSWORD = "pear-lantern-42"
# The desks that people sit at. All of 127.0.0.0/8 is this machine.
DESKS = tuple(f"127.0.0.{number}" for number in range(21, 27))
# Deploy and ops come with keys, alice and bob with passwords, backup with a key from the jump host.
UIDS = {"alice": 20_011, "bob": 20_012, "deploy": 20_021, "ops": 20_022, "backup": 20_023}
WITH_PASSWORDS = ("alice", "bob")
WITH_KEYS = ("deploy", "ops", "backup")
_CLIENT_DEADLINE_S = 25.0
# All lanes of a load spike begin in the same instant, as people do not; more than these at once would be taken for a
# flood by MaxStartups.
_AT_ONCE = 16
_FILES = 6
_SIZES_KB = (40, 90, 160, 250)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSSHPorts:
    front: int
    vault: int


class Prompt:
    """An ssh that waits for a password that is never typed."""

    def __init__(self, sshpass: subprocess.Popen[str]) -> None:
        self._sshpass = sshpass

    def leave(self) -> None:
        """Closes the terminal, so that ssh disconnects."""
        if self._sshpass.poll() is None:
            kill_all(family(self._sshpass.pid), signal.SIGTERM)
        self._sshpass.communicate()


class OpenSSHClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, config: Path, keys: Path) -> None:
        self._workshop = workshop
        self._config = ["-F", str(config)]
        self._doors = threading.BoundedSemaphore(_AT_ONCE)
        self._outbox = workshop.path / "outbox"
        self._outbox.mkdir()
        for size in _SIZES_KB:
            (self._outbox / f"report-{size}").write_bytes(random.Random(size).randbytes(size * 1024))
        self.keys: Mapping[str, Path] = {name: keys / name for name in WITH_KEYS}
        self.retired_key = keys / "retired"

    def served(self, rng: random.Random) -> bool:
        """Returns True if both hosts answer: an upload to one, a command through it to the other."""
        return self.upload(rng, "front") and self.jump(rng)

    def command(self, rng: random.Random, user: str, host: str, command: str = "cat /proc/loadavg") -> bool:
        return self._run(["ssh", *self._login(user), *_desk(rng), f"{user}@{host}", command])

    def command_with_old_key(self, rng: random.Random, host: str) -> bool:
        """Runs a command with a withdrawn key first and the valid one after it."""
        keys = ["-i", str(self.retired_key), *self._login("ops")]
        return self._run(["ssh", *keys, *_desk(rng), f"ops@{host}", "cat /proc/loadavg"])

    def watch(self, rng: random.Random, host: str) -> bool:
        """Runs a session for some seconds that prints some lines."""
        looks = rng.randint(3, 5)
        return self.command(rng, "ops", host, f"for i in $(seq {looks}); do cat /proc/loadavg; sleep 2; done")

    def password_command(self, rng: random.Random, user: str, host: str, password: str = PASSWORD) -> bool:
        return self._run(
            ["sshpass", "-e", *self._password_ssh(rng, user, host), "cat /proc/loadavg"], {"SSHPASS": password}
        )

    def typed_command(self, rng: random.Random, user: str) -> bool:
        """Runs a command with a password; sometimes the first password has a letter too many."""
        if rng.random() < 0.12:
            self.password_command(rng, user, "front", PASSWORD + rng.choice("asdf2"))
        return self.password_command(rng, user, "front")

    def prompt(self, rng: random.Random, user: str, host: str) -> Prompt:
        """Starts a login that reads its password from a pipe that stays empty."""
        return Prompt(self._workshop.open(["sshpass", "-d", "0", *self._password_ssh(rng, user, host), "true"]))

    def jump(self, rng: random.Random) -> bool:
        """Runs a command on one host by way of the other."""
        way = f"ssh -F {self._config[1]} -i {self.keys['deploy']} {' '.join(_desk(rng))} -W %h:%p deploy@front"
        login = [*self._login("backup"), "-o", f"ProxyCommand={way}"]
        return self._run(["ssh", *login, "backup@vault", "cat /proc/loadavg"])

    def upload(self, rng: random.Random, host: str) -> bool:
        """Uploads a file under a temporary name and renames it; sometimes looks for a missing file first."""
        user = "backup" if host == "vault" else "deploy"
        number, part = rng.randrange(_FILES), rng.randrange(10**6)
        remote = f"report-{number}.csv"
        look = [f"-get note-{number}.txt /dev/null"] if rng.random() < 0.12 else []
        batch = [*look, f"put {self._file(rng)} {remote}.{part}", f"rename {remote}.{part} {remote}"]
        return self._run(["sftp", *self._login(user), *_desk(rng), f"{user}@{host}"], feed="\n".join(batch) + "\n")

    def copy(self, rng: random.Random, host: str) -> bool:
        """Fetches a file that always exists, or sends one."""
        remote = f"ops@{host}:"
        sent = [str(self._file(rng)), f"{remote}archive-{rng.randrange(_FILES)}.tar"]
        ends = [f"{remote}notes.txt", "/dev/null"] if rng.random() < 0.5 else sent
        return self._run(["scp", "-q", *self._login("ops"), *_desk(rng), *ends])

    def _run(self, argv: list[str], env: Mapping[str, str] | None = None, *, feed: str = "") -> bool:
        # sftp reads its batch from standard input, and ends with the first command that fails.
        if feed:
            argv = [argv[0], "-b", "-", *argv[1:]]
        with self._doors:
            return self._workshop.run(argv, timeout_s=_CLIENT_DEADLINE_S, env=env, feed=feed).ok

    def _login(self, user: str) -> list[str]:
        return [*self._config, "-o", "BatchMode=yes", "-i", str(self.keys[user])]

    def _password_ssh(self, rng: random.Random, user: str, host: str) -> list[str]:
        only = ["-n", "-o", "PreferredAuthentications=password"]
        return ["ssh", *self._config, *only, *_desk(rng), f"{user}@{host}"]

    def _file(self, rng: random.Random) -> Path:
        """Returns one of a few files of different lengths."""
        return self._outbox / f"report-{rng.choice(_SIZES_KB)}"


def _desk(rng: random.Random) -> list[str]:
    return ["-o", f"BindAddress={rng.choice(DESKS)}"]

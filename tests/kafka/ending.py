"""The end of a member after SIGTERM: how long it took, its exit code, its last sentence, and what is wrong with it.

Knows a member's process and log; refuses to know what the member was doing.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.kafka.member import Member

GRACE_S = 2.0
"""Seconds after the drain's budget in which a member has ended."""
_KILLED_S = 20.0
"""Seconds beyond the grace after which a member that still runs is killed."""
_SIGTERM_BIT = 1 << (signal.SIGTERM - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """One end."""

    seconds: float
    code: int | None
    """The exit code; None if the member had to be killed."""
    taken: bool
    """False if the signal came before Python ran the command, when nothing can take it."""
    sentence: str
    """The last line of the log that is no JSON."""
    has_traceback: bool
    everything_done: bool | None
    """The result of the drain; None if none began."""

    def faults(self, budget_s: float) -> list[str]:
        """Returns what an operator would complain about."""
        found = []
        if not self.seconds <= budget_s + GRACE_S:
            found.append(f"took {self.seconds:.2f} s, more than {budget_s:g} s and {GRACE_S:g} s")
        if self.has_traceback:
            found.append("shows a traceback")
        if self.code == 1 and not self.sentence.startswith("logwarden: "):
            found.append("ended with exit code 1 and without a sentence")
        if self.code not in (0, 1) and (self.taken or self.code != -signal.SIGTERM):
            found.append(f"ended with exit code {self.code}")
        return found


def end(member: Member, budget_s: float, *, pid: int | None = None) -> Ending:
    """Sends SIGTERM and waits for the end. `pid`: the process to signal, if it is not the member's own."""
    pid = pid or member.pid
    taken = takes_sigterm(pid)
    started = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    code: int | None = None
    try:
        code = member.wait(budget_s + GRACE_S + _KILLED_S)
    except subprocess.TimeoutExpired:
        member.kill()
    seconds = time.monotonic() - started
    log = member.log()
    plain = [line for line in log.splitlines() if not line.startswith("{")]
    drained = member.events("drained")
    return Ending(
        seconds=seconds,
        code=code,
        taken=taken,
        sentence=plain[-1] if plain else "",
        # The form of a terminal, or the field of an event that has no error of its own in a client's stop.
        has_traceback="Traceback (most recent call last)" in log,
        everything_done=bool(drained[-1]["everything_done"]) if drained else None,
    )


def takes_sigterm(pid: int) -> bool:
    """Returns True once the process has blocked SIGTERM for the thread that waits for it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"^SigBlk:\s+([0-9a-f]+)$", status, re.MULTILINE)
    assert found, status
    return bool(int(found[1], 16) & _SIGTERM_BIT)

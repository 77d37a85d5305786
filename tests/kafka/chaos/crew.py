"""The members of a campaign: a fixed number of places, each with one daemon that is replaced when it ends.

Counts kills and starts, and keeps a note of every daemon that ended by itself. Knows processes and no broker.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.kafka.member import Launch, Member, launch_anew

WATCH_S = 0.2
WHOLE_EVERY = 10
"""Every tenth member is a new interpreter; the others are forks of one that has imported the daemon."""
LOG_TAIL_LINES = 30


class Crew:
    """Members by index. `watch` runs beside everything else and replaces those that end by themselves."""

    def __init__(
        self, size: int, directory: Path, settings: Mapping[str, object], launch: Launch, *, whole: bool = False
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._launch = launch
        self._whole = whole
        self._leaving: set[int] = set()
        """Places whose member a fault has ended or is about to end."""
        self.counts: Counter[str] = Counter()
        self.ended: list[dict[str, Any]] = []
        """Members that ended by themselves, with the end of their logs."""
        self.stops: list[dict[str, Any]] = []
        """Exit code and seconds of every SIGTERM, with the end of the log where the code is not 0."""
        self.members = [self._start(index) for index in range(size)]

    def client_id(self, index: int) -> str:
        """Returns the name under which the proxy knows the member of a place."""
        return f"member-{index}"

    def _start(self, index: int) -> Member:
        number = self.counts["forked"] + self.counts["whole"]
        whole = self._whole or number % WHOLE_EVERY == WHOLE_EVERY - 1
        self.counts["whole" if whole else "forked"] += 1
        log = self._directory / f"member-{index}-{number}.log"
        settings = {**self._settings, "KAFKA__CLIENT_ID": self.client_id(index)}
        return Member(log, settings, launch=launch_anew if whole else self._launch).start()

    async def kill(self, index: int, away_s: float) -> float:
        """Kills a member and starts another one after a while. Returns the moment of the kill once that is done."""
        self._leaving.add(index)
        self.members[index].kill()
        killed_at = time.monotonic()
        self.counts["member_kills"] += 1
        await self._replace(index, away_s)
        return killed_at

    async def stop(self, index: int, away_s: float, limit_s: float) -> None:
        """Sends SIGTERM, waits for the end, and starts another one after a while.

        Leaves a member alone that is on its way out: a second signal would end it at once, as it promises.
        """
        if index in self._leaving:
            return
        self._leaving.add(index)
        member = self.members[index]
        begun = time.monotonic()
        member.signal(signal.SIGTERM)
        code: int | None = None
        try:
            code = await asyncio.to_thread(member.wait, limit_s)
        except subprocess.TimeoutExpired:  # the note below is the finding
            member.kill()
        if code is None or code >= 0:  # a kill in between is no answer to the signal
            self._note_stop(member, code, begun)
        await self._replace(index, away_s)

    async def _replace(self, index: int, away_s: float) -> None:
        await asyncio.sleep(away_s)
        if not self.members[index].is_running:  # two faults may have met in this place
            self.members[index] = self._start(index)
        self._leaving.discard(index)

    async def frozen(self, index: int, for_s: float) -> None:
        """Suspends a member for a while."""
        member = self.members[index]
        member.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
        finally:
            member.signal(signal.SIGCONT)

    async def watch(self) -> None:
        """Replaces members that end by themselves, until cancelled."""
        while True:
            for index, member in enumerate(self.members):
                if not member.is_running and index not in self._leaving:
                    self.ended.append({"member": member.log_path.name, "code": member.wait(1), "log": _tail(member)})
                    self.members[index] = self._start(index)
            await asyncio.sleep(WATCH_S)

    async def all_ready(self) -> bool:
        """Returns True if every member is ready."""
        answers = await asyncio.gather(*(asyncio.to_thread(m.status, "/readyz") for m in self.members))
        return set(answers) == {200}

    def reports(self) -> list[dict[str, Any]]:
        """Returns what the members report about themselves, as evidence of a group that is stuck."""
        return [
            {"member": m.log_path.name, "ready": m.body("/readyz"), "lag": m.metric("logwarden_lag_records")}
            | {"partitions": m.metric("logwarden_partitions"), "log": _tail(m, 30)}
            for m in self.members
        ]

    async def restart_all(self) -> None:
        """Kills and replaces every member, as an operator of a stuck group does."""
        for index in range(len(self.members)):
            await self.kill(index, 0)
            self.counts["member_kills"] -= 1

    async def end(self, limit_s: float) -> None:
        """Stops every member by SIGTERM, all at the same time."""
        self._leaving |= set(range(len(self.members)))
        begun = time.monotonic()
        for member in self.members:
            member.signal(signal.SIGTERM)
        for member in self.members:
            code: int | None = None
            with suppress(subprocess.TimeoutExpired):  # the note below is the finding
                code = await asyncio.to_thread(member.wait, max(1.0, begun + limit_s - time.monotonic()))
            self._note_stop(member, code, begun)

    def _note_stop(self, member: Member, code: int | None, begun: float) -> None:
        stop = {"member": member.log_path.name, "code": code, "seconds": round(time.monotonic() - begun, 1)}
        self.stops.append(stop if code == 0 else stop | {"log": _tail(member, 100)})

    def kill_all(self) -> None:
        """Kills those that still run."""
        self._leaving |= set(range(len(self.members)))
        for member in self.members:
            member.kill()


def _tail(member: Member, lines: int = LOG_TAIL_LINES) -> list[str]:
    return [line[:600] for line in member.log().splitlines()[-lines:]]

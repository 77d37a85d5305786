"""The daemons of one test: started with the settings of its topics, ended with the test.

Knows the settings that make a group fast enough for a test; refuses to know what a test does with it.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from tests.kafka.evidence import EVERY_LINE
from tests.kafka.member import Launch, Member, launch_anew
from tests.kafka.topics import Topics

QUICK: dict[str, object] = {
    # The least that the settings allow: the group removes a killed member after six seconds.
    "KAFKA__SESSION_TIMEOUT_MS": 6_000,
    "KAFKA__REBALANCE_TIMEOUT_MS": 6_000,
    "KAFKA__COMMIT_INTERVAL_MS": 100,
    # Most tests send lines before a member is ready, and expect an alert for each of them.
    "KAFKA__FIRST_START": "earliest",
    "KAFKA__INCIDENTS_TOPIC": "none",
    "KAFKA__FEEDBACK_TOPIC": "none",
    "MODEL__TABLE_ROWS": 4_096,
    "LIMITS__MAX_SERVICES": 256,
    # Short windows make small alerts, and these tests publish one per line.
    "WINDOW__SIZE": 8,
}


class Fleet:
    """Starts members of one group. Leaving its context kills those that still run and shows the end of their logs."""

    def __init__(
        self,
        topics: Topics,
        directory: Path,
        model: Path | str,
        *,
        quiet: bool = False,
        launch: Launch = launch_anew,
    ) -> None:
        self._quiet = quiet
        self._launch = launch
        self._directory = directory
        self._settings: dict[str, object] = {
            **QUICK,
            **EVERY_LINE,
            "KAFKA__BOOTSTRAP_SERVERS": topics.bootstrap,
            "KAFKA__INPUT_TOPICS": topics.logs,
            "KAFKA__ALERTS_TOPIC": topics.alerts,
            "KAFKA__DEAD_LETTER_TOPIC": topics.dead_letters,
            "KAFKA__GROUP_ID": topics.group,
            "MODEL__PATH": model,
        }
        self.members: list[Member] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for member in self.members:
            member.kill()
            if not self._quiet:  # pytest shows it if the test failed
                print(f"--- {member.log_path.name}\n{member.log()[-9000:]}")

    def start(self, **settings: object) -> Member:
        """Starts one more member, with these settings over those of the fleet, and returns before it is ready."""
        log = self._directory / f"member-{len(self.members)}.log"
        member = Member(log, self._settings | settings, launch=self._launch)
        self.members.append(member)
        return member.start()

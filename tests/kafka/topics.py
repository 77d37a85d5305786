"""Topic and group names on a shared broker that belong to one test or one run of chaos."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from tests.kafka.broker import create_topics

LOG_PARTITIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Names that no other test uses. `logs`, `alerts` and `dead_letters` exist; `group` is only a name at first."""

    bootstrap: str
    prefix: str
    logs: str
    alerts: str
    dead_letters: str
    group: str

    def named(self, suffix: str) -> str:
        """Returns one more name that no other test uses."""
        return f"{self.prefix}.{suffix}"


async def fresh_topics(bootstrap: str) -> Topics:
    """Creates topics: the log topic has LOG_PARTITIONS partitions, the others one."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    named = Topics(
        bootstrap=bootstrap,
        prefix=prefix,
        logs=f"{prefix}.logs",
        alerts=f"{prefix}.alerts",
        dead_letters=f"{prefix}.dead-letters",
        group=f"{prefix}.group",
    )
    await create_topics(bootstrap, {named.logs: LOG_PARTITIONS, named.alerts: 1, named.dead_letters: 1})
    return named

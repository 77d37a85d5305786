"""Incidents on a real broker: their topic may be missing, their member may die, and they are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from logwarden.daemon.incidents.findings import FindingReader
from logwarden.daemon.incidents.incident import IncidentRecord, decode_incident
from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incident_state import FoldRules
from tests.kafka.broker import create_topics
from tests.kafka.evidence import AlertLog, Traffic, eventually, read_all
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S
from tests.kafka.topics import Topics

LINES = 200


class Everything(AlertLog):
    """Keeps all alerts."""

    KEPT = 100_000

    def incidents(self) -> dict[str, int]:
        """Returns the alerts of each incident that an undisturbed member makes of them."""
        fold, reader = IncidentFold(FoldRules(evidence=0.0)), FindingReader()
        for record in sorted(self.records, key=lambda one: one.timestamp):
            fold.add(reader.read(record.value, published_ms=record.timestamp))
        return {one.id: one.findings for one in fold.advance(0)}


async def test_incidents_outlive_a_missing_topic_and_a_kill(topics: Topics, forked_fleet: Fleet) -> None:
    """Without its topic no alert waits, and a member that takes over publishes what the killed one would have."""
    incidents = topics.named("incidents")
    settings: Mapping[str, object] = {"KAFKA__INCIDENTS_TOPIC": incidents, "INCIDENTS__LEAST_EVIDENCE": 0}
    first = forked_fleet.start(**settings)
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        Everything.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        await eventually(first.ready, READY_S, "a ready member")
        sent = await traffic.send(LINES)
        await eventually(lambda: alerts.covers(sent), 60, "an alert for every line")
        await eventually(lambda: f"--create --topic {incidents} " in first.body("/readyz"), 10, "the command")
        await create_topics(topics.bootstrap, {incidents: 2}, configs={"cleanup.policy": "compact,delete"})
        await eventually(lambda: first.metric("logwarden_folded_alerts_total") >= LINES, 40, "folded alerts")
        second = forked_fleet.start(**settings)
        await eventually(lambda: '"incidents": "standby"' in second.body("/readyz"), READY_S, "a second that waits")
        await eventually(lambda: '"incidents": "folding"' in first.body("/readyz"), 20, "the first that folds")
        first.kill()
        sent += await traffic.send(LINES)  # at once, so that one update has all of them
        await eventually(lambda: alerts.covers(sent), 60, "an alert for every line")

        async def is_the_same() -> bool:
            await alerts.read()
            newest = {record.id: record.logwarden.alerts for record in await _records(topics.bootstrap, incidents)}
            return newest == alerts.incidents()

        await eventually(is_the_same, 60, "the incidents of an undisturbed member")
    opened = Counter(one.id for one in await _records(topics.bootstrap, incidents) if one.logwarden.change == "opened")
    assert set(opened.values()) == {1}
    assert '"incidents": "folding"' in second.body("/readyz")
    assert second.terminate() == 0


async def _records(bootstrap: str, topic: str) -> list[IncidentRecord]:
    return [decode_incident(record.value) for record in await read_all(bootstrap, topic, partitions=2)]

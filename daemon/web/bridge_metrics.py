"""Counts the bridge's facts for Prometheus, and answers its probes. Implements `daemon/bridges/facts.py`.

Owns the names of these metrics. A label is the name of a destination or a word of the code, never of an incident.
"""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from logwarden.daemon.bridges.facts import BridgeFacts
from logwarden.daemon.bridges.notice import Action
from logwarden.daemon.web.metric_families import MetricRow
from logwarden.model.version import __version__

DELAY_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


class BridgeCounts:
    """Counts every fact of the bridge; `render` returns the body of `/metrics`."""

    def __init__(self, destinations: tuple[str, ...]) -> None:
        self._registry = CollectorRegistry()
        self.rows: list[MetricRow] = []
        """The metrics in the order of their creation."""
        ProcessCollector(registry=self._registry)
        build = self._gauge("build_info", "Always 1; the version is its label.", "version")
        build.labels(version=__version__).set(1)
        self._notices = self._counter("notices", "Notices that a destination took.", "destination", "action")
        self._retries = self._counter("retries", "Attempts that a destination did not take.", "destination")
        self._left_out = self._counter(
            "left_out_records", "Records of which nothing was sent, by the reason.", "destination", "reason"
        )
        self._dead = self._counter("dead_letters", "Notices that became dead letters.", "destination")
        self._delay = self._histogram(
            "delivery_delay_seconds", "Seconds from the publication of a record to its delivery.", "destination"
        )
        self._waiting = self._gauge("waiting_records", "Records of incidents that are not done.", "destination")
        self._oldest = self._gauge(
            "oldest_waiting_age_seconds", "Seconds for which the oldest notice has waited.", "destination"
        )
        self._announced = self._gauge("open_incidents", "Open incidents that a destination has.", "destination")
        self._failing = self._gauge("destination_failing", "1 while a destination takes nothing.", "destination")
        for name in destinations:  # so that a rate has a begin, and an alert something to compare with
            for action in Action:
                self._notices.labels(name, action.value)
            self._retries.labels(name)
            self._dead.labels(name)
            self._delay.labels(name)
            self.standing(name, waiting=0, oldest_s=0.0, announced=0, is_failing=False)

    def delivered(self, destination: str, action: str, delay_s: float) -> None:
        self._notices.labels(destination, action).inc()
        self._delay.labels(destination).observe(delay_s)

    def retried(self, destination: str) -> None:
        self._retries.labels(destination).inc()

    def left_out(self, destination: str, reason: str) -> None:
        self._left_out.labels(destination, reason).inc()

    def buried(self, destination: str) -> None:
        self._dead.labels(destination).inc()

    def standing(self, destination: str, *, waiting: int, oldest_s: float, announced: int, is_failing: bool) -> None:
        self._waiting.labels(destination).set(waiting)
        self._oldest.labels(destination).set(oldest_s)
        self._announced.labels(destination).set(announced)
        self._failing.labels(destination).set(is_failing)

    def render(self) -> bytes:
        """Returns the metrics in Prometheus' text format."""
        return bytes(generate_latest(self._registry))

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self.rows.append(MetricRow(f"logwarden_bridge_{name}_total", "counter", labels, meaning))
        return Counter(f"logwarden_bridge_{name}", meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        self.rows.append(MetricRow(f"logwarden_bridge_{name}", "gauge", labels, meaning))
        return Gauge(f"logwarden_bridge_{name}", meaning, labels, registry=self._registry)

    def _histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        self.rows.append(MetricRow(f"logwarden_bridge_{name}", "histogram", labels, meaning))
        name = f"logwarden_bridge_{name}"
        return Histogram(name, meaning, labels, buckets=DELAY_BUCKETS_S, registry=self._registry)


def bridge_probe_routes(facts: BridgeFacts) -> list[web.RouteDef]:
    """Returns the routes of the two probes. A bridge that cannot continue ends, so it lives while it answers."""

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"live": True, "reasons": []})

    async def readyz(_: web.Request) -> web.Response:
        found = [reason.as_json() for reason in facts.reasons()]
        body = {"ready": not found, "reasons": found, "facts": facts.figures()}
        return web.json_response(body, status=503 if found else 200)

    return [web.get("/livez", livez), web.get("/readyz", readyz)]

"""The requests of load and probes on Prometheus and Alertmanager. Knows no server process and no fault.

Queries are made by promtool, alerts and silences by amtool. A shop writes its own numbers into a file that the
exporter reads.
"""

import random
from pathlib import Path

from logwarden.training.faultlab.process import Workshop

# All three targets were scraped within seconds, the last reload succeeded and the shop's numbers could be read.
_OVERVIEW = (
    "count((up == 1) and (timestamp(up) > time() - 9)) + min(prometheus_config_last_reload_successful)"
    " - max(node_textfile_scrape_error)"
)
_WELL = "=> 4 @"
_DEADLINE_S = 20
_QUEUES = ("mail", "orders", "pictures")
_QUERIES = (
    "sum by (job) (up)",
    "rate(prometheus_tsdb_head_samples_appended_total[1m])",
    "shop:queue:average",
    "max(shop_order_seconds)",
    "topk(3, shop_queue_length)",
    "ALERTS",
)
_PEOPLE = ("anna", "bernd", "clara")


class PrometheusClients:
    """The requests of load and probes: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, prometheus: int, alertmanager: int, numbers: Path) -> None:
        self._workshop = workshop
        self._prometheus = f"http://127.0.0.1:{prometheus}"
        self._alertmanager = f"--alertmanager.url=http://127.0.0.1:{alertmanager}"
        self._numbers = numbers

    def overview(self, rng: random.Random) -> bool:
        """Reads the state of all targets, as the first page of a dashboard does."""
        return self._works("promtool", "query", "instant", self._prometheus, _OVERVIEW)

    def query(self, rng: random.Random) -> bool:
        """Reads one number."""
        return self._works("promtool", "query", "instant", self._prometheus, rng.choice(_QUERIES))

    def chart(self, rng: random.Random) -> bool:
        """Reads a number over some minutes."""
        step = f"--step={rng.choice((5, 10, 15))}s"
        return self._works("promtool", "query", "range", step, self._prometheus, rng.choice(_QUERIES))

    def list_alerts(self, rng: random.Random) -> bool:
        return self._works("amtool", "alert", "query", self._alertmanager)

    def report(self, rng: random.Random) -> bool:
        """Enters an alert by hand."""
        name, order = f"alertname={rng.choice(('Refund', 'Complaint', 'Return'))}", f"order={rng.randint(1, 900)}"
        return self._works("amtool", "alert", "add", self._alertmanager, name, order, f"by={rng.choice(_PEOPLE)}")

    def silence(self, rng: random.Random) -> bool:
        """Silences the alerts of one queue for some seconds."""
        matcher, for_s = f"queue={rng.choice(_QUEUES)}", f"--duration={rng.randint(4, 12)}s"
        words = ("--author", rng.choice(_PEOPLE), "--comment", "works on it")
        return self._works("amtool", "silence", "add", self._alertmanager, for_s, *words, matcher)

    def write_numbers(self, rng: random.Random) -> bool:
        """Writes the numbers of the shop; some are high enough for an alert."""
        rows = [f'shop_queue_length{{queue="{name}"}} {rng.choice((5, 20, 60, 95)) + rng.randint(0, 9)}'
                for name in _QUEUES]  # fmt: skip
        rows.append(f"shop_order_seconds {rng.choice((0.2, 0.4, 0.9, 2.4)):.2f}")
        fresh = self._numbers.with_suffix(f".{rng.getrandbits(32)}")
        fresh.write_text("".join(f"{row}\n" for row in rows))
        fresh.replace(self._numbers)
        return True

    def served(self) -> bool:
        """Returns True if all targets are scraped and Alertmanager answers."""
        argv = ["promtool", "query", "instant", self._prometheus, _OVERVIEW]
        state = self._workshop.run(argv, timeout_s=_DEADLINE_S).output
        return _WELL in state and self.list_alerts(random.Random(1))

    def _works(self, *argv: str) -> bool:
        return self._workshop.run(argv, timeout_s=_DEADLINE_S).ok

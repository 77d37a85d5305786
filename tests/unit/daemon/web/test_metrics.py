"""The metrics: Prometheus' samples after each fact."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from logwarden.daemon.health import HealthState
from logwarden.daemon.web.metrics import CONTENT_TYPE, PrometheusTelemetry


def samples(telemetry: PrometheusTelemetry) -> dict[str, float]:
    """Returns every sample as `name{label="value"}`, without process and gc metrics and buckets."""
    found = {}
    for family in text_string_to_metric_families(telemetry.render().decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            if sample.name.startswith("logwarden_") and not sample.name.endswith("_bucket"):
                found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


FACTS: list[tuple[Callable[[PrometheusTelemetry], None], dict[str, float]]] = [
    (lambda t: t.fetched(5), {"logwarden_records_total": 5}),
    (
        lambda t: t.ingested(7, 0.5),
        {
            "logwarden_lines_total": 7,
            "logwarden_ingest_duration_seconds_sum": 0.5,
            "logwarden_ingest_duration_seconds_count": 1,
        },
    ),
    (lambda t: t.embedded(3), {"logwarden_new_lines_total": 3}),
    (lambda t: t.withheld(4), {"logwarden_withheld_alerts_total": 4}),
    (lambda t: t.suppressed("mute", 4), {'logwarden_suppressed_alerts_total{reason="mute"}': 4}),
    (lambda t: t.planned(4), {"logwarden_planned_alerts_total": 4}),
    (lambda t: t.feedback_read("read", 4), {'logwarden_feedback_records_total{outcome="read"}': 4}),
    (
        lambda t: t.feedback({"mute": 4}, failing=True),
        {'logwarden_feedback_entries{kind="mute"}': 4, "logwarden_feedback_failing": 1},
    ),
    (
        lambda t: t.batch(lines=9, windows=8, alerts=2, seconds_score=0.25),
        {
            "logwarden_scored_lines_total": 9,
            "logwarden_windows_total": 8,
            "logwarden_anomalous_windows_total": 2,
            "logwarden_score_duration_seconds_sum": 0.25,
            "logwarden_score_duration_seconds_count": 1,
        },
    ),
    (lambda t: t.alert_published(2), {"logwarden_alerts_total": 2}),
    (
        lambda t: t.detected(1.5),
        {"logwarden_detection_delay_seconds_sum": 1.5, "logwarden_detection_delay_seconds_count": 1},
    ),
    (lambda t: t.detected(-3), {"logwarden_detection_delay_seconds_count": 1}),
    (lambda t: t.publish_retried(), {"logwarden_publish_retries_total": 1}),
    (lambda t: t.dead_lettered("json"), {'logwarden_dead_letters_total{stage="json"}': 1}),
    (lambda t: t.lost("dead"), {'logwarden_lost_messages_total{topic="dead"}': 1}),
    (lambda t: t.waiting_bytes(7), {"logwarden_waiting_bytes": 7}),
    (lambda t: t.decoded_with_replacement(2), {"logwarden_replaced_lines_total": 2}),
    (lambda t: t.odd_records(2), {"logwarden_odd_records_total": 2}),
    (lambda t: t.cut_lines(2), {"logwarden_cut_lines_total": 2}),
    (lambda t: t.schema_requested("read"), {'logwarden_schema_requests_total{outcome="read"}': 1}),
    (lambda t: t.empty_lines(2), {"logwarden_empty_lines_total": 2}),
    (lambda t: t.joined_lines(7), {"logwarden_joined_lines_total": 7}),
    (lambda t: t.cut_events(3), {"logwarden_cut_events_total": 3}),
    (lambda t: t.context_replayed(31, False), {"logwarden_context_records_total": 31}),
    (
        lambda t: t.context_replayed(31, True),
        {"logwarden_context_records_total": 31, "logwarden_short_contexts_total": 1},
    ),
    (lambda t: t.learned(50), {"logwarden_learned_records_total": 50}),
    (lambda t: t.unlearned(20), {"logwarden_unlearned_records_total": 20}),
    (lambda t: t.committed(3), {"logwarden_commits_total": 1, "logwarden_committed_partitions_total": 3}),
    (
        lambda t: t.rebalanced(assigned=4, revoked=1),
        {
            "logwarden_assigned_partitions_total": 4,
            "logwarden_revoked_partitions_total": 1,
            "logwarden_partitions": 3,
        },
    ),
    (lambda t: t.lag("logs", 3, 17), {'logwarden_lag_records{partition="3",topic="logs"}': 17}),
    (lambda t: t.out_of_range("logs", 3), {'logwarden_out_of_range_offsets_total{partition="3",topic="logs"}': 1}),
    (lambda t: t.unreadable("logs", 3), {'logwarden_unreadable_batches_total{partition="3",topic="logs"}': 1}),
    (lambda t: t.skipped("logs", 3, 60), {'logwarden_skipped_offsets_total{partition="3",topic="logs"}': 60}),
    (lambda t: t.in_flight(12), {"logwarden_in_flight_lines": 12}),
    (lambda t: t.paused(True), {"logwarden_paused": 1}),
    (
        lambda t: t.services(learning=12, known=5, noisy=2),
        {f'logwarden_services{{state="{state}"}}': n for state, n in (("learning", 12), ("known", 5), ("noisy", 2))},
    ),
    (lambda t: t.services_evicted(3), {"logwarden_evicted_services_total": 3}),
    (lambda t: t.commit_failed(), {"logwarden_commit_failures_total": 1}),
    (lambda t: t.state_written(3, 900), {"logwarden_state_records_total": 3, "logwarden_state_bytes_total": 900}),
    (lambda t: t.state_restored(5), {"logwarden_state_restored_services_total": 5}),
    (lambda t: t.state_deferred(6), {"logwarden_state_deferred_services_total": 6}),
    (lambda t: t.state_forgotten(4), {"logwarden_state_forgotten_services_total": 4}),
    (lambda t: t.state_failed("read"), {'logwarden_state_failures_total{stage="read"}': 1}),
    (
        lambda t: t.state_unreadable("damaged", 2),
        {'logwarden_state_unreadable_records_total{outcome="damaged"}': 2},
    ),
    (lambda t: t.alerts_folded("folded", 5), {'logwarden_folded_alerts_total{outcome="folded"}': 5}),
    (
        lambda t: t.incident_published("opened", "error", "pay-1"),
        {'logwarden_incident_records_total{change="opened",service_class="payments",severity="error"}': 1},
    ),
    (
        lambda t: t.incidents({("critical", "pay-1"): 3, ("critical", "pay-2"): 1, ("info", "x"): 2}, failing=True),
        {
            'logwarden_incidents_open{service_class="payments",severity="critical"}': 4,
            'logwarden_incidents_open{service_class="other",severity="info"}': 2,
            "logwarden_incidents_failing": 1,
        },
    ),
    (lambda t: t.table_rows(12), {"logwarden_line_table_rows": 12}),
    (lambda t: t.table_overflow(1), {"logwarden_overflowed_lines_total": 1}),
]


@pytest.mark.parametrize(("fact", "expected"), FACTS)
def test_a_fact_moves_its_metrics_and_no_other(
    fact: Callable[[PrometheusTelemetry], None], expected: dict[str, float]
) -> None:
    """Each method changes exactly the samples of its name."""
    telemetry = PrometheusTelemetry(service_classes=["payments=pay-*"])
    before = samples(telemetry)
    fact(telemetry)
    after = samples(telemetry)
    assert {name: value for name, value in after.items() if value != before.get(name, 0.0)} == expected


def test_every_fact_is_tested() -> None:
    """A new method of PrometheusTelemetry without a row above fails here."""
    facts = {name for name in vars(PrometheusTelemetry) if not name.startswith("_")} - {"render", "rows"}
    called = {name for fact, _ in FACTS for name in fact.__code__.co_names}
    assert facts == called


def test_a_revoked_partition_leaves_no_lag_behind() -> None:
    """A lag that is never updated again would page the operator without end."""
    telemetry = PrometheusTelemetry()
    telemetry.rebalanced(assigned=1, revoked=0)
    telemetry.lag("logs", 0, 9_000)
    telemetry.rebalanced(assigned=0, revoked=1)
    assert not [name for name in samples(telemetry) if name.startswith("logwarden_lag")]
    assert samples(telemetry)["logwarden_partitions"] == 0


def test_names_follow_the_conventions_and_no_label_is_unbounded() -> None:
    """Counters end in _total, durations in _seconds, and no label contains a service or a text."""
    telemetry = PrometheusTelemetry()
    for fact, _ in FACTS:
        fact(telemetry)
    for family in text_string_to_metric_families(telemetry.render().decode()):
        assert family.documentation.endswith(".") or not family.name.startswith("logwarden_"), family.name
        for sample in family.samples:
            allowed = {"topic", "partition", "stage", "version", "le", "generation", "outcome", "change"}
            allowed |= {"reason", "kind", "state"}  # of feedback, which has four kinds, and of services
            allowed |= {"severity", "service_class"}
            assert set(sample.labels) <= allowed, sample
            assert family.type != "counter" or sample.name.endswith("_total"), sample
            assert family.type != "histogram" or family.name.endswith("_seconds"), sample


def test_every_series_of_a_bounded_label_is_there_from_the_start() -> None:
    """A rate misses the first count of a series that begins with it, and that is the first critical incident."""
    found = samples(PrometheusTelemetry(service_classes=["payments=pay-*"]))
    for labels in ('service_class="payments",severity="critical"', 'service_class="other",severity="info"'):
        assert found[f"logwarden_incidents_open{{{labels}}}"] == 0
        assert found[f'logwarden_incident_records_total{{change="opened",{labels}}}'] == 0


def test_an_answer_takes_little_time() -> None:
    """With 500 partitions, each with every fault, and 16 classes an answer takes 50 ms of the event loop at most."""
    telemetry = PrometheusTelemetry(HealthState(), [f"class{number}=service-{number}-*" for number in range(16)])
    for partition in range(500):
        telemetry.lag("logs", partition, 17)
        telemetry.out_of_range("logs", partition)
        telemetry.unreadable("logs", partition)
        telemetry.skipped("logs", partition, 60)
    telemetry.services(learning=100, known=19_800, noisy=100)

    def seconds_of_cpu() -> float:
        before = time.process_time()
        assert telemetry.render().count(b"\n") > 2_000
        return time.process_time() - before

    assert min(seconds_of_cpu() for _ in range(7)) <= 0.05


def test_two_daemons_in_one_interpreter_do_not_add_up() -> None:
    """The registry belongs to the instance, not to the interpreter."""
    one, other = PrometheusTelemetry(), PrometheusTelemetry()
    one.fetched(3)
    assert samples(other)["logwarden_records_total"] == 0
    assert REGISTRY.get_sample_value("logwarden_records_total") is None


def test_the_answer_names_its_format() -> None:
    """Prometheus reads the content type to choose a parser."""
    assert CONTENT_TYPE.startswith("text/plain")
    assert b'logwarden_build_info{version="' in PrometheusTelemetry().render()


@pytest.mark.parametrize(
    ("delay_s", "reason"),
    [(3_599, None), (-59, None), (3_601, "past"), (1.8e9, "past"), (-61, "future"), (-2.5e11, "future")],
)
def test_replayed_and_future_lines_stay_out_of_the_live_delay(delay_s: float, reason: str | None) -> None:
    """One line of 1970 would spoil the sum of the histogram for good, so it is counted beside it."""
    telemetry = PrometheusTelemetry()
    telemetry.detected(delay_s)
    found = samples(telemetry)
    assert found["logwarden_detection_delay_seconds_count"] == (1 if reason is None else 0)
    assert 0 <= found["logwarden_detection_delay_seconds_sum"] <= 3_600
    excluded = {name: value for name, value in found.items() if "not_live_alerts_total" in name}
    expected = f'logwarden_not_live_alerts_total{{reason="{reason}"}}'
    assert excluded == ({} if reason is None else {expected: 1})


def test_health_is_read_at_each_scrape() -> None:
    """An age that is set only when something happens stands still when nothing happens."""
    now = [0.0]
    health = HealthState(lambda: now[0], assigned=True, warm=True)
    health.unblocked("alerts")
    telemetry = PrometheusTelemetry(health)
    first = samples(telemetry)
    assert math.isnan(first['logwarden_progress_age_seconds{stage="commit"}'])
    assert (first["logwarden_ready"], first['logwarden_publish_blocked{topic="alerts"}']) == (1, 0)
    health.progressed("commit")
    health.blocked("alerts", "it is missing", "create it")
    health.blocked("dead", "it is missing", "create it")
    health.missing(["lgos"])
    health.unreadable[("logs", 1)] = "stopped"
    health.stalled[("logs", 2)] = "nothing arrives"
    health.waiting("score", True)
    now[0] = 30.0
    second = samples(telemetry)
    assert {name: second[f"logwarden_{name}"] for name in ("ready", "input_topics_missing")} == {
        "ready": 0,
        "input_topics_missing": 1,
    }
    assert second["logwarden_partitions_unreadable"] == second["logwarden_partitions_stalled"] == 1
    assert second['logwarden_publish_blocked{topic="alerts"}'] == 1
    assert second['logwarden_publish_blocked{topic="dead"}'] == 1
    assert second['logwarden_progress_age_seconds{stage="commit"}'] == 30
    assert second['logwarden_stage_waiting_seconds{stage="score"}'] == 30
    assert second['logwarden_stage_waiting_seconds{stage="ingest"}'] == 0

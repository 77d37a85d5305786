"""Tests Prometheus' rules by `promtool test rules`: a healthy group, and for each alert the group that makes it fire.

Every scenario lists the alerts that fire at a minute, and no other one may. `fires` is the first minute at which the
alert fires; a minute before, nothing does.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import ROOT, run, tool

RULES = (ROOT / "deploy" / "prometheus" / "recording.yaml", ROOT / "deploy" / "prometheus" / "alerts.yaml")
_ME = 'job="logwarden",instance="a"'
HOURS = 8
_BUCKETS = ("0.1", "1.0", "10.0", "30.0", "60.0", "+Inf")

HEALTHY: dict[str, str] = {
    f"up{{{_ME}}}": "1",
    f"process_start_time_seconds{{{_ME}}}": "-100000",
    f'logwarden_build_info{{version="1",{_ME}}}': "1",
    f"logwarden_ready{{{_ME}}}": "1",
    f"logwarden_partitions{{{_ME}}}": "4",
    f"logwarden_partitions_unreadable{{{_ME}}}": "0",
    f"logwarden_partitions_stalled{{{_ME}}}": "0",
    f"logwarden_input_topics_missing{{{_ME}}}": "0",
    f'logwarden_lag_records{{topic="logs",partition="0",{_ME}}}': "100",
    f"logwarden_records_total{{{_ME}}}": "0+6000x",
    f"logwarden_scored_lines_total{{{_ME}}}": "0+6000x",
    f"logwarden_revoked_partitions_total{{{_ME}}}": "4",
    f"logwarden_alerts_total{{{_ME}}}": "0+1x",
    f"logwarden_evicted_services_total{{{_ME}}}": "7",
    f"logwarden_overflowed_lines_total{{{_ME}}}": "7",
    f'logwarden_out_of_range_offsets_total{{topic="logs",partition="0",{_ME}}}': "1",
    f'logwarden_skipped_offsets_total{{topic="logs",partition="0",{_ME}}}': "1",
    f'logwarden_lost_messages_total{{topic="logwarden.alerts",{_ME}}}': "1",
    f'logwarden_dead_letters_total{{stage="json",{_ME}}}': "0+6x",
    f'logwarden_schema_requests_total{{outcome="unavailable",{_ME}}}': "3",
    **{f'logwarden_stage_waiting_seconds{{stage="{stage}",{_ME}}}': "0" for stage in ("ingest", "score", "commit")},
    f'logwarden_publish_blocked{{topic="logwarden.alerts",{_ME}}}': "0",
    f'logwarden_state_blocked{{stage="write",{_ME}}}': "0",
    f"logwarden_incidents_failing{{{_ME}}}": "0",
    f"logwarden_feedback_failing{{{_ME}}}": "0",
    f'logwarden_services{{state="noisy",{_ME}}}': "2",
    f'logwarden_services{{state="known",{_ME}}}': "40",
    f'logwarden_bridge_destination_failing{{destination="slack",{_ME}}}': "0",
    f'logwarden_bridge_oldest_waiting_age_seconds{{destination="slack",{_ME}}}': "20",
    f'logwarden_bridge_dead_letters_total{{destination="slack",{_ME}}}': "3",
    f'logwarden_incidents_open{{severity="critical",service_class="web",{_ME}}}': "0",
    f'logwarden_incidents_open{{severity="error",service_class="web",{_ME}}}': "3",
    **{f'logwarden_detection_delay_seconds_bucket{{le="{le}",{_ME}}}': "0+1x" for le in _BUCKETS},
}
"""Samples a minute of a group that is well. Counters of what went wrong once stand still."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is different from the healthy group, and when the alert fires first."""

    alert: str
    fires: int
    changes: Mapping[str, str] = field(default_factory=dict)
    """Begin of a series' name in HEALTHY, or a whole new series, to its samples; `none`: the series is missing."""
    also: tuple[str, ...] = ()
    """Other alerts that rightly fire at the same minute."""
    quiet: int | None = None
    """The minute at which nothing fires. None: the one before `fires`."""


SCENARIOS = (
    Scenario(alert="LogwardenAbsent", fires=10, changes={"logwarden_build_info": "none"}),
    Scenario(alert="LogwardenDown", fires=5, changes={"up": "0"}),
    Scenario(alert="LogwardenNoMemberReady", fires=5, changes={"logwarden_ready": "0"}),
    Scenario(
        alert="LogwardenNotReady",
        fires=15,
        changes={"logwarden_ready": "0", 'logwarden_ready{job="logwarden",instance="b"}': "1"},
    ),
    Scenario(
        alert="LogwardenRestarts",
        fires=40,
        changes={"process_start_time_seconds": "-100000x19 -4000 -3000 -2900 -2800 -2800x500"},
        quiet=22,
    ),
    Scenario(
        alert="LogwardenLagging",
        fires=16,
        changes={"logwarden_lag_records": "60000", "logwarden_records_total": "0+6000x"},
    ),
    Scenario(
        alert="LogwardenLagGrows",
        fires=63,
        changes={"logwarden_lag_records": "11000+20x", "logwarden_records_total": "0+60000x"},
        quiet=55,
    ),
    Scenario(alert="LogwardenPartitionStandsStill", fires=5, changes={"logwarden_partitions_stalled": "1"}),
    Scenario(alert="LogwardenPartitionStandsStill", fires=5, changes={"logwarden_partitions_unreadable": "1"}),
    Scenario(alert="LogwardenStageStands", fires=2, changes={'logwarden_stage_waiting_seconds{stage="score"': "90"}),
    Scenario(alert="LogwardenCommitsFail", fires=5, changes={'logwarden_stage_waiting_seconds{stage="commit"': "90"}),
    Scenario(
        alert="LogwardenNothingArrives",
        fires=32,
        changes={"logwarden_records_total": "77", "logwarden_dead_letters_total": "7"},
        quiet=29,
    ),
    Scenario(alert="LogwardenInputTopicMissing", fires=5, changes={"logwarden_input_topics_missing": "1"}),
    Scenario(
        alert="LogwardenRebalancesOften", fires=75, changes={"logwarden_revoked_partitions_total": "0+1x"}, quiet=1
    ),
    Scenario(alert="LogwardenPublishBlocked", fires=2, changes={"logwarden_publish_blocked": "1"}),
    Scenario(
        alert="LogwardenOffsetsOutOfRange",
        fires=40,
        changes={"logwarden_out_of_range_offsets_total": "1x39 2x500"},
    ),
    Scenario(
        alert="LogwardenOffsetsOutOfRange",
        fires=40,
        changes={f'logwarden_out_of_range_offsets_total{{topic="logs",partition="7",{_ME}}}': "_x40 1x500"},
    ),
    Scenario(alert="LogwardenBatchesSkipped", fires=40, changes={"logwarden_skipped_offsets_total": "1x39 2x500"}),
    Scenario(
        alert="LogwardenBatchesSkipped",
        fires=40,
        changes={f'logwarden_skipped_offsets_total{{topic="logs",partition="7",{_ME}}}': "_x40 60x500"},
    ),
    Scenario(alert="LogwardenMessagesLost", fires=40, changes={"logwarden_lost_messages_total": "1x39 2x500"}),
    Scenario(
        alert="LogwardenMessagesLost",
        fires=40,
        changes={f'logwarden_lost_messages_total{{topic="x",{_ME}}}': "_x40 1x500"},
    ),
    Scenario(
        alert="LogwardenMessagesLost",
        fires=42,
        changes={
            'process_start_time_seconds{job="logwarden",instance="young"}': "_x35 2100x500",
            'logwarden_build_info{version="1",job="logwarden",instance="young"}': "_x35 1x500",
            'logwarden_lost_messages_total{topic="x",job="logwarden",instance="young"}': "_x40 1x500",
        },
        quiet=39,
    ),
    Scenario(alert="LogwardenDeadLetters", fires=17, changes={"logwarden_dead_letters_total": "0+600x"}, quiet=14),
    Scenario(
        alert="LogwardenSchemaRegistryAway", fires=12, changes={"logwarden_schema_requests_total": "0+1x"}, quiet=9
    ),
    Scenario(
        alert="LogwardenSlowDetection",
        fires=18,
        changes={f'logwarden_detection_delay_seconds_bucket{{le="{le}"': "0" for le in ("0.1", "1.0", "10.0", "30.0")},
        quiet=14,
    ),
    Scenario(alert="LogwardenStateNotKept", fires=15, changes={"logwarden_state_blocked": "1"}),
    Scenario(alert="LogwardenIncidentsNotFolded", fires=10, changes={"logwarden_incidents_failing": "1"}),
    Scenario(alert="LogwardenFeedbackNotRead", fires=15, changes={"logwarden_feedback_failing": "1"}),
    Scenario(
        alert="LogwardenServicesEvicted", fires=20, changes={"logwarden_evicted_services_total": "0+1x"}, quiet=10
    ),
    Scenario(alert="LogwardenLineTableFull", fires=20, changes={"logwarden_overflowed_lines_total": "0+1x"}, quiet=10),
    Scenario(alert="LogwardenNoisyServices", fires=360, changes={'logwarden_services{state="noisy"': "30"}),
    Scenario(alert="LogwardenAlertFlood", fires=125, changes={"logwarden_alerts_total": "0+30x"}, quiet=55),
    Scenario(alert="LogwardenBridgeDestinationFails", fires=5, changes={"logwarden_bridge_destination_failing": "1"}),
    Scenario(alert="LogwardenBridgeLate", fires=5, changes={"logwarden_bridge_oldest_waiting_age_seconds": "400"}),
    Scenario(
        alert="LogwardenBridgeDeadLetters", fires=40, changes={"logwarden_bridge_dead_letters_total": "3x39 4x500"}
    ),
    Scenario(
        alert="LogwardenCriticalIncident",
        fires=21,
        changes={'logwarden_incidents_open{severity="critical"': "0x19 1x500"},
        quiet=19,
    ),
)


def check_rules() -> str:
    """Checks the rules, the healthy group, and every scenario. Returns a sentence with the figures."""
    promtool = tool("promtool")
    run([promtool, "check", "rules", *map(str, RULES)])
    tested = {scenario.alert for scenario in SCENARIOS}
    assert tested == set(alert_names()), f"without a scenario: {set(alert_names()) ^ tested}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenarios.yaml"
        path.write_text(json.dumps(_suite()), encoding="utf-8")  # JSON is YAML
        run([promtool, "test", "rules", str(path)])
    return (
        f"{len(alert_names())} alerts fire in their {len(SCENARIOS)} scenarios and not a minute before, nor in health"
    )


def alert_names() -> list[str]:
    """Returns the names of all alerts in the order of the file."""
    return [rule["alert"] for rule in rules_of(RULES[1])]


def rules_of(*paths: Path) -> list[dict[str, Any]]:
    """Returns the rules of these files."""
    groups = [group for path in paths for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def _suite() -> dict[str, object]:
    healthy = {
        "name": "healthy",
        "interval": "1m",
        "input_series": _series(HEALTHY),
        "promql_expr_test": [_firing(minute, ()) for minute in (1, 30, 90, 60 * HOURS - 5)],
    }
    return {
        "rule_files": [str(path) for path in RULES],
        "evaluation_interval": "1m",
        "tests": [healthy, *map(_test, SCENARIOS)],
    }


def _test(scenario: Scenario) -> dict[str, object]:
    series = dict(HEALTHY)
    for name, samples in scenario.changes.items():
        known = [full for full in series if full == name or full.startswith((f"{name}{{", f"{name},"))]
        for full in known or [name]:
            series[full] = samples
    quiet = scenario.fires - 1 if scenario.quiet is None else scenario.quiet
    return {
        "name": f"{scenario.alert}: {dict(scenario.changes)}",
        "interval": "1m",
        "input_series": _series(series),
        "promql_expr_test": [_firing(quiet, ()), _firing(scenario.fires, (scenario.alert, *scenario.also))],
    }


def _series(series: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"series": name, "values": _samples(values)} for name, values in series.items() if values != "none"]


def _samples(values: str) -> str:
    if " " in values or "_x" in values:
        return values
    return f"{values}{60 * HOURS}" if values.endswith("x") else f"{values}x{60 * HOURS}"


def _firing(minute: int, alerts: tuple[str, ...]) -> dict[str, object]:
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)]
    return {
        "expr": 'sort_desc(count by (alertname) (ALERTS{alertstate="firing"}))',
        "eval_time": f"{minute}m",
        "exp_samples": samples,
    }

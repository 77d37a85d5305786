"""What is reported about the services in memory."""

from __future__ import annotations

from logwarden.daemon.pipeline.service_facts import FEW_LINES, MANY_SERVICES, ServiceFacts, report_services
from logwarden.daemon.pipeline.work import Ingested, MemoryCounts
from tests.fakes import World, capture, events, metric, virtually


def facts(services: int, lines: float) -> ServiceFacts:
    return ServiceFacts(services=services, learning=3, noisy=2, lines_per_service=lines)


@virtually
async def test_names_that_change_with_every_line_are_a_warning() -> None:
    """Thousands of services with a line each are no services; a few, or busy ones, are normal."""
    world = World()
    with capture() as caught:
        for one in (facts(MANY_SERVICES, FEW_LINES), facts(MANY_SERVICES - 1, 1.0)):
            report_services(world.ports, one, Ingested(), keeps_state=True)
        assert not caught
        report_services(world.ports, facts(MANY_SERVICES, 1.04), Ingested(), keeps_state=True)
    [warning] = events(caught, "services_are_nearly_lines")
    assert (warning["services"], warning["lines_per_service"]) == (MANY_SERVICES, 1.0)
    assert "LOGWARDEN_INPUT__SERVICE_PATHS" in warning["hint"]


@virtually
async def test_the_figures_are_metrics_and_readiness() -> None:
    """Services in memory, learning and without a pattern; evicted ones are counted and logged."""
    world = World()
    with capture() as caught:
        lost = MemoryCounts(forgotten=3, deferred=2, unreadable=1)
        report_services(world.ports, facts(40, 12.5), Ingested(evicted=4, memory=lost), keeps_state=True)
    assert metric(world.telemetry, "state_forgotten_services_total") == world.health.services_forgotten == 3
    assert metric(world.telemetry, "state_deferred_services_total") == 2
    assert metric(world.telemetry, "state_unreadable_records_total", outcome="damaged") == 1
    assert metric(world.telemetry, "services", state="noisy") == 2
    assert metric(world.telemetry, "services", state="known") == 35
    assert metric(world.telemetry, "evicted_services_total") == 4
    assert (world.health.services, world.health.services_noisy) == (40, 2)
    assert world.health.lines_per_service == 12.5
    assert events(caught, "services_evicted")[0]["in_memory"] == 40

"""Recordings small enough to label by eye."""

from collections.abc import Sequence

from logwarden.training.faultlab.recording import Event, Line, Recording


def fault(name: str, injected: float, recovered: float, *services: str) -> Event:
    return Event(
        kind="fault", name=name, cause="process", what="", services=services or ("db",),
        injected_at=injected, cleared_at=recovered, recovered_at=recovered,
    )  # fmt: skip


def restart(injected: float, recovered: float) -> Event:
    return Event(
        kind="benign", name="restart", cause="restart", what="", services=("db",),
        injected_at=injected, cleared_at=recovered, recovered_at=recovered,
    )  # fmt: skip


def recording(events: Sequence[Event], *lines: tuple[float, str, str]) -> Recording:
    return Recording(
        system="toy", versions={}, seed=0, started="", clean_until=0.0, events=tuple(events), skipped={}, dropped={},
        lines=tuple(Line(t=t, service=service, text=text) for t, service, text in lines),
    )  # fmt: skip

"""The lines that services write in tests: those of every day, and those that tell of a failure."""

from __future__ import annotations

_PARTS = ("disk", "replica", "socket", "journal", "cache", "index", "queue", "lease", "certificate", "snapshot")
_FAILURES = ("cannot write to", "lost contact with", "ran out of memory in", "found corrupted data in", "timed out at")


def fault(number: int, service: int) -> bytes:
    """Returns a line that tells of a failure; another one for another number, or for one of 25 other services."""
    part, failure = _PARTS[number % 2 * 5 + service % 5], _FAILURES[service // 5 % 5]
    where = ("primary", "standby", "upstream", "local", "remote", "shared")[number // 2 % 6]
    return f"CRITICAL {failure} the {where} {part}: operation failed, giving up".encode()


def usual(number: int) -> bytes:
    """Returns a line of one of a few kinds."""
    kinds = (
        "session opened for user {n} by uid {m}",
        "GET /api/orders/{n} 200 in {m} ms",
        "connection from 10.0.{m}.7 port {n} closed",
        "block blk_{n} received from node {m}",
    )
    return kinds[number % len(kinds)].format(n=number, m=number % 97).encode()

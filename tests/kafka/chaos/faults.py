"""The plan of a round: which faults happen, when, to whom. A pure function of seed, round and the kinds allowed."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

DEEDS = (1, 1, 1, 2, 2, 2, 2, 3, 3, 3)
"""Numbers of faults in a round, each as likely as the others."""
LATEST_START_S = 3.0
SESSION_S = 6.0
"""Time-out of a session, the least that the daemon's settings allow."""
REQUEST_S = 10.0
"""Time-out of a request: longer than a rebalance, for which a member's request to join waits."""


MEMBER, CLIENTS, BROKER = "a member", "the clients of one member, or all by lot", "the broker or its topics"


class Kind(NamedTuple):
    """A kind of fault: how often it is drawn, how long it lasts, and what it hits."""

    weight: float
    shortest_s: float
    longest_s: float
    hits: str
    meaning: str


KINDS = {
    "kill-member": Kind(15.0, 0.0, 2.0, MEMBER, "SIGKILL; the next one starts after this time"),
    "stop-member": Kind(1.0, 0.0, 2.0, MEMBER, "SIGTERM; likewise"),
    "freeze-member": Kind(1.5, 0.5, 4.0, MEMBER, "SIGSTOP within the session"),
    "stall-member": Kind(1.0, SESSION_S + 1, SESSION_S + 4, MEMBER, "SIGSTOP past the session"),
    "kill-broker": Kind(4.0, 0.0, 1.5, BROKER, "SIGKILL; the restart on the same data after this time"),
    "freeze-broker": Kind(1.5, 1.0, 7.0, BROKER, "SIGSTOP"),
    "reset": Kind(1.5, 0.0, 0.0, CLIENTS, "RST on open connections"),
    "reset-inside": Kind(1.5, 0.5, 1.0, CLIENTS, "RST in the middle of a response"),
    "half-close": Kind(1.0, 0.0, 0.0, CLIENTS, "FIN after the responses so far; requests still go out"),
    "refuse": Kind(1.0, 1.0, 4.0, CLIENTS, "RST on open and on new connections"),
    "delay": Kind(1.0, 2.0, 6.0, CLIENTS, "50 to 500 ms for every chunk in each direction"),
    "trickle": Kind(1.0, 2.0, 5.0, CLIENTS, "20 to 200 KB/s for each connection"),
    "black-hole": Kind(1.5, 1.0, 8.0, CLIENTS, "a partition: nothing passes, no connection ends"),
    "lost-responses": Kind(1.5, 1.0, 8.0, CLIENTS, "requests pass, responses do not"),
    "time-out": Kind(0.5, REQUEST_S + 0.5, REQUEST_S + 4, CLIENTS, "a partition until requests time out"),
    "burst": Kind(1.5, 0.0, 0.0, BROKER, "thousands of lines at once"),
    "add-partition": Kind(0.4, 0.0, 0.0, BROKER, "one more partition of a topic"),
    "recreate-topic": Kind(1.0, 0.0, 1.0, BROKER, "an input topic deleted, and created again after this time"),
    "delete-records": Kind(1.0, 0.0, 0.0, BROKER, "lines removed from the topic as retention does, some unread"),
    "feedback": Kind(0.0, 0.0, 0.0, BROKER, "people who give and withdraw feedback meanwhile; no deed of a round"),
    "transactions": Kind(
        0.0, 0.0, 0.0, BROKER, "traffic of two transactional producers with aborts; no deed of a round"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One fault of a round."""

    kind: str
    at_s: float
    """Seconds from the beginning of the round."""
    lasts_s: float
    victim: int | None
    """Index of the member it hits; None: the broker, or the clients of all members."""
    strength: float
    """0 to 1; its meaning depends on the kind."""


def plan(seed: int, number: int, kinds: Collection[str], members: int) -> tuple[Deed, ...]:
    """Returns the faults of a round, in the order of their beginnings."""
    lot = random.Random(f"{seed}/{number}")
    drawn = [name for name in KINDS if name in kinds and KINDS[name].weight]
    weights = [KINDS[name].weight for name in drawn]
    deeds = [_deed(lot, name, members) for name in lot.choices(drawn, weights, k=lot.choice(DEEDS))]
    return tuple(sorted(deeds, key=lambda deed: deed.at_s))


def _deed(lot: random.Random, name: str, members: int) -> Deed:
    kind = KINDS[name]
    victim = lot.randrange(members)
    everybody = lot.random() < 0.5
    return Deed(
        kind=name,
        at_s=round(lot.uniform(0, LATEST_START_S), 2),
        lasts_s=round(lot.uniform(kind.shortest_s, kind.longest_s), 2),
        victim=victim if kind.hits is MEMBER or (kind.hits is CLIENTS and not everybody) else None,
        strength=round(lot.random(), 3),
    )

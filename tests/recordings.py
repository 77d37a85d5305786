"""Small stand-ins for the public recordings: labelled blocks, fault rounds and machines, of a few hundred lines."""

from __future__ import annotations

import numpy as np

from logwarden.training.corpora import BlockLines, EventSession, EventSessions, FaultRound

WORDS = ("request served", "cache refreshed", "block received", "packet closed")


def stream(lines: int, *, seed: int = 0) -> list[str]:
    """Ordinary lines with a number in each."""
    chance = np.random.default_rng(seed)
    return [f"INFO {WORDS[chance.integers(len(WORDS))]} {number}" for number in range(lines)]


def blocks(lines: int = 600, count: int = 40) -> BlockLines:
    """Interleaved blocks, every fourth anomalous, that begin one after another and live for a while."""
    chance = np.random.default_rng(1)
    newest = np.arange(lines) * count // lines
    block = np.maximum(0, newest - chance.integers(0, 4, lines))
    block[np.r_[True, newest[1:] != newest[:-1]]] = np.arange(count)
    texts = stream(lines)
    anomalous = np.arange(count) % 4 == 3
    broken = anomalous[block] & (np.arange(lines) % 3 > 0)
    texts = [
        f"ERROR disk failure {i}" if bad else text for i, (text, bad) in enumerate(zip(texts, broken, strict=True))
    ]
    return BlockLines(
        lines=texts, block=block.astype(np.int32), blocks=list(map(str, range(count))), anomalous=anomalous
    )


def fault_rounds(tests: int = 8) -> list[FaultRound]:
    """Two rounds of each test, in an order that is not that of time."""
    rounds = []
    for test in reversed(range(tests)):
        for number in (2, 1):
            clock = f"2018-06-{10 + test:02d} 1{number}:00:00.000"
            failed = number == 1 and test % 2 == 0
            events = [f"{clock} 7 INFO nova [-] {text}" for text in stream(40, seed=test)]
            if failed:
                events[-1] = f"{clock} 7 ERROR nova [-] it broke\nTraceback\nKeyError"
            rounds.append(
                FaultRound(
                    campaign="Nova",
                    test=f"Test_{test}",
                    round=number,
                    failed=failed,
                    component="x",
                    services={"nova-api": events, "nova-compute": events[:20]},
                )
            )
    return rounds


def machines(count: int = 100) -> EventSessions:
    """Lives of machines sorted by label, as published."""
    sessions = [
        EventSession(name=str(i), source="x", anomalous=i >= 70, events=(0, 1, 2 if i >= 70 else 1, 0))
        for i in range(count)
    ]
    return EventSessions(templates=["started <*>", "running <*>", "crashed with <*>"], sessions=sessions)

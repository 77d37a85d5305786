"""Repeats the known weaknesses of the client for half an hour, in random order, on Kafka 3.9 and 4.1.

    python -m tests.kafka.soak --out FOLDER
    python -m tests.kafka.soak --out FOLDER --resume

A member stands still past its session (aiokafka issue 847), or its requests time out on the way (issue 1037). Options,
results and checks are those of `python -m tests.kafka.chaos`; tests/kafka/test_standing.py has each weakness once.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.kafka.chaos.__main__ import main

DEFAULTS = {
    "minutes": 30.0,
    "out": Path(".cache/soak"),
    "faults": "stall-member,time-out",
    "members": 2,
    "lines_per_s": 200.0,
}

if __name__ == "__main__":
    sys.exit(main(goals={}, **DEFAULTS))

"""Measures the stages of reading with whatever version of logwarden is found: `beside.py` starts it as a script.

Reads titles of kinds of records from standard input. Prints the times of decoding, masking and joining, in µs per line.
Uses only what every version since the first masking has; joining is missing in the first.
"""

from __future__ import annotations

import importlib
import pickle
import sys
import time
from itertools import pairwise
from typing import Any

from logwarden.model.masking import mask_blob
from tests.oracles import LogRecord, default_decoder

BATCH = 4_096


class _Lines:
    """See `logwarden.daemon.pipeline.joining.Lines`."""

    def __init__(self, decoded: Any, batch: list[LogRecord], keys: list[bytes]) -> None:
        self.texts, self.keys, self.indented = decoded.lines, keys, set(decoded.indented)
        self._decoded, self._batch = decoded, batch

    def stream(self, place: int) -> Any:
        return self._decoded.services[place]

    def time_ms(self, place: int) -> Any:
        return self._batch[self._decoded.places[place]].timestamp

    def row(self, place: int) -> int:
        return place


def _joiner() -> Any:
    """Returns what joins lines to events; None in a version that joins none."""
    try:
        joining = importlib.import_module("logwarden.daemon.pipeline.joining")
    except ModuleNotFoundError:
        return None
    return joining.Joiner(joining.JoinLimits())


def main(path: str) -> None:
    with open(path, "rb") as file:
        kinds = pickle.load(file)
    decoder, joiners = default_decoder(), {title: _joiner() for title in kinds}
    for title in map(str.strip, sys.stdin):
        records = [LogRecord(value, offset=at, key=name.encode()) for at, (name, value) in enumerate(kinds[title])]
        batches = [records[at : at + BATCH] for at in range(0, len(records), BATCH)]
        times = [time.process_time()]
        decoded = [decoder.decode(batch) for batch in batches]
        times.append(time.process_time())
        masks = [mask_blob(b"\n".join(each.lines) + b"\n") for each in decoded]
        times.append(time.process_time())
        if (joiner := joiners[title]) is not None:
            for part, batch, keys in zip(decoded, batches, masks, strict=True):
                joiner.join(_Lines(part, batch, keys), 0.0)
            joiner.expire(float("inf"), float("inf"))
        times.append(time.process_time())
        print(*((end - begin) / len(records) * 1e6 for begin, end in pairwise(times)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

"""Measures how lines are read, stage by stage: `python -m tests.bench.reading`. Prints; asserts nothing.

Stages of every line: decode (record → events), join (events → one per trace), the first level of masking. The second
level runs once per distinct key and is printed per key. Lines: equal parts of the unlabelled streams and HDFS in the
folder of LOGWARDEN_DATA, dealt out in turn, each stream a service. They are measured as raw lines and as Filebeat's
JSON. Figures are CPU time, the least of several runs.

The yardstick is work that never changes: reading the records with msgspec, where they are JSON, and the first-level
masking of version 1, without its codes. Between two machines, compare the last column: how many times longer than the
yardstick of the same run a stage takes. `beside.py` runs the code of two versions in turn.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from itertools import islice, zip_longest

import msgspec
import numpy as np

from logwarden.daemon.decoding.decoder import Decoded
from logwarden.daemon.pipeline.joining import Joiner, JoinLimits
from logwarden.model import masking
from logwarden.model.masking import canonical, mask_blob
from logwarden.training.corpora import hdfs_lines, unlabelled_streams
from tests.oracles import LogRecord, default_decoder

LINES_OF_A_STREAM = 1_500
BATCH = 4_096
REPEATS = 7

Batches = list[list[LogRecord]]


def main() -> None:
    lines = real_lines()
    mean = np.mean([len(line) for _, line in lines])
    streams = len({name for name, _ in lines})
    print(f"{len(lines):,} lines of {streams} streams, {mean:.0f} bytes each, masking {masking.VERSION}")
    measure("raw lines", lines)
    measure("JSON of Filebeat", [(name, filebeat(name, line)) for name, line in lines])


def measure(title: str, values: Sequence[tuple[str, bytes]]) -> None:
    """Prints the stages of one kind of records."""
    records = [LogRecord(value, offset=at, key=name.encode()) for at, (name, value) in enumerate(values)]
    batches = [records[at : at + BATCH] for at in range(0, len(records), BATCH)]
    decoder = default_decoder()
    decoded = [decoder.decode(batch) for batch in batches]
    masks, joiner = masked(decoded), Joiner[int](JoinLimits())
    keys = sorted({key for part in masks for key in part})
    stages: list[tuple[str, Callable[[], object]]] = [
        ("yardstick", lambda: yardstick(batches)),
        ("decode", lambda: [decoder.decode(batch) for batch in batches]),
        ("mask, first level", lambda: masked(decoded)),
        ("join", lambda: joined(joiner, decoded, batches, masks)),
        ("second level", lambda: canonical_texts(keys)),
    ]
    spent = least_times(stages, len(records))
    cold = spent.pop("second level") * len(records) / len(keys)
    total = sum(us for name, us in spent.items() if name != "yardstick")
    print(f"\n{title}: {sum(len(each.lines) for each in decoded):,} events")
    for name, us in (*spent.items(), ("every line", total)):
        print(f"  {name:<20}{us:>9.2f} µs per line{1e6 / us:>13,.0f} lines/s{us / spent['yardstick']:>9.2f}")
    print(f"  second level: {len(keys):,} keys, {cold:.0f} µs per key")


def least_times(stages: Sequence[tuple[str, Callable[[], object]]], count: int) -> dict[str, float]:
    """Returns CPU microseconds per line of each stage. The stages take turns, so that a busy moment hits all."""
    spent: dict[str, list[float]] = {name: [] for name, _ in stages}
    for _ in range(REPEATS):
        for name, work in stages:
            started = time.process_time()
            work()
            spent[name].append((time.process_time() - started) / count * 1e6)
    return {name: min(times) for name, times in spent.items()}


def masked(decoded: Sequence[Decoded]) -> list[list[bytes]]:
    return [mask_blob(b"\n".join(each.lines) + b"\n") for each in decoded]


class BatchLines:
    """See `logwarden.daemon.pipeline.joining.Lines`."""

    def __init__(self, decoded: Decoded, batch: Sequence[LogRecord], keys: Sequence[bytes]) -> None:
        self.texts, self.keys = decoded.lines, keys
        self.indented = set(decoded.indented)
        self._decoded, self._batch = decoded, batch

    def stream(self, place: int) -> str:
        return self._decoded.services[place]

    def time_ms(self, place: int) -> int:
        return self._batch[self._decoded.places[place]].timestamp

    def row(self, place: int) -> int:
        return place


def joined(joiner: Joiner[int], decoded: Sequence[Decoded], batches: Batches, masks: Sequence[list[bytes]]) -> None:
    for part, batch, keys in zip(decoded, batches, masks, strict=True):
        joiner.join(BatchLines(part, batch, keys), 0.0)
    joiner.expire(float("inf"), float("inf"))


def canonical_texts(keys: Sequence[bytes]) -> list[str]:
    return [canonical(key) for key in keys]


# ---------------------------------------------------------------- the yardstick, which stays as it is

_CLASSES = bytes(
    2 if 48 <= c < 58 else 1 if chr(c).isascii() and (chr(c).isalpha() or chr(c) in "_-") else 0 for c in range(256)
)


def yardstick(batches: Batches) -> int:
    """Masks the words with a digit in them, as version 1 did, after reading JSON where the records are JSON."""
    decode = msgspec.json.Decoder().decode
    lines = 0
    for records in batches:
        values = [record.value or b"" for record in records]
        texts = [
            decode(v)["message"].encode() if v.startswith(b'{"@timestamp"') else v.replace(b"\n", b" ") for v in values
        ]
        blob = b"\n".join(texts) + b"\n"
        raw = np.frombuffer(blob, np.uint8)
        classes = np.frombuffer(blob.translate(_CLASSES), np.uint8)
        ends = np.flatnonzero(classes == 0)
        starts = np.concatenate(([0], ends[:-1] + 1))
        with_digit = np.maximum.reduceat(classes, starts) == 2
        dropped = np.repeat(with_digit, np.diff(ends, prepend=-1))
        dropped[ends] = False
        out = raw | (dropped.view(np.uint8) * np.uint8(0xFF))
        out[starts[with_digit]] = 42
        lines += len(out.tobytes().translate(None, b"\xff").split(b"\n")) - 1
    return lines


# ---------------------------------------------------------------- lines


def real_lines() -> list[tuple[str, bytes]]:
    """Returns (stream, line) of every stream in turn."""
    streams = [
        [(name, line.encode()) for line in lines[:LINES_OF_A_STREAM]] for name, lines in unlabelled_streams().items()
    ]
    streams.append([("hdfs", line.encode()) for line in islice(hdfs_lines().lines, LINES_OF_A_STREAM)])
    return [line for turn in zip_longest(*streams) for line in turn if line is not None]


def filebeat(name: str, line: bytes) -> bytes:
    event = {
        "@timestamp": "2026-11-23T10:33:20.656Z",
        "@metadata": {"beat": "filebeat", "type": "_doc", "version": "8.17.0"},
        "log": {"offset": 4711, "file": {"path": f"/var/log/{name}.log"}},
        "message": line.decode(),
        "input": {"type": "filestream"},
        "ecs": {"version": "8.0.0"},
        "host": {"name": "h1"},
        "agent": {"name": "h1", "type": "filebeat", "version": "8.17.0", "id": "0f3a"},
    }
    return json.dumps(event).encode()


if __name__ == "__main__":
    main()

"""Measures the hot path beside slower implementations, in one run: `python -m tests.bench.hotpath`.

On a shared machine only ratios of one run are meaningful. Every figure is CPU time, the median of repeated runs with
the least in brackets, and its peer's figure follows below. Reads HDFS lines from the folder in LOGWARDEN_DATA, and
scores with the shipped model on one thread. Prints; asserts nothing.
"""

from __future__ import annotations

import lzma
import statistics
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice

import numpy as np
import torch
from transformers import BertConfig, BertModel

from logwarden.model.checkpoint import load_checkpoint
from logwarden.model.encoder import LineEncoder
from logwarden.model.masking import mask_blob, mask_reference
from logwarden.model.onnx_scoring import OnnxScorer, load_onnx
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.windowing import NUMERIC_COLUMNS, WindowRings
from logwarden.training.corpora import recordings_root

BATCH = 4096
BATCHES = 6
SERVICES = 64
SIZE = 32
REPEATS = 7
NAIVE_WINDOWS = 3
NEW_LINES = 256


def main() -> None:
    torch.set_num_threads(1)
    lines = hdfs_lines(BATCH * BATCHES)
    print(f"{len(lines)} HDFS lines, {np.mean([len(line) for line in lines]):.0f} bytes each, batches of {BATCH}\n")
    masking(lines)
    rings(len(lines))
    window_us = stream(lines)
    engines(lines)
    naive_bert(lines, window_us)


def masking(lines: list[bytes]) -> None:
    """Measures the first level of masking: the whole blob at once, or a regular expression line by line."""
    blobs = [b"\n".join(lines[i : i + BATCH]) + b"\n" for i in range(0, len(lines), BATCH)]
    fast = report("mask_blob", "line", len(lines), lambda: [mask_blob(blob) for blob in blobs])
    slow = report("  a regular expression per line", "line", len(lines), lambda: [mask_reference(x) for x in lines])
    ratio(slow, fast)


def rings(count: int) -> None:
    """Measures the windows of every line: rings of arrays, or a deque per service."""
    slots = np.random.default_rng(1).integers(0, SERVICES, count)
    columns: dict[str, np.ndarray] = {name: np.zeros(BATCH, kind) for name, kind in NUMERIC_COLUMNS.items()} | {
        "text": np.zeros(BATCH, object)
    }
    ours = WindowRings(SIZE, SERVICES)
    parts = slots.reshape(-1, BATCH)
    fast = report("rings, seven columns and the text", "line", count, lambda: [ours.push(p, columns) for p in parts])

    def deques() -> list[list[int]]:
        lasts: list[deque[int]] = [deque(maxlen=SIZE) for _ in range(SERVICES)]
        windows = []
        for number, slot in enumerate(slots.tolist()):
            lasts[slot].append(number)
            windows.append(list(lasts[slot]))
        return windows

    ratio(report("  a deque per service, ids alone", "line", count, deques), fast)


def stream(lines: list[bytes]) -> float:
    """Measures lines → windows → scores with every masked line known; returns µs per scored window."""
    scorer = WindowScorer(load_checkpoint(), device="cpu")
    whole = LogStream(scorer.line_table(), size=SIZE, max_slots=SERVICES)
    parts = [columns_of(lines[i : i + BATCH]) for i in range(0, len(lines), BATCH)]

    def push_all() -> None:
        for part in parts:
            whole.push(part)
            whole.scored()

    started = time.process_time()
    push_all()
    cold = time.process_time() - started
    print(f"\nfirst pass: {len(whole.table)} distinct masked lines embedded, {cold:.2f} s CPU in all")
    report("push: mask, look up, familiarity, rings (warm)", "line", len(lines), push_all)
    batch = whole.push(parts[0])
    return report("score, step 1", "window", len(batch), lambda: scorer.score(batch))


def engines(lines: list[bytes]) -> None:
    """Measures the two engines on the CPU beside each other: new lines, windows of a full batch, and a window alone."""
    torched, light = WindowScorer(load_checkpoint(), device="cpu"), OnnxScorer(load_onnx())
    texts = sorted({line.decode() for line in lines})[:NEW_LINES]  # not masked, so that all of them are new
    batches = []
    for scorer in (torched, light):
        whole = LogStream(scorer.line_table(), size=SIZE, max_slots=SERVICES)
        batches.append(whole.push(columns_of(lines[:BATCH])))
    print()
    slow = report("embed new lines, PyTorch", "line", len(texts), lambda: torched.encode(texts))
    fast = report("  ONNX Runtime", "line", len(texts), lambda: light.encode(texts))
    ratio(slow, fast)
    for count in (512, 1):
        one, other = (batch.select(np.arange(BATCH - count, BATCH)) for batch in batches)
        slow = report(f"score {count} at a time, PyTorch", "window", count, partial(torched.score, one))
        fast = report("  ONNX Runtime", "window", count, partial(light.score, other))
        ratio(slow, fast)


def naive_bert(lines: list[bytes], window_us: float) -> None:
    """Measures the original approach: a BERT of 6 layers, 384 wide, over the 32 lines of every window, without a
    table."""
    tokenizer = load_checkpoint().encoder.tokenizer
    shape = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    bert = LineEncoder(BertModel(shape, add_pooling_layer=False), tokenizer)
    windows = [[line.decode() for line in lines[i * SIZE : (i + 1) * SIZE]] for i in range(NAIVE_WINDOWS)]
    slow = report(
        "  BERT over every line of every window",
        "window",
        NAIVE_WINDOWS,
        lambda: [bert.encode(window, max_tokens=128) for window in windows],
        repeats=3,
    )
    ratio(slow, window_us)


def report(name: str, unit: str, count: int, work: Callable[[], object], *, repeats: int = REPEATS) -> float:
    """Runs the work several times and prints CPU microseconds per unit; returns their median."""
    work()  # caches and allocations are warm afterwards
    spent = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        spent.append((time.process_time() - started) / count * 1e6)
    median = statistics.median(spent)
    print(f"{name:<50}{median:>12,.2f} µs CPU per {unit} ({min(spent):,.2f})")
    return median


def ratio(slow: float, fast: float) -> None:
    print(f"{'':<50}{slow / fast:>12,.1f} times")


def columns_of(lines: list[bytes]) -> LineColumns:
    """Returns the lines as columns, dealt out to the services in turn."""
    return LineColumns(
        texts=lines,
        slots=np.arange(len(lines)) % SERVICES,
        offset=np.arange(len(lines)),
        index=np.zeros(len(lines), np.int32),
        timestamp=np.zeros(len(lines), np.int64),
    )


def hdfs_lines(count: int) -> list[bytes]:
    with lzma.open(recordings_root() / "hdfs" / "HDFS_2pct.log.xz") as log:
        return [line.rstrip(b"\n") for line in islice(log, count)]


if __name__ == "__main__":
    main()

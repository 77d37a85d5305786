"""Measures the model on a GPU beside one thread of the CPU, in one run: `python -m tests.bench.gpu`.

Lines are those of the fault lab's recordings, so it needs no other data. Every figure is time by the clock with the
GPU's work finished, the median of repeated runs with the least in brackets. Prints; asserts nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from transformers import BertConfig, BertModel

from logwarden.model.checkpoint import load_checkpoint
from logwarden.model.encoder import LineEncoder
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LineColumns, LogStream
from logwarden.training.evaluation.grouping import masked
from tests.recorded import recorded_columns, recorded_texts

LINES = 65_536
BATCH = 8_192
REPEATS = 7


def main() -> None:
    torch.set_num_threads(1)
    print(f"{torch.cuda.get_device_name(0)}, PyTorch {torch.__version__}, one CPU thread beside it\n")
    reading()
    for device in ("cpu", "cuda"):
        scoring(device)


def reading() -> None:
    """Measures the cold path: distinct masked lines through the shipped encoder and one of BERT-base's shape."""
    texts = sorted(set(masked(recorded_texts(LINES))))
    print(f"{len(texts)} distinct masked lines of {LINES}")
    shipped = load_checkpoint().encoder
    shape = BertConfig(vocab_size=shipped.tokenizer.get_vocab_size())
    base = LineEncoder(BertModel(shape, add_pooling_layer=False), shipped.tokenizer)
    for name, encoder, most in (("shipped encoder", shipped, len(texts)), ("shape of BERT-base", base, 64)):
        few = texts[:most]
        report(f"{name}, CPU", "line", len(few), partial(encoder.encode, few), repeats=3)
        encoder.to(torch.device("cuda"))
        for size in (64, 512):
            work = partial(encoder.encode, texts, batch_size=size)
            report(f"{name}, GPU, batches of {size}", "line", len(texts), work)


def scoring(device: str) -> None:
    """Measures windows of 32 lines: many at once, one alone, and the whole way from lines to scores."""
    scorer = WindowScorer(load_checkpoint(), device=device, max_windows=BATCH)
    stream = LogStream(scorer.line_table(), size=32, max_slots=64)
    whole = recorded_columns(LINES)
    parts = [_part(whole, start) for start in range(0, LINES, BATCH)]
    print()
    for part in parts:
        stream.push(part)
        stream.scored()
    batch = stream.push(parts[0])
    stream.scored()
    for count in (len(batch), 1024, 1):
        few = batch.select(np.arange(count))
        report(f"{device}: {count} windows at once", "window", count, partial(scorer.score, few))

    def all_the_way() -> None:
        for part in parts:
            scorer.score(stream.push(part))
            stream.scored()

    report(f"{device}: lines to scores, every masked line known", "line", LINES, all_the_way, repeats=3)


def _part(whole: LineColumns, start: int) -> LineColumns:
    at = slice(start, start + BATCH)
    return LineColumns(
        texts=whole.texts[at],
        slots=whole.slots[at],
        offset=whole.offset[at],
        index=whole.index[at],
        timestamp=whole.timestamp[at],
    )


def report(name: str, unit: str, count: int, work: Callable[[], object], *, repeats: int = REPEATS) -> float:
    """Runs the work several times and prints microseconds per unit; returns their median."""
    work()  # kernels, caches and allocations are warm afterwards
    spent = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        spent.append((time.perf_counter() - started) / count * 1e6)
    median = statistics.median(spent)
    print(f"{name:<54}{median:>12,.2f} µs per {unit} ({min(spent):,.2f})", flush=True)
    return median


if __name__ == "__main__":
    main()

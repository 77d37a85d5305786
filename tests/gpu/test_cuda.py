"""The shipped model on a GPU: the CPU's answers, and a GPU without memory that stops nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from logwarden.model.checkpoint import load_checkpoint
from logwarden.model.detector import LogAnomalyDetector
from logwarden.model.encoder import LineEncoder
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LogStream
from logwarden.model.windowing import WindowBatch
from tests.recorded import recorded_columns, recorded_texts

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU here")

LINES = 8_000


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Gives the GPU's memory back to the process after the test."""
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def allow(more_bytes: int) -> None:
    """Limits this process to the memory it has reserved and so many bytes more."""
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + more_bytes) / whole))


def scored(device: str, *, max_windows: int = 1024) -> tuple[WindowScorer, WindowBatch]:
    """Returns a scorer whose table knows the lines of two recordings, and their windows."""
    scorer = WindowScorer(load_checkpoint(), device=device, max_windows=max_windows)
    stream = LogStream(scorer.line_table(), size=32, max_slots=64)
    return scorer, stream.push(recorded_columns(LINES))


def test_the_gpu_judges_as_the_cpu_does() -> None:
    """Recorded lines: the head's evidence agrees to 1e-3 of its log odds, and hardly a probability differs."""
    (cpu, windows), (gpu, same) = scored("cpu"), scored("cuda")
    np.testing.assert_array_equal(windows.windows("id"), same.windows("id"))
    np.testing.assert_allclose(cpu.inputs(windows), gpu.inputs(same), atol=1e-3)
    expected, found = cpu.score(windows), gpu.score(same)
    assert np.mean(np.abs(expected.probability - found.probability) > 0.01) <= 0.001
    np.testing.assert_allclose(expected.line_weights, found.line_weights, atol=1e-3)


@pytest.mark.parametrize("base", [False, True], ids=["the shipped encoder", "the shape of bert-base-uncased"])
def test_the_gpu_reads_lines_as_the_cpu_does(base: bool) -> None:
    """Embeddings of recorded lines are the same vectors, for the shipped encoder and for a random BERT of 110 M."""
    encoder = load_checkpoint().encoder
    texts = sorted(set(recorded_texts(LINES)))[:200]
    if base:
        torch.manual_seed(1)
        shape = BertConfig(vocab_size=encoder.tokenizer.get_vocab_size())
        encoder = LineEncoder(BertModel(shape, add_pooling_layer=False), encoder.tokenizer)
        texts = texts[:40]
    expected = encoder.encode(texts).numpy().copy()
    encoder.to(torch.device("cuda"))
    np.testing.assert_allclose(encoder.encode(texts).float().cpu().numpy(), expected, atol=1e-4)


@pytest.mark.usefixtures("little_memory")
def test_a_gpu_with_little_memory_gets_smaller_batches() -> None:
    """64 MiB are too few for 8,192 windows at once: the batch shrinks, and the answers and the device stay."""
    scorer, windows = scored("cuda", max_windows=8192)
    expected = scorer.score(windows)
    allow(64 * 2**20)
    found = scorer.score(windows)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-3)
    assert scorer.device.type == "cuda"
    assert scorer._max_windows < 8192


@pytest.mark.usefixtures("little_memory")
def test_a_gpu_without_memory_gives_way_to_the_cpu() -> None:
    """No byte is left: one warning, and the CPU goes on with the same answers."""
    scorer, windows = scored("cuda")
    few = windows.select(np.arange(64))
    expected = scorer.score(few)
    allow(0)
    held = _the_rest_of_the_cache()
    with pytest.warns(UserWarning, match="scoring goes on on the CPU"):
        found = scorer.score(few)
    del held
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-3)
    assert scorer.device.type == "cpu"


def test_the_python_api_uses_the_gpu() -> None:
    """`auto` takes the GPU, and `predict` answers as on the CPU."""
    text = "\n".join(recorded_texts(40))
    found, expected = LogAnomalyDetector(), LogAnomalyDetector(device="cpu")
    assert found.device.type == "cuda"
    ours, theirs = found.predict(text), expected.predict(text)
    assert ours["prediction"] == theirs["prediction"]
    assert ours["confidence"] == pytest.approx(theirs["confidence"], abs=0.01)


def _the_rest_of_the_cache() -> list[torch.Tensor]:
    """Takes what PyTorch holds in reserve, in pieces, so that the next allocation needs memory of the GPU."""
    held, size = [], 16 * 2**20
    while size >= 512:
        try:
            held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            size //= 2
    return held

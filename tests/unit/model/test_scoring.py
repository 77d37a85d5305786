"""The scorer on the device: the table's rows give what the texts would, and a full GPU is no end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from logwarden.model.arrays import Floats, Ints
from logwarden.model.checkpoint import ModelCheckpoint, load_checkpoint
from logwarden.model.scoring import WindowScorer, pick_device
from logwarden.model.stream import LogStream
from logwarden.model.windowing import WindowBatch
from tests.oracles import log_lines

SAID = ["disk full on node", "connection closed", "session opened", "warning status=503", "user 12 received block 9"]


@pytest.fixture
def loaded(tiny_checkpoint: Path) -> ModelCheckpoint:
    return load_checkpoint(tiny_checkpoint)


def scored_stream(loaded: ModelCheckpoint, *, step: int = 1, max_windows: int = 1024) -> tuple[WindowScorer, LogStream]:
    scorer = WindowScorer(loaded, device="cpu", rows=64, max_windows=max_windows)
    return scorer, LogStream(scorer.line_table(), size=8, step=step, max_slots=2)


def some_windows(stream: LogStream, lines: int = 300) -> WindowBatch:
    """Windows of a service that is past its learning phase, and two lines of one that is not."""
    stream.push(log_lines([SAID[(i * i) % 3] for i in range(lines)]))
    return stream.push(log_lines([*SAID, *SAID[::-1], "hello", "hello"], [0] * 10 + [1, 1], lines))


def test_the_table_scores_as_the_text_does(loaded: ModelCheckpoint) -> None:
    """Rows projected once per line and gathered by id give the logits that the head gives the embeddings."""
    scorer, stream = scored_stream(loaded)
    batch = some_windows(stream)
    found = scorer.score(batch)
    embeddings = stream.table.embeddings(batch.windows("id").astype(np.int64))
    familiarity = np.stack([batch.windows(name) for name in ("log_count", "log_age", "distance")], axis=-1)
    with torch.inference_mode():
        logits, weights, _ = loaded.classifier.score_vectors(
            torch.from_numpy(embeddings), torch.from_numpy(familiarity), torch.from_numpy(batch.windows("id") != 0)
        )
    np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.line_weights, weights.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.probability, loaded.calibration.probability(found.logits))
    assert np.ptp(found.logits) > 0.1


def test_large_batches_are_cut_to_what_the_device_takes(loaded: ModelCheckpoint) -> None:
    """Cut into small parts or scored at once: the same windows, the same scores, in the same order."""
    whole, cut = scored_stream(loaded), scored_stream(loaded, max_windows=5)
    expected, found = whole[0].score(some_windows(whole[1])), cut[0].score(some_windows(cut[1]))
    assert len(found.logits) == 12
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    np.testing.assert_allclose(found.line_weights, expected.line_weights, atol=1e-5)


def test_no_windows_are_scored_too(loaded: ModelCheckpoint) -> None:
    """A piece of work without windows has no scores, and that is no error."""
    scorer, stream = scored_stream(loaded)
    found = scorer.score(some_windows(stream).select(np.zeros(0, np.int64)))
    assert (found.logits.shape, found.probability.shape, found.line_weights.shape) == ((0, 2), (0,), (0, 8))


def test_with_a_step_the_most_surprising_new_line_is_judged(
    loaded: ModelCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window of four new lines is asked about the rarest of them, the later of two; old lines are not asked about."""
    scorer, stream = scored_stream(loaded, step=4)
    asked: list[list[int]] = []
    score = loaded.classifier.score

    def spy(*args: Tensor) -> object:
        asked.append(args[-1].tolist())
        return score(*args)

    monkeypatch.setattr(loaded.classifier, "score", spy)
    scorer.score(stream.push(log_lines([SAID[0]] * 300)))
    asked.clear()
    scorer.score(stream.push(log_lines([SAID[0], SAID[1], SAID[0], SAID[0]])))
    scorer.score(stream.push(log_lines([SAID[0], SAID[0], SAID[2], SAID[0]])))
    scorer.score(stream.push(log_lines([SAID[0]] * 4)))
    scorer.score(stream.push(log_lines([SAID[0]] * 4, [1] * 4)))
    # Of eight places the last four are new. In the third window SAID[2] is old; the fourth one's lines are all alike.
    assert asked == [[5], [6], [4], [7]]


def test_a_full_gpu_gets_smaller_batches(loaded: ModelCheckpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory: the batch is halved until it fits, without a word, and stays as small."""
    scorer, stream = scored_stream(loaded, max_windows=16)
    batch = some_windows(stream)
    expected = scorer.score(batch).logits
    sizes, real = [], WindowScorer._head

    def crowded(self: WindowScorer, part: WindowBatch) -> tuple[Floats, Floats, Ints]:
        sizes.append(len(part))
        if len(part) > 4:
            raise torch.OutOfMemoryError
        return real(self, part)

    monkeypatch.setattr(WindowScorer, "_head", crowded)
    pretend_gpu(scorer, monkeypatch)
    np.testing.assert_allclose(scorer.score(batch).logits, expected, atol=1e-5)
    np.testing.assert_allclose(scorer.score(batch).logits, expected, atol=1e-5)
    assert sizes == [12, 8, 4, 4, 4, 4, 4, 4]
    assert scorer.device.type == "cuda"


@pytest.mark.parametrize("part", ["score", "encode"])
def test_a_gpu_without_room_for_one_window_gives_way_to_the_cpu(
    loaded: ModelCheckpoint, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """When nothing fits the CPU takes over, with one warning, and the answer is the same."""
    scorer, stream = scored_stream(loaded)
    batch = some_windows(stream)

    def ask() -> np.ndarray:
        return scorer.score(batch).logits if part == "score" else scorer.encode(SAID)

    expected = ask()
    name = {"score": "_head", "encode": "_encode"}[part]
    real = getattr(WindowScorer, name)

    def full(self: WindowScorer, argument: object) -> object:
        if self.device.type == "cuda":
            raise torch.OutOfMemoryError
        return real(self, argument)

    monkeypatch.setattr(WindowScorer, name, full)
    pretend_gpu(scorer, monkeypatch)
    with pytest.warns(UserWarning, match="goes on on the CPU") as warned:
        np.testing.assert_allclose(ask(), expected, atol=1e-5)
    assert len(warned) == 1
    assert scorer.device.type == "cpu"
    np.testing.assert_allclose(ask(), expected, atol=1e-5)  # another warning would be an error


def test_a_machine_without_memory_says_so(loaded: ModelCheckpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory on the CPU is an error, not an endless retreat."""
    scorer, stream = scored_stream(loaded)
    batch = some_windows(stream)

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(WindowScorer, "_head", full)
    with pytest.raises(torch.OutOfMemoryError, match="no memory"):
        scorer.score(batch)


def test_a_device_is_named_or_found() -> None:
    """`auto` is whatever there is; a device that is not there or not known is an error with the way out."""
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="use auto, cpu, cuda or cuda:N"):
        pick_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("wanted", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_an_error(wanted: str) -> None:
    """Who asks for a GPU does not silently get a CPU."""
    with pytest.raises(ValueError, match="no GPU here"):
        pick_device(wanted)


def pretend_gpu(scorer: WindowScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scorer believes it runs on a GPU; its tensors stay where they are."""
    monkeypatch.setattr(scorer, "device", torch.device("cuda"))
    monkeypatch.setattr(torch, "from_numpy", lambda array, real=torch.from_numpy: Unmoved(real(array)))


class Unmoved:
    """A tensor that stays on the CPU when it is sent to the pretended GPU."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def to(self, device: torch.device) -> Tensor:
        return self._tensor

"""The Python API: the promises made to whoever writes `LogAnomalyDetector(...)` in a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from logwarden import LogAnomalyDetector
from logwarden.model.arrays import Floats, Ints
from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import ModelCheckpoint, load_checkpoint, save_checkpoint
from logwarden.model.encoder import LineEncoder
from logwarden.model.encoder_files import word_piece_tokenizer
from logwarden.model.scoring import WindowScorer
from logwarden.model.verdicts import Scores
from logwarden.model.windowing import WindowBatch
from tests.models import PIECES, tiny_classifier, tiny_encoder

TEXTS = [
    "connection refused on node 7",
    "session opened for user 12\nsession closed for user 12\nerror: disk full",
    "\n\n  warning status=503  \n\n",
    "\n".join(f"info received block {i} on node {chr(97 + i % 26)}" for i in range(50)),
]


@pytest.fixture
def detector(tiny_checkpoint: Path) -> LogAnomalyDetector:
    return LogAnomalyDetector(tiny_checkpoint, device="cpu")


def test_a_prediction_says_what_and_how_sure(detector: LogAnomalyDetector) -> None:
    """The result names a label, its probability, all probabilities, the logits and every line of the text."""
    found = detector.predict(TEXTS[1])
    assert {"prediction", "confidence", "probabilities", "logits", "lines"} <= set(found)
    assert set(found["probabilities"]) == {"normal", "anomaly"}
    assert sum(found["probabilities"].values()) == pytest.approx(1.0)
    assert found["confidence"] == found["probabilities"][found["prediction"]]
    assert found["prediction"] == ("anomaly" if found["probabilities"]["anomaly"] >= 0.6 else "normal")
    assert found["threshold"] == detector.threshold == 0.6
    margin = found["logits"][1] - found["logits"][0]
    assert found["probabilities"]["anomaly"] == pytest.approx(1 / (1 + np.exp(-(1.5 * margin - 0.25))))
    assert [line["text"] for line in found["lines"]] == TEXTS[1].splitlines()
    assert max(line["score"] for line in found["lines"]) == found["probabilities"]["anomaly"]


def test_a_batch_says_what_single_calls_say(detector: LogAnomalyDetector) -> None:
    """Texts judged together do not reach each other."""
    together = detector.predict_batch(TEXTS)
    for text, found in zip(TEXTS, together, strict=True):
        alone = detector.predict(text)
        assert found["prediction"] == alone["prediction"]
        np.testing.assert_allclose(found["logits"], alone["logits"], atol=1e-4)
        for one, other in zip(found["lines"], alone["lines"], strict=True):
            assert one["text"] == other["text"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-4)
            assert one["weight"] == pytest.approx(other["weight"], abs=1e-4)
    assert detector.predict_batch([]) == []


def test_weights_belong_to_the_deciding_window(detector: LogAnomalyDetector) -> None:
    """Lines outside the window of the most anomalous line carry nothing; those inside share its score."""
    found = detector.predict(TEXTS[3])
    scores = [line["score"] for line in found["lines"]]
    worst = scores.index(max(scores))
    carrying = [i for i, line in enumerate(found["lines"]) if line["weight"] > 0]
    assert len(found["lines"]) == 50
    assert all(worst - 31 <= i <= worst for i in carrying)
    assert sum(line["weight"] for line in found["lines"]) == pytest.approx(1.0, abs=1e-4)


def test_each_line_gets_its_own_weight(detector: LogAnomalyDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a text longer than a window the weights stand beside the very lines that the deciding window holds."""
    probability, row = np.full(50, 0.1), np.arange(1, 33, dtype=np.float32) / 528
    probability[40] = 0.9
    fixed = Scores(np.zeros((50, 2), np.float32), probability, np.tile(row, (50, 1)))
    monkeypatch.setattr(detector._scorer, "score", lambda batch: fixed)
    found = detector.predict(TEXTS[3])["lines"]
    np.testing.assert_allclose([line["weight"] for line in found], [0.0] * 9 + row.tolist() + [0.0] * 9)
    assert [line["score"] for line in found] == probability.tolist()
    assert [i for i, line in enumerate(found) if line["guilty"]] == [
        i for i in range(9, 41) if row[i - 9] >= row[31] / 2
    ]


def test_only_an_anomaly_has_guilty_lines(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A normal text blames nobody; an anomalous one blames its most anomalous line at least."""
    for threshold, prediction in ((1e-9, "anomaly"), (1.0, "normal")):
        detector = LogAnomalyDetector(tiny_checkpoint, device="cpu")
        detector.threshold = threshold
        found = detector.predict(TEXTS[1])
        assert found["prediction"] == prediction
        assert any(line["guilty"] for line in found["lines"]) == (prediction == "anomaly")


def test_labels_can_be_chinese(tiny_checkpoint: Path) -> None:
    """The two classes have names in two languages and the same probabilities in both."""
    found = LogAnomalyDetector(tiny_checkpoint, device="cpu", labels="zh").predict(TEXTS[0])
    english = LogAnomalyDetector(tiny_checkpoint, device="cpu").predict(TEXTS[0])
    assert list(found["probabilities"]) == ["正常", "异常"]
    assert list(found["probabilities"].values()) == list(english["probabilities"].values())
    with pytest.raises(ValueError, match="en, zh"):
        LogAnomalyDetector(tiny_checkpoint, device="cpu", labels="de")


@pytest.mark.parametrize("text", [None, 7, b"bytes", ["a", "list"], "", "  \n\t\n "])
def test_what_is_no_text_is_refused(detector: LogAnomalyDetector, text: object) -> None:
    """Nothing to judge is a ValueError, for one text, for one among many, and for learning."""
    for ask in (
        lambda: detector.predict(text),  # type: ignore[arg-type]
        lambda: detector.predict_batch(["fine", text]),  # type: ignore[list-item]
        lambda: detector.learn(text, "s"),  # type: ignore[arg-type]
        lambda: detector.preprocess_log_sequence(text),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="text"):
            ask()
    assert detector.predict("fine", service="s")["history_lines"] == 0  # a refused text taught nothing


def test_a_lone_string_is_no_batch(detector: LogAnomalyDetector) -> None:
    """A batch given as one string would be judged letter by letter; it is refused instead."""
    with pytest.raises(ValueError, match="predict"):
        detector.predict_batch("error on node")


def test_a_missing_model_is_a_file_not_found(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Whichever of the two directories is not there."""
    with pytest.raises(FileNotFoundError, match="not a model directory"):
        LogAnomalyDetector(tmp_path / "nowhere", device="cpu")
    with pytest.raises(FileNotFoundError, match="no line encoder"):
        LogAnomalyDetector(tiny_checkpoint, tmp_path / "nowhere", device="cpu")


def test_a_long_line_is_shown_truncated(detector: LogAnomalyDetector) -> None:
    """A line of megabytes comes back as its first 8192 characters with an ellipsis, in any script."""
    shown = detector.predict("错误" * 5000 + "\nerror: disk full")["lines"]
    assert shown[0]["text"] == "错误" * 4095 + "错…"
    assert shown[1]["text"] == "error: disk full"


def test_arguments_may_be_given_by_position(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """LogAnomalyDetector(model_path, bert_path, device), each a string."""
    tiny_encoder(seed=8).save(tmp_path / "bert")
    detector = LogAnomalyDetector(str(tiny_checkpoint), str(tmp_path / "bert"), "cpu")
    assert detector.device.type == "cpu"
    assert detector.revision != LogAnomalyDetector(tiny_checkpoint, device="cpu").revision


def test_what_was_learned_changes_the_score(detector: LogAnomalyDetector) -> None:
    """A line that the service says all day is less of a surprise than one it never said, and only to that service."""
    usual, unheard = "info received block 1 on node a", "error: disk full"
    before = {text: detector.predict(text)["logits"] for text in (usual, unheard)}
    assert detector.learn("\n".join([usual] * 400), "web") == 400
    assert detector.learn(usual, "web") == 401
    found = detector.predict(usual, service="web")
    assert found["history_lines"] == 401
    assert found["logits"] != before[usual]
    assert detector.predict(unheard, service="web")["logits"] != before[unheard]
    assert detector.predict(usual)["logits"] == before[usual]
    assert detector.predict(usual, service="another")["history_lines"] == 0


def test_asking_changes_nothing(detector: LogAnomalyDetector) -> None:
    """The same question has the same answer, however often it is asked."""
    detector.learn(TEXTS[3], "web")
    first = detector.predict(TEXTS[1], service="web")
    assert [detector.predict(TEXTS[1], service="web") for _ in range(3)] == [first] * 3


def test_a_day_of_log_is_learned_like_its_hours(tiny_checkpoint: Path) -> None:
    """A long text is learned in parts, with the same result as if it had been given in parts."""
    lines = [f"info {chr(97 + i % 7)} received block" for i in range(9000)]
    whole, parts = (LogAnomalyDetector(tiny_checkpoint, device="cpu") for _ in range(2))
    assert whole.learn("\n".join(lines), "web") == 9000
    for start in range(0, 9000, 3000):
        learned = parts.learn("\n".join(lines[start : start + 3000]), "web")
    assert learned == 9000
    assert whole.predict(TEXTS[1], "web") == parts.predict(TEXTS[1], "web")


def test_more_services_than_agreed_are_refused(tiny_checkpoint: Path) -> None:
    """The bound on services is a sentence, and those known already go on."""
    detector = LogAnomalyDetector(tiny_checkpoint, device="cpu", max_services=2)
    detector.learn("a", "one")
    detector.learn("a", "two")
    for _ in range(2):
        with pytest.raises(ValueError, match="knows 2 services already"):
            detector.learn("a", "three")
    assert detector.learn("a", "one") == 2
    assert detector.predict("a", service="three")["history_lines"] == 0


@pytest.mark.parametrize("width", [2, 32, 512])
def test_windows_may_be_of_any_size(tiny_checkpoint: Path, width: int) -> None:
    """A text of fifty lines is judged line by line in windows of two as in windows of five hundred."""
    found = LogAnomalyDetector(tiny_checkpoint, device="cpu", window_size=width).predict(TEXTS[3])
    assert len(found["lines"]) == 50
    assert sum(line["weight"] > 0 for line in found["lines"]) <= width


def test_a_text_can_be_seen_as_the_head_sees_it(detector: LogAnomalyDetector) -> None:
    """Embeddings and mask of the last 32 lines, oldest first, padded on the left; vectors of length one."""
    embeddings, mask = detector.preprocess_log_sequence("error\nwarning\ninfo")
    assert (embeddings.shape, embeddings.dtype) == ((1, 32, 32), torch.float32)
    assert (mask.shape, mask.dtype) == ((1, 32), torch.int64)
    assert mask[0].tolist() == [0] * 29 + [1] * 3
    expected = detector._scorer.encode(["error", "warning", "info"])
    np.testing.assert_allclose(embeddings[0, 29:].numpy(), expected, atol=1e-5)
    assert not embeddings[0, :29].any()
    embeddings, mask = detector.preprocess_log_sequence(TEXTS[3], max_log_entry_length=8, max_sequence_length=32)
    assert mask.all()
    np.testing.assert_allclose(embeddings[0].norm(dim=-1).numpy(), 1.0, atol=1e-5)
    assert detector.preprocess_log_sequence(TEXTS[3], max_sequence_length=40)[0].shape == (1, 40, 32)


def test_odd_texts_are_judged_too(detector: LogAnomalyDetector) -> None:
    """Lone surrogates, NUL bytes, a megabyte without a break, scripts of the world: all have a verdict."""
    texts = ["\ud800 broken", "nul\0byte", "x" * 1_000_000, "错误 磁盘已满", "é" * 5000, "\x85a\u2028b", "a\rb\r\nc"]
    for found in detector.predict_batch(texts):
        assert np.isfinite(found["logits"]).all()
        assert found["lines"]


def test_a_gpu_without_memory_is_left_with_one_warning(
    detector: LogAnomalyDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets the answer of the CPU, one warning, and a detector that says where it runs now."""
    expected = detector.predict(TEXTS[1])["logits"]
    tried, real = [], WindowScorer._head
    scorer = detector._scorer

    def full(self: WindowScorer, part: WindowBatch) -> tuple[Floats, Floats, Ints]:
        if self.device.type == "cuda":
            tried.append(len(part))
            raise torch.OutOfMemoryError
        return real(self, part)

    monkeypatch.setattr(WindowScorer, "_head", full)
    monkeypatch.setattr(scorer, "device", torch.device("cuda"))
    with pytest.warns(UserWarning, match="CPU") as warned:
        found = detector.predict(TEXTS[1])
    assert len(warned) == 1
    assert tried == sorted(tried, reverse=True)
    assert {3, 2, 1} == set(tried)
    assert detector.device.type == "cpu"
    np.testing.assert_allclose(found["logits"], expected, atol=1e-5)


def test_importing_the_nouns_leaves_torch_out() -> None:
    """A program that only reads verdicts does not wait for PyTorch to load."""
    modules = ", ".join(f"logwarden.model.{name}" for name in ("schema", "verdicts", "stream", "errors", "arrays"))
    check = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=Path(__file__).parents[3])


@pytest.mark.slow
def test_a_bert_of_the_real_shape_takes_the_place_of_the_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any BERT-base serves as encoder once a head for its 768 columns is there; this one has its 109 M weights."""
    pieces = PIECES + [f"[unused{i}]" for i in range(30_522 - len(PIECES))]
    encoder = LineEncoder(BertModel(BertConfig(), add_pooling_layer=False), word_piece_tokenizer(pieces))
    encoder.save(tmp_path / "bert")
    assert sum(weight.numel() for weight in encoder.model.parameters()) > 108_000_000
    save_checkpoint(tmp_path / "head", tiny_classifier(width=768), None, Calibration())
    detector = LogAnomalyDetector(tmp_path / "head", tmp_path / "bert", "cpu")
    assert detector.preprocess_log_sequence("error on node")[0].shape == (1, 32, 768)
    found = detector.predict_batch(["error on node", "session closed"])
    assert np.isfinite([result["logits"] for result in found]).all()
    assert found[0]["logits"] != found[1]["logits"]


def test_a_loaded_model_is_a_value(tiny_checkpoint: Path) -> None:
    """What was loaded cannot be exchanged in part."""
    loaded: ModelCheckpoint = load_checkpoint(tiny_checkpoint)
    with pytest.raises(AttributeError):
        loaded.revision = "other"  # type: ignore[misc]

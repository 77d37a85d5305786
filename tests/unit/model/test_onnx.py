"""The engine on ONNX Runtime: the answers of PyTorch to 1e-4, from the same files, without an import of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from transformers import BertConfig, BertModel

from logwarden.model import evidence
from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import SHIPPED, load_checkpoint, read_head_weights, save_checkpoint
from logwarden.model.classifier import LogWindowClassifier, LogWindowConfig
from logwarden.model.encoder import LineEncoder
from logwarden.model.encoder_files import word_piece_tokenizer
from logwarden.model.errors import ModelMismatch, ModelMissing, ModelUnreadable
from logwarden.model.head_shape import SIGNS, HeadShape
from logwarden.model.onnx_encoder import OnnxEncoder
from logwarden.model.onnx_head import scoring
from logwarden.model.onnx_scoring import OnnxScorer, load_onnx
from logwarden.model.scorer import TableScorer
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LogStream
from logwarden.model.windowing import WindowBatch
from tests.models import PIECES, save_tiny, tiny_classifier, tiny_encoder
from tests.oracles import log_lines
from tests.recorded import recorded_columns

TEXTS = ["* disk full on node", "* connection to * refused: timeout after * ms", "", "x" * 90]


def windows(scorer: TableScorer, lines: int, *, size: int = 32, step: int = 1) -> WindowBatch:
    """Returns the windows of a recording, whose lines are in the scorer's table."""
    return LogStream(scorer.line_table(), size=size, step=step, max_slots=64).push(recorded_columns(lines))


def assert_alike(ours: TableScorer, theirs: TableScorer, lines: int, **shape: int) -> None:
    one, other = windows(ours, lines, **shape), windows(theirs, lines, **shape)
    np.testing.assert_allclose(ours.inputs(one), theirs.inputs(other), atol=1e-4)
    found, expected = ours.score(one), theirs.score(other)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
    np.testing.assert_allclose(found.probability, expected.probability, atol=1e-4)
    np.testing.assert_allclose(found.line_weights, expected.line_weights, atol=1e-4)
    assert np.ptp(expected.logits) > 0.1, "windows that differ"


def test_the_shipped_model_answers_alike() -> None:
    """Recorded lines: embeddings, head, last step and shares of lines agree to 1e-4, and the revision is the same."""
    ours, theirs = load_onnx(), load_checkpoint()
    assert ours.revision == theirs.revision
    np.testing.assert_allclose(ours.encoder.encode(TEXTS), theirs.encoder.encode(TEXTS).numpy(), atol=1e-5)
    assert_alike(OnnxScorer(ours, rows=8192), WindowScorer(theirs, device="cpu", rows=8192), 600)


@pytest.mark.parametrize(("size", "step"), [(2, 1), (3, 1), (8, 4), (100, 7)])
def test_windows_of_any_size_are_judged_alike(tiny_checkpoint: Path, size: int, step: int) -> None:
    """A head without evidence, windows shorter than the lines that are averaged, and judged lines anywhere."""
    ours = OnnxScorer(load_onnx(tiny_checkpoint), rows=4096, max_windows=100)
    theirs = WindowScorer(load_checkpoint(tiny_checkpoint), device="cpu", rows=4096)
    assert_alike(ours, theirs, 600, size=size, step=step)


def test_no_windows_have_no_scores(tiny_checkpoint: Path) -> None:
    """A piece of work without windows is an answer, not an error, and so is a call without texts."""
    scorer = OnnxScorer(load_onnx(tiny_checkpoint), rows=64)
    batch = LogStream(scorer.line_table(), size=8, max_slots=2).push(log_lines(["disk full"]))
    found = scorer.score(batch.select(np.zeros(0, np.int64)))
    assert (found.logits.shape, found.probability.shape, found.line_weights.shape) == ((0, 2), (0,), (0, 8))
    assert scorer.encode([]).shape == (0, 32)


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 40), top_p=st.sampled_from([0.0, 0.3, 0.6, 1.0]))
def test_a_graph_of_any_head_is_that_head(seed: int, size: int, top_p: float) -> None:
    """Random weights, padding, equal lines and any gate: the graph's answers are the head's."""
    torch.manual_seed(seed)
    config = LogWindowConfig(
        encoder_width=8,
        evidence_width=evidence.WIDTH if seed % 2 else 0,
        hidden_size=12,
        attention_heads=3,
        experts=5,
        expert_hidden_size=7,
        gate_top_p=top_p,
    )
    head = LogWindowClassifier(config).eval()
    for weight in head.parameters():
        weight.data += torch.randn_like(weight) * 0.3
    dice = np.random.default_rng(seed)
    rows, count = 20, 6
    table = {name: dice.normal(size=(rows, n)).astype(np.float32) for name, n in {"query": 12, "gates": 2}.items()}
    key, value = dice.normal(size=(2, rows, 12)).astype(np.float32)
    signs = dice.integers(0, 2, (rows, SIGNS)).astype(np.float32)
    signs[0] = 0
    ids = dice.integers(1, rows, (count, size))
    ids[np.arange(size) < dice.integers(0, size, count)[:, None]] = 0  # padded on the left
    log_age = dice.uniform(0, 14, (count, 1))
    familiarity = np.stack(
        [dice.uniform(0, 1, ids.shape) * log_age, log_age + 0 * ids, dice.uniform(0, 1, ids.shape)], -1
    )
    familiarity = familiarity.astype(np.float32)
    familiarity[0] = familiarity[0, -1]  # lines that are equal
    judged = np.full(count, size - 1)
    with torch.inference_mode():
        of = {name: torch.from_numpy(x) for name, x in {**table, "key": key, "value": value, "signs": signs}.items()}
        expected = head.score(
            of["query"][torch.from_numpy(ids[:, -1])],
            of["key"][torch.from_numpy(ids)],
            of["value"][torch.from_numpy(ids)],
            of["gates"][torch.from_numpy(ids)],
            of["signs"][torch.from_numpy(ids)],
            torch.from_numpy(familiarity),
            torch.from_numpy(ids != 0),
            torch.from_numpy(judged),
        )
    weights = {name: tensor.detach().numpy() for name, tensor in head.state_dict().items()}
    session = scoring(weights, HeadShape.from_json(config.to_dict()))
    by_heads = (np.ascontiguousarray(x.reshape(rows, 3, 4).swapaxes(0, 1)) for x in (key, value))
    found = session.run(
        **table,
        **dict(zip(("key", "value"), by_heads, strict=True)),
        signs=signs,
        ids=ids,
        familiarity=familiarity,
        judged=judged[:, None],
    )
    np.testing.assert_allclose(found[0], expected[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(found[1], expected[1].numpy(), atol=1e-4)


@pytest.mark.parametrize(
    "shape",
    [
        {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
        {"hidden_size": 768, "num_hidden_layers": 3, "num_attention_heads": 12, "intermediate_size": 3072},
        {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "hidden_act": "relu"},
    ],
    ids=["MiniLM", "width of bert-base", "another activation"],
)
def test_any_bert_is_computed_from_its_directory(shape: dict[str, Any], tmp_path: Path) -> None:
    """A graph is written for every shape; the fingerprint is that of the same files on PyTorch."""
    torch.manual_seed(3)
    model = BertModel(BertConfig(vocab_size=len(PIECES), **shape), add_pooling_layer=False)
    LineEncoder(model, word_piece_tokenizer(PIECES)).save(tmp_path)
    theirs, ours = LineEncoder.from_directory(tmp_path), OnnxEncoder.from_directory(tmp_path)
    assert ours.fingerprint == theirs.fingerprint
    np.testing.assert_allclose(ours.encode(TEXTS), theirs.encode(TEXTS).numpy(), atol=1e-4)
    for text in TEXTS:
        np.testing.assert_allclose(ours.encode([text]), theirs.encode([text]).numpy(), atol=1e-4)


def test_names_of_the_model_hub_are_read(tmp_path: Path) -> None:
    """Prefixes, gamma and beta, and heads of the pre-training are no obstacle."""
    tiny_encoder().save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    old = {f"bert.{name.replace('LayerNorm.weight', 'LayerNorm.gamma')}": value for name, value in weights.items()}
    save_file(old | {"cls.predictions.bias": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    expected = LineEncoder.from_directory(tmp_path).encode(TEXTS).numpy()
    np.testing.assert_allclose(OnnxEncoder.from_directory(tmp_path).encode(TEXTS), expected, atol=1e-4)


def test_weights_of_another_shape_are_damage(tmp_path: Path) -> None:
    """A configuration that does not fit the weights is one sentence, which names the weight."""
    tiny_encoder().save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ModelUnreadable, match=r"its weight encoder\.layer\.1\.\S+ is of shape None"):
        OnnxEncoder.from_directory(tmp_path)


def test_pytorchs_own_format_names_the_way_out(tmp_path: Path) -> None:
    """A pickle cannot be read without PyTorch, and the sentence says what to do."""
    tiny_encoder().save(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelUnreadable, match=r"convert it to model\.safetensors, or install torch"):
        OnnxEncoder.from_directory(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "encoder/model.safetensors"])
def test_a_damaged_model_is_one_sentence(name: str, tmp_path: Path) -> None:
    """Rubbish in any file is an error of the model, with its directory."""
    directory = save_tiny(tmp_path / "model")
    (directory / name).write_bytes(b"\xff\x00 rubbish")
    with pytest.raises(ModelUnreadable, match="cannot be read"):
        load_onnx(directory)


def test_a_part_of_another_model_is_found(tmp_path: Path) -> None:
    """A missing directory, and a BERT of another width than the head's."""
    with pytest.raises(ModelMissing):
        load_onnx(tmp_path)
    save_checkpoint(tmp_path, tiny_classifier(width=48), tiny_encoder(), Calibration())
    with pytest.raises(ModelMismatch, match="48 wide"):
        load_onnx(tmp_path)


def test_no_weight_of_the_head_is_left_out() -> None:
    """A head of another make, with weights that the graphs do not know, would be computed wrongly."""
    known = set(tiny_classifier().state_dict()) | {"evidence_gates"}
    assert set(read_head_weights(SHIPPED)) == known


def test_the_engine_needs_neither_torch_nor_transformers(tmp_path: Path) -> None:
    """Loading, embedding and scoring on ONNX Runtime import no library of training."""
    code = """
import sys
from logwarden.daemon.engine.loading import load_engine
from logwarden.daemon.settings.reading import read_settings
assert load_engine(read_settings({"LOGWARDEN_MODEL__ENGINE": "onnx"})).device == "cpu (ONNX Runtime)"
heavy = {"torch", "transformers", "sklearn", "scipy", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr

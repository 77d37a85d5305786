"""The line encoder: loading, saving, and rows that do not depend on the company they are encoded in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from logwarden.model.checkpoint import SHIPPED
from logwarden.model.encoder import LineEncoder, embed_tokens
from logwarden.model.encoder_files import word_piece_tokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES += ["*", ":", "disk", "full", "error", "##s", "on", "node", "a", "##b"]
TEXTS = ["disk full on *", "", "error: node * disk full on node " * 9, "errors", "unheard", "disk full on *"]


@pytest.fixture
def encoder() -> LineEncoder:
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
    )
    return LineEncoder(BertModel(config, add_pooling_layer=False), word_piece_tokenizer(PIECES))


def test_a_row_does_not_depend_on_the_other_texts(encoder: LineEncoder) -> None:
    """A line embedded in a batch of other lengths is the line embedded alone."""
    together = encoder.encode(TEXTS, batch_size=4)
    alone = torch.cat([encoder.encode([text]) for text in TEXTS])
    assert together.shape == (6, 32)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert (together[0] - together[3]).abs().max() > 1e-3  # different texts do differ


def test_a_row_is_the_mean_of_its_own_tokens_at_length_one(encoder: LineEncoder) -> None:
    """The embedding is the plain definition, written out for one text without padding."""
    ids = encoder.tokenize(["disk full on node *"])[0]
    hidden = encoder.model(input_ids=torch.tensor([ids])).last_hidden_state[0]  # (T, D)
    mean = hidden.mean(0)
    torch.testing.assert_close(encoder.encode(["disk full on node *"])[0], mean / mean.norm(), atol=1e-6, rtol=0)


def test_a_long_text_is_cut_and_still_ends_in_its_separator(encoder: LineEncoder) -> None:
    """Only the first and last tokens of a long text count, and never more than the model has positions for."""
    start, end = PIECES.index("[CLS]"), PIECES.index("[SEP]")
    short, positions = encoder.tokenize([TEXTS[2]], max_tokens=9)[0], encoder.tokenize([TEXTS[2]])[0]
    assert (len(short), short[0], short[-1]) == (9, start, end)
    assert len(positions) == 40
    half = len(TEXTS[2].split()) // 2
    longer = " ".join([*TEXTS[2].split()[:half], "on and on", *TEXTS[2].split()[half:]])
    assert torch.equal(encoder.encode([TEXTS[2]], max_tokens=9), encoder.encode([longer], max_tokens=9))
    assert not torch.equal(encoder.encode([TEXTS[2]]), encoder.encode([TEXTS[2] + " full"]))


def test_no_texts_give_no_rows(encoder: LineEncoder) -> None:
    """An empty batch is an answer, not an error."""
    assert encoder.encode([]).shape == (0, 32)


def test_saving_and_loading_keeps_the_answers_and_the_name(encoder: LineEncoder, tmp_path: Path) -> None:
    """A saved encoder answers alike to half precision and carries the same fingerprint."""
    encoder.save(tmp_path / "saved")
    loaded = LineEncoder.from_directory(tmp_path / "saved")
    assert loaded.fingerprint == encoder.fingerprint
    assert next(loaded.model.parameters()).dtype == torch.float32
    assert load_file(tmp_path / "saved" / "model.safetensors")["encoder.layer.0.output.dense.bias"].dtype == torch.half
    torch.testing.assert_close(loaded.encode(TEXTS), encoder.encode(TEXTS), atol=5e-3, rtol=0)


def test_other_weights_have_another_name(encoder: LineEncoder) -> None:
    """The fingerprint tells two encoders apart that differ in a single weight."""
    before = encoder.fingerprint
    with torch.no_grad():
        encoder.model.embeddings.word_embeddings.weight[5, 0] += 1
    assert LineEncoder(encoder.model, encoder.tokenizer).fingerprint != before


def test_a_clone_of_bert_base_uncased_loads(encoder: LineEncoder, tmp_path: Path) -> None:
    """Prefixes, pre-training heads, gamma and beta, a vocab.txt instead of tokenizer.json: all as on the model hub."""
    encoder.save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    old = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
    }
    extra = {"cls.predictions.bias": torch.zeros(3), "bert.pooler.dense.bias": torch.zeros(32)}
    save_file(old | extra, tmp_path / "model.safetensors")
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    torch.testing.assert_close(
        LineEncoder.from_directory(tmp_path).encode(TEXTS), encoder.encode(TEXTS), atol=5e-3, rtol=0
    )


def test_weights_in_pytorchs_own_format_are_read(encoder: LineEncoder, tmp_path: Path) -> None:
    """Many checkpoints still come with pytorch_model.bin; it gives the embeddings of the same weights elsewhere."""
    encoder.save(tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    torch.testing.assert_close(
        LineEncoder.from_directory(tmp_path).encode(TEXTS), encoder.encode(TEXTS), atol=5e-3, rtol=0
    )


def test_a_cased_vocabulary_keeps_its_capitals(encoder: LineEncoder, tmp_path: Path) -> None:
    """A checkpoint that says do_lower_case false reads "Disk" and "disk" as different words."""
    encoder.save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES))
    assert LineEncoder.from_directory(tmp_path).tokenize(["Disk"]) == encoder.tokenize(["disk"])
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert LineEncoder.from_directory(tmp_path).tokenize(["Disk"]) != encoder.tokenize(["disk"])


def test_a_missing_directory_says_what_to_do(tmp_path: Path) -> None:
    """Without leave to download, a name that is no directory is reported with the remedy."""
    with pytest.raises(FileNotFoundError, match="clone of bert-base-uncased"):
        LineEncoder.from_directory(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(encoder: LineEncoder, tmp_path: Path, name: str) -> None:
    """A directory that lacks one of its three files is reported by the name of the file."""
    encoder.save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name if name != "tokenizer.json" else "vocab.txt"):
        LineEncoder.from_directory(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00 rubbish"])
def test_a_damaged_file_is_one_sentence(encoder: LineEncoder, tmp_path: Path, name: str, content: bytes) -> None:
    """Empty, foreign and random content of any file becomes a ValueError of one line that names the directory."""
    encoder.save(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read") as caught:
        LineEncoder.from_directory(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_weights_of_another_shape_are_damage(encoder: LineEncoder, tmp_path: Path) -> None:
    """A configuration that does not fit the weights is reported, not padded with random numbers."""
    encoder.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ValueError, match="cannot be read"):
        LineEncoder.from_directory(tmp_path)


def test_embedding_tokens_keeps_gradients(encoder: LineEncoder) -> None:
    """Training teaches through the very function that serves."""
    encoder.model.requires_grad_(True)
    torch.autograd.backward(embed_tokens(encoder.model, encoder.tokenize(TEXTS)).sum())
    gradient = encoder.model.embeddings.word_embeddings.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_the_shipped_encoder_knows_like_from_unlike() -> None:
    """It loads, is small, reads odd characters, and puts a reworded message nearer than a foreign one."""
    folder = SHIPPED / "encoder"
    encoder = LineEncoder.from_directory(folder)
    assert encoder.width == 384
    assert sum(file.stat().st_size for file in folder.iterdir()) < 18_000_000
    unknown = encoder.tokenizer.token_to_id("[UNK]")
    assert unknown not in encoder.tokenize(["* ERROR x.Y$z [a@b] {q}=<~`^> 中文 qwrtzpsdfg"])[0]
    said, reworded, foreign = encoder.encode(
        ["* connection to * refused", "* could not connect to *: connection refused", "* cache refreshed in * ms"]
    )
    assert said @ reworded > said @ foreign + 0.2

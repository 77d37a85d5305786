"""The line encoder learns from allowed texts only, and an interrupted distillation continues."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from logwarden.model.encoder import LineEncoder
from logwarden.model.encoder_files import word_piece_tokenizer
from logwarden.training.corpora import EventSessions, FaultRound
from logwarden.training.encoder import distill
from logwarden.training.encoder import text_harvest as harvest

TEACHER_PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "*", "disk", "##y", "full", "zebra", "中"]
TEACHER_PIECES += ["##中"]


@pytest.fixture
def teacher() -> LineEncoder:
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(TEACHER_PIECES),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=200,
    )
    return LineEncoder(BertModel(config, add_pooling_layer=False), word_piece_tokenizer(TEACHER_PIECES))


@pytest.fixture
def _recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = {
        "HDFS_2k": ["081109 INFO dfs.DataNode: Served block blk_1"],
        "Zookeeper_2k": ["Notification time out: 3200"],
        "Linux_2k": ["check pass; user unknown"],
        "Spark_2k": ["Starting remoting"],
    }
    other = [f"{chr(97 + n % 26)}{chr(97 + n // 26)} state of the array" for n in range(400)]
    streams["other"] = other
    fault_round = FaultRound(
        campaign="Nova", test="1", round=1, failed=True, component="c", services={"api": ["boot failed"]}
    )
    monkeypatch.setattr(distill, "unlabelled_streams", lambda: streams)
    monkeypatch.setattr(distill, "openstack_fault_rounds", lambda: iter([fault_round]))
    monkeypatch.setattr(distill, "openstack_vm_sessions", lambda: EventSessions(templates=["VM <*> Up"], sessions=[]))


@pytest.mark.usefixtures("_recordings")
def test_held_out_systems_never_teach(tmp_path: Path) -> None:
    """No line of HDFS appears anywhere, and no text that measures is among those that teach."""
    rows = [{"package": "site/flask", "text": "only measures"}, {"package": "src/http", "text": "teaches well"}]
    rows.append({"package": "src/http", "text": "Starting remoting"})  # the same words as a held-out line
    with gzip.open(tmp_path / "texts.jsonl.gz", "wt") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    texts, held = distill.build_corpus(tmp_path / "texts.jsonl.gz")
    measured = {text for each in held.values() for text in each}
    assert {"Zookeeper_2k", "Linux_2k", "Spark_2k", "packages", "seen systems"} == set(held)
    assert held["packages"] == ["only measures"]
    assert measured.isdisjoint(texts)
    assert any(text.endswith("teaches well") for text in texts)
    assert not any("block" in text for text in [*texts, *measured])


def test_no_character_becomes_unknown_when_the_vocabulary_is_cut(teacher: LineEncoder) -> None:
    """Single characters survive every cut, except continuations that the tokenizer never produces."""
    pieces = distill.choose_pieces(teacher.tokenizer, ["disk disk disky"], 11)
    assert pieces[:5] == TEACHER_PIECES[:5]
    assert {"a", "##a", "*", "##y", "中", "disk"} == set(pieces[5:])
    assert "##中" not in pieces


def test_a_cut_with_every_layer_answers_as_the_teacher(teacher: LineEncoder) -> None:
    """Cutting only the vocabulary changes nothing for the texts that need none of the pieces cut."""
    pieces = [piece for piece in TEACHER_PIECES if piece != "zebra"]
    texts = ["disk full", "a*a disky full"]
    whole = distill.cut_student(teacher, pieces, [0, 1, 2])
    torch.testing.assert_close(whole.encode(texts), teacher.encode(texts), atol=1e-6, rtol=0)
    fewer = distill.cut_student(teacher, pieces, [0, 2])
    assert (fewer.model.config.num_hidden_layers, fewer.model.config.max_position_embeddings) == (2, 128)
    last = "attention.self.query.weight"
    torch.testing.assert_close(
        fewer.model.state_dict()[f"encoder.layer.1.{last}"], teacher.model.state_dict()[f"encoder.layer.2.{last}"]
    )


def test_an_interrupted_distillation_goes_on_where_it_stopped(teacher: LineEncoder, tmp_path: Path) -> None:
    """Three steps, a stop and three more leave the very weights that six steps leave."""
    texts = [f"disk {'full ' * n}" for n in range(9)]

    def begun(name: str) -> distill.Distillation:
        student = distill.cut_student(teacher, TEACHER_PIECES, [0, 2])
        run = distill.Distillation(tmp_path / name, teacher, texts, student, 0)
        run.resume()
        return run

    def learn(run: distill.Distillation, steps: int) -> None:
        for _, batch in zip(range(steps), run.batches(), strict=False):
            run.learn(batch, 1e-2)

    whole, first = begun("whole"), begun("halves")
    learn(whole, 6)
    learn(first, 3)
    first.checkpoint()
    second = begun("halves")
    assert second.step == 3
    learn(second, 3)
    torch.testing.assert_close(second.student.encode(texts), whole.student.encode(texts), atol=1e-5, rtol=0)
    assert not torch.allclose(whole.student.encode(texts), first.student.encode(texts), atol=1e-3)


def test_the_loss_is_nothing_only_for_the_teachers_own_answers() -> None:
    """Equal rows cost nothing; rows turned alike keep their similarities and still cost."""
    rows = torch.eye(3)
    assert distill.distillation_loss(rows, rows) == 0
    assert distill.distillation_loss(rows.roll(1, 0), rows) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("could not open %s: error %d", "could not open *: error *"),
        ("user {user!r} has {count:d} items left", "user * has * items left"),
        ("<p>Use :class:`Thing` for 100%% of cases", "Use Thing for *% of cases"),
        ("x = [1, 2]; y()", ""),
        ("the postgresql backend is gone", ""),
        ("dfs.DataNode is not there", ""),
    ],
)
def test_literals_become_masked_lines(text: str, cleaned: str) -> None:
    """Placeholders turn into stars; what is no prose, or names a held-out system, is dropped."""
    assert harvest.clean(text) == cleaned


def test_python_sources_yield_messages_and_sentences() -> None:
    """Literals with spaces, f-strings with stars for their expressions, docstrings by sentence."""
    source = '"""Does this. And\nthat."""\nlog(f"got {n} of {m} items")\nraise E("no such thing")\nx = "word"\n'
    assert set(harvest.python_texts(source)) == {"Does this.", "And that.", "got * of * items", "no such thing"}


def test_class_files_yield_their_string_constants() -> None:
    """Strings are found behind constants of every size, long and double taking two places."""
    pool = b"\x05" + b"\0" * 8 + b"\x0a" + b"\0" * 4
    for text in (b"Broker \x01 went away", b"Code"):
        pool += b"\x01" + struct.pack(">H", len(text)) + text
    content = b"\xca\xfe\xba\xbe" + b"\0" * 4 + struct.pack(">H", 6) + pool
    assert list(harvest.class_texts(content)) == ["Broker * went away"]
    assert list(harvest.class_texts(b"PK\x03\x04")) == []

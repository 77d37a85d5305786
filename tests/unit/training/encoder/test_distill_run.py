"""The command line of a distillation and its training loop: a first run, its continuation, the end, the files."""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from logwarden.model.encoder import LineEncoder
from logwarden.model.encoder_files import word_piece_tokenizer
from logwarden.training.corpora import EventSessions, FaultRound
from logwarden.training.encoder import distill
from tests.models import PIECES, tiny_encoder

HELD = {"packages": ["disk on node", "user opened session", "path closed"]}
TEXTS = ["disk full", "connection refused", "user opened session on node", "block received", "error on path"]


@pytest.fixture
def teacher() -> LineEncoder:
    """Returns a random encoder of two layers, with the positions that a student keeps."""
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=200,
    )
    return LineEncoder(BertModel(config, add_pooling_layer=False), word_piece_tokenizer(PIECES))


@pytest.fixture
def command(tmp_path: Path, teacher: LineEncoder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Returns the command with its files in a folder of its own; the corpus is written already."""
    teacher.save(tmp_path / "teacher")
    (tmp_path / "corpus.json").write_text(json.dumps([TEXTS * 3, HELD]))
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    places = ["--texts", str(tmp_path / "texts.jsonl.gz"), "--teacher", str(tmp_path / "teacher")]

    def run(*more: str) -> None:
        options = ["--run", str(tmp_path / "run"), "--layers", "0", "--pieces", "95", *more]
        monkeypatch.setattr(sys, "argv", ["distill", *places, *options])
        distill.main()

    return run


class _Clock:
    """Replaces the clocks of a run: each look at the processor time advances it by one second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(distill, "time", self)

    def process_time(self) -> float:
        self.now += 1.0
        return self.now

    def monotonic(self) -> float:
        return self.now


def _figures(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "figures.jsonl").read_text().splitlines()]


def test_a_run_is_continued_and_its_encoder_saved(
    command: Callable[..., None],
    teacher: LineEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same command continues from its checkpoint, and the saved encoder loads with the chosen vocabulary."""
    _Clock(monkeypatch)
    command("--seconds", "6")
    first = _figures(tmp_path / "run")
    assert len(first) == 1
    assert first[0]["step"] > 0
    assert not (tmp_path / "final").exists()
    command("--seconds", "6", "--finish", "--save", str(tmp_path / "final"))
    _, second = _figures(tmp_path / "run")
    assert second["step"] > first[0]["step"]
    assert second["cpu_s"] > first[0]["cpu_s"]
    assert set(second["held_out"]["packages"]) == {"cosine", "cosine_p10", "similarity_correlation"}
    saved = LineEncoder.from_directory(tmp_path / "final")
    assert saved.model.config.shape.num_hidden_layers == 1
    assert saved.model.config.shape.vocab_size == 95
    assert saved.fingerprint in capsys.readouterr().out
    last = LineEncoder.from_directory(tmp_path / "run" / "encoder")
    torch.testing.assert_close(saved.encode(TEXTS), last.encode(TEXTS))


def test_the_corpus_is_built_once_and_shared_by_runs(
    command: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run writes the corpus beside its folder with its seed; the second reads it."""
    _Clock(monkeypatch)
    (tmp_path / "corpus.json").unlink()
    built: list[tuple[Path, int]] = []

    def build(harvested: Path, *, seed: int) -> tuple[list[str], dict[str, list[str]]]:
        built.append((harvested, seed))
        return TEXTS, HELD

    monkeypatch.setattr(distill, "build_corpus", build)
    command("--seconds", "2", "--seed", "5")
    command("--seconds", "2", "--seed", "6")
    assert built == [(tmp_path / "texts.jsonl.gz", 5)]
    assert json.loads((tmp_path / "corpus.json").read_text()) == [TEXTS, HELD]


@pytest.mark.parametrize("finish", [True, False])
def test_only_a_finish_lets_the_rate_fall(
    finish: bool, teacher: LineEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `finish` each step has a lower rate than the one before; otherwise the rate stays at its peak."""
    _Clock(monkeypatch)
    student = distill.cut_student(teacher, PIECES, [1])
    run = distill.Distillation(tmp_path / "run", teacher, TEXTS, student, 0)
    rates: list[float] = []

    def learn(batch: list[str], rate: float) -> float:
        rates.append(rate)
        run.step += 1
        return 1.0

    monkeypatch.setattr(run, "learn", learn)
    distill.train(run, {}, seconds=20, finish=finish)
    assert len(rates) > 5
    if finish:
        assert rates == sorted(set(rates), reverse=True)
        assert rates[-1] < 0.3 * distill.PEAK_RATE
    else:
        assert set(rates) == {distill.PEAK_RATE}


def test_long_runs_write_checkpoints_on_the_way_and_end_by_the_clock(
    teacher: LineEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run notes its figures every so many processor seconds, counts them all, and ends at its limit of the clock."""
    clock = _Clock(monkeypatch)
    student = distill.cut_student(teacher, PIECES, [1])
    run = distill.Distillation(tmp_path / "run", teacher, TEXTS, student, 0)
    distill.train(run, {}, seconds=math.inf, wall_s=30, finish=False, every_s=5)
    noted = _figures(tmp_path / "run")
    assert len(noted) > 3
    assert [row["step"] for row in noted] == sorted(row["step"] for row in noted)
    assert 20 < run.cpu_s <= clock.now
    assert (tmp_path / "run" / "state.pt").exists()


def test_training_approaches_the_teacher(teacher: LineEncoder, tmp_path: Path) -> None:
    """Forty steps on a handful of lines bring a random student's rows to the teacher's."""
    run = distill.Distillation(tmp_path / "run", teacher, TEXTS, tiny_encoder(width=16), 0)
    answers: distill.Held = {"lines": (TEXTS, teacher.encode(TEXTS))}
    before = distill.measure(run.student, answers)["lines"]["cosine"]
    for _, batch in zip(range(40), run.batches(), strict=False):
        run.learn(batch, 1e-2)
    assert distill.measure(run.student, answers)["lines"]["cosine"] > 0.9 > before


def test_the_teacher_answers_each_text_once(teacher: LineEncoder, tmp_path: Path) -> None:
    """A second run reads the first run's answers from their file and does not ask the teacher."""
    student = distill.cut_student(teacher, PIECES, [0])
    first = distill.Distillation(tmp_path / "one", teacher, TEXTS, student, 0)
    rows = first.teacher_rows(TEXTS)
    torch.testing.assert_close(rows, teacher.encode(TEXTS), atol=1e-3, rtol=0)
    first.answers.flush()
    other = tiny_encoder(width=16)  # its rows would differ
    second = distill.Distillation(tmp_path / "two", other, TEXTS, student, 0)
    torch.testing.assert_close(second.teacher_rows(TEXTS), rows)


def test_a_resumed_run_skips_the_batches_before(teacher: LineEncoder, tmp_path: Path) -> None:
    """Batches have one seeded order over epochs; a run that resumes at step 2 begins with the third."""
    texts = [f"block {'a' * (n % 40)} {chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(300)]

    def batches(step: int) -> Iterator[list[str]]:
        run = distill.Distillation(tmp_path / "run", teacher, texts, tiny_encoder(width=16), 0)
        run.step = step
        return run.batches()

    whole = [batch for _, batch in zip(range(6), batches(0), strict=False)]
    assert sorted(len(batch) for batch in whole[:3]) == [44, 128, 128]
    assert sorted(text for batch in whole[:3] for text in batch) == sorted(texts)
    assert sorted(text for batch in whole[3:] for text in batch) == sorted(texts)
    assert next(batches(2)) == whole[2]
    assert next(batches(4)) == whole[4]


def test_openstack_gives_every_eighth_round_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the fault injection every eighth round is read until the limit; templates become masked lines."""
    read: list[int] = []

    def rounds() -> Iterator[FaultRound]:
        for number in range(40):
            read.append(number)
            yield FaultRound(
                campaign="Nova",
                test=str(number),
                round=1,
                failed=False,
                component="c",
                services={"api": [f"round {chr(97 + number)} began"]},
            )

    monkeypatch.setattr(
        distill, "unlabelled_streams", lambda: {"HDFS_2k": ["served a block"], "Mac": ["slept 7 s", ""]}
    )
    monkeypatch.setattr(distill, "openstack_fault_rounds", rounds)
    monkeypatch.setattr(distill, "openstack_vm_sessions", lambda: EventSessions(templates=["VM <*> Up"], sessions=[]))
    assert distill.system_texts(fault_rounds=2) == {
        "Mac": ["slept *"],
        "openstack-faults": ["round a began", "round i began", "round q began"],
        "openstack-vm": ["VM * Up"],
    }
    assert read[-1] == 16


def test_harvested_texts_are_read_by_package(tmp_path: Path) -> None:
    """The file of the harvest gives each package its texts in order."""
    rows = [("src/shop", "one text"), ("src/till", "another text"), ("src/shop", "a third text")]
    with gzip.open(tmp_path / "texts.jsonl.gz", "wt") as out:
        out.writelines(json.dumps({"package": package, "text": text}) + "\n" for package, text in rows)
    found = distill.read_texts(tmp_path / "texts.jsonl.gz")
    assert found == {"src/shop": ["one text", "a third text"], "src/till": ["another text"]}

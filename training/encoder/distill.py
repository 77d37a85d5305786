"""Distils the shipped line encoder: MiniLM with fewer layers and a vocabulary cut down to log text.

Owns the recipe (which texts, which pieces, which layers, which loss) and a loop that may be stopped and resumed.
The student starts as a cut of its teacher and learns the teacher's sentence embedding of the same text: cosine, plus
the similarities within a batch, because nearness between lines is what the product uses. HDFS takes no part at all,
nor does any recording of the demo's system; Zookeeper, Linux, Spark and a few packages only measure.

    python -m logwarden.training.encoder.distill --texts texts.jsonl.gz --teacher DIR --run moe_results/encoder --layers
    0,2,5

Run it again with the same --run to go on; --finish lets the learning rate fall to nothing, --save names where the
finished encoder goes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from logwarden.model.encoder import LineEncoder, embed_tokens, word_piece_tokenizer
from logwarden.model.masking import mask_line
from logwarden.training.corpora import openstack_fault_rounds, openstack_vm_sessions, unlabelled_streams
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

# N texts · D width

HELD_OUT_SYSTEMS = ("Zookeeper_2k", "Linux_2k", "Spark_2k")
EXCLUDED_STREAMS = ("HDFS_2k",)
HELD_OUT_PACKAGES = ("flask", "docker", "trio", "paramiko", "compress", "os", "networkx", "aiokafka", "structlog")
POSITIONS = 128
LOG_TEXT_WEIGHT = 4
"""Visits of a real log line for each visit of a harvested text."""
MAX_HARVESTED = 160_000
"""More than an hour of one core can visit twice."""
BATCH = 128
PEAK_RATE = 4e-4
Held = dict[str, tuple[list[str], torch.Tensor]]
"""Name of a held-out set → its texts and the teacher's rows (N, D)."""
_HEADERS = (
    "* INFO {name} [*] ", "* ERROR {name} [* - default default] ", "* WARNING {name} [-] ", "[*] [error] [pid *] ",
    "* - WARN [{name}:*] - ", "* host {name}*: ", "* level=info component={name} msg=", "* DEBUG {name} - ",
    "INFO: ", "ERROR: ", "* [{name}] WARN ", "* E {name}: ", "* I {name}: ", "* [main] ERROR {name} - ", "[*] ", "* ",
)  # fmt: skip


def system_texts(*, fault_rounds: int = 160) -> dict[str, list[str]]:
    """System → its distinct canonical lines. HDFS is left out; OpenStack comes from the first `fault_rounds` rounds."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for name, lines in unlabelled_streams().items():
        if name not in EXCLUDED_STREAMS:
            found[name].update(dict.fromkeys(map(mask_line, lines)))
    for number, fault_round in enumerate(openstack_fault_rounds()):
        if number % 8 == 0:
            for events in fault_round.services.values():
                found["openstack-faults"].update(dict.fromkeys(map(mask_line, set(events))))
        if number >= 8 * fault_rounds:
            break
    templates = openstack_vm_sessions().templates
    found["openstack-vm"].update(dict.fromkeys(mask_line(text.replace("<*>", "*")) for text in templates))
    return {name: [text for text in texts if text] for name, texts in found.items()}


def read_texts(path: Path) -> dict[str, list[str]]:
    """Package → texts, from the file that `logwarden.training.encoder.text_harvest` wrote."""
    found = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            found[row["package"]].append(row["text"])
    return found


def build_corpus(harvested: Path, *, seed: int = 0) -> tuple[list[str], dict[str, list[str]]]:
    """(training texts, log lines first repeated by weight; name → held-out texts). A third gets a log header."""
    chance = random.Random(seed)
    systems, packages = system_texts(), read_texts(harvested)
    held = {name: systems.pop(name) for name in HELD_OUT_SYSTEMS}
    unseen = [name for name in packages if name.rpartition("/")[2] in HELD_OUT_PACKAGES]
    held["packages"] = [text for name in unseen for text in packages.pop(name)]
    banned = {text for texts in held.values() for text in texts}
    pool = [(name.rpartition("/")[2], text) for name, texts in packages.items() for text in texts if text not in banned]
    training: dict[str, None] = {}
    for logger, text in chance.sample(pool, min(MAX_HARVESTED, len(pool))):
        if chance.random() < 0.35:
            text = mask_line(chance.choice(_HEADERS).format(name=f"{logger}.{chance.choice(_WORDS)}") + text)
        training[text] = None
    logs = [text for texts in systems.values() for text in texts if text not in banned]
    chance.shuffle(logs)
    held["seen systems"], logs = logs[:300], logs[300:]
    held["packages"] = chance.sample(held["packages"], min(400, len(held["packages"])))
    return [*(logs * LOG_TEXT_WEIGHT), *training], held


_WORDS = ("server", "client", "manager", "api", "worker", "core", "db", "cache", "session", "queue", "http", "agent")


def choose_pieces(teacher: Tokenizer, texts: Sequence[str], size: int) -> list[str]:
    """`size` pieces of the teacher's vocabulary: the special ones, every single character, then the most frequent."""
    vocabulary = teacher.get_vocab()
    characters = [p for p in vocabulary if len(p.removeprefix("##")) == 1 and not ("##" in p and ord(p[-1]) > 0x2FFF)]
    characters.sort(key=vocabulary.__getitem__)
    pieces = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters])
    counts = Counter(piece for found in teacher.encode_batch(list(texts)) for piece in found.tokens)
    for piece, _ in counts.most_common():
        if len(pieces) < size:
            pieces[piece] = None
    return list(pieces)


def cut_student(teacher: LineEncoder, pieces: Sequence[str], layers: Sequence[int]) -> LineEncoder:
    """The teacher with only these layers, pieces and the first `POSITIONS` positions."""
    config = BertConfig(**teacher.model.config.to_dict())
    config.vocab_size, config.num_hidden_layers = len(pieces), len(layers)
    config.max_position_embeddings = POSITIONS
    config.architectures, config.dtype = ["BertModel"], None
    student = BertModel(config, add_pooling_layer=False)
    weights = teacher.model.state_dict()
    kept = {name: value for name, value in weights.items() if not name.startswith("encoder.layer.")}
    vocabulary = teacher.tokenizer.get_vocab()
    rows = torch.tensor([vocabulary[piece] for piece in pieces])
    kept["embeddings.word_embeddings.weight"] = kept["embeddings.word_embeddings.weight"][rows]
    kept["embeddings.position_embeddings.weight"] = kept["embeddings.position_embeddings.weight"][:POSITIONS]
    for new, old in enumerate(layers):
        prefix = f"encoder.layer.{old}."
        for name, value in weights.items():
            if name.startswith(prefix):
                kept[f"encoder.layer.{new}.{name.removeprefix(prefix)}"] = value
    student.load_state_dict({name: value.float() for name, value in kept.items() if name in student.state_dict()})
    return LineEncoder(student, word_piece_tokenizer(pieces))


def distillation_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Both (N, D), rows of length one: 1 − cosine, plus how far the similarities within the batch are off."""
    cosine = (student * teacher).sum(-1)  # (N,)
    off = student @ student.T - teacher @ teacher.T  # (N, N)
    return (1 - cosine).mean() + 4 * off.square().mean()


def measure(encoder: LineEncoder, answers: Held) -> dict[str, dict[str, float]]:
    """Per held-out set (texts, the teacher's rows): mean cosine, its lowest tenth, correlation of pair similarities."""
    figures = {}
    for name, (texts, theirs) in answers.items():  # theirs: (N, D)
        ours = encoder.encode(texts)  # (N, D)
        cosine = (ours * theirs).sum(-1)  # (N,)
        upper = torch.triu_indices(len(texts), len(texts), 1)
        pairs = torch.stack([(x @ x.T)[upper[0], upper[1]] for x in (ours, theirs)])
        figures[name] = {
            "cosine": round(cosine.mean().item(), 4),
            "cosine_p10": round(cosine.quantile(0.1).item(), 4),
            "similarity_correlation": round(torch.corrcoef(pairs)[0, 1].item(), 4),
        }
    return figures


class Distillation:
    """One resumable run: student, optimiser, place in the stream of texts, the teacher's answers so far."""

    def __init__(self, run: Path, teacher: LineEncoder, texts: Sequence[str], student: LineEncoder, seed: int) -> None:
        self.run, self.teacher, self.texts, self.student = run, teacher, texts, student
        self.optimiser = torch.optim.AdamW(student.model.parameters(), PEAK_RATE, weight_decay=0.01, betas=(0.9, 0.98))
        self.step, self.cpu_s, self.seed = 0, 0.0, seed
        self.numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        shape = (len(self.numbers), teacher.width)
        mode: Any = "r+" if (run.parent / "answers.f16").exists() else "w+"
        self.answers: Any = np.memmap(run.parent / "answers.f16", dtype=np.dtype(np.float16), mode=mode, shape=shape)
        self.tokens = {text: ids for text, ids in zip(self.numbers, student.tokenize(list(self.numbers)), strict=True)}

    def batches(self) -> Iterator[list[str]]:
        """Endless batches of like length in a seeded order; resuming skips those already seen."""
        epoch = 0
        skipped = 0
        while True:
            order = list(self.texts)
            chance = random.Random(self.seed + epoch)
            chance.shuffle(order)
            for at in range(0, len(order), 64 * BATCH):
                block = sorted(order[at : at + 64 * BATCH], key=lambda text: len(self.tokens[text]))
                batches = [block[n : n + BATCH] for n in range(0, len(block), BATCH)]
                chance.shuffle(batches)
                for batch in batches:
                    if skipped >= self.step:
                        yield batch
                    else:
                        skipped += 1
            epoch += 1

    def teacher_rows(self, batch: Sequence[str]) -> torch.Tensor:
        """(N, D) float32; asked of the teacher once, then read back from the file of answers."""
        numbers = np.array([self.numbers[text] for text in batch])
        new = np.flatnonzero(~self.answers[numbers].any(axis=1))
        if len(new):
            self.answers[numbers[new]] = self.teacher.encode([batch[int(n)] for n in new]).half().numpy()
        return torch.from_numpy(np.asarray(self.answers[numbers], np.float32))

    def learn(self, batch: Sequence[str], rate: float) -> float:
        """One step; returns the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (self.step + 1) / 100)
        answers = self.teacher_rows(batch)
        self.student.model.requires_grad_(True)  # still in eval mode: a cut network needs no dropout
        with torch.autocast("cpu", torch.bfloat16):
            found = embed_tokens(self.student.model, [self.tokens[text] for text in batch])
        loss = distillation_loss(found, answers)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.student.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return loss.item()

    def checkpoint(self) -> None:
        """Everything needed to go on, written beside its place and then moved there."""
        self.run.mkdir(parents=True, exist_ok=True)
        state = {"model": self.student.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save({**state, "step": self.step, "cpu_s": self.cpu_s}, self.run / "state.tmp")
        (self.run / "state.tmp").replace(self.run / "state.pt")
        self.student.save(self.run / "encoder")

    def resume(self) -> None:
        """Goes on from the last checkpoint, if there is one."""
        if (self.run / "state.pt").exists():
            state = torch.load(self.run / "state.pt", weights_only=True)
            self.student.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.cpu_s = state["step"], state["cpu_s"]


def train(
    run: Distillation, held: Held, *, seconds: float, wall_s: float = math.inf, finish: bool, every_s: float = 240
) -> None:
    """Learns for `seconds` of processor time or `wall_s` of the clock; with `finish` the rate falls to nothing."""
    begun, marked, started = time.process_time(), time.process_time(), time.monotonic()
    smooth = math.nan
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("distilling", total=1)
        for batch in run.batches():
            used = max((time.process_time() - begun) / seconds, (time.monotonic() - started) / wall_s)
            if used >= 1:
                break
            rate = PEAK_RATE * (1 - used) if finish else PEAK_RATE
            loss = run.learn(batch, rate)
            smooth = loss if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss
            bar.update(task, completed=used, description=f"step {run.step} loss {smooth:.4f}")
            if time.process_time() - marked > every_s:
                run.cpu_s += time.process_time() - marked
                marked = time.process_time()
                _note(run, held, smooth)
    run.cpu_s += time.process_time() - marked
    _note(run, held, smooth)


def _note(run: Distillation, held: Held, loss: float) -> None:
    run.checkpoint()
    figures = {"step": run.step, "cpu_s": round(run.cpu_s), "loss": round(loss, 4)}
    figures |= {"held_out": measure(run.student, held)}  # type: ignore[dict-item]
    with (run.run / "figures.jsonl").open("a", encoding="utf-8") as out:
        out.write(json.dumps(figures) + "\n")


def main() -> None:
    """Command line: see the module's docstring."""
    parser = argparse.ArgumentParser(description="Distil the compact line encoder.")
    parser.add_argument("--texts", type=Path, required=True, help="what logwarden.training.encoder.text_harvest wrote")
    parser.add_argument("--teacher", type=Path, required=True, help="directory of all-MiniLM-L6-v2")
    parser.add_argument("--run", type=Path, required=True, help="checkpoints and figures.jsonl; resumed when it exists")
    parser.add_argument("--layers", default="0,2,5", help="layers of the teacher to keep")
    parser.add_argument("--pieces", type=int, default=8000, help="size of the vocabulary")
    parser.add_argument("--seconds", type=float, default=2400, help="processor seconds to learn for")
    parser.add_argument("--wall", type=float, default=math.inf, help="seconds of the clock to learn for")
    parser.add_argument("--every", type=float, default=240, help="processor seconds between checkpoints")
    parser.add_argument("--finish", action="store_true", help="let the learning rate fall to nothing")
    parser.add_argument("--save", type=Path, help="directory for the finished encoder")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    corpus = arguments.run.parent / "corpus.json"  # kept, because building it takes minutes and runs share it
    if not corpus.exists():
        corpus.parent.mkdir(parents=True, exist_ok=True)
        corpus.write_text(json.dumps(build_corpus(arguments.texts, seed=arguments.seed)), encoding="utf-8")
    texts, held = json.loads(corpus.read_text(encoding="utf-8"))
    teacher = LineEncoder.from_directory(arguments.teacher)
    pieces = choose_pieces(teacher.tokenizer, texts, arguments.pieces)
    student = cut_student(teacher, pieces, [int(layer) for layer in arguments.layers.split(",")])
    arguments.run.mkdir(parents=True, exist_ok=True)
    run = Distillation(arguments.run, teacher.to("cpu", dtype=torch.bfloat16), texts, student, arguments.seed)
    run.resume()
    print(f"{len(run.numbers)} distinct texts, {len(pieces)} pieces, held out {sum(map(len, held.values()))}")
    answers = {name: (texts, teacher.encode(texts)) for name, texts in held.items()}
    train(
        run, answers, seconds=arguments.seconds, wall_s=arguments.wall, finish=arguments.finish, every_s=arguments.every
    )
    if arguments.save:
        student.save(arguments.save)
        print(f"saved {student.fingerprint} to {arguments.save}")


if __name__ == "__main__":
    main()

"""Distils the shipped line encoder: MiniLM with fewer layers and a vocabulary reduced to log text.

Owns the recipe (texts, pieces, layers, loss) and a training loop that can be interrupted and resumed. The student
starts with some layers of its teacher and learns the teacher's sentence embedding of the same text. The loss is the
cosine plus the similarities within a batch, because the product uses distances between lines. HDFS and all recordings
of the demo's system are left out; Zookeeper, Linux, Spark and a few packages are only measured.

    python -m logwarden.training.encoder.distill --texts texts.jsonl.gz --teacher DIR --run moe_results/encoder

The same command continues a run. --finish lets the learning rate fall to zero; --save names the directory of the
finished encoder.
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
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from logwarden.model.encoder import LineEncoder, embed_tokens
from logwarden.model.encoder_files import word_piece_tokenizer
from logwarden.model.masking import mask_line
from logwarden.training.corpora import openstack_fault_rounds, openstack_vm_sessions, unlabelled_streams

# N texts · D width

HELD_OUT_SYSTEMS = ("Zookeeper_2k", "Linux_2k", "Spark_2k")
EXCLUDED_STREAMS = ("HDFS_2k",)
HELD_OUT_PACKAGES = ("flask", "docker", "trio", "paramiko", "compress", "os", "networkx", "aiokafka", "structlog")
POSITIONS = 128
LOG_TEXT_WEIGHT = 4
"""Repetitions of a real log line for each harvested text."""
MAX_HARVESTED = 160_000
"""More texts than one core can read twice in an hour."""
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
    """Returns system → its distinct canonical lines, without HDFS; of OpenStack every eighth of some rounds."""
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
    """Returns package → texts, from the file that `logwarden.training.encoder.text_harvest` wrote."""
    found = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            found[row["package"]].append(row["text"])
    return found


def build_corpus(harvested: Path, *, seed: int = 0) -> tuple[list[str], dict[str, list[str]]]:
    """Returns training texts (log lines repeated by weight, then harvested texts) and name → held-out texts.

    A third of the harvested texts gets a log header.
    """
    chance = random.Random(seed)
    systems, packages = system_texts(), read_texts(harvested)
    held = {name: systems.pop(name) for name in HELD_OUT_SYSTEMS}
    unseen = [name for name in packages if name.rpartition("/")[2] in HELD_OUT_PACKAGES]
    held["packages"] = [text for name in unseen for text in packages.pop(name)]
    banned = {text for texts in held.values() for text in texts}
    pool = [(name.rpartition("/")[2], text) for name, texts in packages.items() for text in texts if text not in banned]
    training: dict[str, None] = {}
    for logger, text in chance.sample(pool, min(MAX_HARVESTED, len(pool))):
        line = text
        if chance.random() < 0.35:
            line = mask_line(chance.choice(_HEADERS).format(name=f"{logger}.{chance.choice(_WORDS)}") + text)
        training[line] = None
    logs = [text for texts in systems.values() for text in texts if text not in banned]
    chance.shuffle(logs)
    held["seen systems"], logs = logs[:300], logs[300:]
    held["packages"] = chance.sample(held["packages"], min(400, len(held["packages"])))
    return [*(logs * LOG_TEXT_WEIGHT), *training], held


_WORDS = ("server", "client", "manager", "api", "worker", "core", "db", "cache", "session", "queue", "http", "agent")


def choose_pieces(teacher: Tokenizer, texts: Sequence[str], size: int) -> list[str]:
    """Returns `size` pieces of the teacher's vocabulary: special ones, single characters, then the most frequent."""
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
    """Returns the teacher reduced to these layers, these pieces and the first `POSITIONS` positions."""
    # layers (0, 2, 5) of the teacher become layers 0, 1, 2 of the student:
    #   encoder.layer.2.output.dense.weight -> encoder.layer.1.output.dense.weight
    # and row i of the new word embeddings is the teacher's row of pieces[i].
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
    """Returns 1 − cosine plus the error of the similarities within the batch. Both are (N, D), rows of length one."""
    cosine = (student * teacher).sum(-1)  # (N,)
    error = student @ student.T - teacher @ teacher.T  # (N, N)
    return (1 - cosine).mean() + 4 * error.square().mean()


def measure(encoder: LineEncoder, answers: Held) -> dict[str, dict[str, float]]:
    """Returns for each held-out set the mean cosine, its lowest tenth and the correlation of pair similarities."""
    figures = {}
    for name, (texts, teacher_rows) in answers.items():  # teacher_rows: (N, D)
        student_rows = encoder.encode(texts)  # (N, D)
        cosine = (student_rows * teacher_rows).sum(-1)  # (N,)
        # Every pair once, N = 3: rows [0, 0, 1] and columns [1, 2, 2] of the (N, N) similarities.
        upper = torch.triu_indices(len(texts), len(texts), 1)
        pairs = torch.stack([(x @ x.T)[upper[0], upper[1]] for x in (student_rows, teacher_rows)])
        figures[name] = {
            "cosine": round(cosine.mean().item(), 4),
            "cosine_p10": round(cosine.quantile(0.1).item(), 4),
            "similarity_correlation": round(torch.corrcoef(pairs)[0, 1].item(), 4),
        }
    return figures


class Distillation:
    """One resumable run: student, optimiser, place in the stream of texts, and the teacher's rows so far."""

    def __init__(self, run: Path, teacher: LineEncoder, texts: Sequence[str], student: LineEncoder, seed: int) -> None:
        self.run, self.teacher, self.texts, self.student = run, teacher, texts, student
        self.optimiser = torch.optim.AdamW(student.model.parameters(), PEAK_RATE, weight_decay=0.01, betas=(0.9, 0.98))
        self.step, self.cpu_s, self.seed = 0, 0.0, seed
        self.numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        shape = (len(self.numbers), teacher.width)
        mode: Any = "r+" if (run.parent / "answers.f16").exists() else "w+"
        self.answers: Any = np.memmap(run.parent / "answers.f16", dtype=np.dtype(np.float16), mode=mode, shape=shape)
        self.tokens = dict(zip(self.numbers, student.tokenize(list(self.numbers)), strict=True))

    def batches(self) -> Iterator[list[str]]:
        """Yields batches of texts of similar length in a seeded order, endlessly; a resumed run skips earlier ones."""
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
        """Returns (N, D) float32 rows of the teacher: computed once, then read from the file of answers."""
        # A row of zeros in the file is not computed yet. numbers [8, 3, 5] and zeros in rows 3 and 5:
        #   new           [1, 2]    places in the batch
        #   numbers[new]  [3, 5]    rows to write
        numbers = np.array([self.numbers[text] for text in batch])
        new = np.flatnonzero(~self.answers[numbers].any(axis=1))
        if len(new):
            self.answers[numbers[new]] = self.teacher.encode([batch[int(n)] for n in new]).half().numpy()
        return torch.from_numpy(np.asarray(self.answers[numbers], np.float32))

    def learn(self, batch: Sequence[str], rate: float) -> float:
        """Takes one step and returns its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (self.step + 1) / 100)
        answers = self.teacher_rows(batch)
        self.student.model.requires_grad_(True)  # still in eval mode: so small a network needs no dropout
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
        """Writes all that a later run needs to continue: to a temporary file first, then moved into place."""
        self.run.mkdir(parents=True, exist_ok=True)
        state = {"model": self.student.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save({**state, "step": self.step, "cpu_s": self.cpu_s}, self.run / "state.tmp")
        (self.run / "state.tmp").replace(self.run / "state.pt")
        self.student.save(self.run / "encoder")

    def resume(self) -> None:
        """Continues from the last checkpoint, if there is one."""
        if (self.run / "state.pt").exists():
            state = torch.load(self.run / "state.pt", weights_only=True)
            self.student.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.cpu_s = state["step"], state["cpu_s"]


def train(
    run: Distillation, held: Held, *, seconds: float, wall_s: float = math.inf, finish: bool, every_s: float = 240
) -> None:
    """Trains for `seconds` of processor time or `wall_s` of the clock; with `finish` the rate falls to zero."""
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
    """Runs the command line; the module's docstring has an example."""
    parser = argparse.ArgumentParser(description="Distil the compact line encoder.")
    parser.add_argument(
        "--texts", type=Path, required=True, help="file that logwarden.training.encoder.text_harvest wrote"
    )
    parser.add_argument("--teacher", type=Path, required=True, help="directory of all-MiniLM-L6-v2")
    parser.add_argument(
        "--run", type=Path, required=True, help="directory of checkpoints and figures.jsonl; an existing one is resumed"
    )
    parser.add_argument("--layers", default="0,2,5", help="layers of the teacher to keep (default: 0,2,5)")
    parser.add_argument("--pieces", type=int, default=8000, help="size of the vocabulary (default: 8000)")
    parser.add_argument("--seconds", type=float, default=2400, help="processor seconds of training (default: 2400)")
    parser.add_argument(
        "--wall", type=float, default=math.inf, help="seconds of training by the clock (default: no limit)"
    )
    parser.add_argument("--every", type=float, default=240, help="processor seconds between checkpoints (default: 240)")
    parser.add_argument("--finish", action="store_true", help="let the learning rate fall to zero")
    parser.add_argument("--save", type=Path, help="directory of the finished encoder")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random step (default: 0)")
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

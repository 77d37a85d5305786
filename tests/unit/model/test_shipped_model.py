"""What the shipped model answers, pinned: a change of the head, its inputs, the table or the weights shows here first.

After a deliberate change (other weights, another feature) `python -m tests.unit.model.test_shipped_model` prints the
table to put here; what the change did to the model's figures belongs into `training/LOG.md`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
import torch

from logwarden.model.checkpoint import load_checkpoint
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LogStream
from logwarden.model.windowing import WindowBatch, concatenate
from tests.oracles import log_lines

TOLERANCE = 1e-4

_USUAL = (
    'INFO  GET /api/orders/{n} HTTP/1.1" 200 {n}',
    "INFO  order {n} accepted for customer {n}",
    "DEBUG cache hit for key session:{n}",
    'INFO  POST /api/login HTTP/1.1" 200 87',
    "INFO  user {n} logged in from 10.0.3.{n}",
    "WARN  slow query: {n} ms in select_orders",
    "INFO  heartbeat sent to registry",
)
_RARE = (
    *["INFO  configuration read from /etc/shop.yaml"],
    *["INFO  log file rotated"] * 2,
    *["INFO  connection pool resized to 40"] * 3,
)
_REFUSED = "ERROR connection refused: host db-1 port 5432"

SHOP, YOUNG, WORKER = 0, 1, 2
"""Services with 306 lines of history, with none, and with 60, which is amid the learning phase."""


def usual(count: int, start: int = 0) -> list[str]:
    """Lines of a shop on a good day, in an order that is not periodic."""
    numbers = range(start, start + count)
    return [_USUAL[(i * i + i // 3) % len(_USUAL)].replace("{n}", str(1000 + i)) for i in numbers]


@dataclass(frozen=True)
class Answer:
    """What the model says of one window."""

    line: str
    filled: int
    seen: int
    """How often the service had said the newest line."""
    probability: float
    logits: tuple[float, float]
    experts: int
    """How many of the four experts the gate kept."""
    all_experts: float
    """The second logit when the gate keeps every expert."""
    weight: float
    """Share of the score that the newest line carries."""


def windows(stream: LogStream) -> WindowBatch:
    """The twenty windows: of the shop, of a service that has just started, of one amid learning, of texts alone."""
    history = usual(300)
    for place, line in enumerate(_RARE):
        history.insert(130 + 20 * place, line)
    stream.push(log_lines(history))
    shop = [
        *usual(2, 300),  # known lines
        *(_RARE[0], _RARE[1], _RARE[3]),  # seen once, twice and three times
        "INFO  configuration written to /etc/shop.yaml",  # never seen, but near to a known line
        *[_REFUSED] * 4,  # never seen, and far; then a burst of it
        "java.lang.OutOfMemoryError: Java heap space",
        'INFO  GET /api/orders/7 HTTP/1.1" 503 12',
        "INFO  scheduled backup finished in 93 s",
        "INFO  heartbeat sent to registry",
    ]
    batches = [stream.push(log_lines(shop, first_offset=len(history)))]
    young = ["INFO  starting shop 4.2.1", "WARN  no cache configured", "ERROR cannot bind to port 8080: in use"]
    batches.append(stream.push(log_lines(young, [YOUNG] * 3)))
    stream.push(log_lines(usual(60), [WORKER] * 60))
    batches.append(stream.push(log_lines(["ERROR timeout after 3000 ms calling payments"], [WORKER], 60)))
    alone = ["kernel panic - not syncing: Fatal exception", "INFO  all good"]
    batches.append(stream.peek(log_lines(alone, [0, 1]), [None, None]))
    return concatenate(batches)


@cache
def answers() -> tuple[Answer, ...]:
    """The shipped model's answers, on the CPU in float32."""
    checkpoint = load_checkpoint()
    scorer = WindowScorer(checkpoint, device="cpu", rows=256)
    batch = windows(LogStream(scorer.line_table(), size=32, max_slots=3))
    classifier, gates = checkpoint.classifier, []
    score = classifier.score

    def spy(*inputs: torch.Tensor) -> object:
        result = score(*inputs)
        gates.append(result[2].gates)
        return result

    with patch.object(classifier, "score", spy):
        scores = scorer.score(batch)
    kept = (torch.cat(gates) > 0).sum(dim=1).tolist()
    classifier.mixture.top_p = 1.0
    open_logits = scorer.score(batch).logits
    return tuple(
        Answer(
            line=batch.newest("text")[i].decode(),
            filled=int(batch.filled[i]),
            seen=round(2 ** float(batch.newest("log_count")[i]) - 1),
            probability=round(float(scores.probability[i]), 6),
            logits=(round(float(scores.logits[i, 0]), 6), round(float(scores.logits[i, 1]), 6)),
            experts=kept[i],
            all_experts=round(float(open_logits[i, 1]), 6),
            weight=round(float(scores.line_weights[i, -1]), 6),
        )
        for i in range(len(batch))
    )


EXPECTED: tuple[Answer, ...] = (
    Answer('INFO  POST /api/login HTTP/1.1" 200 87', 32, 72, 2e-06, (3.609168, -3.609168), 1, -3.609168, 0.0),
    Answer("DEBUG cache hit for key session:1301", 32, 28, 2e-06, (3.609168, -3.609168), 1, -3.609168, 0.0),
    Answer(
        "INFO  configuration read from /etc/shop.yaml", 32, 1, 0.000428, (2.189533, -2.189533), 1, -2.189533, 0.880735
    ),
    Answer("INFO  log file rotated", 32, 2, 0.0003, (2.28641, -2.28641), 1, -2.28641, 0.891448),
    Answer("INFO  connection pool resized to 40", 32, 3, 4.6e-05, (2.794301, -2.794301), 1, -2.794301, 0.866141),
    Answer(
        "INFO  configuration written to /etc/shop.yaml", 32, 0, 0.001187, (1.911827, -1.911827), 1, -1.911827, 0.890367
    ),
    Answer(
        "ERROR connection refused: host db-1 port 5432", 32, 0, 0.731059, (-0.194212, 0.194212), 2, 0.194212, 0.994274
    ),
    Answer(
        "ERROR connection refused: host db-1 port 5432", 32, 1, 0.033551, (0.992986, -0.992986), 1, -0.992986, 0.946377
    ),
    Answer(
        "ERROR connection refused: host db-1 port 5432", 32, 2, 0.024552, (1.080523, -1.080523), 1, -1.080523, 0.936795
    ),
    Answer(
        "ERROR connection refused: host db-1 port 5432", 32, 3, 0.001528, (1.842876, -1.842876), 2, -1.842876, 0.927965
    ),
    Answer("java.lang.OutOfMemoryError: Java heap space", 32, 0, 0.731059, (-0.194212, 0.194212), 1, 0.194212, 0.93699),
    Answer('INFO  GET /api/orders/7 HTTP/1.1" 503 12', 32, 0, 0.731059, (-0.194212, 0.194212), 2, 0.194212, 0.903651),
    Answer("INFO  scheduled backup finished in 93 s", 32, 0, 0.001668, (1.818951, -1.818951), 1, -1.818951, 0.734785),
    Answer("INFO  heartbeat sent to registry", 32, 14, 3e-06, (3.549795, -3.549795), 1, -3.549795, 0.0),
    Answer("INFO  starting shop 4.2.1", 1, 0, 2e-06, (3.629854, -3.629854), 2, -3.629855, 0.0),
    Answer("WARN  no cache configured", 2, 0, 0.001604, (1.829649, -1.829649), 1, -1.784007, 0.210598),
    Answer("ERROR cannot bind to port 8080: in use", 3, 0, 0.999992, (-3.103818, 3.103818), 1, 3.103876, 0.924209),
    Answer(
        "ERROR timeout after 3000 ms calling payments", 32, 0, 0.982398, (-1.016962, 1.016962), 1, 1.022759, 0.848977
    ),
    Answer("kernel panic - not syncing: Fatal exception", 1, 0, 1.0, (-4.027008, 4.027008), 1, 4.027009, 1.0),
    Answer("INFO  all good", 1, 0, 1.5e-05, (3.100144, -3.100144), 2, -3.100218, 0.0),
)


@pytest.mark.parametrize("number", range(20))
def test_an_answer_stays_what_it_was(number: int) -> None:
    """Of a fixed window the shipped model gives the probability and the logits that it gave when it was released."""
    found, expected = answers()[number], EXPECTED[number]
    assert (found.line, found.filled, found.seen) == (expected.line, expected.filled, expected.seen)
    assert found.experts == expected.experts
    np.testing.assert_allclose(found.logits, expected.logits, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(found.probability, expected.probability, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(found.all_experts, expected.all_experts, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(found.weight, expected.weight, atol=TOLERANCE, rtol=0)


def test_the_windows_reach_every_part_of_the_head() -> None:
    """A table of windows that are all alike would pin little: they differ in count, length, history and experts."""
    assert len(answers()) == len(EXPECTED) == 20
    assert {0, 1, 2, 3} < {answer.seen for answer in EXPECTED}
    assert {1, 2, 3, 32} <= {answer.filled for answer in EXPECTED}
    assert {1, 2} <= {answer.experts for answer in EXPECTED}
    assert min(a.probability for a in EXPECTED) < 0.01
    assert max(a.probability for a in EXPECTED) > 0.9


if __name__ == "__main__":
    for answer in answers():
        print(f"    Answer{astuple(answer)!r},")

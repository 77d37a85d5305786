"""LogAnomalyDetector: the synchronous Python API.

    detector = LogAnomalyDetector()
    detector.predict("...")["prediction"]

A text is one or more log lines. Each line is judged in the context of the lines before it, and the text's verdict is
that of its most anomalous line. Without `service` a text is judged by its words alone; with it, also by the lines that
were learned for that service (`learn`). A prediction changes nothing: the same text has the same result again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from logwarden.model.checkpoint import load_checkpoint
from logwarden.model.defaults import MAX_LINE_CHARS, WINDOW_SIZE
from logwarden.model.masking import canonical, mask_blob
from logwarden.model.schema import LABELS, truncated
from logwarden.model.scoring import WindowScorer
from logwarden.model.sessions import pairs_of, vectors_of
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.verdicts import Scores, guilty_lines
from logwarden.model.windowing import WindowBatch

_LEARNED_AT_ONCE = 4096  # at most so many lines need rows of the line table at once, however long a text is


class LogAnomalyDetector:
    """Judges texts of log lines. Not thread-safe: use one detector per thread.

    `model_path`: a model directory, None = the shipped model. `bert_path`: a BERT checkpoint directory that replaces
    the model's own line encoder. `device`: auto, cpu, cuda or cuda:N. `labels`: "en" or "zh".
    Raises ModelMissing (a FileNotFoundError) for a missing directory, and ModelUnreadable, ModelMismatch or
    DeviceUnavailable (each a ValueError) for what is there and cannot be used.
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        bert_path: str | Path | None = None,
        device: str = "auto",
        *,
        labels: str = "en",
        window_size: int = WINDOW_SIZE,
        max_services: int = 1024,
        allow_download: bool = False,
    ) -> None:
        if labels not in LABELS:
            raise ValueError(f"labels must be one of {', '.join(LABELS)}, not {labels!r}")
        path = Path(model_path) if model_path is not None else None
        loaded = load_checkpoint(path, bert_path, allow_download=allow_download)
        self.labels = LABELS[labels]
        self.threshold = loaded.calibration.threshold
        self.revision = loaded.revision
        self._scorer = WindowScorer(loaded, device=device)
        self._stream = LogStream(self._scorer.line_table(), size=window_size, max_slots=max_services)
        self._max_services = max_services
        self._slots: dict[str, int] = {}

    @property
    def device(self) -> torch.device:
        """Device of the model, which falls back to the CPU when the GPU has no memory left."""
        return self._scorer.device

    def predict(self, text: str, service: str | None = None) -> dict[str, Any]:
        """Judges one text. `predict_batch` describes the result."""
        return self.predict_batch([text], service)[0]

    def predict_batch(self, texts: Sequence[str], service: str | None = None) -> list[dict[str, Any]]:
        """Judges texts independently of each other, in one batch.

        Each result contains `prediction` (a label), `confidence` (the probability of that label), `probabilities` (by
        label), `logits` ([normal, anomaly]), `threshold`, `history_lines` (lines learned for the service; 0 = judged by
        text alone) and `lines`. Each line has `text`, its own `score`, and its `weight` and `guilty` in the deciding
        window. Raises ValueError for a text that is not a `str` or that contains no line.
        """
        if isinstance(texts, str):
            raise ValueError("a batch must be a list of texts; pass a single text to predict")
        lines = [_split(text) for text in texts]
        if not lines:
            return []
        slot = self._slots.get(service) if service is not None else None
        batch = self._stream.peek(_columns(lines), [slot] * len(lines))
        scores = self._scorer.score(batch)
        self._stream.scored()
        history = int(self._stream.history.age(np.array([slot]))[0]) if slot is not None else 0
        return [self._result(number, batch, scores, lines[number], history) for number in range(len(lines))]

    def judge_session(self, text: str) -> dict[str, Any]:
        """Judges a whole session that has ended, by the kinds of its lines and how often each occurs.

        The result contains `prediction`, `confidence`, `probabilities` and `logits`, as that of `predict`. Raises
        ValueError if the model has no judge of sessions.
        """
        judge = self._scorer.checkpoint.sessions
        if judge is None:
            raise ValueError("this model has no judge of sessions; train one with `logwarden train --sessions`")
        masked = [canonical(key) for key in mask_blob(b"\n".join(_split(text)) + b"\n")]
        texts, kinds = np.unique(np.array(masked, object), return_inverse=True)
        vectors = vectors_of(self._scorer.checkpoint.encoder, texts.tolist())
        odds = float(judge.log_odds(vectors, pairs_of(np.zeros(len(kinds), np.int64), kinds, 1))[0])
        anomaly = 1 / (1 + float(np.exp(-odds)))
        probabilities = dict(zip(self.labels, (1.0 - anomaly, anomaly), strict=True))
        label = self.labels[int(odds >= 0)]
        return {
            "prediction": label,
            "confidence": probabilities[label],
            "probabilities": probabilities,
            "logits": [-odds / 2, odds / 2],
        }

    def learn(self, text: str, service: str) -> int:
        """Adds a text's lines to the history of a service. Returns the number of lines in that history."""
        lines = _split(text)
        slot = self._slots.setdefault(service, len(self._slots))
        if slot >= self._max_services:
            del self._slots[service]
            raise ValueError(f"the detector knows {self._max_services} services already; raise max_services")
        for start in range(0, len(lines), _LEARNED_AT_ONCE):
            columns = _columns([lines[start : start + _LEARNED_AT_ONCE]])
            columns.slots[:] = slot
            self._stream.push(columns)
            self._stream.scored()
        return int(self._stream.history.age(np.array([slot]))[0])

    def preprocess_log_sequence(
        self, text: str, max_log_entry_length: int = 128, max_sequence_length: int = 32
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the line embeddings that the head reads: of the last lines, oldest first, padded on the left.

        They are `(embeddings, attention_mask)` of shapes (1, max_sequence_length, width) float32 and
        (1, max_sequence_length) int64, on the host. `max_log_entry_length` is in tokens.
        """
        keys = mask_blob(b"\n".join(_split(text)) + b"\n")[-max_sequence_length:]
        encoder = self._scorer.checkpoint.encoder
        vectors = encoder.encode([canonical(key) for key in keys], max_tokens=max_log_entry_length).float().cpu()
        embeddings = torch.zeros(1, max_sequence_length, encoder.width)  # 1, L, E
        mask = torch.zeros(1, max_sequence_length, dtype=torch.int64)  # 1, L
        embeddings[0, max_sequence_length - len(keys) :] = vectors
        mask[0, max_sequence_length - len(keys) :] = 1
        return embeddings, mask

    def _result(
        self, number: int, batch: WindowBatch, scores: Scores, lines: list[bytes], history: int
    ) -> dict[str, Any]:
        # A text of 50 lines has windows 0…49, one per line, in order. Window 40 of size 32 decides, with 32 lines:
        #   end      41      lines read when it was made
        #   start     9      its first line
        #   weights  of lines 9…40 are those of the window; the others have none
        windows = np.flatnonzero(batch.slots == number)
        worst = int(windows[scores.probability[windows].argmax()])
        anomaly = float(scores.probability[worst])
        label = self.labels[int(anomaly >= self.threshold)]
        probabilities = dict(zip(self.labels, (1.0 - anomaly, anomaly), strict=True))
        weights = np.zeros(len(lines), np.float32)
        guilty = np.zeros(len(lines), bool)
        end = int(np.flatnonzero(windows == worst)[0]) + 1
        start = end - int(batch.filled[worst])
        weights[start:end] = scores.line_weights[worst, batch.size - (end - start) :]
        guilty[start:end] = guilty_lines(scores.line_weights[worst])[batch.size - (end - start) :]
        return {
            "prediction": label,
            "confidence": probabilities[label],
            "probabilities": probabilities,
            "logits": [float(x) for x in scores.logits[worst]],
            "threshold": self.threshold,
            "history_lines": history,
            "lines": [
                {
                    "text": line.decode("utf-8", "replace"),
                    "weight": float(weights[i]),
                    "score": float(scores.probability[windows[i]]),
                    "guilty": bool(guilty[i] and anomaly >= self.threshold),
                }
                for i, line in enumerate(lines)
            ],
        }


def _split(text: str) -> list[bytes]:
    if not isinstance(text, str):
        raise ValueError(f"a text must be a str, not {type(text).__name__}")
    # splitlines leaves no line break of any kind in a line; a lone surrogate, which UTF-8 cannot carry, becomes "?".
    lines = [truncated(line, MAX_LINE_CHARS).encode("utf-8", "replace") for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError("the text is empty; pass at least one log line")
    return lines


def _columns(texts: list[list[bytes]]) -> LineColumns:
    lines = [line for text in texts for line in text]
    return LineColumns(
        texts=lines,
        slots=np.repeat(np.arange(len(texts)), [len(text) for text in texts]),
        offset=np.concatenate([np.arange(len(text)) for text in texts]),
        index=np.zeros(len(lines), np.int32),
        timestamp=np.full(len(lines), -1, np.int64),
    )

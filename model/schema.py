"""The nouns of the product: a line, a window that ends at a line, a verdict about that line. And how text is truncated.

Imports no torch or numpy.

These are what people and machines read (alerts, `scan`, the Python API). The hot path works on arrays
(`logwarden.model.windowing`) and builds these only for the few windows that people will read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

LABELS = {"en": ("normal", "anomaly"), "zh": ("正常", "异常")}
"""Names of the two classes by language, index 0 = normal, 1 = anomaly."""

ELLIPSIS = "…"
"""Stands at the end of every truncated text, in place of its last character."""


class AlertKind(StrEnum):
    """Why a line is an anomaly."""

    NEW_LINE = "new_line"
    """Its service has never logged this line before."""
    FAILURE_AGAIN = "failure_again"
    """A known line that states a failure, and is rare."""
    RARE_LINE = "rare_line"
    """A known line that states no failure."""
    FAILURE_RATE_UP = "failure_rate_up"
    """A failure or a refusal comes more often within ten seconds than ever before, see `logwarden.model.rates`."""
    RATE_UP = "rate_up"
    """A line that states no failure comes more often than ever before."""
    SILENCE = "silence"
    """The service logs nothing for longer than ever before, see `logwarden.model.rhythm`."""


DEFAULT_KINDS = tuple(kind for kind in AlertKind if kind not in (AlertKind.RATE_UP, AlertKind.SILENCE))
"""Kinds that raise an alert unless settings name others: load and nights alone are seldom news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One log event as it stands in a window. A multi-line event (a traceback in one record) is one line."""

    text: str
    offset: int = -1
    """Kafka offset of the record that carried the line; the line number, from 0, when it came from a file."""
    index: int = 0
    """Position within its record, for formats that carry many lines in one record."""
    timestamp_ms: int | None = None
    """Milliseconds since the epoch, from the event if it has a time, else Kafka's record timestamp."""
    weight: float = 0.0
    """Share of the window's score that this line carries, 0…1; the weights of a window sum to 1 (or to 0)."""
    kind: int = 0
    """Hash of the masked line: the same for every line of its kind, in every process and on every day."""
    surprise: float = 0.0
    """log2((lines of the service so far + 1) / (times this masked line was among them + 1)), bits; 0 = no history."""
    guilty: bool = False
    """True for the lines that carry the score (see `logwarden.model.verdicts.guilty_lines`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWindow:
    """The last lines of one service in one partition, oldest first, ending at the line that is judged."""

    service: str
    lines: tuple[LogLine, ...]
    topic: str = ""
    partition: int = 0

    @property
    def newest(self) -> LogLine:
        """The line that the verdict is about; it identifies the window."""
        return self.lines[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRate:
    """A count within ten seconds that is higher than ever before."""

    counted: int
    """Lines so far, with the newest."""
    before: int
    """The most within ten seconds before."""
    of: str
    """What is counted: `line`, lines like the newest; `failures` or `refusals`, all such lines of the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSilence:
    """A time without a line that is longer than ever before."""

    seconds: int
    longest_before: int
    """Seconds of the longest pause before."""

    @property
    def sentence(self) -> str:
        """What people read in place of a line."""
        return f"no line for {self.seconds:,} s, at most {self.longest_before:,} s before; the last one:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The model's answer on a window's newest line, given the lines before it and the service's history."""

    window: LogWindow
    probabilities: tuple[float, float]
    """(normal, anomaly), calibrated; sums to 1."""
    logits: tuple[float, float]
    """(normal, anomaly) before calibration."""
    threshold: float
    """An anomaly when probabilities[1] >= threshold."""
    learning: bool
    """True while the service's history is too short to judge by; such a verdict raises no alert."""
    history_lines: int
    """Number of lines of this service before the newest one."""
    model_revision: str
    kind: AlertKind
    """Why the newest line is an anomaly, or would be one."""
    rate: LineRate | None = None
    """The rate, if the kind is one of a rate."""
    silence: LineSilence | None = None
    """The silence, if the kind is one. The newest line is then the last before it."""

    @property
    def score(self) -> float:
        """Calibrated probability of an anomaly, 0…1."""
        return self.probabilities[1]

    @property
    def is_anomaly(self) -> bool:
        """True if an alert is due: at the threshold or above, and past the learning phase."""
        return self.score >= self.threshold and not self.learning


def truncated(text: str, max_chars: int) -> str:
    """Returns a text of at most `max_chars` characters; a longer one ends in `…`. A limit of 0 gives no text.

    A character is a code point. Every limit on the length of a line counts these, not bytes.
    """
    if len(text) <= max_chars:
        return text
    return text[: max_chars - 1] + ELLIPSIS if max_chars > 0 else ""


def truncated_utf8(raw: bytes, max_chars: int) -> bytes:
    """Returns what `truncated` would of a text in UTF-8, without decoding the common short line.

    An invalid byte counts as a character and stays as it is: it becomes U+FFFD only where the line is decoded. No
    valid character is ever split, and a line of any length costs no more than `4 * max_chars` bytes of decoding.
    """
    if len(raw) <= max_chars:  # no text has more characters than bytes
        return raw
    # A character has at most four bytes, so 4 * max_chars + 4 bytes contain max_chars + 1 characters. max_chars = 3:
    #   raw        "äöü€ …"    of which 16 bytes are decoded, the last character perhaps in part
    #   text       "äöü€…"     more than three characters
    #   shortened  "äö…"
    text = raw[: 4 * max_chars + 4].decode("utf-8", "surrogateescape")
    shortened = truncated(text, max_chars)
    return raw if shortened is text else shortened.encode("utf-8", "surrogateescape")

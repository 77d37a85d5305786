"""Keeps the facts from which probes, metrics and the watchdog judge this member, each with its time.

Every part of the daemon reports its own fact as it happens; nothing here waits, calls or judges. Ages are
computed where they are read, so a fact that stands still grows old by itself. Belongs to the event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, MutableMapping
from typing import Generic, Literal, TypeVar

K = TypeVar("K")
Stage = Literal["fetch", "ingest", "score", "publish", "commit"]
STAGES: tuple[Stage, ...] = ("fetch", "ingest", "score", "publish", "commit")
"""The steps of the data path, in order."""

UNREADY_AFTER_S = 10.0
"""Default of LOGWARDEN_HEALTH__UNREADY_AFTER_S: a broker that is restarted answers again within a few seconds."""
SLOPE_WINDOW_S = 60.0
"""Seconds over which the slope of the lag is measured."""
_SLOPE_LEAST_S, _SAMPLE_S = 5.0, 1.0


class TimedSentences(MutableMapping[K, str], Generic[K]):
    """A sentence per key, and the time since when the key has had one."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._entries: dict[K, tuple[str, float]] = {}

    def __getitem__(self, key: K) -> str:
        return self._entries[key][0]

    def __setitem__(self, key: K, sentence: str) -> None:
        since = self._entries[key][1] if key in self._entries else self._now()
        self._entries[key] = (sentence, since)

    def __delitem__(self, key: K) -> None:
        del self._entries[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return repr(dict(self))

    def since_s(self, key: K) -> float:
        """Returns the seconds since the key got its first sentence."""
        return max(0.0, self._now() - self._entries[key][1])


class HealthState:
    """Facts about this member. `now` returns monotonic seconds; without it no time passes."""

    def __init__(
        self,
        now: Callable[[], float] = lambda: 0.0,
        *,
        assigned: bool = False,
        warm: bool = False,
        unready_after_s: float = UNREADY_AFTER_S,
    ) -> None:
        self._now = now
        self.unready_after_s = unready_after_s
        """Seconds that a fault may last before the daemon is not ready."""
        start = now()
        self._true_since: dict[str, float] = {"unassigned": start, "cold": start}
        """Since when a flag has been set; a flag that is not set is absent."""
        self._reading_since = start
        """Since when the broker is expected to answer fetches: assigned and not paused."""
        self._progress: dict[Stage, float] = {}
        self._waiting: dict[Stage, float] = {}
        self._tried: dict[Stage, float] = {}
        self._received_at: float | None = None
        self._is_silence_known = False
        self._lag = _Lag()
        self.failure: str | None = None
        """Reason why the daemon cannot continue. None: it can."""
        self.failure_code = "failed"
        self.unreadable: TimedSentences[tuple[str, int]] = TimedSentences(now)
        """For each (topic, partition) that stands still at a batch which cannot be read: the sentence about it."""
        self.without_schema: TimedSentences[tuple[str, int]] = TimedSentences(now)
        """For each partition whose next record waits for its schema: the sentence about it."""
        self.stalled: TimedSentences[tuple[str, int]] = TimedSentences(now)
        """For each partition of which nothing arrives although the broker has more: the sentence about it."""
        self.blocked_topics: TimedSentences[str] = TimedSentences(now)
        """For each output topic that takes no message now: why, and what the operator does."""
        self.output_topics: set[str] = set()
        """Every output topic that was reported as blocked or unblocked."""
        self.missing_topics: TimedSentences[str] = TimedSentences(now)
        """For each input topic that does not exist: the sentence about it."""
        self.without_memory: TimedSentences[str] = TimedSentences(now)
        """For each of the steps read and write of the state topic that fails now: why, and what the operator does. The
        daemon scores all the same, so this is no reason to be unready."""
        self.learning_partitions = self.learning_records_left = 0
        """Partitions that learn from before the group's first start, and the records that they still read for it."""
        self.services_restored = self.services_forgotten = 0
        """Services that came back from the state topic, and those evicted for good, both since the start."""
        self.errors: dict[Stage, str] = {}
        """For each stage whose last attempt failed: the sentence about it."""
        self.incidents = "off"
        """What this member does for incidents: `off`, `starting`, `folding`, `standby`, or the sentence why not."""
        self.partitions = 0
        """Partitions assigned to this member."""
        self.feedback = "off"
        """What is known of people's feedback: `off`, `starting`, `followed`, or the sentence why it is not read."""
        self._in_flight = 0
        self.services = self.services_learning = 0
        """Services in memory, and those of which too little is known for an alert."""
        self.services_noisy = 0
        """Those in which new lines are so common that novelty alone is no evidence."""
        self.lines_per_service = 0.0
        """Mean number of lines of the services in memory. Next to 1, something else is taken for a service's name."""
        self.assigned = assigned
        self.warm = warm

    # ---------------------------------------------------------------- states of the member

    @property
    def assigned(self) -> bool:
        """True if the group has assigned this member its partitions; none is fine, as a spare replica is ready."""
        return "unassigned" not in self._true_since

    @assigned.setter
    def assigned(self, now_so: bool) -> None:
        self._set("unassigned", not now_so)
        self._reading_since = self._now()
        if not now_so:
            self.partitions = 0
            self._lag = _Lag()
            self.stalled.clear()

    @property
    def warm(self) -> bool:
        """True if the model is loaded and has scored once."""
        return "cold" not in self._true_since

    @warm.setter
    def warm(self, now_so: bool) -> None:
        self._set("cold", not now_so)

    @property
    def draining(self) -> bool:
        """True if the daemon received a signal to stop and finishes the lines in flight."""
        return "draining" in self._true_since

    @draining.setter
    def draining(self, now_so: bool) -> None:
        self._set("draining", now_so)

    @property
    def in_flight(self) -> int:
        """Lines that are read and not done."""
        return self._in_flight

    @in_flight.setter
    def in_flight(self, lines: int) -> None:
        self._in_flight = lines
        self._set("busy", lines > 0)

    @property
    def paused(self) -> bool:
        """True while reading is paused because too many lines are in flight."""
        return "paused" in self._true_since

    @paused.setter
    def paused(self, now_so: bool) -> None:
        if self.paused and not now_so:
            self._reading_since = self._now()
        self._set("paused", now_so)

    def failed(self, reason: str, *, code: str = "failed") -> None:
        """Records that the daemon cannot continue; keeps the first reason, as later ones follow from it."""
        if self.failure is None:
            self.failure, self.failure_code = reason, code
            self._set("failed", True)

    @property
    def live(self) -> bool:
        """False if a restart would help."""
        return self.failure is None

    # ---------------------------------------------------------------- progress

    def progressed(self, stage: Stage) -> None:
        """Records that a stage has just finished work, or that the broker answered it."""
        self._progress[stage] = self._now()
        self.errors.pop(stage, None)

    def received(self) -> None:
        """Records that the broker delivered records, of the context or new ones."""
        self._received_at = self._now()
        self.progressed("fetch")

    def waiting(self, stage: Stage, now_so: bool) -> None:
        """Records whether work waits for a stage, or is in it. Calls that repeat the state change nothing."""
        if now_so:
            self._waiting.setdefault(stage, self._now())
        else:
            self._waiting.pop(stage, None)

    def attempt_failed(self, stage: Stage, sentence: str) -> None:
        """Records that a stage tried and failed: it waits on, and yet it is not stuck."""
        self.errors[stage] = sentence
        self._tried[stage] = self._now()

    def silent(self, seconds: float | None) -> None:
        """Records how long ago the broker answered a fetch. None: no fetch waits for it."""
        self._is_silence_known = seconds is not None
        if seconds is not None:
            self._progress["fetch"] = max(self._now() - seconds, self._progress.get("fetch", float("-inf")))

    def lag(self, partition: tuple[str, int], records: int) -> None:
        """Records the records of an assigned partition that are not done."""
        self._lag.set(partition, records, self._now())

    # ---------------------------------------------------------------- topics

    def blocked(self, topic: str, sentence: str, hint: str) -> None:
        """Records that an output topic takes no message; `unblocked` ends that."""
        self.output_topics.add(topic)
        self.blocked_topics[topic] = f"{sentence_of(sentence)} {sentence_of(hint)}".strip()

    def unblocked(self, topic: str) -> None:
        """Records that an output topic took a message, or that nothing is known against it."""
        self.output_topics.add(topic)
        self.blocked_topics.pop(topic, None)

    def forgets(self, step: Literal["read", "write"], sentence: str, hint: str) -> None:
        """Records that the state topic cannot be read or written, so that a restart forgets what services learned."""
        self.without_memory[step] = f"{sentence_of(sentence)} {sentence_of(hint)}".strip()

    def missing(self, topics: Collection[str]) -> None:
        """Records all input topics that do not exist now."""
        for topic in self.missing_topics.keys() - set(topics):
            del self.missing_topics[topic]
        for topic in topics:
            self.missing_topics[topic] = (
                f"The input topic {topic!r} does not exist. Create it, or correct LOGWARDEN_KAFKA__INPUT_TOPICS."
            )

    # ---------------------------------------------------------------- ages

    def since_s(self, flag: Literal["unassigned", "cold", "draining", "busy", "paused", "failed"]) -> float:
        """Returns the seconds for which a flag has been set; 0 if it is not."""
        since = self._true_since.get(flag)
        return 0.0 if since is None else self._age(since)

    def since_progress_s(self, stage: Stage) -> float | None:
        """Returns the seconds since a stage last finished work. Returns None before the first time."""
        at = self._progress.get(stage)
        return None if at is None else self._age(at)

    @property
    def since_received_s(self) -> float | None:
        """Seconds since records last arrived. None: none has arrived yet."""
        return None if self._received_at is None else self._age(self._received_at)

    def waited_s(self, stage: Stage) -> float:
        """Returns the seconds for which work has waited for a stage that finished none; 0 if nothing waits."""
        since = self._waiting.get(stage)
        return 0.0 if since is None else self._age(max(since, self._progress.get(stage, since)))

    def hung_s(self, stage: Stage) -> float:
        """Returns the seconds for which work has waited for a stage that neither finished any nor failed at it."""
        since = self._waiting.get(stage)
        return 0.0 if since is None else self._age(max(since, self._last_sign(stage)))

    @property
    def idle_s(self) -> float:
        """Seconds for which lines have been in flight while no stage did anything; 0 without lines in flight."""
        since = self._true_since.get("busy")
        stages: tuple[Stage, ...] = ("ingest", "score", "publish")
        return 0.0 if since is None else self._age(max(since, *map(self._last_sign, stages)))

    @property
    def silent_s(self) -> float | None:
        """Seconds for which the broker owes an answer to a fetch. None: nothing is fetched now."""
        if not self.assigned or self.paused or not self._is_silence_known:
            return None
        return self._age(max(self._reading_since, self._progress.get("fetch", self._reading_since)))

    @property
    def lag_records(self) -> int:
        """Records of all assigned partitions that are not done, as of the last report."""
        return self._lag.total

    @property
    def lag_per_s(self) -> float | None:
        """Records by which the lag grew each second of the last minute. None: it is not known yet."""
        return self._lag.slope(self._now())

    def _last_sign(self, stage: Stage) -> float:
        never = float("-inf")
        return max(self._progress.get(stage, never), self._tried.get(stage, never))

    def _set(self, flag: str, now_so: bool) -> None:
        if now_so:
            self._true_since.setdefault(flag, self._now())
        else:
            self._true_since.pop(flag, None)

    def _age(self, at: float) -> float:
        return max(0.0, self._now() - at)


class _Lag:
    """The lag of each partition, their sum, and its course over the last minute."""

    def __init__(self) -> None:
        self.total = 0
        self._records: dict[tuple[str, int], int] = {}
        self._samples: deque[tuple[float, int]] = deque()
        self._sampled_at: float | None = None

    def set(self, partition: tuple[str, int], records: int, now: float) -> None:
        """Replaces the lag of one partition."""
        if self._sampled_at is None:
            self._sampled_at = now
        elif now - self._sampled_at >= _SAMPLE_S:  # the sum before this call: every partition has reported by now
            self._samples.append((now, self.total))
            self._sampled_at = now
            while self._samples[0][0] < now - SLOPE_WINDOW_S:
                self._samples.popleft()
        self.total += records - self._records.get(partition, 0)
        self._records[partition] = records

    def slope(self, now: float) -> float | None:
        """Returns the records per second since the oldest sample kept. Returns None if that is too recent."""
        if not self._samples or now - self._samples[0][0] < _SLOPE_LEAST_S:
            return None
        at, total = self._samples[0]
        return (self.total - total) / (now - at)


def sentence_of(text: str) -> str:
    """Returns an error's text with a capital at its begin and a full stop at its end; the case of names stays."""
    text = text.strip()
    if text.split(" ", 1)[0].isalpha():
        text = text[0].upper() + text[1:]
    return text if not text or text[-1] in ".!?" else f"{text}."

"""Lines in, windows out: what is remembered, what is only asked, and how far a new line is from the known ones."""

from __future__ import annotations

import numpy as np
import pytest
from logwarden.model.masking import mask_line
from logwarden.model.stream import LogStream
from logwarden.model.windowing import WindowBatch

from tests.oracles import TableSpy, embed, log_lines

MEASURED = ("log_count", "log_age", "distance")


def stream_of(*, table_rows: int = 64, **limits: int) -> LogStream:
    return LogStream(TableSpy().table(table_rows), **({"size": 4, "max_slots": 4} | limits))


def push(stream: LogStream, texts: list[str], slots: list[int] | None = None, first_offset: int = 0) -> WindowBatch:
    batch = stream.push(log_lines(texts, slots, first_offset))
    stream.scored()
    return batch


def naive_distances(texts: list[str]) -> list[float]:
    """1 - the greatest cosine to any different line before; what a line was measured at first stays with it."""
    found: dict[str, float] = {}
    for text in map(mask_line, texts):
        if text not in found:
            cosines = [float(embed([text])[0] @ embed([known])[0]) for known in found]
            found[text] = min(1.0, 1.0 - max([0.0, *cosines]))
    return [found[mask_line(text)] for text in texts]


def test_a_new_line_is_as_far_as_its_nearest_known_line() -> None:
    """Distances are those of the plain definition, whether the lines came in one batch or in several."""
    texts = ["a", "b", "a 1", "c", "b", "a 2", "d", "c", "e"]
    expected = naive_distances(texts)
    together, apart = stream_of(), stream_of()
    np.testing.assert_allclose(push(together, texts).newest("distance"), expected, atol=1e-6)
    cut = [push(apart, part).newest("distance") for part in (texts[:2], texts[2:3], texts[3:])]
    np.testing.assert_allclose(np.concatenate(cut), expected, atol=1e-6)
    assert len(set(expected)) > 4


def test_distances_are_measured_within_a_service() -> None:
    """What one service says often is still unheard of in another."""
    batch = push(stream_of(), ["a", "a", "a"], [0, 1, 0])
    assert batch.newest("distance").tolist() == [1.0, 1.0, 1.0]
    assert batch.newest("log_count").tolist() == [0.0, 1.0, 0.0]  # slot 0, slot 0, slot 1


def test_many_new_lines_at_once_are_measured_like_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of new lines is compared in blocks; the block's size changes no distance."""
    texts = [chr(97 + i % 26) * (1 + i // 26) for i in range(120)]
    whole = push(stream_of(table_rows=256), texts).newest("distance")
    monkeypatch.setattr("logwarden.model.stream._BLOCK", 7)
    np.testing.assert_allclose(push(stream_of(table_rows=256), texts).newest("distance"), whole, atol=1e-6)
    np.testing.assert_allclose(whole, naive_distances(texts), atol=1e-6)


@pytest.mark.parametrize("known", [["a", "b", "a", "c"], []])
def test_asking_says_what_pushing_would(known: list[str]) -> None:
    """Familiarity of a question is that of the same lines in the stream, repeats of unknown lines included."""
    question = ["b", "x", "x", "a", "y", "x"]
    asked_of, told = stream_of(), stream_of()
    for stream in (asked_of, told) if known else ():
        push(stream, known)
    asked = asked_of.peek(log_lines(question), [0])
    asked_of.scored()
    pushed = push(told, question)
    for name in MEASURED:
        np.testing.assert_allclose(asked.newest(name), pushed.newest(name), atol=1e-6, err_msg=name)


def test_asking_leaves_no_trace() -> None:
    """The same question has the same answer again, and the service's next window holds none of it."""
    stream = stream_of()
    push(stream, ["a", "b"])
    first = stream.peek(log_lines(["b", "x"]), [0])
    second = stream.peek(log_lines(["b", "x"]), [0])
    for name in MEASURED:
        assert first.windows(name).tolist() == second.windows(name).tolist()
    assert push(stream, ["c"]).windows("text")[0].tolist() == [b"", b"a", b"b", b"c"]


def test_texts_asked_about_do_not_see_each_other() -> None:
    """Each text has windows of its own lines, measured against its own history or none."""
    stream = stream_of()
    push(stream, ["a", "a", "a"])
    batch = stream.peek(log_lines(["a", "b", "a"], [0, 1, 1]), [0, None])
    assert batch.windows("text").tolist() == [[b"", b"", b"", b"a"], [b"", b"", b"", b"b"], [b"", b"", b"b", b"a"]]
    assert batch.newest("log_count").tolist() == [2.0, 0.0, 0.0]
    assert batch.newest("log_age").tolist() == [2.0, 0.0, 0.0]
    assert batch.newest("distance").tolist() == [1.0, 0.0, 0.0]


def test_a_raw_line_is_kept_up_to_its_bound() -> None:
    """People see a line as it came, truncated where the memory bound says; masking reads all of it."""
    stream = stream_of(shown_chars=5)
    batch = push(stream, ["status=200 and 77", "ok 1"])
    assert batch.newest("text").tolist() == ["stat…".encode(), b"ok 1"]
    assert [stream.table.text(int(i)) for i in batch.newest("id")] == ["status=200 and *", "ok *"]


def test_the_bound_on_a_raw_line_counts_characters() -> None:
    """A Chinese line has as many characters in its alert as an English one, and ends in a whole one."""
    batch = push(stream_of(shown_chars=1000), ["磁盘已满" * 1250, "磁盘已满" * 250])
    long, short = (text.decode() for text in batch.newest("text"))
    assert long == "磁盘已满" * 249 + "磁盘已…"
    assert short == "磁盘已满" * 250


def test_a_step_is_flushed_with_its_familiarity() -> None:
    """Lines that waited for their step are judged with what was measured when they came."""
    stream = stream_of(step=3)
    assert len(push(stream, ["a", "a"])) == 0
    batch = stream.flush(np.array([0]))
    stream.scored()
    assert batch.windows("log_count").tolist() == [[0.0, 0.0, 0.0, 1.0]]
    assert (batch.filled.tolist(), batch.fresh.tolist()) == ([2], [2])


def test_a_cleared_slot_forgets_windows_and_history() -> None:
    """A service that takes over a slot is new in every respect."""
    stream = stream_of()
    push(stream, ["a", "b"])
    stream.clear(np.array([0]))
    batch = push(stream, ["a"])
    assert batch.windows("text")[0].tolist() == [b"", b"", b"", b"a"]
    assert (batch.newest("log_age").tolist(), batch.newest("distance").tolist()) == ([0.0], [1.0])

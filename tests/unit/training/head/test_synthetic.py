"""Windows of the recipe: which ones are anomalous, what an injected message looks like, and the seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from logwarden.model.defaults import WINDOW_SIZE
from logwarden.training.encoder.source_messages import SourceMessage
from logwarden.training.head.foreign import SEVERE_WORDS, names_failure
from logwarden.training.head.synthetic import MIN_AGE, SyntheticWindows
from logwarden.training.head.windows import LineTexts, WindowSet
from tests.models import tiny_encoder

STATEMENTS = [
    SourceMessage("cannot open the journal of the volume", True),
    SourceMessage("lost the connection to the primary", True),
    SourceMessage("expected an instance of string", True),  # raised, but it names no failure
    SourceMessage("opened the journal of the volume", False),
    SourceMessage("the primary has a new follower", False),
    SourceMessage("retry after the peer refused us", False),  # routine, but it names a failure
]
FOREIGN = {"cannot open the journal of the volume", "lost the connection to the primary"}
KNOWN_FAILURE = "upstream timed out for the client"


def _web(lines: int) -> list[str]:
    """Requests of a web server; every tenth line is a failure that the server logs all the time."""
    routine = ["GET /health 200", "POST /order 201", "GET /page 304"]
    stream = []
    for n in range(lines):
        text = f"proxy [7] error: {KNOWN_FAILURE}" if n % 10 == 9 else f"proxy [7] INFO {routine[n % 3]} in {n} ms"
        # Now and then a harmless line that was never logged before.
        stream.append(
            f"proxy [7] INFO reloaded the zone {chr(97 + n // 40 % 26)}tail of names" if n % 40 == 5 else text
        )
    return stream


def _store(lines: int) -> list[str]:
    """Lines of a database without a header that the recipe knows, and one rare failure late in the stream."""
    stream = [
        f"checkpoint {n} wrote pages of the heap" if n % 2 else f"vacuum of table t{n} ended" for n in range(lines)
    ]
    stream[-2] = "relation is corrupted beyond the last page"
    return stream


STREAMS = {"web": _web(460), "store": _store(420), "short": ["gossip between the brokers ended well"] * 2 * MIN_AGE}


def _recipe(seed: int = 3) -> tuple[SyntheticWindows, LineTexts]:
    texts = LineTexts(tiny_encoder())
    return SyntheticWindows(texts, STREAMS, STATEMENTS, seed=seed), texts


@pytest.fixture(scope="module")
def recipe() -> tuple[SyntheticWindows, LineTexts]:
    """Returns the recipe of two streams and the texts by row."""
    return _recipe()


@pytest.fixture(scope="module")
def windows() -> tuple[WindowSet, list[str]]:
    """Returns 1,200 windows of every kind and the texts by row."""
    recipe, texts = _recipe()
    return recipe.draw(1_200), texts.texts()


def _made(recipe: SyntheticWindows, kind: str, stream: int, times: int) -> list[tuple[np.ndarray, np.ndarray, object]]:
    """Returns windows of one kind, each as rows, familiarity and the label of its own."""
    make: Callable[..., float | None] = getattr(recipe, f"_{kind}")
    made: list[tuple[np.ndarray, np.ndarray, object]] = []
    for _ in range(times):
        ids, familiarity = np.zeros(WINDOW_SIZE, np.int32), np.zeros((WINDOW_SIZE, 3), np.float32)
        made.append((ids, familiarity, make(recipe._streams[stream], ids, familiarity)))
    return made


def test_every_anomalous_window_ends_in_a_failure(windows: tuple[WindowSet, list[str]]) -> None:
    """The newest line of an anomalous window names a failure, and the stream has it at most ten times before."""
    drawn, texts = windows
    anomalous = drawn.labels == 1
    assert 0.2 < anomalous.mean() < 0.5, "about a third: 0.28 of the windows, and half of 0.10"
    assert all(names_failure(texts[row]) for row in drawn.ids[anomalous, -1])
    assert drawn.familiarity[anomalous, -1, 0].max() <= np.float32(np.log2(11))
    assert set(np.unique(drawn.labels)) <= {np.float32(label) for label in (0, 0.2, 0.5, 0.6, 1)}


def test_failures_that_the_service_logs_all_the_time_are_normal(windows: tuple[WindowSet, list[str]]) -> None:
    """Normal windows end in failures too, so the word alone does not decide."""
    drawn, texts = windows
    severe = np.array([SEVERE_WORDS.search(texts[row]) is not None for row in drawn.ids[:, -1]])
    normal = (drawn.labels == 0) & severe
    assert normal.sum() > 50
    assert np.median(drawn.familiarity[normal, -1, 0]) > np.median(drawn.familiarity[drawn.labels == 1, -1, 0])


def test_padding_is_on_the_left_and_has_no_history(windows: tuple[WindowSet, list[str]]) -> None:
    """Some windows are short; their padding precedes their lines, and every newest line is real."""
    drawn, _ = windows
    padding = drawn.ids == 0
    shortened = padding[:, 0] & (drawn.familiarity[:, -1, 1] > 0)
    assert 0.08 < shortened.mean() < 0.15, "an eighth of the windows with a history: 0.90 / 8"
    assert not padding[:, -1].any()
    assert not (np.diff(padding.astype(int), axis=1) > 0).any(), "no padding after a line"
    assert not drawn.familiarity[padding].any()
    assert (drawn.ids < len(drawn.table)).all()


def test_only_the_seed_decides(windows: tuple[WindowSet, list[str]]) -> None:
    """One seed draws the same windows twice; another seed draws others."""
    drawn, _ = windows
    again, other = _recipe()[0].draw(1_200), _recipe(seed=4)[0].draw(1_200)
    for name in ("ids", "familiarity", "labels"):
        np.testing.assert_array_equal(getattr(again, name), getattr(drawn, name))
    assert not np.array_equal(other.labels, drawn.labels)


def test_foreign_messages_follow_their_labels(recipe: tuple[SyntheticWindows, LineTexts]) -> None:
    """A raised message without a failure and a routine one with a failure are noise, and no pool contains them."""
    synthetic, texts = recipe
    rows = texts.texts()
    for stream in synthetic._streams:
        severe, benign = ([rows[row] for row in pool.rows] for pool in (stream.severe, stream.benign))
        assert all(names_failure(text) for text in severe)
        assert not any(SEVERE_WORDS.search(text.removeprefix("proxy * error: ")) for text in benign)
        assert any(message in text for text in severe for message in FOREIGN)
        assert not any("instance of string" in text or "peer refused" in text for text in [*severe, *benign])


def test_messages_get_the_header_of_their_new_stream(recipe: tuple[SyntheticWindows, LineTexts]) -> None:
    """Most injected messages have a header of the web server, severe ones often with its level raised to ERROR."""
    synthetic, texts = recipe
    rows = texts.texts()
    web, store = synthetic._streams
    severe = [rows[row] for row in web.severe.rows]
    behind = [text for text in severe if text.startswith("proxy * ")]
    assert 0.6 < len(behind) / len(severe) < 0.9, "a quarter stays without"
    assert any("ERROR" in text for text in behind)
    bare = [rows[row] for row in store.severe.rows]
    assert set(bare) >= FOREIGN, "this stream's lines have no header to give"


def test_short_streams_teach_nothing(windows: tuple[WindowSet, list[str]]) -> None:
    """A stream without twice the lines before its first window is left out, and so are its messages."""
    assert not any("gossip" in text for text in windows[1])


def test_restarts_are_normal_though_they_log_failures(recipe: tuple[SyntheticWindows, LineTexts]) -> None:
    """A planned restart has no label of its own, so it stays normal, with several injected lines and severe ones."""
    synthetic, texts = recipe
    rows = texts.texts()
    made = _made(synthetic, "restart", 1, 60)
    assert {label for _, _, label in made} == {None}
    injected = [sum(not rows[row].startswith(("checkpoint", "vacuum")) for row in ids) for ids, _, _ in made]
    assert np.mean(injected) > 4, "4 to 15 harmless messages, some of them the stream's own"
    assert any(names_failure(rows[ids[-1]]) for ids, _, _ in made)


def test_bursts_of_new_lines_are_injected_once_each(recipe: tuple[SyntheticWindows, LineTexts]) -> None:
    """A burst ends in a line that the service never logged, and at most eleven lines of it are harmless messages."""
    synthetic, _ = recipe
    pool = set(synthetic._streams[1].benign.rows.tolist())
    for ids, familiarity, label in _made(synthetic, "burst_of_new", 1, 40):
        assert label is None
        assert ids[-1] in pool
        assert familiarity[-1, 2] == pytest.approx(familiarity[-1, 2].clip(0, 1))
        assert familiarity[-1, 0] <= np.log2(12)


def test_a_line_after_a_failure_is_normal_if_the_service_logs_it_often(
    recipe: tuple[SyntheticWindows, LineTexts],
) -> None:
    """Failures before a frequent line have had a window of their own; a rare newest line keeps some doubt."""
    synthetic, texts = recipe
    rows = texts.texts()
    for ids, familiarity, label in _made(synthetic, "after_something_severe", 0, 60):
        assert any(SEVERE_WORDS.search(rows[row]) for row in ids[:-1])
        assert label == (None if familiarity[-1, 0] > 3 else 0.2)


def test_a_new_line_that_names_a_failure_has_half_a_label(recipe: tuple[SyntheticWindows, LineTexts]) -> None:
    """A stream without labels may contain a failure, so a rare severe line is neither normal nor anomalous."""
    synthetic, texts = recipe
    rows = texts.texts()
    made = _made(synthetic, "as_it_came", 1, 1_000)
    doubted = {rows[ids[-1]] for ids, _, label in made if label == 0.5}
    assert doubted == {"relation is corrupted beyond the last page"}
    assert {label for _, _, label in made} == {None, 0.5}


def test_text_alone_decides_without_history(recipe: tuple[SyntheticWindows, LineTexts]) -> None:
    """A window without familiarity gets its label from the text of its newest line."""
    synthetic, texts = recipe
    rows = texts.texts()
    labels = set()
    for ids, familiarity, label in _made(synthetic, "text_alone", 1, 80):
        assert not familiarity.any()
        assert names_failure(rows[ids[-1]]) == (label == 1)
        labels.add(label)
    assert labels == {0.0, 1.0}


def test_unchanged_windows_are_the_stream(recipe: tuple[SyntheticWindows, LineTexts]) -> None:
    """Unchanged windows follow the stream line by line, have label 0, and none ends in a failure."""
    synthetic, texts = recipe
    kept = synthetic.as_they_came(most=100)
    rows = texts.texts()
    assert not kept.labels.any()
    assert not any(SEVERE_WORDS.search(rows[row]) for row in kept.ids[:, -1])
    assert len(kept) == 95, "50 of each stream, without the five failures among those of the web server"
    first = synthetic._streams[0].rows[MIN_AGE - WINDOW_SIZE + 1 : MIN_AGE + 1]
    np.testing.assert_array_equal(kept.ids[0], first)
    assert kept.familiarity[0, -1, 1] == pytest.approx(np.log2(1 + MIN_AGE))


def test_distances_shrink_as_a_stream_grows(recipe: tuple[SyntheticWindows, LineTexts]) -> None:
    """More known lines can only bring a foreign message nearer, and a line's own text is at no distance."""
    synthetic, _ = recipe
    for stream in synthetic._streams:
        distinct = len(np.unique(stream.rows))
        for pool in (stream.severe, stream.benign):
            assert pool.distance.shape == (len(pool.rows), distinct)
            assert (np.diff(pool.distance, axis=1) <= 1e-6).all()
            own = np.isin(pool.rows, stream.rows)
            assert np.allclose(pool.distance[own, -1], 0, atol=1e-4)
    assert np.isin(synthetic._streams[1].benign.rows, synthetic._streams[1].rows).any()

"""From a record's bytes to the text in an alert: limits count characters, in any script, and what is cut says so."""

from __future__ import annotations

import json
from typing import cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.decoding.decoder import Decoder
from logwarden.daemon.engine.stream import open_stream
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.judge import WindowJudge
from logwarden.daemon.ports import Engine
from logwarden.daemon.settings.groups import AlertSettings, LimitSettings, Settings
from logwarden.model.verdicts import AlertPolicy, Scores
from logwarden.model.windowing import WindowBatch
from tests.oracles import LogRecord, TableSpy, assignment, default_decoder, profile_of
from tests.unit.daemon.pipeline.test_judge import Clock, Scorer

LETTERS = "a …é中文日本語Тестمرحباहिन्दी😀👩\u200d💻ß\u0301\ufffd"
# Without control characters, which reading removes.
SCRIPTS = st.text(
    st.sampled_from(LETTERS) | st.characters(exclude_categories=("Cs", "Zl", "Zp", "Cc")), min_size=1, max_size=120
)


class Certain(Scorer):
    """Finds every line anomalous."""

    def score(self, batch: WindowBatch) -> Scores:
        weights = np.full((len(batch), batch.size), 1 / batch.size, np.float32)
        return Scores(np.zeros((len(batch), 2), np.float32), np.ones(len(batch)), weights)


def alert_text(value: bytes, *, read: int, shown: int) -> str | None:
    """The text that an alert quotes of a record; None if the record is blank."""
    settings = Settings(limits=LimitSettings(max_line_chars=read), alerts=AlertSettings(max_line_chars=shown))
    policy = AlertPolicy(threshold=0.5, learning_lines=0, model_revision="r")
    engine = Engine(scorer=Certain(), table=TableSpy().table(), policy=policy)
    ingestor = Ingestor(open_stream(engine, settings, max_slots=1), max_services=1)
    decoder: Decoder = default_decoder(max_line_chars=read, form="raw")
    owner = assignment(1, profile=profile_of(decoder, max_alert_line_chars=shown))
    work = ingestor.ingest([(owner, [LogRecord(value)])], now=0.0).work
    if not work:
        return None
    (publication,) = WindowJudge(Clock()).judge(engine, work).publications
    alert = json.loads(cast(bytes, publication.message.value))
    assert alert["message"] == alert["logwarden"]["lines"][-1]["text"]
    return cast(str, alert["message"])


@given(SCRIPTS, st.integers(64, 80), st.integers(16, 90))
def test_an_alert_quotes_whole_characters(text: str, read: int, shown: int) -> None:
    """A line within the limits is quoted whole; a longer one keeps as many characters as the setting names."""
    line = text.encode().strip(b" \t\r\n\0").decode().replace("\r\n", " ").replace("\n", " ")
    quoted = alert_text(text.encode(), read=read, shown=shown)
    if not line:
        assert quoted is None
        return
    limit = min(read, shown)
    assert quoted is not None
    if len(line) <= limit:
        assert quoted == line
    else:
        assert quoted == line[: limit - 1] + "…"


@given(st.binary(min_size=1, max_size=200), st.integers(64, 80), st.integers(16, 90))
def test_an_alert_ends_in_a_replacement_only_if_its_line_did(value: bytes, read: int, shown: int) -> None:
    """U+FFFD stands for a byte that a producer sent, never for half a character that a limit left over."""
    quoted = alert_text(value, read=read, shown=shown)
    if quoted is not None and quoted.endswith("\ufffd"):
        line = value.strip(b" \t\r\n\0").decode("utf-8", "replace")
        assert line.replace("\r\n", " ").replace("\n", " ") == quoted

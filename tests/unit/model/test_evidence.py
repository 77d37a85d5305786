"""What a line states by its words and codes, and what an English encoder reads of other languages."""

from __future__ import annotations

import numpy as np
import pytest

from logwarden.model import evidence


def stated(text: str) -> set[str]:
    """Returns the names of the evidence of a canonical text."""
    return {name for name, value in zip(evidence.NAMES, evidence.of_texts([text])[0], strict=True) if value}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('* - - * "GET path HTTP/1.1" 502 *', {"status_5xx"}),
        ("GET /cart 500 * ms", {"status_5xx"}),
        ('"GET path" 404 *', set()),
        ('"GET path" 200 *', set()),
        ("POST /pay status=403", {"status_4xx"}),
        ("rpc answered code = UNAVAILABLE", {"failure", "status_5xx"}),
        ("job exited with code 137", {"exit_code"}),
        ("job exited with code 0", set()),
        ("process killed by signal 9", {"failure", "exit_code"}),
        ("ORA-00600 raised", {"exit_code"}),
        ("java.lang.NullPointerException: x", {"exception"}),
        ("thread 'main' panicked at src/main.rs", {"failure", "exception"}),
        ("connection refused by peer", {"failure"}),
        ("E* *:*:* * shop.go:*] payment declined", {"level_error"}),
        ("worker started successfully", {"health"}),
        ("stopping on SIGTERM", {"planned"}),
        ("* errors, * ok", {"health"}),
        ("sync finished, errors=*", {"health"}),
        ("index scan needed: * pages had * dead item identifiers removed", set()),
        ("node * is dead", {"failure"}),
        ("item saved, error: null", set()),
        ("数据库连接失败", {"failure"}),
        ("не удалось открыть файл", {"failure"}),
        ("データベースへの接続に失敗しました", {"failure"}),
        ("Verbindung verweigert", {"failure"}),
        ("conexión rechazada", {"failure"}),
        ("الاتصال مرفوض", {"failure"}),
        ("連線逾時", {"failure"}),
        ("доступ запрещён", {"failure"}),
        ("内存溢出", {"failure"}),
        ("权限不足", {"trouble"}),
        ("veza nije uspjela", {"failure"}),
        ("user profile loaded", set()),
        ("felt hat delivered", set()),
        ("", set()),
    ],
)
def test_evidence_of_a_line(text: str, names: set[str]) -> None:
    """Levels, statuses, exit codes and words of failure; a counter of errors is none."""
    found = stated(text) - {"level_stated", "level_warning", "failures"}
    assert {name for name in found if name != "level_critical"} == names


def test_the_columns_are_in_bounds_and_keep_their_order() -> None:
    """A table of any number of texts has one row for each, and a text has the same row in every batch."""
    texts = ["ERROR failed failed timeout corrupt", "", "ok"]
    table = evidence.of_texts(texts)
    assert table.shape == (3, evidence.WIDTH)
    assert evidence.of_texts([]).shape == (0, evidence.WIDTH)
    assert table.min() >= 0
    assert table.max() <= 1
    assert np.array_equal(table[0], evidence.of_texts(texts[:1])[0])


def test_other_scripts_are_glossed_and_spelt_in_latin_letters() -> None:
    """The encoder reads English words for failures, and different words of a script stay different."""
    assert "failed" in evidence.glossed("数据库连接失败")
    assert evidence.glossed("数据库").isascii()
    assert evidence.glossed("数据库") != evidence.glossed("缓存")
    assert evidence.glossed("plain text") == "plain text"


def test_a_head_from_before_the_evidence_reads_embeddings_only() -> None:
    """A checkpoint of an earlier release gets the embeddings as they are, and a new one the evidence behind them."""
    embeddings = np.ones((2, 4), np.float32)
    assert evidence.line_vectors(embeddings, ["a", "b"], 0) is embeddings
    assert evidence.line_vectors(embeddings, ["a", "b"], evidence.WIDTH).shape == (2, 4 + evidence.WIDTH)

"""Messages of Python packages: their level, their form, their limits, and failures harvested elsewhere."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from logwarden.training.encoder import source_messages
from logwarden.training.encoder.source_messages import SourceMessage, harvested_failures, log_statements


def _found(tmp_path: Path, source: str) -> dict[str, bool]:
    package = tmp_path / "shop"
    package.mkdir(exist_ok=True)
    (package / "cart.py").write_text(source)
    return {statement.text: statement.severe for statement in log_statements([tmp_path])}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("log.error('no route to ' + host + ' from here')", "no route to * from here"),
        ("log.error('no route to %s from here' % host)", "no route to * from here"),
        ("log.error('no route to %(host)s from here' % names)", "no route to * from here"),
        ("log.error('no route to {} from here'.format(host))", "no route to * from here"),
        ("log.error(f'no route to {host!r} from here')", "no route to * from here"),
        ("self.logger.critical('no route to any host')", "no route to any host"),
        ("app.logging.exception('no route to any host')", "no route to any host"),
        ("raise errors.Unreachable('no route to any host')\nraise E()", "no route to any host"),
    ],
)
def test_each_way_to_build_a_message_gives_the_masked_text(source: str, text: str, tmp_path: Path) -> None:
    """Parts that are known only at run time become stars, as the product masks them in a log."""
    assert _found(tmp_path, f"{source}\nraise Stop(code)\n") == {text: True}


@pytest.mark.parametrize(
    "source",
    [
        "logger.warning('half of these are routine')",
        "logger.setLevel('a level of many words')",
        "get_logger().error('the name of this owner is unknown')",
        "catalog_of()('the call of a call is no level')",
        "log.error(message)",
        "log.error(42, 'the text comes second here')",
        "log.error('short')",
        "log.error('12345 : 67890 %s')",
        "raise ValueError",
        "log.error('an open bracket of a template'",
    ],
)
def test_calls_without_a_clear_message_are_left_out(source: str, tmp_path: Path) -> None:
    """Warnings, other calls, texts without words and files that do not parse teach nothing."""
    other = "\nlog.info('the door has opened again')\n"
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "door.py").write_text(other)
    (tmp_path / "shop" / "words.py").write_text("print('a file without one logger')\n")
    assert _found(tmp_path, source + "\n# log.error( raise X(\n") == {"the door has opened again": False}


def test_a_text_of_both_levels_is_left_out_over_all_packages(tmp_path: Path) -> None:
    """One package logs the text as routine and another as severe: it names neither."""
    for package, level in (("shop", "info"), ("till", "error")):
        (tmp_path / package).mkdir()
        lines = f"log.{level}('the till is closed now')\nlog.{level}('only the {package} logs this')\n"
        (tmp_path / package / "module.py").write_text(lines)
    assert log_statements([tmp_path]) == [
        SourceMessage("only the shop logs this", False),
        SourceMessage("only the till logs this", True),
    ]


def _numbered(level: str, names: Sequence[str]) -> str:
    return "".join(f"log.{level}('the {name} of the basket is gone')\n" for name in names)


def test_a_large_package_is_limited_and_others_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a fixed number of messages of each kind comes from one package; a full package is not read on."""
    monkeypatch.setattr(source_messages, "_MAX_PER_PACKAGE", 3)
    for package in ("large", "small"):
        (tmp_path / package).mkdir()
    many = ["apple", "banana", "cherry", "damson", "elder"]
    (tmp_path / "large" / "a.py").write_text(_numbered("error", many) + _numbered("info", [n.upper() for n in many]))
    (tmp_path / "large" / "b.py").write_text(_numbered("error", ["quince"]))
    (tmp_path / "small" / "a.py").write_text(_numbered("error", ["raisin"]))
    found = log_statements([tmp_path])
    assert sum(statement.severe for statement in found) == 3 + 1
    assert sum(not statement.severe for statement in found) == 3
    texts = " ".join(statement.text for statement in found)
    assert "raisin" in texts
    assert "quince" not in texts


def test_harvested_failures_are_short_texts_that_name_one(tmp_path: Path) -> None:
    """Only short texts with a word of failure count, each once, all severe; the seed decides which ones."""
    kept = ["failed to bind the socket", "cannot read the page of the index", "the lease was lost by the node"]
    left = ["the node has joined", "failed", "failed-to-bind-the-socket", "error in a text " + "of many words " * 10]
    path = tmp_path / "texts.jsonl.gz"
    with gzip.open(path, "wt") as out:
        out.writelines(json.dumps({"package": "p", "text": text}) + "\n" for text in [*kept, *left, *kept])
    assert harvested_failures(path) == [SourceMessage(text, True) for text in sorted(kept)]
    some = harvested_failures(path, most=2, seed=1)
    assert len(some) == 2
    assert harvested_failures(path, most=2, seed=1) == some

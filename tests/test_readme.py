"""README, CONTRIBUTING and the pages in docs: their Python runs; their commands, options and settings exist."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main

from logwarden.daemon.__main__ import app
from logwarden.daemon.health import HealthState
from logwarden.daemon.incidents import alert as alerts
from logwarden.daemon.settings.describing import describe, settings_markdown
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.web.bridge_metrics import BridgeCounts
from logwarden.daemon.web.metrics import PrometheusTelemetry
from logwarden.daemon.web.metrics_page import metrics_markdown
from logwarden.model.masking import line_hash, mask_line

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TOP = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "deploy/RUNBOOK.md")
DOCUMENTS = [*(path for name in TOP if (path := ROOT / name).is_file()), *PAGES]
MAX_README_LINES = 130
WEIGHTS = ROOT / "model" / "weights" / "model.safetensors"
FOLDERS = ("daemon", "demo", "model", "training")
"""Folders at the top of the repository. Their modules are imported as `logwarden.…` only."""
PASSED_ON = {
    "train": "logwarden.training.head",
    "evaluate": "logwarden.training.evaluation",
    "faultlab": "logwarden.training.faultlab",
    "demo": "logwarden.demo",
}
"""Commands whose options are another program's, and that program."""
OF_THE_TESTS = {
    "LOGWARDEN_DATA",
    *(f"LOGWARDEN_REQUIRE_{name}" for name in ("KAFKA", "DATA", "FAULTLAB", "BROWSER")),
}

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```[ \t]*$", re.M | re.S)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its tag, its text, and its first line in the document."""

    tag: str
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    """Returns the fenced blocks of a document."""
    return [Block(m[1].strip(), m[2], text.count("\n", 0, m.start(2)) + 1) for m in _FENCE.finditer(text)]


def commands(text: str) -> list[list[str]]:
    """Returns every command, as words, of shell blocks and of code type within sentences, without leading variables."""
    lines = [
        block.text.replace("\\\n", " ") for block in blocks(text) if block.tag in ("sh", "bash", "shell", "console")
    ]
    spans = [span for span in _SPAN.findall(_FENCE.sub("", text)) if re.match(r"(?:make|logwarden|python) \S", span)]
    found = []
    for line in "\n".join(lines + spans).splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True, posix=True)
        part: list[str] = []
        for word in [*words, ";"]:
            if word in (";", "&&", "||", "|", "&"):
                found += [part] if part else []
                part = []
            elif part or not re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*", word):
                part.append(word.removeprefix(".venv/bin/") if not part else word)
    return found


def wrong_commands(text: str) -> list[str]:
    """Returns the commands of a document that do not exist, each with the reason."""
    return [f"{' '.join(words)}: {reason}" for words in commands(text) for reason in _wrong(words)]


def _wrong(words: list[str]) -> Iterator[str]:
    if words[0] == "make":
        targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
        for word in words[1:]:
            if "=" not in word and not word.startswith("-") and word not in targets:
                yield f"make has no target {word}"
    elif words[0] == "logwarden":
        yield from _wrong_logwarden(words[1:])
    elif words[:2] == ["python", "-m"]:
        top = words[2].partition(".")[0]
        if top in FOLDERS or (top in ("logwarden", "tests") and not _is_module(words[2])):
            yield f"there is no module {words[2]}"
        elif top in ("logwarden", "tests"):
            yield from _unknown_options(words[3:], _options_of(words[2]))


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False


def _wrong_logwarden(words: list[str]) -> Iterator[str]:
    known: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name = words[0] if words else ""
    if name.startswith("-") or not name:
        yield from _unknown_options(words, {"--version"})
    elif name not in known:
        yield f"logwarden has no command {name}"
    elif name in PASSED_ON:
        yield from _unknown_options(words[1:], _options_of(PASSED_ON[name]))
    else:
        yield from _unknown_options(
            words[1:], {option for p in known[name].params for option in (*p.opts, *p.secondary_opts)}
        )


def _unknown_options(words: list[str], known: set[str]) -> Iterator[str]:
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("-") and option != "-" and option not in known | {"--help"}:
            yield f"unknown option {option}"


def _options_of(module: str) -> set[str]:
    """Returns the options in a program's source. Its `--help` would load torch first."""
    spec = find_spec(module)
    if spec is not None and spec.submodule_search_locations:
        spec = find_spec(f"{module}.__main__")
    assert spec is not None, f"{module} can be run"
    assert spec.origin is not None, f"{module} is a file"
    return set(re.findall(r"[\"'](--?[a-z][\w-]*)[\"']", Path(spec.origin).read_text(encoding="utf-8")))


def unknown_settings(text: str) -> list[str]:
    """Returns variables with the prefix that are no settings; one that ends in `…` or `__` names a group."""
    known = {row.variable for row in describe(Settings())} | OF_THE_TESTS
    groups = {f"{name.partition('__')[0]}__" for name in known}
    found = set(re.findall(r"\bLOGWARDEN_[A-Z0-9_]+", text))
    return sorted(found - known - groups)


def unknown_metrics(text: str) -> list[str]:
    """Returns metrics with the prefix `logwarden_` that `/metrics` does not have."""
    known = set(re.findall(r"^# TYPE (\w+)", _metrics(), re.M))
    return sorted(set(re.findall(r"\blogwarden_[a-z_]+", text)) - known)


def _metrics() -> str:
    """Returns what the daemon and the bridge answer on `/metrics`."""
    return (PrometheusTelemetry(HealthState()).render() + BridgeCounts(("webhook",)).render()).decode()


def broken_links(document: Path, text: str | None = None) -> list[str]:
    """Returns links to files of the repository, or headings, that do not exist. `text`: in place of the document's."""
    text = document.read_text(encoding="utf-8") if text is None else text
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", _FENCE.sub("", text))
    return [target for target in targets if "://" not in target and not _leads_somewhere(document, target)]


def _leads_somewhere(document: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = document.parent / name if name else document
    if not path.exists():
        return False
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", path.read_text(encoding="utf-8")), re.M) if anchor else []
    return not anchor or anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# ---------------------------------------------------------------- tests

needs_readme = pytest.mark.skipif(not README.read_text(encoding="utf-8").strip(), reason="README.md is not written yet")
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


@needs_readme
def test_the_python_in_the_readme_compiles() -> None:
    """The Python of the documents compiles, also where it is not run."""
    assert any(block.tag == "python" for block in blocks(README.read_text(encoding="utf-8"))), "the API is shown"
    for document in DOCUMENTS:
        for block in blocks(document.read_text(encoding="utf-8")):
            if block.tag.split(" ")[0] == "python":
                compile("\n" * (block.line - 1) + block.text, document.name, "exec")


@needs_readme
@pytest.mark.parametrize("document", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name)
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the shipped model's weights are not in model/weights yet")
def test_the_python_in_the_readme_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of the README or of a page runs when pasted into a prompt."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "readme"}
    for block in blocks(document.read_text(encoding="utf-8")):
        if block.tag == "python":
            exec(compile("\n" * (block.line - 1) + block.text, document.name, "exec"), namespace)


def test_the_settings_page_is_the_settings() -> None:
    """docs/settings.md is what `logwarden config --format markdown` prints: the settings of this very version."""
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_markdown()


def test_the_metrics_page_is_the_metrics() -> None:
    """docs/metrics.md lists every metric of `/metrics` with the labels and meanings of this very version."""
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == metrics_markdown()
    rendered = re.findall(r"^# TYPE (logwarden_\w+) ", _metrics(), re.M)
    assert sorted(rendered) == sorted(re.findall(r"^\| `(\w+)`", page, re.M))


@needs_readme
def test_the_alert_in_the_readme_is_one_of_ours() -> None:
    """The shown alert, however shortened, has the id and the key that the daemon would give it."""
    shown = [block.text for block in blocks(README.read_text(encoding="utf-8")) if block.tag == "json"]
    for alert in (found for text in shown if "logwarden" in (found := json.loads(text))):
        facts, service = alert["logwarden"], alert["service"]["name"]
        source = facts["source"]
        place = (source["topic"], source["partition"], service, source["last_offset"], source["index"])
        assert alert["id"] == alerts.alert_id(*place)
        assert facts["dedup_key"] == f"{service}:{alerts.kind_name(line_hash(mask_line(alert['message'])))}"


@each_document
def test_commands_exist(document: Path) -> None:
    """Every target, command, module and option in a document exists."""
    assert wrong_commands(document.read_text(encoding="utf-8")) == []


@each_document
def test_variables_exist(document: Path) -> None:
    """Every LOGWARDEN_ variable in a document is a setting."""
    assert unknown_settings(document.read_text(encoding="utf-8")) == []


@each_document
def test_metrics_exist(document: Path) -> None:
    """Every metric that a document names is one that `/metrics` has."""
    assert unknown_metrics(document.read_text(encoding="utf-8")) == []


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    """A link within the repository leads to a file of it, and to a heading where it names one."""
    assert broken_links(document) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    """A file that is missing and a heading that is missing are both found; other sites are left alone."""
    links = (
        "[a](CONTRIBUTING.md) [b](NOTHING.md) [c](#limits) [d](#nothing) [e](CONTRIBUTING.md#tests) [f](docs/x.md#y)"
    )
    assert broken_links(README, f"{links} [g](https://example.org/x)") == ["NOTHING.md", "#nothing", "docs/x.md#y"]


def test_the_readme_is_short() -> None:
    """A reader who only wants to know what this is should not have to scroll for long."""
    assert 50 < len(README.read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES


def test_the_readme_begins_with_an_alert_and_a_way_to_try_it() -> None:
    """The first screen shows the result, the command that produces one, and how to install it, in this order."""
    text = README.read_text(encoding="utf-8")
    places = [text.index(mark) for mark in ('"logwarden": {', "\nmake demo", "\npip install", "logwarden run")]
    assert places == sorted(places)
    assert text.count("\n", 0, places[1]) < 40


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nmake demmo\n```",
        "```sh\ncd x && make demo tset\n```",
        "```console\n$ LOGWARDEN_X=1 logwarden rn\n```",
        "```sh\nlogwarden scan app.log \\\n  --basline good.log\n```",
        "Say `logwarden alerts --frm-beginning`.",
        "Say `python -m logwarden.training.trian`.",
        "Say `python -m logwarden.training.nothing.train`.",
        "Say `python -m training" + ".train`.",
        "```sh\nlogwarden --verson\n```",
    ],
)
def test_a_wrong_command_is_found(text: str) -> None:
    """The check finds commands in blocks, behind others, over two lines and within sentences."""
    assert len(wrong_commands(text)) == 1


def test_right_commands_are_left_alone() -> None:
    """Arguments, assignments, comments and other programs are not checked."""
    text = (
        "```sh\nmake demo ARGS=--fast   # nope\nexport A=1\ndocker run -it x --nope\nlogwarden scan - --format=jsonl\n"
        "LOGWARDEN_LOG__LEVEL=debug logwarden run --env-file x.env\n```\n```python\nmake(nope)\n```\n"
        "`make`, `logwarden`"
    )
    assert wrong_commands(text) == []
    assert unknown_metrics("logwarden_lag_records logwarden_lag") == ["logwarden_lag"]
    assert unknown_settings("LOGWARDEN_KAFKA__GROUP_IDS LOGWARDEN_KAFKA__ LOGWARDEN_DATA") == [
        "LOGWARDEN_KAFKA__GROUP_IDS"
    ]


def test_blocks_know_their_line() -> None:
    """An error in a block points to the README's own line."""
    assert blocks("one\n```python no-run\nx = 1\n```\n```sh\n```\n") == [
        Block("python no-run", "x = 1\n", 3),
        Block("sh", "", 6),
    ]

"""The documentation site: it builds without a warning, and loads nothing from other hosts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import typer.main

from logwarden.daemon.__main__ import app
from logwarden.daemon.incidents.alert import kind_name
from logwarden.model.masking import line_hash, mask_line
from tests.layout import link
from tests.test_readme import DOCUMENTS, PASSED_ON, blocks, commands

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the site as `make docs` does, with each warning as a failure."""
    folder = tmp_path_factory.mktemp("site")
    if not (ROOT / ".cache" / "src").exists():  # where the reference of the Python API is read from
        link(ROOT / ".cache" / "src")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    """A reader behind a firewall sees the whole site: no font, script, style or picture is on another host."""
    loads = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//|@import\s+url\(["']?http""")
    linked = re.compile(r"""<link\b[^>]*rel=["']?(?:stylesheet|preconnect|preload|icon)[^>]*href=["']?(?:https?:)?//""")
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = page.read_text(encoding="utf-8")
        assert not loads.search(text), page
        assert not linked.search(text), page
        assert "fonts.googleapis" not in text, page


def test_documents_beside_the_folder_are_pages_and_other_files_are_copies(site: Path) -> None:
    """A link of a page to the runbook leads to a page, and one to a schema leads to the schema itself."""
    assert 'href="repository/RUNBOOK.html"' in (site / "deploy.html").read_text(encoding="utf-8")
    assert 'href="../decisions/index.html"' in (site / "repository" / "ARCHITECTURE.html").read_text(encoding="utf-8")
    schema = "daemon/incidents/incident.schema.json"
    assert (site / "repository" / schema).read_bytes() == (ROOT / schema).read_bytes()


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    """Returns the module of the hooks, which is in no package."""
    spec = util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["daemon/incidents/alert", "daemon/incidents/incident", "daemon/feedback/feedback"])
def test_a_table_has_every_field_of_its_schema(hooks: ModuleType, name: str) -> None:
    """Each name of a property, however deep, has a row."""
    schema = json.loads((ROOT / f"{name}.schema.json").read_text(encoding="utf-8"))

    def properties(part: Any) -> set[str]:
        if isinstance(part, dict):
            return set(part.get("properties", {})).union(*map(properties, part.values()))
        return set().union(*map(properties, part)) if isinstance(part, list) else set()

    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", hooks.schema_table(schema), re.M)
    assert {path.replace("[]", "").rpartition(".")[2] for path, _ in rows} == properties(schema)
    assert len(rows) == len(set(rows))
    assert all(kind.strip() for _, kind in rows)


@pytest.mark.parametrize("page", ["incidents.md", "reading.md"])
def test_records_that_a_page_explains_are_real(page: str) -> None:
    """An alert or an incident on a page satisfies its schema, and its kinds of lines are those of its texts."""
    records = [json.loads(b.text) for b in blocks((ROOT / "docs" / page).read_text("utf-8")) if b.tag == "json"]
    assert records
    for record in records:
        facts = record["logwarden"]
        name = "incident" if "gates" in facts else "alert"
        path = ROOT / "daemon" / "incidents" / f"{name}.schema.json"
        jsonschema.validate(record, json.loads(path.read_text(encoding="utf-8")))
        shown = [(facts["dedup_key"], record["message"])] if name == "alert" else []
        shown += [(line["dedup_key"], line["text"]) for line in facts["lines"] if "dedup_key" in line]
        assert [key.rpartition(":")[2] for key, _ in shown] == [
            kind_name(line_hash(mask_line(text))) for _, text in shown
        ]


def refusals(text: str) -> list[str]:
    """Returns the commands in shell blocks that logwarden's own parser refuses, each with its reason."""
    known: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    shell = "".join(f"```{b.tag}\n{b.text}```\n" for b in blocks(text) if b.tag in ("sh", "bash", "console"))
    found = []
    for words in commands(shell):
        if words[0] != "logwarden" or len(words) < 2 or words[1] not in known or words[1] in PASSED_ON:
            continue
        end = next((i for i, word in enumerate(words) if re.match(r"\d?[<>]", word)), len(words))
        try:
            known[words[1]].make_context(words[1], words[2:end])
        except Exception as error:  # typer brings a copy of click, whose errors have no common base with click's
            if type(error).__name__ != "Exit":  # of --help
                found.append(f"{' '.join(words)}: {error}")
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_are_complete(document: Path) -> None:
    """What a document prints in a block has all its arguments, and values that the options take."""
    assert refusals(document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "command", ["scan", "incidents --severity grave", "incidents --no-follow", "config --format xml"]
)
def test_an_incomplete_command_is_found(command: str) -> None:
    """A missing argument, an unknown option and a value that an option does not take are all refused."""
    assert len(refusals(f"```sh\nlogwarden {command}\n```")) == 1


def test_what_the_answers_claim_is_what_was_measured() -> None:
    """docs/faq.md compares with the keyword rule in words; the figures of the last benchmark bear them out."""
    figures = json.loads((ROOT / "docs" / "benchmarks" / "figures.json").read_text(encoding="utf-8"))["faultlab"]

    def at(past: str, method: str) -> tuple[int, float]:
        shown = figures[past][method]["at_threshold"]
        return shown["found"], shown["false_per_million"]

    found, false = at("peace", "logwarden")
    by_rule, false_by_rule = at("peace", "keyword in a new line")
    assert 0.85 < by_rule / found < 0.95  # "nine of ten that logwarden finds"
    assert 0.5 < false_by_rule / false < 2  # "about as many false alarms"
    again, false_again = at("faults", "logwarden")
    assert 0.2 < at("faults", "keyword in a new line")[0] / again < 0.3  # "a quarter of what logwarden finds"
    everywhere, flood = at("faults", "keyword in the line")
    assert everywhere > again  # "finds them"
    assert flood / false_again > 200  # "hundreds of times the alarms"
    alone = figures["peace"]["logwarden"]["at_threshold"]
    assert alone["per_service_day_median"] == 0  # "the median service has no false alarm"

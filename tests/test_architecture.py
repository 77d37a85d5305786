"""Compares the documents with the code: the imports that ARCHITECTURE.md describes, and the names that all contain.

More tests keep torch and Kafka clients out: `tests/sim/test_invariants.py` for the pipeline,
`tests/unit/daemon/test_command_line.py` for light commands, `tests/unit/model/test_detector.py` for `model/schema.py`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import layout

ROOT = Path(__file__).parent.parent
PRODUCTS = ("daemon", "demo", "logwarden", "model", "training")
DOCUMENT = ROOT / "ARCHITECTURE.md"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
MAX_LINES = 220
OF_THE_PAST = {"from-the-original-scripts.md": {"inference.py", "moe_log_detector.py"}}
"""Files that a page names because they exist no more."""

IMPORTERS = {
    "aiokafka": {"daemon/kafka"},
    "confluent_kafka": {"demo/daemon_process.py"},
    "prometheus_client": {
        *("daemon/web/metrics.py", "daemon/web/metric_families.py"),
        *("daemon/web/health_metrics.py", "daemon/web/bridge_metrics.py"),
    },
    "aiohttp": {"daemon/web", "daemon/bridges/posting.py"},
    "mcp": {"daemon/agents/serving.py"},
    "mcp_types": {"daemon/agents/serving.py"},
    "uvicorn": {"daemon/agents/serving.py"},
    "pydantic_settings": {"daemon/settings"},
    "multiprocessing": {"training/benchmark/command.py"},
    "threading": {"daemon/logs.py", "daemon/process.py", "daemon/commands/unpacking.py", "training/faultlab"},
}
"""Libraries with one home each, and its path."""

CORES = (
    *(
        "daemon/pipeline/ingest.py",
        "daemon/incidents/alert.py",
        "daemon/pipeline/batcher.py",
        "daemon/decoding/decoder.py",
        "daemon/pipeline/judge.py",
    ),
    *("daemon/pipeline/ledger.py", "daemon/records.py", "daemon/errors.py", "daemon/commands/rendering.py"),
)
"""Files of the daemon that decide and compute. They never wait, so they need no event loop and no log."""


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _files(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    """Yields the top-level names of every import of a file, at any place in it."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _who_imports(library: str, *packages: str) -> set[str]:
    found = (path for path in _files(*packages) if library in _imports(path))
    return {path.relative_to(ROOT).as_posix() for path in found}


# ---------------------------------------------------------------- the code


def test_the_import_contracts_hold(tmp_path: Path) -> None:
    """Imports go downwards only: daemon and training stand on model and never on each other."""
    layout.link(tmp_path)
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(sys.argv[1], no_cache=True))"
    command = [sys.executable, "-c", code, str(ROOT / "pyproject.toml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("library", IMPORTERS)
def test_a_library_has_one_home(library: str) -> None:
    """A library is imported in one place, so that its traps are known there and a replacement changes one file."""
    found = _who_imports(library, *PRODUCTS)
    homes = IMPORTERS[library]
    strangers = {path for path in found if path not in homes and not any(path.startswith(f"{h}/") for h in homes)}
    assert not strangers
    assert bool(found) == bool(homes)


def test_one_file_of_the_daemon_imports_torch() -> None:
    """The daemon meets tensors in one file; its other files see arrays."""
    assert _who_imports("torch", "daemon") == {"daemon/engine/with_torch.py"}
    assert _who_imports("transformers", "daemon") == set()


@pytest.mark.parametrize("path", CORES)
def test_a_core_knows_no_event_loop(path: str) -> None:
    """A file that decides can be called from any code and tested with literals."""
    assert not {"asyncio", "threading", "structlog", "signal", "socket", "os"} & set(_imports(ROOT / path))


def test_three_files_of_the_model_open_files() -> None:
    """A model comes from a directory by way of three files; the rest of the ground floor is arithmetic."""
    openers = set()
    for path in _files("model"):
        for node in ast.walk(_tree(path)):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in ("open", "read_text", "read_bytes", "write_text", "write_bytes", "load_file", "save_file"):
                openers.add(path.name)
    assert openers == {"checkpoint.py", "encoder.py", "encoder_files.py"}


def test_the_pipeline_is_given_its_effects() -> None:
    """Clock, broker, model and threads are built in `daemon/service.py`; the data path only knows their ports."""
    effects = ("logwarden.daemon.kafka", "logwarden.daemon.engine", "logwarden.daemon.clock", "logwarden.daemon.worker")
    of_the_daemon = {"KafkaSource", "KafkaSink", "SystemClock", "ThreadWorker", "load_engine"}
    built = of_the_daemon | {"loading", "tail_topic"}
    named: dict[str, set[str]] = {}
    for path in _files("daemon"):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(effects):
                for name in built & {alias.name for alias in node.names}:
                    named.setdefault(path.relative_to(ROOT / "daemon").as_posix(), set()).add(name)
    assert named == {
        "service.py": of_the_daemon,
        "logs.py": {"SystemClock"},  # the log folds its events by time, and is set up before the service
        "commands/alerts.py": {"tail_topic"},  # `logwarden alerts` reads a topic for people
        "commands/incidents.py": {"tail_topic"},  # likewise
        "bridges/building.py": {"ThreadWorker"},  # the mail client of the standard library blocks
        "commands/bridge.py": {"KafkaSource", "KafkaSink", "SystemClock"},  # `logwarden bridge` is a daemon of its own
        "commands/mcp.py": {"SystemClock"},  # `logwarden mcp` reads times such as 2h from now
        "commands/feedback.py": {"KafkaSink", "SystemClock"},  # `logwarden feedback` writes a record of now
        "commands/parsers/incidents.py": {"SystemClock"},  # `logwarden incidents --since 2h` counts from now
        "commands/parsers/alerts.py": {"SystemClock"},  # likewise
        "commands/reading.py": {"SystemClock"},  # a time without a year in a pipe is of the year before now
        "commands/parsers/status.py": {"SystemClock"},  # `logwarden status --watch` waits
        "commands/scan.py": {"loading"},  # `logwarden scan` reads files, without a broker
    }


# ---------------------------------------------------------------- the documents


@pytest.fixture(scope="module")
def text() -> str:
    """Returns the text of ARCHITECTURE.md."""
    return DOCUMENT.read_text(encoding="utf-8")


@cache
def _all_files() -> dict[str, list[str]]:
    """Returns file name → paths in the products and the documents."""
    found: dict[str, list[str]] = {}
    for package in (*PRODUCTS, "deploy", "docs"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.setdefault(path.name, []).append(path.relative_to(ROOT).as_posix())
    return found


@cache
def _defined_in_tests() -> frozenset[str]:
    """Returns the functions of the tests: tests themselves, invariants, ablations."""
    return frozenset(
        node.name
        for path in _files("tests")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@cache
def _defined_in_code() -> frozenset[str]:
    """Returns classes, methods, functions and modules, and the settings as `group.field`."""
    defined: set[str] = set()
    for path in _files(*PRODUCTS, "tests"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        for end in range(1, len(parts) + 1):
            module = ".".join(parts[:end])
            defined |= {module, f"logwarden.{module}"}
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                defined |= {node.name} | {f"{node.name}.{n.name}" for n in node.body if hasattr(n, "name")}
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                defined |= {node.name, f"{path.stem}.{node.name}"}
    settings = (ROOT / "daemon" / "settings" / "groups.py").read_text(encoding="utf-8")
    fields = {f"{group}.{name}" for group in re.findall(r"^    (\w+): \w+Settings = ", settings, re.M)
              for name in re.findall(r"^    (\w+): ", settings, re.M)}  # fmt: skip
    return frozenset(defined | fields)


def missing_files(text: str, folder: Path = ROOT) -> list[str]:
    """Returns files and folders in a text that do not exist, neither below the root nor below the text's folder.

    A bare name may be anywhere in the products.
    """
    named = set(re.findall(r"(?<![\w./-])[\w.-]+(?:/[\w.-]+)*\.(?:py|md|toml|json|yaml|xml|sh|txt)\b", text))
    named |= set(
        re.findall(r"(?<![\w./-])(?:daemon|demo|logwarden|model|training|tests|deploy|docs)/(?:\w+/)*(?![\w.])", text)
    )
    named = {re.sub(r"^(?:\.\./)+", "", name) for name in named}  # of a link out of a folder
    there = {name for name in named if (ROOT / name).exists() or (folder / name).exists() or name in _all_files()}
    return sorted(named - there)


def missing_tests(text: str) -> list[str]:
    """Returns names in the last column of the table of invariants that no test, invariant or ablation has."""
    rows = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("|") and "tests/" in line]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row[-1])}
    named |= set(re.findall(r"\btest_[a-z_0-9]+\b(?!\.py)", text))
    return sorted(named - _defined_in_tests())


def missing_code(text: str) -> list[str]:
    """Returns names in code type, such as `PartitionLedger.position`, that the code does not define."""
    named = re.findall(r"`([A-Z][a-z]\w+(?:\.\w+)?|\w+(?:\.\w+)+)(?:\(\))?`", text)
    external = re.compile(r"^(?:\d|LOGWARDEN_|\w+\.(?:py|md|toml|json|yaml|sh|txt)$|\w+\.schema\.json$)")
    return sorted(name for name in set(named) - _defined_in_code() if not external.match(name))


def missing_rooms(text: str) -> list[str]:
    """Returns packages without a row in the map of rooms. `<name>` in a row stands for every package there."""
    rows = set(re.findall(r"^\| `([\w/<>-]+/)` \|", text, re.M))
    packages = [path.parent.relative_to(ROOT) for name in PRODUCTS for path in (ROOT / name).rglob("__init__.py")]
    any_of = {re.sub(r"<\w+>/$", "", row) for row in rows if row.endswith(">/")}
    return sorted(
        f"{package.as_posix()}/"
        for package in packages
        if f"{package.as_posix()}/" not in rows and f"{package.parent.as_posix()}/" not in any_of
    )


def missing_sections(text: str) -> list[str]:
    """Returns the sections of a decision that this text lacks, or has without words."""
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    return [
        name for name in ("Context", "Decision", "Alternatives", "Consequences") if not sections.get(name, "").strip()
    ]


def test_the_document_is_short(text: str) -> None:
    """The document takes a quarter of an hour to read at most."""
    assert 50 < len(text.splitlines()) < MAX_LINES


def test_the_document_names_what_is_there(text: str) -> None:
    """Every test and every name in ARCHITECTURE.md exists."""
    assert missing_tests(text) == []
    assert missing_code(text) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_files_that_are_there(document: Path) -> None:
    """Every file and folder that a document names exists, unless the page is about the past."""
    missing = missing_files(document.read_text(encoding="utf-8"), document.parent)
    assert set(missing) == OF_THE_PAST.get(document.name, set())


def test_every_package_is_on_the_map(text: str) -> None:
    """A reader who looks for the home of a new line finds every room, with its owner."""
    assert missing_rooms(text) == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_sections(page: Path) -> None:
    """A decision without alternatives and consequences is an announcement."""
    text = page.read_text(encoding="utf-8")
    assert missing_sections(text) == []
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert missing_code(text) == []


def test_every_decision_is_listed_once() -> None:
    """The numbers have no gap, and the index leads to every page by its title."""
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    titles = [page.read_text(encoding="utf-8").partition("\n")[0].partition(". ")[2] for page in DECISIONS]
    rows = [
        f"| {n} | [{title}]({page.name}) |" for n, (title, page) in enumerate(zip(titles, DECISIONS, strict=True), 1)
    ]
    assert len(rows) > 10
    assert [line for line in index.splitlines() if re.match(r"\| \d", line)] == rows


def test_what_is_not_there_is_found() -> None:
    """Each check finds a missing name; a check that cannot fail would let the documents rot."""
    assert missing_files("see `daemon/nowhere.py`, nothing.py, tests/none/, [x](../../model/none.md), docs/none/") == [
        "daemon/nowhere.py",
        "docs/none/",
        "model/none.md",
        "nothing.py",
        "tests/none/",
    ]
    assert missing_tests("| x | y | tests/sim: `no_such_ablation` |\n test_of_nothing") == [
        "no_such_ablation",
        "test_of_nothing",
    ]
    assert missing_code("`PartitionLedger.nothing` `Nobody` `PartitionLedger.position` `logwarden.model.none`") == [
        "Nobody",
        "PartitionLedger.nothing",
        "logwarden.model.none",
    ]
    assert missing_sections("## Context\nwords\n## Decision\n\n## Consequences\nwords\n") == [
        "Decision",
        "Alternatives",
    ]


def test_a_room_that_is_not_on_the_map_is_found(text: str) -> None:
    """Without its row a package is missing; a mention elsewhere is no row."""
    assert missing_rooms(text.replace("| `daemon/kafka/` |", "| daemon |")) == ["daemon/kafka/"]
    assert len(missing_rooms("see daemon/kafka/")) > 10

"""What ARCHITECTURE.md says of the code, held to the code: who imports what, and that what it names is there.

That the pipeline loads neither torch nor a Kafka client is tested in `tests/sim/test_invariants.py`, that the command
line's light commands do not in `tests/unit/daemon/test_command_line.py`, `model/schema.py` in `tests/unit/model/`.
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
MAX_LINES = 220

IMPORTERS = {
    "aiokafka": {"daemon/kafka"},
    "confluent_kafka": {"demo/playback.py"},
    "prometheus_client": {"daemon/web/metrics.py"},
    "aiohttp": {"daemon/web/server.py"},
    "pydantic_settings": {"daemon/settings"},
    "multiprocessing": set(),
    "threading": {"training/faultlab"},
}
"""Libraries that each have one home, and where that is."""

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
"""Files of the daemon that decide and compute. They wait for nothing, so they need no event loop and no log."""


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _files(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    """Top-level names of everything a file imports, wherever in it."""
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
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("library", IMPORTERS)
def test_a_library_has_one_home(library: str) -> None:
    """What a library's traps are is known in one place, and replacing it changes one file."""
    found = _who_imports(library, *PRODUCTS)
    homes = IMPORTERS[library]
    strangers = {path for path in found if path not in homes and not any(path.startswith(f"{h}/") for h in homes)}
    assert not strangers
    assert bool(found) == bool(homes)


def test_one_file_of_the_daemon_imports_torch() -> None:
    """The daemon meets tensors in one file; everything else of it sees arrays."""
    assert _who_imports("torch", "daemon") == {"daemon/engine/loading.py"}
    assert _who_imports("transformers", "daemon") == set()


@pytest.mark.parametrize("path", CORES)
def test_a_core_knows_no_event_loop(path: str) -> None:
    """What decides can be called from anywhere and tested with literals."""
    assert not {"asyncio", "threading", "structlog", "signal", "socket", "os"} & set(_imports(ROOT / path))


def test_two_files_of_the_model_open_files() -> None:
    """A model comes from a directory by way of two files; the rest of the ground floor is arithmetic."""
    openers = set()
    for path in _files("model"):
        for node in ast.walk(_tree(path)):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in ("open", "read_text", "read_bytes", "write_text", "write_bytes", "load_file", "save_file"):
                openers.add(path.name)
    assert openers == {"checkpoint.py", "encoder.py"}


def test_the_pipeline_is_given_its_effects() -> None:
    """Clock, broker, model and threads are built in `daemon/service.py`; the data path only knows their ports."""
    named = set()
    for path in _files("daemon"):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module in (
                "logwarden.daemon.kafka.consumer",
                "logwarden.daemon.engine.loading",
                "logwarden.daemon.worker",
            ):
                named.add(path.name)
            if isinstance(node, ast.ImportFrom) and node.module == "logwarden.daemon":
                named |= {path.name for alias in node.names if alias.name in ("kafka", "scorer", "worker")}
    assert named == {"service.py", "alerts.py"}  # the latter: `logwarden alerts`, which reads a topic for people


# ---------------------------------------------------------------- the document


@pytest.fixture(scope="module")
def text() -> str:
    """ARCHITECTURE.md."""
    return DOCUMENT.read_text(encoding="utf-8")


@cache
def _all_files() -> dict[str, list[str]]:
    """File name → paths in the products."""
    found: dict[str, list[str]] = {}
    for package in (*PRODUCTS, "deploy"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.setdefault(path.name, []).append(path.relative_to(ROOT).as_posix())
    return found


@cache
def _defined_in_tests() -> frozenset[str]:
    """Functions of the tests: tests themselves, invariants, ablations."""
    return frozenset(
        node.name
        for path in _files("tests")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def missing_files(text: str) -> list[str]:
    """Files and folders that a text names and that are not there. A bare name may lie anywhere in the products."""
    named = set(re.findall(r"(?<![\w./-])[\w.-]+(?:/[\w.-]+)*\.(?:py|md|toml|json|yaml|xml|sh|txt)\b", text))
    named |= set(
        re.findall(r"(?<![\w./-])(?:daemon|demo|logwarden|model|training|tests|deploy)/(?:\w+/)*(?![\w.])", text)
    )
    return sorted(name for name in named if not (ROOT / name).exists() and name not in _all_files())


def missing_tests(text: str) -> list[str]:
    """Names in the last column of the table of invariants that no test, invariant or ablation has."""
    rows = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("|") and "tests/" in line]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row[-1])}
    named |= set(re.findall(r"\btest_[a-z_0-9]+\b(?!\.py)", text))
    return sorted(named - _defined_in_tests())


def missing_code(text: str) -> list[str]:
    """Dotted or capitalised names in code type, such as `PartitionLedger.position`, that the code does not define."""
    defined: set[str] = set()
    for path in _files(*PRODUCTS, "tests"):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                defined |= {node.name} | {f"{node.name}.{n.name}" for n in node.body if hasattr(n, "name")}
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                defined |= {node.name, f"{path.stem}.{node.name}"}
    named = re.findall(r"`([A-Z][a-z]\w+(?:\.\w+)?|\w+\.\w+)(?:\(\))?`", text)
    external = re.compile(r"^(?:\d|LOGWARDEN_|Trainer$|\w+\.(?:py|md|toml|json|yaml|sh|txt)$)")
    settings = (ROOT / "daemon" / "settings" / "groups.py").read_text(encoding="utf-8")
    fields = {f"{group}.{name}" for group in re.findall(r"^    (\w+): \w+Settings = ", settings, re.M)
              for name in re.findall(r"^    (\w+): ", settings, re.M)}  # fmt: skip
    return sorted(name for name in set(named) - defined - fields if not external.match(name))


def test_the_document_is_short(text: str) -> None:
    """What takes a quarter of an hour to read gets read."""
    assert 50 < len(text.splitlines()) < MAX_LINES


def test_the_document_names_what_is_there(text: str) -> None:
    """Every file, test and name in ARCHITECTURE.md exists."""
    assert missing_files(text) == []
    assert missing_tests(text) == []
    assert missing_code(text) == []


def test_the_way_in_names_what_is_there() -> None:
    """Every file in CONTRIBUTING.md exists."""
    assert missing_files((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")) == []


def test_every_file_has_its_place_in_the_document(text: str) -> None:
    """No file of the daemon, the model or the public package is left out of the map."""
    files = [path.name for path in (*(ROOT / "daemon").rglob("*.py"), *(ROOT / "model").glob("*.py"))]
    assert [name for name in files if name != "__init__.py" and not re.search(rf"\b{name}\b", text)] == []
    assert "logwarden/__init__.py" in text
    assert "logwarden/__main__.py" in text


def test_what_is_not_there_is_found() -> None:
    """A check that could not fail would let the document rot."""
    assert missing_files("see `daemon/nowhere.py`, nothing.py, tests/none/") == [
        "daemon/nowhere.py",
        "nothing.py",
        "tests/none/",
    ]
    assert missing_tests("| x | y | tests/sim: `no_such_ablation` |\n test_of_nothing") == [
        "no_such_ablation",
        "test_of_nothing",
    ]
    assert missing_code("`PartitionLedger.nothing` `Nobody` `PartitionLedger.position`") == [
        "Nobody",
        "PartitionLedger.nothing",
    ]

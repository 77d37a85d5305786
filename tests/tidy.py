"""The style of this repository, as rules that a reviewer would otherwise repeat; `tests/test_tidy.py` asserts them.

A rule reads one file and yields a sentence per breach. Exceptions are in a table, each with its reason.
"""

from __future__ import annotations

import ast
import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent
PRODUCTS = ("daemon", "demo", "logwarden", "model", "training")
PACKAGES = (*PRODUCTS, "tests")

MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 350

Function = (ast.FunctionDef, ast.AsyncFunctionDef)
Definition = (*Function, ast.ClassDef)


@dataclass(frozen=True)
class Source:
    """A file of the repository: its path from the root, with slashes, and its text."""

    path: str
    text: str

    @property
    def package(self) -> str:
        """The top folder of the file."""
        return self.path.partition("/")[0]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()


Rule = Callable[[Source], Iterator[str]]

# ---------------------------------------------------------------- rules


def function_length(source: Source) -> Iterator[str]:
    """A function fits on a screen."""
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{node.lineno}: {node.name} has {lines} lines, more than {MAX_FUNCTION_LINES}"


def file_length(source: Source) -> Iterator[str]:
    """A file has one subject and fits into 350 lines."""
    if len(source.lines) > MAX_FILE_LINES:
        yield f"1: {len(source.lines)} lines, more than {MAX_FILE_LINES}"


def module_docstring(source: Source) -> Iterator[str]:
    """A module opens with a sentence about its subject."""
    if len((ast.get_docstring(source.tree) or "").split()) < 3:
        yield "1: no docstring that says what the module owns"


def prints(source: Source) -> Iterator[str]:
    """Only a program prints; a library logs, or returns its results."""
    if source.package in PRODUCTS:
        yield from _calls(source, {"print"}, "prints")


def clocks(source: Source) -> Iterator[str]:
    """Time comes in as an argument, or from an injected clock."""
    if source.package in ("daemon", "model"):
        yield from _names_of(source, "time", lambda name: name != "struct_time")
        yield from _calls(source, {"datetime.now", "datetime.utcnow", "datetime.today"}, "reads the clock with")


def tasks(source: Source) -> Iterator[str]:
    """Every task is created where its owner awaits its end."""
    if source.package in PRODUCTS:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and node.attr in ("create_task", "ensure_future"):
                yield f"{node.lineno}: {node.attr}"


def environment(source: Source) -> Iterator[str]:
    """The environment is read once, in one place."""
    if source.package in PRODUCTS:
        yield from _names_of(source, "os", lambda name: name in ("environ", "environb", "getenv", "putenv"))


def broad_excepts(source: Source) -> Iterator[str]:
    """A broad `except` gives its reason on the same line. A clean-up that raises again needs none."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = ast.unparse(node.type) if node.type else "everything"
        raises_again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        reasoned = "#" in source.lines[node.lineno - 1]
        if caught in ("Exception", "BaseException", "everything") and not raises_again and not reasoned:
            yield f"{node.lineno}: catches {caught} without a reason on the line"


def names(source: Source) -> Iterator[str]:
    """A name describes its thing; these words would fit any thing."""
    forbidden = {"manager", "handler", "handlers", "helper", "helpers", "util", "utils"}
    found = [(1, part) for part in Path(source.path).with_suffix("").parts]
    found += [(node.lineno, node.name) for node in ast.walk(source.tree) if isinstance(node, Definition)]
    for line, name in found:
        if forbidden & {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}:
            yield f"{line}: {name}"


def model_docstrings(source: Source) -> Iterator[str]:
    """The docstring of a public name of the model gives its arguments, its result and their units."""
    if source.package == "model":
        yield from _undocumented(source.tree)


def docstrings_of_tests(source: Source) -> Iterator[str]:
    """A test's docstring is a sentence about the world."""
    if source.package == "tests":
        for node in ast.walk(source.tree):
            if isinstance(node, Function) and node.name.startswith("test_") and not ast.get_docstring(node):
                yield f"{node.lineno}: {node.name} has no docstring"


def notes_to_self(source: Source) -> Iterator[str]:
    """Open work is in the tracker or in ARCHITECTURE.md, where people look."""
    yield from _matches(source, r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


def foreign_places(source: Source) -> Iterator[str]:
    """No path or host of one machine is in the repository: it has no meaning on another machine."""
    homes = "|".join(("wo" + "rk", "ho" + "me", "Us" + "ers", "work" + "space"))
    yield from _matches(source, r"(?<![\w$.})\]*/-])/(?:" + homes + r")/\w")
    registries = (
        *(r"py" + r"pi\.", r"pythonhos" + r"ted\.", r"repo\.ma" + r"ven\.", r"registry\.(?:np" + r"mjs|ya" + r"rn)"),
        *("docker" + r"\.io", r"ghcr" + r"\.io", "artifac" + "tory", r"\bnexus[.-][\w.-]+/", r"mirror[\w-]*\.\w"),
    )
    yield from _matches(source, r"(?i)" + "|".join(registries))


PYTHON_RULES: tuple[Rule, ...] = (
    function_length,
    file_length,
    module_docstring,
    prints,
    clocks,
    tasks,
    environment,
    broad_excepts,
    names,
    model_docstrings,
    docstrings_of_tests,
)
TEXT_RULES: tuple[Rule, ...] = (notes_to_self, foreign_places)

EXCEPTIONS: dict[Rule, dict[str, str]] = {
    prints: {
        "daemon/commands/alerts.py": "a command: JSON lines for machines, which rich would wrap and colour",
        "daemon/commands/config.py": "a command: JSON and markdown, likewise",
        "daemon/commands/incidents.py": "a command: JSON lines, likewise",
        "daemon/commands/scan.py": "a command: JSON lines, likewise",
        "daemon/commands/status.py": "a command: JSON, likewise",
        "training/benchmark/command.py": "a program: its progress",
        "training/benchmark/quoted.py": "a program: what documents quote",
        "training/encoder/distill.py": "a program: figures of a run",
        "training/evaluation/grouping.py": "a program: a table of figures",
        "training/evaluation/__main__.py": "a program: tables, and the sentence before its exit code",
        "training/faultlab/__main__.py": "a program: the lab's command line",
        "training/encoder/text_harvest.py": "a program: what was found",
        "training/head/__main__.py": "a program: the sentence before its exit code",
        "training/head/recipe.py": "a program: the sentence before its exit code",
        "training/head/judging.py": "a program: what was trained",
        "training/head/training.py": "a program: what was trained",
    },
    clocks: {
        "daemon/clock.py": "the clock itself",
        "daemon/settings/patterns.py": "measures how long a regular expression takes, before anything runs",
    },
    tasks: {
        "daemon/bridges/courier.py": "owns the notices on their way, in a task group",
        "daemon/commands/bridge.py": "owns the couriers and the wait for a signal",
        "daemon/commands/parsers/common.py": "owns the work of a command, which Ctrl-C ends",
        "daemon/kafka/membership.py": "owns the answer to an assignment, which may outlast the client's callback",
        "daemon/pipeline/pipeline.py": "owns the four loops, in a task group",
        "daemon/pipeline/publisher.py": "owns the loop of each output topic, in a task group",
        "daemon/pipeline/rebalance.py": "owns the work that a revoke must not cancel half way",
        "daemon/service.py": "owns the pipeline and the wait for a signal",
        "daemon/waiting.py": "owns the tasks whose outcome must not leak into the caller's",
        "daemon/web/coalescing.py": "owns each answer that others wait for; what it raises goes to them",
        "daemon/web/members.py": "owns the description of the group, for which several people wait and none for long",
        "daemon/watchdog.py": "owns the two loops beside the pipeline, in a task group",
    },
    environment: {
        "daemon/settings/reading.py": "where the environment is read",
        "model/onnx_runtime.py": "switches the telemetry of ONNX Runtime off, which it reads from there only",
        "training/corpora.py": "where the recordings are is a fact of the machine, and training has no settings",
    },
}

# ---------------------------------------------------------------- how the rules search


def _dotted(node: ast.expr) -> str:
    """Returns `a.b.c` for a chain of names, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def _calls(source: Source, called: set[str], verb: str) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _dotted(node.func) in called:
            yield f"{node.lineno}: {verb} {_dotted(node.func)}()"


def _names_of(source: Source, module: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    """Yields uses of `module.name`, and imports of names from the module, whatever their local names."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and _dotted(node.value) == module and wanted(node.attr):
            yield f"{node.lineno}: {module}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == module:
            yield from (f"{node.lineno}: {module}.{alias.name}" for alias in node.names if wanted(alias.name))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == module and alias.asname:
                    yield f"{node.lineno}: {module} under the name {alias.asname}"


def _undocumented(parent: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in parent.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield f"{node.lineno}: {node.name} has no docstring"
            if isinstance(node, ast.ClassDef):
                yield from _undocumented(node)


def _matches(source: Source, pattern: str) -> Iterator[str]:
    for number, line in enumerate(source.lines, 1):
        for found in re.finditer(pattern, line):
            yield f"{number}: {found[0]}"


def sources() -> list[Source]:
    """Returns every tracked text file; without git, every one in the folders of the project."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30)
        paths = listed.stdout.decode().split("\0")[:-1]
    except (OSError, subprocess.CalledProcessError):
        found = [path for folder in (*PACKAGES, "deploy", ".ci") for path in (ROOT / folder).rglob("*")]
        found += ROOT.glob("*")
        paths = [p.relative_to(ROOT).as_posix() for p in found if not {"__pycache__", "libs"} & set(p.parts)]
    out = []
    for path in sorted(paths):
        if (ROOT / path).is_file():  # tracked, and not deleted in this change
            with contextlib.suppress(UnicodeDecodeError):  # weights and pictures
                out.append(Source(path, (ROOT / path).read_text(encoding="utf-8")))
    return out


def looked_at(rule: Rule, tree: list[Source]) -> list[Source]:
    """Returns the files of a rule, without recordings and vocabularies, which other people wrote."""
    if rule in PYTHON_RULES:
        return [s for s in tree if s.path.endswith(".py") and s.package in PACKAGES]
    data = ("training/faultlab/recordings/", "model/weights/")
    return [s for s in tree if not s.path.startswith(data)]

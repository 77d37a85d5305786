"""Mutants and their runs by example: what is broken, what is left alone, and that the tree is never written to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.mutants import Mutant, draw, is_different, mutants
from tests.mutation import ROOT, Copy, Result, Results, first_failure, nearest


def of(source: str) -> set[tuple[str, str, str]]:
    """(operator, before, after) of every mutant of a source."""
    return {(mutant.operator, mutant.before, mutant.after) for mutant in mutants("x.py", source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {("comparison", "<", "<=")}),
        ("x = a < b >= c", {("comparison", "<", "<="), ("comparison", ">=", ">")}),
        ("x = (a) == (b)", {("comparison", "==", "!=")}),
        ("x = a is not b", {("comparison", "is not", "is")}),
        ("x = a not  in b", {("comparison", "not  in", "in")}),
        ("x = a + b // c", {("arithmetic", "+", "-"), ("arithmetic", "//", "*")}),
        ("x -= a", {("arithmetic", "-=", "+=")}),
        ("x = a and (b or c)", {("boolean", "and", "or"), ("boolean", "or", "and")}),
        ("x = not a", {("not", "not ", "")}),
        ("x = not(a)", {("not", "not", "")}),
        ("x = 0", {("number", "0", "1")}),
        ("x = 1_024", {("number", "1_024", "2048"), ("number", "1_024", "512")}),
        ("x = True", {("truth", "True", "False")}),
        ("x = min(a, b)", {("extreme", "min", "max")}),
        ("x = np.maximum(a, b)", {("extreme", "maximum", "minimum")}),
        ("self._pulse.beat()", {("call", "self._pulse.beat()", "pass")}),
        ("async def f() -> None:\n    await g(\n        a,\n    )", {("call", "await g(\n        a,\n    )", "pass")}),
        ("if a:\n    b", {("condition", "a", "not (a)")}),
        ("x = b if f(a) else c", {("condition", "f(a)", "not (f(a))")}),
        ("if a == b:\n    c", {("comparison", "==", "!=")}),
        ("def f() -> str:\n    return (a)", {("return", "a", "None")}),
    ],
)
def test_a_spot_is_broken(source: str, expected: set[tuple[str, str, str]]) -> None:
    """Every operator breaks the code it is for, and an equal mutant is made once."""
    assert of(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Docstring of 3 lines, 1 < 2."""',
        "x: Literal[1] = a",
        "def f(x: Literal[1, 2] | None) -> tuple[Literal[3]]: ...",
        "@dataclass(frozen=True)\nclass C: ...",
        "if TYPE_CHECKING:\n    import a\n    x = 1",
        'x = f"{a + 1}"',
        'x = "a" + b',
        "assert a < b, f(1)",
        "def __repr__(self) -> str:\n    return a + b",
        "self._log.info('event', size=1)",
        "zip(a, b, strict=True).x",
        "def f() -> None:\n    return",
        "def f():\n    return a",
        "def f() -> bool:\n    return x",
        "if __name__ == '__main__':\n    x",
    ],
)
def test_what_changes_no_behaviour_is_left_alone(source: str) -> None:
    """Types, text, assertions and logging are not broken: such a mutant would survive for good reasons."""
    found = of(source)
    assert {operator for operator, _, _ in found} <= ({"return"} if "-> bool" in source else {"comparison"}
            if "__name__" in source else set())  # fmt: skip


def test_log_calls_are_removed_on_demand() -> None:
    """With `logs` an event that is not logged is a mutant as well."""
    source = "log.warning('gap', lost=a)"
    assert mutants("x.py", source) == []
    assert [mutant.after for mutant in mutants("x.py", source, logs=True)] == ["pass"]


SNIPPET = '''"""Ünïcode before the spot shifts bytes and not characters."""


def judge(score: float, threshold: float = 1) -> bool:  # — über
    """Returns True from the threshold on."""
    note = "é → ≥"; above = score >= threshold and not note  # comment stays
    return above
'''


def test_the_source_outside_the_spot_is_untouched() -> None:
    """A mutant differs from its source in one place, also where characters take several bytes."""
    found = mutants("x.py", SNIPPET)
    assert {mutant.operator for mutant in found} == {"number", "comparison", "boolean", "not", "return"}
    for mutant in found:
        start, end = mutant.start, mutant.end
        before, after = SNIPPET.encode(), mutant.apply(SNIPPET).encode()
        assert (before[:start], before[end:]) == (after[:start], after[start + len(mutant.after) :])
        assert is_different(SNIPPET, mutant.apply(SNIPPET))
        assert mutant.before in SNIPPET.splitlines()[mutant.line - 1]


def test_a_mutant_of_another_source_is_refused() -> None:
    """A stale mutant would break an arbitrary place."""
    with pytest.raises(AssertionError, match="belongs to the source"):
        mutants("x.py", SNIPPET)[0].apply("# new first line\n" + SNIPPET)


def test_a_seed_draws_the_same_mutants() -> None:
    """The same files and seed give the same mutants in the same order; another seed gives others."""
    files = {f"model/{name}.py": SNIPPET for name in "abcdef"}
    first = draw(files, 8, seed=1)
    assert first == draw(dict(reversed(files.items())), 8, seed=1)
    assert len({mutant.name for mutant in first}) == 8
    assert first != draw(files, 8, seed=2)
    assert len(draw(files, 10_000, seed=1)) == 6 * len(mutants("x.py", SNIPPET))


def test_every_mutant_of_the_product_can_be_made() -> None:
    """What the daemon and the model are made of is broken where it was meant to be, and still compiles."""
    path = ROOT / "model" / "windowing.py"
    source = path.read_text(encoding="utf-8")
    found = mutants("model/windowing.py", source)
    assert len(found) > 50
    assert all(is_different(source, mutant.apply(source)) for mutant in found)


def test_the_nearest_tests_run_first() -> None:
    """Tests named after the module come first, those of its own package before others; else tests that import it."""
    tests = {
        "tests/properties/test_ledger_properties.py": "",
        "tests/unit/pipeline/test_ledger.py": "",
        "tests/unit/test_ledgers.py": "",
        "tests/unit/test_a.py": "from logwarden.daemon.pipeline import batcher, ledger\n",
        "tests/unit/test_b.py": "from logwarden.daemon.clock import Clock\n",
        "tests/unit/test_c.py": "from logwarden.daemon.clockwork import Clock\n",
    }
    assert nearest("daemon/pipeline/ledger.py", tests) == [
        "tests/unit/pipeline/test_ledger.py",
        "tests/properties/test_ledger_properties.py",
    ]
    assert nearest("daemon/clock.py", tests) == ["tests/unit/test_b.py"]
    assert nearest("daemon/pipeline/batcher.py", tests) == ["tests/unit/test_a.py"]


def test_the_first_failure_is_named() -> None:
    """The summary of pytest names the test that caught a mutant; without one the run crashed."""
    assert first_failure("F\nFAILED tests/a.py::test_b[1] - assert 1\n1 failed") == "tests/a.py::test_b[1]"
    assert first_failure("FAILED tests/a.py::test_b[Say `x`.]\n1 failed") == "tests/a.py::test_b[Say `x`.]"
    assert first_failure("ERROR tests/a.py - ImportError\n") == "tests/a.py"
    assert first_failure("Segmentation fault") == "a crash"


def test_results_survive_an_interruption(tmp_path: Path) -> None:
    """A second run reads what the first has found; a file of another draw is not mixed with this one."""
    path = tmp_path / "results.jsonl"
    result = Result("x", "x.py:1  number  1 → 2", "", 1.0)
    first = Results(path, {"seed": 1})
    first.add_without(200.0)
    first.add(result)
    again = Results(path, {"seed": 1})
    assert again.by_mutant == {"x": result}
    assert (first.timeout_s, again.timeout_s, Results(None, {}).timeout_s) == (600.0, 600.0, 300.0)
    with pytest.raises(SystemExit, match="another draw"):
        Results(path, {"seed": 2})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one module, one test, and a layout like this one's."""
    root = tmp_path / "project"
    for name, text in {
        "model/__init__.py": "",
        "model/sums.py": "def total(a: int, b: int) -> int:\n    spare = 7\n    return a + b\n",
        "logwarden/__init__.py": "",
        "tests/__init__.py": "",
        "tests/unit/test_sums.py": "from logwarden.model.sums import total\n"
        "def test_sum():\n    assert total(1, 2) == 3\n",
        "pyproject.toml": '[tool.setuptools.package-dir]\n"logwarden" = "logwarden"\n"logwarden.model" = "model"\n'
        '[tool.pytest.ini_options]\nmarkers = ["kafka", "slow"]\n',
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "tests" / "layout.py", root / "tests" / "layout.py")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True, timeout=30)
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Every file of a tree, git's own left out."""
    paths = [path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_a_mutant_is_caught_or_survives_in_a_copy(project: Path, tmp_path: Path) -> None:
    """The test of a sum catches a difference and not a spare number; the tree itself stays as it was."""
    before = contents(project)
    source = (project / "model" / "sums.py").read_text(encoding="utf-8")
    found = {(mutant.operator, mutant.after): mutant for mutant in mutants("model/sums.py", source)}
    copy = Copy(project, tmp_path / "copy")
    assert copy.failure() == ""
    assert copy.run(found["arithmetic", "-"], timeout_s=60.0).caught_by == "tests/unit/test_sums.py::test_sum"
    assert copy.run(found["number", "8"], timeout_s=60.0).caught_by == ""
    assert contents(project) == before
    assert (tmp_path / "copy" / "model" / "sums.py").read_text(encoding="utf-8") == source


def test_a_mutant_that_hangs_is_caught(project: Path, tmp_path: Path) -> None:
    """Tests that do not end in time are ended, with every process they have started."""
    source = "def total(a: int, b: int) -> int:\n    while a < b and False:\n        pass\n    return a + b\n"
    (project / "model" / "sums.py").write_text(source, encoding="utf-8")
    start = source.index("False")
    endless = Mutant("model/sums.py", start, start + len("False"), "truth", 2, "False", "True")
    assert Copy(project, tmp_path / "copy").run(endless, timeout_s=3.0).caught_by == "time-out"
    assert not [p for p in Path("/proc").glob("[0-9]*/cwd") if os.access(p, os.R_OK) and p.exists()
                and p.resolve().is_relative_to(tmp_path / "copy")]  # fmt: skip

"""Breaks the code on purpose, one spot at a time, and counts how often the tests that need no broker notice.

`python -m tests.mutation --count 40 --seed 7` draws mutants of `daemon/` and `model/`, prints a line for each, and the
count of those that were caught. `--out FILE` writes results as JSON lines; the same command with the same file
continues where it stopped. The working tree is copied first and never written to.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from tests.mutants import Mutant, draw, read_files

ROOT = Path(__file__).parent.parent
PACKAGES = ("daemon", "model")
TESTS = ("tests/unit", "tests/properties", "tests/sim", "tests/test_architecture.py")
"""Tests of behaviour. Those of style and of documents would catch a mutant by its looks."""
SELECTION = "not kafka and not slow"
MIN_TIMEOUT_S = 300.0
TIMEOUT_FACTOR = 3.0
"""A mutant whose tests take three times as long as without it hangs, and a hanging build is noticed."""
MAX_NEAREST = 5
PRELOAD = "load_logwarden_first"


@dataclass(frozen=True, slots=True)
class Result:
    """The fate of one mutant. `caught_by` is a test's name, `time-out`, or empty for a survivor."""

    mutant: str
    shown: str
    caught_by: str
    seconds: float

    def __str__(self) -> str:
        fate = f"caught by {self.caught_by}" if self.caught_by else "SURVIVED"
        return f"{self.shown}  {fate}  ({self.seconds:.0f} s)"


# ---------------------------------------------------------------- which tests


def tests_of(root: Path) -> list[str]:
    """Every file of the tests that are run, as paths from the root, sorted.

    The fault lab's tests are left out: they take minutes, and the lab uses no daemon and little of the model.
    """
    found = [path for name in TESTS for path in (root / name, *(root / name).rglob("*.py"))]
    paths = {p.relative_to(root).as_posix() for p in found if p.is_file() and p.name.startswith("test_")}
    return sorted(path for path in paths if "faultlab" not in path)


def nearest(path: str, tests: dict[str, str]) -> list[str]:
    """Returns the tests that are run first: those named after the module, else at most five that import it.

    `tests` maps each test file to its text. A test in a folder named like the module's is nearer than another.
    """
    module = Path(path).with_suffix("")
    stem = module.parent.name if module.name == "__init__" else module.name
    named = [test for test in tests if re.match(rf"test_{re.escape(stem)}(?:_|\.py)", Path(test).name)]
    parents = set(module.parts[:-1])
    named.sort(key=lambda test: (-len(parents & set(Path(test).parts)), test))
    if named:
        return named
    package, dotted = ".".join(module.parts[:-1]), ".".join(module.parts)
    imports = re.compile(
        rf"\blogwarden\.{re.escape(dotted)}\b|from logwarden\.{re.escape(package)} import [^\n]*\b{re.escape(stem)}\b"
    )
    return sorted(test for test, text in tests.items() if imports.search(text))[:MAX_NEAREST]


def first_failure(output: str) -> str:
    """Returns the name of the first test that failed, from pytest's summary, or `a crash` without one."""
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.M)
    return failed[1] if failed else "a crash"


# ---------------------------------------------------------------- a copy of the tree


def listed(root: Path) -> list[str]:
    """Files of the tree that git tracks or does not ignore, so that a copy has the work in progress as well."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=True, timeout=60)
    return sorted(name for name in done.stdout.decode().split("\0") if name and (root / name).is_file())


class Copy:
    """A copied tree in which mutants are made, one at a time."""

    def __init__(self, root: Path, target: Path) -> None:
        self._target = target
        for name in listed(root):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
        # An editable install of another tree finds what is not found before. So the links to this copy come first, the
        # folder of a command does not, and pytest loads the package before it puts the copy's root in front.
        cache = target / ".cache"
        places = os.pathsep.join(map(str, (cache / "src", target, cache)))
        self._environment = {**os.environ, "PYTHONPATH": places, "PYTHONSAFEPATH": "1"}
        links = [sys.executable, "-m", "tests.layout", ".cache/src"]
        subprocess.run(links, cwd=target, env=self._environment, check=True, timeout=60)
        (cache / f"{PRELOAD}.py").write_text("import logwarden\n", encoding="utf-8")
        code = "import logwarden.model as m; print(m.__path__[0])"
        shown = subprocess.run(
            [sys.executable, "-c", code], cwd=target, env=self._environment, check=True, timeout=60, capture_output=True
        )
        imported = Path(shown.stdout.decode().strip())
        assert imported.resolve().is_relative_to(target.resolve()), f"the tests would import {imported}, not the copy"
        self._tests = {name: (target / name).read_text(encoding="utf-8") for name in tests_of(target)}

    def run(self, mutant: Mutant, timeout_s: float) -> Result:
        """Makes the mutant, runs the nearest tests and then the others up to the first failure, takes it back."""
        began = time.monotonic()
        with self._made(mutant):
            first = nearest(mutant.path, self._tests)
            caught_by = ""
            for tests in (first, [test for test in self._tests if test not in first]):
                left = timeout_s - (time.monotonic() - began)
                caught_by = caught_by or self.failure(tests, left)
        return Result(mutant.name, str(mutant), caught_by, round(time.monotonic() - began, 1))

    def failure(self, tests: Sequence[str] | None = None, timeout_s: float = 3600.0) -> str:
        """Returns the first failing test among these (None: all), `time-out`, or nothing if all pass."""
        tests = list(self._tests) if tests is None else tests
        if not tests:
            return ""
        options = ["-q", "-x", "--tb=no", "-rfE", "-p", "no:cacheprovider", "-p", PRELOAD, "-m", SELECTION]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        # A session of its own, so that a time-out also ends the processes that the tests have started.
        with subprocess.Popen(
            command,
            cwd=self._target,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=max(timeout_s, 1.0))
            except subprocess.TimeoutExpired:
                return "time-out"
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        nothing_selected = 5
        return "" if process.returncode in (0, nothing_selected) else first_failure(output.decode(errors="replace"))

    @contextmanager
    def _made(self, mutant: Mutant) -> Iterator[None]:
        path = self._target / mutant.path
        original = path.read_text(encoding="utf-8")
        try:
            self._write(path, mutant.apply(original))
            yield
        finally:
            self._write(path, original)

    def _write(self, path: Path, text: str) -> None:
        """Writes a source. Python tells compiled files apart by second and size, so the old one is removed."""
        path.write_text(text, encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()


# ---------------------------------------------------------------- results that last


class Results:
    """Results so far, in a file of JSON lines if one is given. Its first line names the draw; others are refused."""

    def __init__(self, path: Path | None, draw_of: dict[str, object]) -> None:
        self._path = path
        self.by_mutant: dict[str, Result] = {}
        self.without_s = 0.0  # how long the tests take without a mutant; 0: not known yet
        if path is None:
            return
        if not path.exists() or not path.stat().st_size:
            path.write_text(json.dumps(draw_of) + "\n", encoding="utf-8")
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        if json.loads(head) != draw_of:
            raise SystemExit(f"{path} has the results of another draw or another tree ({head}); choose another file.")
        for line in lines:
            entry = json.loads(line)
            if "without_s" in entry:
                self.without_s = entry["without_s"]
            else:
                self.by_mutant[entry["mutant"]] = Result(**entry)

    @property
    def timeout_s(self) -> float:
        """Seconds after which a mutant's tests count as hanging."""
        return max(MIN_TIMEOUT_S, TIMEOUT_FACTOR * self.without_s)

    def add(self, result: Result) -> None:
        """Keeps a result, and writes it at once."""
        self.by_mutant[result.mutant] = result
        self._append(asdict(result))

    def add_without(self, seconds: float) -> None:
        """Keeps the time that the tests take without a mutant."""
        self.without_s = seconds
        self._append({"without_s": seconds})

    def _append(self, entry: dict[str, object]) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")


# ---------------------------------------------------------------- the command


def run_all(mutants: Sequence[Mutant], results: Results, jobs: int) -> None:
    """Runs every mutant that has no result yet, on `jobs` copies of the tree, and prints a line for each."""
    waiting = [mutant for mutant in mutants if mutant.name not in results.by_mutant]
    for mutant in mutants:
        if mutant.name in results.by_mutant:
            print(results.by_mutant[mutant.name], "[from the file]", flush=True)
    if not waiting:
        return
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copies = [Copy(ROOT, Path(folder) / str(number)) for number in range(jobs)]
        if not results.without_s:
            began = time.monotonic()
            if failed := copies[0].failure():
                raise SystemExit(f"{failed} fails without a mutant; every mutant would count as caught.")
            results.add_without(round(time.monotonic() - began, 1))
            print(f"without a mutant all tests pass ({results.without_s:.0f} s)", flush=True)
        idle: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for copy in copies:
            idle.put(copy)

        def run(mutant: Mutant) -> Result:
            copy = idle.get()
            try:
                return copy.run(mutant, results.timeout_s)
            finally:
                idle.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            for result in pool.map(run, waiting):
                results.add(result)
                print(result, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws, runs, prints. Returns 1 if fewer than `--at-least` mutants were caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--count", type=int, default=40, help="mutants to draw (40)")
    parser.add_argument("--seed", type=int, help="draws the same mutants of the same tree; default: a new one, printed")
    parser.add_argument("--packages", nargs="+", default=list(PACKAGES), help="folders to break (daemon model)")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time, each in its own copy of the tree (1)")
    parser.add_argument("--out", type=Path, help="file of results, JSON lines; an interrupted run continues from it")
    parser.add_argument("--logs", action="store_true", help="removes log calls too")
    parser.add_argument("--list", action="store_true", help="prints the mutants and runs nothing")
    parser.add_argument("--at-least", type=int, default=0, help="exit code 1 if fewer are caught")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else secrets.randbelow(10_000)
    files = read_files(ROOT, options.packages)
    mutants = draw(files, options.count, seed, logs=options.logs)
    print(f"seed {seed}: {len(mutants)} mutants of {len(files)} files in {' '.join(options.packages)}", flush=True)
    if options.list:
        print(*mutants, sep="\n")
        return 0
    tree = sha256(json.dumps(files).encode()).hexdigest()[:12]
    results = Results(options.out, {"seed": seed, "count": options.count, "logs": options.logs, "tree": tree})
    run_all(mutants, results, options.jobs)
    caught = sum(bool(results.by_mutant[mutant.name].caught_by) for mutant in mutants)
    print(f"{caught} of {len(mutants)} caught")
    return int(caught < options.at_least)


if __name__ == "__main__":
    sys.exit(main())

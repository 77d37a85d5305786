"""Mutants of a Python file: every way to break it in one spot, found by its syntax tree, and a draw among them.

A mutant replaces one span of the source; the rest of the file stays as written. Knows no tests and no folders but the
one whose files it reads; `tests/mutation.py` runs the tests.

No mutants: annotations, decorators, docstrings and f-strings (Python 3.11 does not know their places), `TYPE_CHECKING`
blocks, `__repr__`, log calls, assertions (a weaker assertion changes no behaviour) and `strict=` of `zip`.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SWAPPED_COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: (r"is\s+not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: (r"not\s+in", "in"),
}
NEGATING = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
"""Comparisons whose swap is their negation: `if` before one of them is not negated a second time."""

SWAPPED_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: (r"\+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: (r"\*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
}
LARGE = 100
"""Integers from here on are doubled and halved: one more record in a buffer of 4,096 changes nothing that can be seen,
while twice a budget or a unit does."""
SWAPPED_FUNCTIONS = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum"}
LOGGERS = ("log", "logger", "_log", "_logger")


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """One replacement: bytes `start` to `end` of a file become `after`."""

    path: str
    start: int
    end: int
    operator: str
    line: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """The same mutant of the same tree has the same name; a results file knows it by that."""
        return f"{self.path}:{self.start}-{self.end}:{self.operator}:{self.after}"

    def apply(self, source: str) -> str:
        """Returns the source of the file with the replacement made."""
        text = source.encode()
        assert text[self.start : self.end] == self.before.encode(), "a mutant belongs to the source it was made from"
        return (text[: self.start] + self.after.encode() + text[self.end :]).decode()

    def __str__(self) -> str:
        return f"{self.path}:{self.line}  {self.operator}  {_short(self.before)} → {_short(self.after) or 'nothing'}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}…"


def mutants(path: str, source: str, *, logs: bool = False) -> list[Mutant]:
    """Returns every mutant of a file, in the order of their places. `logs`: removes calls of loggers too."""
    return sorted(_Finder(path, source, logs).find())


def draw(files: dict[str, str], count: int, seed: int, *, logs: bool = False) -> list[Mutant]:
    """Draws `count` mutants of all files, each as likely as any other; the same files and seed give the same ones."""
    candidates = [mutant for path in sorted(files) for mutant in mutants(path, files[path], logs=logs)]
    random.Random(seed).shuffle(candidates)
    chosen: list[Mutant] = []
    for mutant in candidates:
        if len(chosen) == count:
            break
        if is_different(files[mutant.path], mutant.apply(files[mutant.path])):
            chosen.append(mutant)
    return chosen


def is_different(source: str, mutated: str) -> bool:
    """True if the mutated source compiles, and to something else."""
    try:
        return ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


def read_files(root: Path, packages: Sequence[str]) -> dict[str, str]:
    """Path from the root → source, of every Python file of the packages."""
    paths = [path for package in packages for path in sorted((root / package).rglob("*.py"))]
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}


# ---------------------------------------------------------------- how they are found


class _Finder:
    """Walks one file's tree. Works on bytes, because the tree counts columns in UTF-8."""

    def __init__(self, path: str, source: str, logs: bool) -> None:
        self._path = path
        self._text = source.encode()
        self._logs = logs
        self._tree = ast.parse(source, path)
        self._line_starts = [0]
        for line in self._text.splitlines(keepends=True):
            self._line_starts.append(self._line_starts[-1] + len(line))

    def find(self) -> Iterator[Mutant]:
        yield from self._of_children(self._tree, returns=False)

    def _of_children(self, node: ast.AST, *, returns: bool) -> Iterator[Mutant]:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not self._skipped(child):
                    yield from self._of(child, returns=returns)

    def _of(self, node: ast.AST, *, returns: bool) -> Iterator[Mutant]:
        """Mutants of a node and of what it contains. `returns`: the function around it promises a value."""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            promised = node.returns
            returns = promised is not None and not (isinstance(promised, ast.Constant) and promised.value is None)
        elif isinstance(node, ast.Return) and returns and node.value is not None:
            if not (isinstance(node.value, ast.Constant) and node.value.value in (None, False)):
                yield self._replace(node.value, "return", "None")
        elif isinstance(node, ast.Expr):
            call = node.value.value if isinstance(node.value, ast.Await) else node.value
            if isinstance(call, ast.Call):
                yield self._replace(node, "call", "pass")
        elif isinstance(node, ast.If | ast.IfExp):
            yield from self._negated(node.test)
        else:
            yield from self._of_operators(node)
        yield from self._of_children(node, returns=returns)

    def _of_operators(self, node: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, right, op in zip(sides, sides[1:], node.ops, strict=False):
                yield from self._between(left, right, "comparison", *SWAPPED_COMPARISONS[type(op)])
        elif isinstance(node, ast.BoolOp):
            word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from self._between(left, right, "boolean", word, other)
        elif isinstance(node, ast.BinOp) and type(node.op) in SWAPPED_ARITHMETIC:
            if not _is_sequence(node.left) and not _is_sequence(node.right):
                yield from self._between(node.left, node.right, "arithmetic", *SWAPPED_ARITHMETIC[type(node.op)])
        elif isinstance(node, ast.AugAssign) and type(node.op) in SWAPPED_ARITHMETIC:
            if not _is_sequence(node.value):
                pattern, other = SWAPPED_ARITHMETIC[type(node.op)]
                yield from self._between(node.target, node.value, "arithmetic", pattern + "=", other + "=")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            start = self._start(node)
            removed = re.compile(rb"not\s+|not(?=\()").match(self._text, start)
            if removed:
                yield self._mutant(start, removed.end(), "not", "")
        elif isinstance(node, ast.Constant):
            yield from self._of_constant(node)
        elif isinstance(node, ast.Call):
            yield from self._of_call(node.func)

    def _of_constant(self, node: ast.Constant) -> Iterator[Mutant]:
        if isinstance(node.value, bool):
            yield self._replace(node, "truth", str(not node.value))
        elif isinstance(node.value, int):
            if node.value >= LARGE:
                yield self._replace(node, "number", str(2 * node.value))
                yield self._replace(node, "number", str(node.value // 2))
                return
            yield self._replace(node, "number", str(node.value + 1))
            if node.value > 0:
                yield self._replace(node, "number", str(node.value - 1))

    def _of_call(self, function: ast.expr) -> Iterator[Mutant]:
        """`min` for `max`, as a name or behind a dot (`np.minimum`)."""
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        if name in SWAPPED_FUNCTIONS:
            end = self._end(function)
            yield self._mutant(end - len(name), end, "extreme", SWAPPED_FUNCTIONS[name])

    def _negated(self, test: ast.expr) -> Iterator[Mutant]:
        """`not (…)` around a condition, unless another operator makes the same mutant."""
        is_not = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        swapped = isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], NEGATING)
        is_main = isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"
        if not (is_not or swapped or is_main):
            yield self._replace(test, "condition", f"not ({self._text[self._start(test) : self._end(test)].decode()})")

    def _skipped(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Assert | ast.JoinedStr):
            return True
        if isinstance(node, ast.FunctionDef):
            return node.name == "__repr__"
        if isinstance(node, ast.If):
            return "TYPE_CHECKING" in ast.dump(node.test)
        if isinstance(node, ast.keyword):
            return node.arg == "strict"
        if isinstance(node, ast.Subscript):
            return isinstance(node.value, ast.Name) and node.value.id == "Literal"
        call = node.value if isinstance(node, ast.Expr) else node
        if isinstance(call, ast.Await):
            call = call.value
        return not self._logs and isinstance(call, ast.Call) and _is_logger(call.func)

    # ------------------------------------------------------------ places

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._line_starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None, "the parser gives every node its end"
        assert node.end_col_offset is not None, "the parser gives every node its end"
        return self._line_starts[node.end_lineno - 1] + node.end_col_offset

    def _replace(self, node: ast.expr | ast.stmt, operator: str, after: str) -> Mutant:
        return self._mutant(self._start(node), self._end(node), operator, after)

    def _between(self, left: ast.expr, right: ast.expr, operator: str, pattern: str, after: str) -> Iterator[Mutant]:
        """The operator between two operands: `a) <= (b` has brackets, spaces and at most one operator there."""
        start, end = self._end(left), self._start(right)
        word = rf"\b{pattern}\b" if pattern[0].isalpha() else pattern
        found = re.compile(word.encode()).search(self._text, start, end)
        if found and b"#" not in self._text[start:end]:
            yield self._mutant(found.start(), found.end(), operator, after)

    def _mutant(self, start: int, end: int, operator: str, after: str) -> Mutant:
        line = self._text.count(b"\n", 0, start) + 1
        return Mutant(self._path, start, end, operator, line, self._text[start:end].decode(), after)


def _is_sequence(node: ast.expr) -> bool:
    """True for text and displays: `"a" - "b"` fails wherever it runs, whatever the tests check."""
    literal = isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    return literal or isinstance(node, ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp)


def _is_logger(function: ast.expr) -> bool:
    """True for `log.info` and `self._log.bind(…).info`."""
    while isinstance(function, ast.Attribute | ast.Call):
        if isinstance(function, ast.Attribute) and function.attr in LOGGERS:
            return True
        function = function.value if isinstance(function, ast.Attribute) else function.func
    return isinstance(function, ast.Name) and function.id in LOGGERS

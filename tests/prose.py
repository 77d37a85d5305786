"""Measures the prose of docstrings and comments: odd words, opening clauses, comments in array code, long sentences.

`python -m tests.prose` prints a table for the folders of the product, then the places to mend. `python -m tests.prose
PATH …` does the same for files or folders, and lists every place. `tests/test_prose.py` asserts the targets.

Text in backticks or double quotes is quoted and counts as no prose.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("daemon", "model", "training", "demo", "logwarden")

MAX_ODD_PER_1000 = 0.5
MAX_CLAUSE_SHARE = 0.02
MIN_COMMENTS_PER_100 = 4.0
MAX_SENTENCE_WORDS = 25  # reported, not asserted
ARRAY_USES_PER_100 = (
    8.0  # `np.…` or `torch.…` in 100 lines: 4 in a program around arrays, 9 to 40 in what computes them
)

ODD_WORDS = (
    # People who are not named: write the broker, the caller, the operator, this member, the next owner.
    *("who(?:m)?ever", "somebody(?:'s)?", "nobody(?:'s)?", "everybody(?:'s)?", "himself", "ours", "those who"),
    # Machines do not speak: they emit, log, return, report, read.
    *("says|said", "tells|told", "hears|heard", "asks|asked"),
    # The field has a word: fault-free, assigned, revoked, dropped, again, contains, evict.
    *("in peace|peaceful", "gone", "comes? and go(?:es)?", "gives? up|given up|giving up", "anew", "holds"),
    # A count or a thing has a name: `n` lines, the budget, the known lines.
    *("so many", "so long", "so much", "what it", "for ever"),
)
ALLOWED = (
    r"holds (?:a|the|its) lock",
    r"so long as",
    r"the (?:operator|user|reader|reviewer) (?:says|said|tells|told|asks|asked)",
)
CLAUSES = """what who whom whose whether how so until till where wherever if when whenever that why which whichever
whatever whoever while since because although though unless as like once before after"""
PREPOSITIONS = "for in on by with without from to per within"
UNNAMED = "it they we he nothing nobody something somebody everybody not now here there"
OPENERS = frozenset(f"{CLAUSES} {PREPOSITIONS} {UNNAMED}".split())
OPENING_PHRASES = ("the same",)


@dataclass(frozen=True, slots=True)
class Place:
    """One spot to mend."""

    path: str
    line: int
    found: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found}: {self.text}"


@dataclass(slots=True)
class Prose:
    """Figures and places of some files."""

    words: int = 0
    odd: list[Place] = field(default_factory=list)
    docstrings: int = 0
    """Docstrings of functions; the other figures count those of modules, classes and attributes as well."""
    clauses: list[Place] = field(default_factory=list)
    array_lines: int = 0
    array_comments: int = 0
    bare: list[Place] = field(default_factory=list)
    """Files of array code with too few comments."""
    long: list[Place] = field(default_factory=list)
    odd_in_comments: list[Place] = field(default_factory=list)

    @property
    def odd_per_1000(self) -> float:
        """Odd words per 1,000 words of docstring."""
        return 1000 * len(self.odd) / max(self.words, 1)

    @property
    def clause_share(self) -> float:
        """Share of the functions' docstrings that open with a clause."""
        return len(self.clauses) / max(self.docstrings, 1)

    @property
    def comments_per_100(self) -> float | None:
        """Comment lines per 100 lines of array code; None without array code."""
        return 100 * self.array_comments / self.array_lines if self.array_lines else None

    def breaches(self) -> list[str]:
        """The targets that are missed, one sentence each."""
        out = []
        if self.odd_per_1000 > MAX_ODD_PER_1000:
            out.append(f"{self.odd_per_1000:.2f} odd words per 1,000, more than {MAX_ODD_PER_1000}")
        if self.clause_share > MAX_CLAUSE_SHARE:
            out.append(f"{self.clause_share:.1%} of docstrings open with a clause, more than {MAX_CLAUSE_SHARE:.0%}")
        comments = self.comments_per_100
        if comments is not None and comments < MIN_COMMENTS_PER_100:
            out.append(f"{comments:.1f} comments per 100 lines of array code, fewer than {MIN_COMMENTS_PER_100}")
        return out

    def add(self, other: Prose) -> None:
        """Adds the figures and places of another measure."""
        self.words += other.words
        self.docstrings += other.docstrings
        self.array_lines += other.array_lines
        self.array_comments += other.array_comments
        for name in ("odd", "clauses", "bare", "long", "odd_in_comments"):
            getattr(self, name).extend(getattr(other, name))


# ---------------------------------------------------------------- one file

_ODD = re.compile("|".join(rf"\b(?:{word.replace(' ', chr(92) + 's+')})\b" for word in ODD_WORDS), re.I)
_ALLOWED = re.compile("|".join(rf"\b{phrase.replace(' ', chr(92) + 's+')}\b" for phrase in ALLOWED), re.I)
_SENTENCE = re.compile(r"(?:(?![.!?:]\s|\n\s*(?:\n|[-*|·] |[├└│])|\n[^\n]*\S {2,}\S).)+", re.S)
_QUOTED = re.compile(r"``.+?``|`[^`]*`|\"[^\"]*\"", re.S)


def measure(path: str, text: str, *, arrays: bool = True) -> Prose:
    """Measures one file. `arrays`: its comments count, if it is array code."""
    prose = Prose()
    tree = ast.parse(text, path)
    for node, of_function in docstrings(tree):
        prose.words += sum(1 for word in node.value.split() if re.search(r"[A-Za-z]", word))
        prose.odd += _odd_words(path, node.lineno, node.value)
        prose.long += _long_sentences(path, node.lineno, node.value)
        if of_function:
            prose.docstrings += 1
            prose.clauses += _opening_clause(path, node.lineno, node.value)
    comments = _comments(text)
    for line, comment in comments:
        prose.odd_in_comments += _odd_words(path, line, comment)
    if arrays and is_array_code(tree, text):
        lines = len(text.splitlines())
        prose.array_lines, prose.array_comments = lines, len({line for line, _ in comments})
        if 100 * prose.array_comments < MIN_COMMENTS_PER_100 * lines:
            prose.bare = [Place(path, 1, "few comments", f"{prose.array_comments} in {lines} lines")]
    return prose


@dataclass(frozen=True, slots=True)
class Docstring:
    """The text of a docstring as written, with its indentation, and its first line's number."""

    lineno: int
    value: str


def docstrings(tree: ast.Module) -> Iterator[tuple[Docstring, bool]]:
    """Every docstring, and whether it is a function's. A string below an assignment documents an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            before: ast.stmt | None = None
            for statement in node.body:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    value = statement.value.value
                    if isinstance(value, str) and (before is None or isinstance(before, ast.Assign | ast.AnnAssign)):
                        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                        yield Docstring(statement.lineno, value), is_function and before is None
                before = statement


def is_array_code(tree: ast.Module, text: str) -> bool:
    """True for a file that computes with arrays, by the density of `np.…` and `torch.…`."""
    uses = sum(
        isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "torch")
        for node in ast.walk(tree)
    )
    return 100 * uses >= ARRAY_USES_PER_100 * len(text.splitlines())


def _comments(text: str) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


def _blank(match: re.Match[str]) -> str:
    """Returns the match with dots for its characters, so that places stay where they are."""
    return re.sub(r"\S", ".", match[0])


def _odd_words(path: str, line: int, text: str) -> list[Place]:
    prose = _ALLOWED.sub(_blank, _QUOTED.sub(_blank, text))
    out = []
    for match in _ODD.finditer(prose):
        number = text.count("\n", 0, match.start())
        word = " ".join(match[0].split())
        out.append(Place(path, line + number, f"odd word {word!r}", text.splitlines()[number].strip()))
    return out


def _opening_clause(path: str, line: int, text: str) -> list[Place]:
    first = text.strip().partition("\n")[0]
    word = re.match(r"[A-Za-z]+", first)
    if not word or not (word[0].lower() in OPENERS or first.lower().startswith(OPENING_PHRASES)):
        return []
    return [Place(path, line, f"opens with {word[0]!r}", first)]


def _long_sentences(path: str, line: int, text: str) -> list[Place]:
    """Places of sentences over the limit. A blank line, a bullet, a table's row or a tree's branch ends one too."""
    out = []
    blanked = _QUOTED.sub(lambda match: re.sub(r"[\s.!?:]", "-", match[0]), text)
    for match in _SENTENCE.finditer(blanked):
        words = sum(1 for word in match[0].split() if re.search(r"\w", word))
        if words > MAX_SENTENCE_WORDS:
            start = match.start() + len(match[0]) - len(match[0].lstrip())
            sentence = " ".join(text[start : match.end()].split())
            out.append(Place(path, line + text.count("\n", 0, start), f"{words} words", sentence))
    return out


# ---------------------------------------------------------------- folders, and the command


def files(path: Path) -> list[Path]:
    """The Python files of a folder, or the file itself."""
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def measure_all(path: Path) -> Prose:
    """Measures a file, or all files of a folder. Array code is looked for in `model` and `training`, which own it."""
    out = Prose()
    for file in files(path):
        shown = file.resolve().relative_to(ROOT).as_posix() if file.resolve().is_relative_to(ROOT) else str(file)
        arrays = shown.startswith(("model/", "training/"))
        out.add(measure(shown, file.read_text(encoding="utf-8"), arrays=arrays))
    return out


def table(rows: dict[str, Prose]) -> str:
    """Figures as a table, a row per name."""
    head: tuple[str, ...] = ("", "words", "odd", "/1,000", "docstrings", "clauses", "%", "array lines", "comments/100")
    head += (f"over {MAX_SENTENCE_WORDS} words", "odd in comments")
    lines: list[tuple[str, ...]] = [head]
    for name, prose in rows.items():
        comments = prose.comments_per_100
        lines.append(
            (
                *(name, f"{prose.words:,}", str(len(prose.odd)), f"{prose.odd_per_1000:.2f}"),
                *(str(prose.docstrings), str(len(prose.clauses)), f"{100 * prose.clause_share:.1f}"),
                *(f"{prose.array_lines:,}", "-" if comments is None else f"{comments:.1f}"),
                *(str(len(prose.long)), str(len(prose.odd_in_comments))),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    rows_out = []
    for line in lines:
        cells = [line[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)
        ]
        rows_out.append("  ".join(cells))
    target = f"targets: odd ≤ {MAX_ODD_PER_1000} per 1,000 · clauses ≤ {MAX_CLAUSE_SHARE:.0%} · comments ≥ "
    return "\n".join([*rows_out, f"{target}{MIN_COMMENTS_PER_100:.0f} per 100 lines of array code"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints figures and places."""
    parser = argparse.ArgumentParser(prog="python -m tests.prose", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; default: the folders of the product")
    parser.add_argument("--limit", type=int, help="places of each kind; default: 15, or all if paths are given")
    options = parser.parse_args(arguments)
    paths = options.paths or [ROOT / name for name in FOLDERS if (ROOT / name).is_dir()]
    limit = options.limit if options.limit is not None else (None if options.paths else 15)
    rows = {str(path) if options.paths else path.name: measure_all(path) for path in paths}
    print(table(rows))
    everything = Prose()
    for prose in rows.values():
        everything.add(prose)
    longest = sorted(everything.long, key=lambda place: -int(place.found.split()[0]))
    kinds = {
        "odd words": everything.odd,
        "opening clauses": everything.clauses,
        "array code with few comments": everything.bare,
        "long sentences (not asserted)": longest,
        "odd words in comments (not asserted)": everything.odd_in_comments,
    }
    for kind, places in kinds.items():
        print(f"\n{kind}: {len(places)}")
        for place in places[:limit]:
            print(f"  {place}")


if __name__ == "__main__":
    main()

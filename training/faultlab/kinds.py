"""Reads the kinds of lines that were drawn by hand for three systems. Knows nothing of masking.

templates/SYSTEM.tsv   one kind a row: program, tab, template; `<*>` is a place that varies; rows with # are comments
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"
PLACE = "<*>"


@dataclass(frozen=True, slots=True)
class DrawnKind:
    """One log statement of a program: its constant words, and places for what varies."""

    program: str
    template: str
    pieces: tuple[str, ...]
    """The constant words before, between and behind the places."""
    longest: str
    """The longest of the pieces: a line without it needs no closer look."""

    def fits(self, line: str) -> bool:
        """Returns whether the whole line has the form of the template, in one pass over the line."""
        first, last = self.pieces[0], self.pieces[-1]
        if self.longest not in line:
            return False
        if len(self.pieces) == 1:
            return line == first
        at, end = len(first), len(line) - len(last)
        if not (line.startswith(first) and line.endswith(last)):
            return False
        # A place takes any text, so the leftmost find of a piece leaves most room for the pieces behind it.
        for piece in self.pieces[1:-1]:
            at = line.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return at <= end


def systems_with_kinds(root: Path = TEMPLATES) -> list[str]:
    """Returns the names of the systems whose kinds were drawn by hand."""
    return sorted(path.stem for path in root.glob("*.tsv"))


def kinds_by_hand(system: str, root: Path = TEMPLATES) -> list[DrawnKind]:
    """Reads the kinds of a system, in the order in which they are tried."""
    rows = (root / f"{system}.tsv").read_text(encoding="utf-8").splitlines()
    cells = (row.split("\t", 1) for row in rows if not row.startswith("#"))
    return [_kind(program, template) for program, template in cells]


def _kind(program: str, template: str) -> DrawnKind:
    pieces = tuple(template.split(PLACE))
    return DrawnKind(program, template, pieces, max(pieces, key=len))


def first_fits(lines: Iterable[str], kinds: Sequence[DrawnKind]) -> list[DrawnKind | None]:
    """Returns of each line the first kind that it fits, or None."""
    known: dict[str, DrawnKind | None] = {}
    return [
        known[line] if line in known else known.setdefault(line, next((k for k in kinds if k.fits(line)), None))
        for line in lines
    ]

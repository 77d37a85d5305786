"""Condenses a multi-line log event to one line: its head, the exception with its root cause, the top own frame.

Pure. Masking, the model and the `dedup_key` read this line, so what names the fault stands in it however long the trace
is, and what differs between two runs of one fault (depth of the stack, library frames) does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from logwarden.daemon.decoding.trace_lines import PYTHON_EXCEPTION
from logwarden.daemon.decoding.trace_shapes import (
    BARE_ERROR,
    BOX,
    Shape,
    behind,
    shape_of,
    shipped,
    without_kernel,
)

MAX_CONDENSED_CHARS = 600
_MIN_HEAD, _MAX_EXCEPTION, _MAX_ROOT, _MAX_FRAME = 120, 220, 140, 100
_MAX_LINES = 300
"""Lines that are read from each end of an event: Java states the exception first, Python last."""
_MAX_CHARS = 512

_BREAK = re.compile(r"[\r\n]+")
_GROUP_EDGE = re.compile(r"^[|+\s-]+(?=\S)")
_MEMBER = re.compile(r"\d{1,4} -{3,}$")
_CAUSE = re.compile(r"(?:Caused by: ?|-+> |\[cause\]: |Next )(.*)")
_TRACEBACK = re.compile(r"(?:^|:? )Traceback \(most recent call last\):$")
_PYTHON_FRAME = re.compile(r'File "([^"]*)", line \d+(?:, in (.+))?')
_AT = re.compile(r"at (?!line )(.+)")
_NUMBERED = re.compile(r"#?\d+:? +(?:0x\w+ (?:in|-) )?(.+)")
_NATIVE = re.compile(r"(\S*\([^)]*\))\s?\[\w+\]$")
_GO_PLACE = re.compile(r"(\S+\.go):\d+(?: \+0x\w+)?$")
_RUBY_FRAME = re.compile(r"(?:from )?(\S+\.(?:rb|erb|rake|haml|slim):\d+:in .*)")
_OTHERS = re.compile(
    r"@ +0x\w+ +([^(].*)$|\(\w+ [\w.-]+\) (\S+:\d+: .+)$|(\S+\(.*\)) called at |Called from (.+?) in file "
    r"|\d+ +\S+ +0x\w+ (.+) \+ \d+$|(?:[ER]?IP|pc) ?: (?:\w+:)?(?:\[<\w+>\] *)*([\w.]+)\+0x"
)
"""Frames of C++, of Erlang's machine, of Perl, OCaml and Swift, and the place of a kernel's fault."""
_DETAIL = re.compile(r"(?:DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION): ")
_NO_MESSAGE = re.compile(
    r"[\^~\s|+-]+$|Traceback \(|Exception Group|stack backtrace|Stack trace|goroutine \d|\[signal "
)
_SCRIPT = re.compile(r"(?:file://)?/?[\w./@+-]+\.[cm]?[jt]sx?:\d+$")
_MAX_HEAD_LINES = 4
_ADDRESSES = re.compile(r"\((?:0x[0-9a-f]+|[{}?., _]|\.\.\.)*\)$|\+0x[0-9a-f]+")
_LIBRARY = re.compile(
    r"(?:[\w.$]*/)*(?:java|javax|jakarta|jdk|sun|com\.sun|kotlin|kotlinx|scala|clojure|groovy|akka|reactor|rx|feign|okhttp3"
    r"|retrofit2|io\.(?:netty|undertow|reactivex|vertx|micrometer|grpc|quarkus|micronaut)|android|androidx|dalvik"
    r"|org\.(?:springframework|apache|hibernate|eclipse|jboss|junit|slf4j|postgresql|mariadb|codehaus|glassfish|jooq|aspectj)"
    r"|com\.(?:zaxxer|mysql|fasterxml|google\.common|google\.inject|microsoft|mongodb|netflix|squareup|oracle)|oracle"
    r"|System|Microsoft|MS|lambda_method|Npgsql|runtime|syscall|testing|reflect|net|net/http|database/sql|internal"
    r"|std|core|alloc|google|stdlib|elixir|tokio|hyper|futures|futures_util|actix_rt|backtrace|rust_begin_unwind|rust_panic|main\.main)"
    r"(?=[.:/(!]|$)|<?(?:std|core|alloc)::|__?\w|new Promise|process\.|Module\.|Function\.|Object\.<anonymous> \(node"
    r"|panic\(|\{main\}|\[internal function\]"
)
_LIBRARY_PLACE = re.compile(
    r"node:|internal/|node_modules/|site-packages|dist-packages|/lib/python\d|/python\d[\d.]*/|<frozen |<string>"
    r"|/usr/(?:local/)?(?:lib|go|share)/|/pkg/mod/|/gems/|/lib/ruby/|/ruby/\d|/vendor/|/rustc/|\.cargo/registry"
    r"|lib(?:c|stdc\+\+|pthread|asan)\.so|webpack/|\(native\)|<anonymous>\)?$"
)


@dataclass(slots=True)
class _Parts:
    """What a trace consists of, in the order of its lines."""

    head: list[str] = field(default_factory=list)
    """Lines before the first one of the trace."""
    exceptions: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    frames: list[tuple[str, bool]] = field(default_factory=list)
    """(what is called, it belongs to a library)."""
    is_python: bool = False
    is_group: bool = False

    @property
    def is_empty(self) -> bool:
        """True if the event is no trace."""
        return not (self.exceptions or self.causes or self.frames)


def condense(text: str) -> str:
    """Returns one line for an event of any number of lines, with its exception however long the event is."""
    whole = [line for line in _BREAK.split(text) if line.strip()]
    if len(whole) < 2:
        return text.strip()
    lines = [line[:_MAX_CHARS] for line in whole]
    if len(lines) > 2 * _MAX_LINES:
        lines = lines[:_MAX_LINES] + lines[-_MAX_LINES:]
    parts = _read(_without_shipper(lines))
    if parts.is_empty:
        rest = [_without_prefix(line) for line in whole[1:]]
        return " ".join(word for line in (whole[0], *rest) for word in line.split() if word not in BOX)
    return _line_of(_cut(" ".join(parts.head), MAX_CONDENSED_CHARS), parts)


def _without_shipper(lines: list[str]) -> list[str]:
    """Returns the lines without what a shipper put before each of them but the first."""
    prefix = next((found.rstrip() for line in lines if (found := shipped(line))), "")
    if not prefix:
        return lines
    rest = (line if (text := behind(prefix, line)) is None else text for line in lines[1:])
    return [lines[0], *(line for line in rest if line)]


def _without_prefix(line: str) -> str:
    """Returns what PostgreSQL states about the line before, without the time and the process in front of it."""
    found = _DETAIL.search(line[:200])
    return line[found.start() :] if found else line


def _line_of(head: str, parts: _Parts) -> str:
    exception, cause = _outermost_and_root(parts)
    exception = "" if head and exception in head else _cut(exception, _MAX_EXCEPTION)
    cause = "" if cause in (head, exception) or (head and cause in head) else _cut(cause, _MAX_ROOT)
    own = _own_frame(parts)
    rest = ""
    if cause:
        rest += f" Caused by: {cause}"
    if own:
        rest += f" at {_cut(own, _MAX_FRAME)}"
    room = max(_MIN_HEAD, MAX_CONDENSED_CHARS - len(exception) - len(rest) - 2)
    head = _cut(head, room)
    between = "" if not (head and exception) else " " if head.endswith(":") else ": "
    return f"{head}{between}{exception}{rest}".strip()


def _outermost_and_root(parts: _Parts) -> tuple[str, str]:
    """Returns what was thrown, and what caused it at first: empty where a trace has none or only one."""
    found, causes = parts.exceptions, parts.causes
    if parts.is_python and len(found) > 1:  # the root comes first, the outermost last; a group comes before its members
        return (found[0], found[1]) if parts.is_group else (found[-1], found[0])
    return (found[0] if found else "", causes[-1] if causes else "")


def _own_frame(parts: _Parts) -> str:
    frames = parts.frames[::-1] if parts.is_python else parts.frames
    return next((name for name, is_library in frames if not is_library), frames[0][0] if frames else "")


def _read(lines: list[str]) -> _Parts:
    parts = _Parts()
    after_frames = False
    for number, raw in enumerate(lines):
        line = without_kernel(raw.strip()) if number else raw.strip()
        if line[:1] in "|+":
            parts.is_group |= line.startswith("+ Exception Group")
            line = _GROUP_EDGE.sub("", line)
            if _MEMBER.match(line):
                after_frames = True  # a member of a group may have no frames
                continue
        frame = _frame(line) or _go_frame(lines, number)
        if frame is not None:
            parts.is_python |= line.startswith('File "')
            after_frames |= line.startswith('File "')
            parts.frames.append(frame)
            continue
        cause = _CAUSE.match(line)
        if cause and number:
            parts.causes += [cause[1]] if cause[1] else _numbered_causes(lines[number + 1 :])
        elif after_frames and not _is_indented(raw, parts) and PYTHON_EXCEPTION.match(line):
            parts.exceptions.append(line)
            after_frames = False
        elif number and BARE_ERROR.match(line) and _SCRIPT.match(lines[0].strip()):
            parts.exceptions.append(line)
        elif (
            parts.is_empty
            and number < _MAX_HEAD_LINES
            and not _is_exception(line, number)
            and _is_message(line, number)
        ):
            if not _NO_MESSAGE.match(line) and not (number and _SCRIPT.match(lines[0].strip())):
                parts.head.append(_TRACEBACK.sub("", line))
        elif line.startswith("what():"):
            parts.exceptions.append(line[7:].strip())
        elif (
            not parts.is_python
            and not parts.exceptions
            and number
            and shape_of(line) in (Shape.EXCEPTION, Shape.OPENER)
        ):
            parts.exceptions.append(line)
    return parts


def _is_message(line: str, number: int) -> bool:
    return number == 0 or shape_of(line) not in (Shape.FRAME, Shape.CALL)


def _is_exception(line: str, number: int) -> bool:
    """Returns True for a line behind the first one that names what was thrown."""
    shape = shape_of(line)
    return number > 0 and (shape is Shape.EXCEPTION or (shape is Shape.OPENER and line[0] != "#"))


def _is_indented(raw: str, parts: _Parts) -> bool:
    return raw[:1] in " \t" and "|" not in raw[: len(raw) - len(raw.lstrip()) + 1]


def _numbered_causes(lines: Iterable[str]) -> list[str]:
    """Returns the causes that Rust's anyhow lists below a line `Caused by:`."""
    found = []
    for line in lines:
        text = line.strip()
        if line[:1] not in " \t" or text.startswith(("at ", "Caused by")) or "backtrace" in text:
            break
        number = re.match(r"\d+: +(.*)", text)
        found.append(number[1] if number else text)
    return found


def _frame(line: str) -> tuple[str, bool] | None:
    """Returns what a frame calls, and whether it belongs to a library. Returns None for a line that is no frame."""
    if found := _PYTHON_FRAME.match(line):
        return f"{found[1].rsplit('/', 1)[-1]} {found[2] or ''}".strip(), _LIBRARY_PLACE.search(line) is not None
    if found := _RUBY_FRAME.match(line):
        return found[1], _LIBRARY_PLACE.search(line) is not None
    if found := _AT.match(line):
        name = found[1].removeprefix("async ")
        if shape_of(line) is not Shape.FRAME:
            return None
        return name, _LIBRARY.match(name) is not None or _LIBRARY_PLACE.search(name) is not None
    if found := _OTHERS.match(line):
        name = next(group for group in found.groups() if group)
        return name, _LIBRARY.match(name) is not None
    if found := _NATIVE.match(line):
        return found[1], ".so" in line
    if (found := _NUMBERED.match(line)) and shape_of(line) is Shape.FRAME:
        name = found[1]
        return name, _LIBRARY.match(name) is not None or _LIBRARY_PLACE.search(name) is not None
    return None


def _go_frame(lines: list[str], number: int) -> tuple[str, bool] | None:
    """Returns the frame whose place stands on this line and whose function stands on the one before it."""
    place = _GO_PLACE.match(lines[number].strip())
    if not place or not number or lines[number - 1].startswith("created by"):
        return None
    name = _ADDRESSES.sub("", lines[number - 1].strip())
    return name, _LIBRARY_PLACE.search(place[1]) is not None or (
        _LIBRARY.match(name) is not None and name != "main.main"
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"

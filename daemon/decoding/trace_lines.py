"""Reads how one physical line stands to the event before it: continues it, opens another one, or is complete in itself.

Pure, and independent of formats. `shape_of` looks at one line, `Trace` at the lines of one event in order. A shape does
not depend on digits, which may be masked by stars already: all lines of one masked key have one shape.
"""

from __future__ import annotations

import re
from enum import Enum

from logwarden.model import severity

_MASKED_HEX = "\1"
"""The mark that the first level of masking leaves of an address."""
_LOOKED_AT = 512
"""Characters of a line that are looked at: a line of megabytes costs no more than a long one."""


class Shape(Enum):
    """Looks of one physical line, by its text without indentation."""

    PLAIN = "plain"
    """Nothing continues it, and it continues nothing unless it is indented."""
    HEAD = "head"
    """The first line of an event, and more may follow: an error, a colon at the end."""
    OPENER = "opener"
    """The first line of a trace: `panic: …`, `Exception in thread "main" …`."""
    EXCEPTION = "exception"
    """`some.package.FooException: message`. Continues an error or Python's frames; otherwise the first line."""
    TRACEBACK = "traceback"
    """Python's `Traceback (most recent call last):`. Continues an error; otherwise the first line."""
    FRAME = "frame"
    """Continues whatever was before it: `at …`, `Caused by: …`, `File "…", line 3`."""
    CALL = "call"
    """`main.serve(0xc000)`, `exit status 2`, `+-----`: a line of a trace of Go or of a group, and otherwise text."""
    DETAIL = "detail"
    """PostgreSQL's DETAIL, HINT, CONTEXT, STATEMENT or QUERY: continues a line of the same process."""
    CLOSER = "closer"
    """Closing brackets only."""


class _Mode(Enum):
    """What an open event expects."""

    HEAD = "its first line only"
    TRACE = "frames and causes"
    PYTHON = "the exception line behind frames"
    DONE = "nothing but a cause or a chained traceback"
    GO = "functions, places, goroutines"
    MESSAGE = "the message, on the line behind a place"
    QUERY = "a statement behind the comments of a slow query"


_NUMBER = r"[\w*-]*[\d*][\w*-]*"
_TYPE = (
    r"(?:[A-Za-z_*][\w$*]*(?:\.|::|\\|/))*[A-Za-z_$][\w$]*"
    r"(?:Exception|Error|Throwable|Failure|Fault|Interrupt|Exit|Warning|Panic|Errno|Timeout|NotFound|DoesNotExist)"
    r"(?:Group)?"
)
_EXCEPTION = re.compile(
    rf"(?:Uncaught |Unhandled (?:exception[.:] )?|\[cause\]: )?({_TYPE})(?: \[[\w-]+\])?(?:`\d+)?(?:: ?(.*)|\s*\{{?)$"
    rf"|\*\* \([\w.]+\) |(?:[A-Za-z_*][\w$*]*\.)+[A-Z][\w$]*: .*$"  # a package, then a class by its capital
)
_SUBJECT = re.compile(rf"(?:^|[\s(\[:=\"'])({_TYPE})(?=[:\s)\]\"',(]|$)")
_OPENER = re.compile(
    r"Exception in thread |Unhandled [Ee]xception|Uncaught |panic: |fatal error: |runtime: goroutine stack exceeds"
    r"|thread '[^']*' (?:\([\d*]+\) )?panicked at |terminate called |PHP Fatal error:|PHP Parse error:"
    r"|(?:PHP )?Fatal error: +Uncaught|\*\*\* (?:Error in|stack smashing|buffer overflow)|==[\d*]+== ?ERROR:"
    r"|(?:file://)?/?[\w./@+-]+\.[cm]?[jt]sx?:[\d*]+$|Fatal Python error: |Unhandled rejection"
    r"|(?:trce|dbug|info|warn|fail|crit): [\w.`+]+\[[\d*]+\]$|\S+\.rb:[\d*]+:in [`'\"].*: .*\([\w:]+\)$"
    r"|# (?:Time|User@Host): |Msg [\d*]+, Level [\d*]+, State [\d*]+|free\(\): |malloc\(\): |double free or corruption"
)
_FRAME = re.compile(
    r"at [\w$.<>/@~`+\[\],*\\&-]+(?: ?\[as \S+\])?\s?\(.*\)|at .+? in .*:line [\d*]+$"
    r"|at (?:async |new )?\S.*:[\d*]+:[\d*]+\)?$"
    r"|at (?:async )?<anonymous>|at \S+:[\d*]+$|Caused by\b|Suppressed: |Wrapped by: "
    r"|\.\.\. [\d*]+ (?:more|common frames|lines matching)|\[CIRCULAR REFERENCE"
    rf"|File \"[^\"]*\", line {_NUMBER}|\[Previous line repeated|During handling of the above exception"
    r"|The above exception was the direct cause|\[SQL: |\[parameters: |\(Background on this error"
    r"|goroutine [\d*]+ (?:gp=\S+ m=\S+ (?:mp=\S+ )?)?\[|goroutine running on "
    r"|\[signal |\[originating from|\S+\.(?:go|s):[\d*]+(?: \+0x\w+| \+\*)?$|runtime stack:$"
    r"|stack backtrace:$|Stack backtrace:$|note: (?:run with|Some details)"
    r"|[\d*]+: +(?:0x\w+ - |\* - )?(?:[\w<].*::|(?:rust_|_?_?start|main|clone|__libc)\w*$|<unknown>)"
    r"|from \S+:[\d*]+:in |from \S+:[\d*]+$|\S+\.(?:rb|erb|rake|haml|slim):[\d*]+:in |\.\.\. [\d*]+ levels\.\.\."
    r"|(?:PHP )?Stack trace:$|PHP +[\d*]+\. |thrown in \S+ on line [\d*]+$|Next [\w\\]+(?:Exception|Error): "
    r"|#[\d*]+ +(?:\S+\([\d*]+\): |\{main\}|\[internal|(?:0x\w+|\*) in |\S.* \(\S*:[\d*]+\)$|\S.* at \S+:[\d*]+$)"
    r"|Node\.js [v\d*.]+$|what\(\): "
    r"|=+ (?:Backtrace|Memory map): =+$"
    r"|\S*\([^)]*\)\s?\[(?:0x\w+|\*)\]$|\[0x[\w*]+\]$|[\w*]+(?:-[\w*]+)? [r-][w-][x-][ps-] "
    r"|(?:READ|WRITE) of size |SUMMARY: \w+Sanitizer|(?:freed|previously allocated) by thread "
    r"|--- End of |---> [\w.`]+(?:Exception|Error)\b|(?:ORA-06512|\*): at (?:\"|line )"
    r"|# (?:User@Host|Query_time|Schema|Thread_id): |SET timestamp="
    r"|(?:stack traceback|Call Trace|CallStack \(from HasCallStack\)):|Call stack:$"
)
_DETAIL = re.compile(r"(?:^|\s)(?:DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION): {1,2}\S")
_PROCESS = re.compile(r"\[(\d+)(?:-\d+)?\]")
_CALL = re.compile(
    r"(?:[\w/*-]+\.)+[\w.()*\[\]{}-]*\(.*\)$|panic\(|created by |exit status [\d*]+$|[|+] |\+-+"
    r"|(?:Aborted|Segmentation fault)(?: \(core dumped\))?$"
)
_CLOSER = re.compile(r"[}\])]++[,;]?+(?:\s*+[}\])]++[,;]?+)*+$")  # possessive: thirty brackets and a word took for ever
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIMED = re.compile(
    rf"[\[(<\"]?(?:\d{{4}}[-/.]\d\d|\d\d?[-/.](?:\d\d|{_MONTH})[-/.]|\d\d? {_MONTH} |"
    rf"\d\d:\d\d:\d\d|{_MONTH} [ \d]?\d )"
    r"|[\[(<]?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|FATAL|CRITICAL|SEVERE|FINE|FINER|FINEST|CONFIG)"
    r"(?:[\])>:| ]|$)"
    rf"|(?:trace|debug|info|notice|warn|warning|error|fatal|critical)(?:\]|: )|[IWEF]\d{{4}} \d\d:"
)
"""The begin of a line that opens an event of its own, however it is indented: a time, or a level."""
SHIPPED = re.compile(
    r"(?:TRACE|DEBUG|INFO|NOTICE|WARNING|ERROR|CRITICAL)\s+(?:[\w./-]+(?:\[[\d*]+\])?: +)?"
    r'(?=at |File "|Caused by: |Traceback \(|\.\.\. [\d*]|During handling|The above exc|goroutine [\d*])'
)
"""A level, and perhaps a program, that a shipper or syslog put before each physical line of a trace."""
_HEAD_CHARS = 200
_LEVEL_WORD = re.compile(r"[^\W\d_]{2,}|\b[A-Z]\b")
_CLOCK = re.compile(r"\d\d:\d\d:\d\d|\d\d:\d\d[.,]\d|\d{4}-\d\d-\d\d")
_SAYS_LATER = re.compile(r"panicked at \S+:\d+:\d+:$|^Msg \d+, Level \d+")
_CHAIN = ("During handling of the above", "The above exception was")
_MARKS = re.compile(r"[~^ ]+$")
_PYTHON_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?::.*)?$")


def shape_of(line: str) -> Shape:
    """Returns the shape of one line, whose indentation does not matter here."""
    line = SHIPPED.sub("", line[:_LOOKED_AT].replace(_MASKED_HEX, "*").strip(), count=1)
    if not line:
        return Shape.PLAIN
    if _OPENER.match(line):
        return Shape.OPENER
    if line.startswith(("Traceback (most recent call", "+ Exception Group Traceback")):
        return Shape.TRACEBACK
    if _FRAME.match(line):
        return Shape.FRAME
    if _EXCEPTION.match(line):
        return Shape.EXCEPTION
    if _CLOSER.match(line):
        return Shape.CLOSER
    if _DETAIL.search(line[:200]):
        return Shape.DETAIL
    if _CALL.match(line):
        return Shape.CALL
    return Shape.HEAD if _may_go_on(line) else Shape.PLAIN


def _may_go_on(line: str) -> bool:
    return line[-1] in ":{[(\\" or _states_trouble(line) or _SUBJECT.search(line) is not None


def _states_trouble(line: str) -> bool:
    # Reading the level takes long, and most lines contain no word of a level from WARNING on.
    words = (severity.of_word(word) for word in _LEVEL_WORD.findall(line[:_HEAD_CHARS]))
    if not any(level is not None and level >= severity.WARNING for level in words):
        return False
    level = severity.of_line(line)
    return level is not None and level >= severity.WARNING


def may_be_head(line: str) -> bool:
    """Returns True if another line may continue this one, so that its event is worth a short wait."""
    return shape_of(line) is not Shape.PLAIN


def continues(line: str) -> bool:
    """Returns True if this line, as it stands alone, belongs to the event before it."""
    shape = shape_of(line)
    if shape in (Shape.FRAME, Shape.CLOSER, Shape.DETAIL):
        return True
    return line[:1] in (" ", "\t") and bool(line.strip()) and not _TIMED.match(line.strip())


class Trace:
    """An open event: decides of each next line of its service whether it belongs to the event."""

    __slots__ = (
        "_after_place",
        "_depth",
        "_is_indented",
        "_is_timed",
        "_lines",
        "_mode",
        "_prefix",
        "_process",
        "_shape",
    )

    def __init__(self, line: str, *, is_indented: bool) -> None:
        text = line.strip()[:_LOOKED_AT]
        self._shape = shape_of(text)
        self._is_indented = is_indented
        self._is_timed = _CLOCK.search(text[:80]) is not None
        self._process = _process_of(text)
        self._depth = _depth_of(text) if text[-1:] in "{[(" else 0
        self._lines = 1
        self._after_place = False
        self._prefix = ""
        self._mode = _Mode.HEAD
        self._mode = _first_mode(self._without_prefix(text)[0], self._shape)

    @property
    def expects_marks(self) -> bool:
        """True until the event has a second line, if that one has to be indented or of a shape that continues."""
        return self._lines == 1 and self._depth == 0 and self._mode is _Mode.HEAD

    def takes(self, line: str, *, is_indented: bool) -> bool:
        """Returns True if the line belongs to this event, which then expects the line after it."""
        text, is_deeper = self._without_prefix(line.strip()[:_LOOKED_AT])
        is_indented |= is_deeper
        shape = shape_of(text)
        if not self._belongs(text, shape, is_indented):
            return False
        self._lines += 1
        is_source = self._after_place and shape not in (Shape.EXCEPTION, Shape.FRAME)
        self._after_place = text.startswith('File "')
        self._depth += _depth_of(text) if self._depth > 0 else 0
        if text.startswith(('File "', "| File")) or shape is Shape.TRACEBACK:
            self._mode = _Mode.PYTHON
        elif text.startswith("goroutine "):
            self._mode = _Mode.GO
        elif shape is Shape.EXCEPTION and self._mode is _Mode.PYTHON and not is_indented:
            self._mode = _Mode.DONE
        elif text.startswith(_CHAIN):
            self._mode = _Mode.HEAD
        elif self._mode is _Mode.MESSAGE or (self._mode is _Mode.HEAD and shape in (Shape.FRAME, Shape.EXCEPTION)):
            self._mode = _Mode.TRACE
        elif (
            self._mode is _Mode.PYTHON
            and not (is_indented or is_source or _MARKS.match(text))
            and shape is not Shape.FRAME
        ):
            self._mode = _Mode.DONE
        return True

    def _without_prefix(self, text: str) -> tuple[str, bool]:
        """Returns a line without what a shipper put before each of them, and True if it is indented behind that."""
        if found := SHIPPED.match(text):
            self._prefix = found[0].rstrip()
            return text[found.end() :], False
        if self._mode is _Mode.PYTHON and self._prefix and text.startswith(f"{self._prefix} "):
            rest = text[len(self._prefix) + 1 :]
            return rest.strip(), rest[:1] in (" ", "\t")
        return text, False

    def _belongs(self, text: str, shape: Shape, is_indented: bool) -> bool:
        is_timed = _TIMED.match(text) is not None
        if shape is Shape.FRAME:
            return True
        if is_timed and shape is not Shape.DETAIL:
            return False
        if is_indented and not self._is_indented:
            return True
        if shape is Shape.DETAIL:
            return self._process == _process_of(text) if self._process else _process_of(text) == ""
        if shape is Shape.CLOSER or (self._depth > 0 and text[:1] in '"{['):
            return True
        if shape is Shape.OPENER:
            return self._mode is _Mode.QUERY and self._lines == 1 and text.startswith("# User@Host")
        if self._mode is _Mode.MESSAGE:
            return True
        if shape is Shape.TRACEBACK:
            return self._mode in (_Mode.HEAD, _Mode.MESSAGE)
        if shape is Shape.CALL and (self._mode in (_Mode.GO, _Mode.PYTHON) or self._shape is Shape.OPENER):
            return True
        if self._mode is _Mode.PYTHON:
            # A shipper may have taken the indentation away from the line of source behind a place.
            return self._after_place or _MARKS.match(text) is not None or _PYTHON_EXCEPTION.match(text) is not None
        if shape is Shape.EXCEPTION:
            return self._mode is _Mode.HEAD and self._shape in (Shape.HEAD, Shape.OPENER)
        if self._mode is _Mode.QUERY:
            return True
        # Behind a trace whose first line has a time, a line without one is the rest of a message.
        return self._mode not in (_Mode.HEAD, _Mode.GO) and self._is_timed and _CLOCK.search(text[:100]) is None


def _first_mode(text: str, shape: Shape) -> _Mode:
    if _SAYS_LATER.search(text):
        return _Mode.MESSAGE
    if text.startswith(("# Time: ", "# User@Host: ")):
        return _Mode.QUERY
    if shape is Shape.TRACEBACK or text.startswith('File "'):
        return _Mode.PYTHON
    if text.startswith(("panic: ", "fatal error: ", "goroutine ")):
        return _Mode.GO
    return _Mode.HEAD


def _process_of(text: str) -> str:
    found = _PROCESS.search(text[:120])
    return found[1] if found else ""


def _depth_of(text: str) -> int:
    return sum(text.count(c) for c in "{[(") - sum(text.count(c) for c in "}])")

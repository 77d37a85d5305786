"""Reads how one physical line looks: as the first line of an event, as one that continues it, or as complete in itself.

Pure, and independent of formats. A shape does not depend on digits, which may be masked by stars already: all lines of
one masked key have one shape.
"""

from __future__ import annotations

import re
from enum import Enum

from logwarden.model import severity

_MASKED_HEX = "\1"
"""The mark that the first level of masking leaves of an address."""
LOOKED_AT = 512
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


_OF_TRACES = frozenset((Shape.OPENER, Shape.EXCEPTION, Shape.TRACEBACK, Shape.FRAME))


_NUMBER = r"[\w*-]*[\d*][\w*-]*"
_TYPE = (
    r"(?:[A-Za-z_*][\w$*]*(?:\.|::|\\|/))*[A-Za-z_$][\w$]*"
    r"(?:Exception|Error|Throwable|Failure|Fault|Interrupt|Exit|Warning|Panic|Errno|Timeout|NotFound|DoesNotExist)"
    r"(?:Group)?"
)
_EXCEPTION = re.compile(
    rf"(?:Uncaught |Unhandled (?:exception[.:] )?|\[cause\]: )?({_TYPE})(?: \[[\w-]+\])?(?:`\d+)?(?:: ?(.*)|\s*\{{?)$"
    rf"|\*\* \([\w.]+\) |[A-Z]{{2,5}}-\d{{5}}: "
    rf"|(?:[A-Za-z_*][\w$*]*\.)+[A-Z][\w$]*: .*$"  # a package, then a class by its capital
)
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
TIMED_METHOD = rf"{_MONTH} [\d*]+, [\d*]+ [\d*]+:[\d*]+:[\d*]+ (?:[AP]M )?[\w.$]+ [\w<>$]+$"
"""Head of Java's own logger; the level and the message stand on the line behind it."""
_SUBJECT = re.compile(rf"(?:^|[\s(\[:=\"'])({_TYPE})(?=[:\s)\]\"',(]|$)")
_OPENER = re.compile(
    r"Exception in thread |Unhandled [Ee]xception|Uncaught |panic: |fatal error: |runtime: goroutine stack exceeds"
    r"|thread '[^']*' (?:\([\d*]+\) )?panicked at |thread [\d*]+ panic: "
    r"|terminate called |PHP Fatal error:|PHP Parse error:"
    r"|(?:PHP )?Fatal error: +Uncaught|\*\*\* (?:Error in|stack smashing|buffer overflow)|==[\d*]+== ?ERROR:"
    r"|(?:file://)?/?[\w./@+-]+\.[cm]?[jt]sx?:[\d*]+$|Fatal Python error: |Unhandled rejection"
    r"|(?:trce|dbug|info|warn|fail|crit): [\w.`+]+\[[\d*]+\]$|\S+\.rb:[\d*]+:in [`'\"].*: .*\([\w:]+\)$"
    r"|(?:[\d*]{1,4}[-:. T][\d*.:T -]{6,30})?=[A-Z]+ REPORT====(?: |$)"
    r"|(?:Program|Thread .{1,80}) "
    r"(?:received|terminated with) signal SIG"
    r"|Execution error (?:\(\w+\) )?at |\*\*\* (?:Terminating app due to|SIG[A-Z]+ \()|FATAL EXCEPTION: "
    rf"|{TIMED_METHOD}"
    r"|(?:kernel |watchdog: )?BUG[: ]|general protection fault|Unable to handle kernel|divide error: "
    r"|WARNING: CPU: [\d*]+ PID: |INFO: (?:task \S+ blocked for|rcu_)|Kernel panic - "
    r"|Process [\d*]+ \(.{1,64}\) of user [\d*]+ dumped core"
    r"|# A fatal error has been detected by |\u2550\u2550\u2561 EXCEPTION CAUGHT BY "
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
    r"|(?:0x\w+|\*) is located |==[\d*]+==(?: \w[^:]{0,40}:|ABORTING)"
    r"|(?:READ|WRITE) of size |SUMMARY: \w+Sanitizer|(?:freed|previously allocated) by thread "
    r"|--- End of |---> [\w.`]+(?:Exception|Error)\b|(?:ORA-06512|\*): at (?:\"|line )"
    r"|# (?:User@Host|Query_time|Schema|Thread_id): |SET timestamp="
    r"|(?:stack traceback|Call Trace|CallStack \(from HasCallStack\)):|Call stack:$"
    # C++, Swift and Objective-C, Perl, OCaml, R, Lua, .NET in other languages
    r"|@ +(?:0x\w+|\*) +\S|(?:\*\*\* )?(?:First throw call stack|(?:Check failure|Current) stack trace|Stacktrace):"
    r"|[\d*]+ +\S+ +(?:(?:0x\w+|\*) \S.* \+ [\d*]+$|0x[\da-f]{6,16} \S)|libc\+\+abi: terminating"
    r"|\S+\(.*\) called at \S+ line [\d*]+|(?:Raised|Re-raised|Called) (?:at|by|from) .*, line [\d*]+"
    r"|Calls: .* -> |Execution halted$|\[C\]: in |\S+\.lua:[\d*]+: in |coroutine [\d*]+:$"
    r"|(?:bei|à|в|em|en|w|位于|場所|위치:?) [\w$.<>`+\[\],*]+\(.*\)(?: .*)?$"
    r"|(?:Previous )?(?:[Rr]ead|[Ww]rite) at (?:0x\w+|\*) by |Process: \S+, PID: [\d*]+$|\(Use `node --trace"
    r"|\[stacktrace\]$|At \S.{0,300}:[\d*]+ char:[\d*]+$"
    # the dump of a kernel
    r"|(?:[ER]?IP|[ER]?SP|RAX|R[\d*]+|[CD]R[\d*]+|[CDF]S|PGD|pc|lr|sp) ?:? [\d*\[]|(?:Call Trace|Stack|Oops): ?"
    r"|CPU: [\d*]+ PID: |Code: (?:[\da-f*]{1,4} ){3}|</?(?:TASK|IRQ|NMI)>|Modules linked in: |Hardware name: "
    r"|#PF: |Workqueue: |(?:\? )?[\w.*]+\+(?:0x\w+|\*)/(?:0x\w+|\*)|\[<[\w*]+>\]|---\[ end trace |Not tainted "
    r"|\"echo [\d*]+ > /proc/|task:\S+ +state:"
    # a core dump, Zig, Tcl
    r"|Stack trace of thread [\d*]+:$|#[\d*]+ +(?:0x\w+|\*) \S+ \(.{1,80} \+ (?:0x\w+|\*)\)$"
    r"|ELF object binary architecture: |\S+:[\d*]+:[\d*]+: (?:0x\w+|\*) in "
    r"|(?:while executing|invoked from within)$|\((?:procedure|file) \".{1,80}\" line [\d*]+\)$"
)
_DETAIL = re.compile(r"(?:^|\s)(?:DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION): {1,2}\S")
_CALL = re.compile(
    r"(?:[\w/*-]+\.)+[\w.()*\[\]{}-]*\(.*\)$|panic\(|created by |exit status [\d*]+$|[|+] |\+-+"
    r"|(?:Aborted|Segmentation fault)(?: \(core dumped\))?$|\*\* \S|InnoDB: |\($|[\u2502\u2575\u2577]"
)
_CLOSER = re.compile(
    r"[\"']?[}\])]++[,;]?+(?:\s*+[}\])]++[,;]?+)*+$"
)  # possessive: thirty brackets and a word took for ever
TIMED = re.compile(
    rf"[\[(<\"]?(?:\d{{4}}[-/.]\d\d|\d\d?[-/.](?:\d\d|{_MONTH})[-/.]|\d\d? {_MONTH} |"
    rf"\d\d:\d\d:\d\d|{_MONTH} [ \d]?\d )"
    r"|[\[(<]?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|FATAL|CRITICAL|SEVERE|FINE|FINER|FINEST|CONFIG)"
    r"(?:[\])>:| ]|$)"
    rf"|(?:trace|debug|info|notice|warn|warning|error|fatal|critical)(?:\]|: )|[IWEF]\d{{4}} \d\d:"
)
"""The begin of a line that opens an event of its own, however it is indented: a time, or a level."""
_SHIPPED = re.compile(
    r"(?:TRACE|DEBUG|INFO|NOTICE|WARNING|ERROR|CRITICAL)\s+(?:[\w./-]+(?:\[[\d*]+\]|\( *[\d*]+\))?: +)?"
    r'(?=at |FATAL EX|File "|Caused by: |Suppressed: |Traceback \(|\.\.\. [\d*]'
    r"|During handling|The above exc|goroutine [\d*])"
)
"""A level, and perhaps a program, that a shipper or syslog put before each physical line of a trace."""
_HEAD = re.compile(
    rf"(?:{_MONTH} +[\d*]+ [\d*]+:[\d*]+:[\d*]+|[\d*]{{1,4}}-[\d*]{{1,2}}-[\dT*]{{1,5}}:[\d*:.,+Z-]{{2,26}}) "
    r"([^\s:]+ [^\s:\[]+(?:\[[\d*]+\])?):(?:\s+|$)|([\w.*-]{1,64}) +\|(?:\s+|$)"
)
"""Time, host and program in a file of syslog, or a container's name in the output of compose."""
_ONE_DIGIT = {ord("0") + digit: "1" for digit in range(10)}
HEAD_CHARS = 200
_LEVEL_WORD = re.compile(r"[^\W\d_]{2,}|\b[A-Z]\b")
CLOCK = re.compile(r"\d\d:\d\d:\d\d|\d\d:\d\d[.,]\d|\d{4}-\d\d-\d\d")
_KERNEL = re.compile(r"(?:.{0,90}?\bkernel: )?(?:[A-Z]{4,8} )?\[ *[\d*]+\.[\d*]+\] *")
"""Uptime, and perhaps time, host and program, before each line of a kernel."""
_GOES_ON = re.compile(r"^[A-Z][a-z]+-[A-Z]\w+ ?: | line [\d*]+\.?$|^(?:Error|Warning) in .{1,80} ?: |\.lua:[\d*]+: ")
"""Errors of Perl, R and Lua, which state no level."""
BARE_ERROR = re.compile(r"(?:Uncaught )?(?:Error|Exception)(?: \[\w+\])?: ")
BOX = frozenset("\u2502\u2575\u2577")
"""Lines of a frame that a program draws around an error."""


def shape_of(line: str) -> Shape:
    """Returns the shape of one line, whose indentation does not matter here."""
    line = line[:LOOKED_AT].replace(_MASKED_HEX, "*").strip()
    return _shape_of(line[len(shipped(line)) :])


def shipped(line: str) -> str:
    """Returns what a shipper, syslog or compose put before a line of a trace; nothing of any other line."""
    if found := _SHIPPED.match(line):
        return found[0]
    found = _HEAD.match(line)
    return found[0] if found and _shape_of(line[found.end() :]) in _OF_TRACES else ""


def writer_of(line: str) -> tuple[str, bool]:
    """Returns host and program, or container, that the head of a line names, and True if nothing is behind it.

    Returns an empty name for a line without such a head.
    """
    found = _HEAD.match(line)
    return (found[1] or found[2], found.end() == len(line)) if found else ("", False)


def _shape_of(line: str) -> Shape:
    line = without_kernel(line)
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


def behind(prefix: str, line: str) -> str | None:
    """Returns what stands behind a prefix, whatever its digits are. Returns None behind another text.

    A clock goes on between the lines of a trace.
    """
    head, rest = line[: len(prefix)], line[len(prefix) :]
    is_alike = rest[:1] in ("", " ") and head.translate(_ONE_DIGIT) == prefix.translate(_ONE_DIGIT)
    return rest[1:] if is_alike else None


def without_kernel(line: str) -> str:
    """Returns a line of a kernel without what stands before each of them; any other line as it is."""
    found = _KERNEL.match(line) if "] " in line[:120] else None
    return line[found.end() :] if found else line


def _may_go_on(line: str) -> bool:
    return (
        line[-1] in ":{[(\\"
        or _states_trouble(line)
        or _SUBJECT.search(line) is not None
        or _GOES_ON.search(line) is not None
        or BARE_ERROR.match(line) is not None
    )


def _states_trouble(line: str) -> bool:
    # Reading the level takes long, and most lines contain no word of a level from WARNING on.
    words = (severity.of_word(word) for word in _LEVEL_WORD.findall(line[:HEAD_CHARS]))
    if not any(level is not None and level >= severity.WARNING for level in words):
        return False
    level = severity.of_line(line)
    return level is not None and level >= severity.WARNING

"""Describes the error of a JSON event in a few words: type, message and place, of whatever form the logger gave it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from logwarden.daemon.decoding.json_paths import plain

Condense = Callable[[str], str]
"""Turns a stack trace into one line."""

_TYPES = (
    "type",
    "kind",
    "class",
    "classname",
    "name",
    "exctype",
    "exceptionclass",
    "exceptiontype",
    "errortype",
    "errorclass",
    "exceptionname",
    "typename",
    "@type",
)
_TEXTS = (
    *("message", "msg", "errormessage", "exceptionmessage", "excvalue", "detail", "description", "reason", "string"),
    *("localizedmessage", "text", "value", "error", "title", "errmsg", "details"),
)
_STACKS = ("stacktrace", "stack", "trace", "traceback", "backtrace", "extendedstacktrace", "stacktracestring")
_CAUSES = ("cause", "innerexception", "previous", "inner", "causedby", "rootcause", "exceptions", "exception", "values")
_CODES = ("code", "errno", "status", "statuscode", "sqlstate", "hresult")
_VAGUE = frozenset(("error", "exception", "object", "err", "string"))
"""Types that add nothing to a message."""
_NO_ERRORS = frozenset(("-", "0", "null", "none", "nil", "<nil>", "false", "no", "ok", "{}", "[]", "nonetype: none"))
"""Texts that loggers write where there is no error."""
_MAX_DEPTH = 4
_MAX_CHARS = 4000
_TRACE = re.compile(r"Traceback \(most recent|\n[ \t]+at |\n[ \t]*File \"|goroutine \d+ \[|stack backtrace:|\n#\d+ ")

_GO_FRAME = re.compile(r"(?:\S+ )*?(?:at )?((?:[\w.*-]+/)*[\w-]+(?:\.\(\*?\w+\))?\.[\w.]+)$")
"""What is left of a trace of Go that names no error: its own frame."""


class Fault(NamedTuple):
    """An error as far as its record describes it."""

    type: str = ""
    message: str = ""
    stack: str = ""
    code: str = ""
    cause: Fault | None = None


def fault_of(value: Any, depth: int = 0) -> Fault | None:
    """Returns the error that a field contains: a text, an object, a list; None if the field names none."""
    if isinstance(value, str):
        text = value.strip()
        if not text or text.casefold() in _NO_ERRORS:
            return None
        return Fault(stack=text) if _TRACE.search(text[:_MAX_CHARS]) else Fault(message=text)
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        return _of_object(value, depth)
    if isinstance(value, list) and value and depth < _MAX_DEPTH:
        return _of_list(value, depth)
    if value is True:
        return Fault(message="error")
    if isinstance(value, int | float) and value and not isinstance(value, bool):
        return Fault(code=str(value))
    return None


def sentence_of(fault: Fault, condense: Condense, said: str) -> str:
    """Returns what an error adds to a text that is already there: `type: message`, the place, the cause."""
    out = ""
    place: Fault | None = fault
    while place is not None:
        words = _words(place, condense, f"{said} {out}")
        if words:
            out += f"{': caused by ' if out else ''}{words}"
        place = place.cause
    return out[:_MAX_CHARS]


def _words(fault: Fault, condense: Condense, said: str) -> str:
    kind = "" if fault.type.rpartition(".")[2].casefold() in _VAGUE or fault.type in said else fault.type
    message = "" if fault.message in said else fault.message
    stack = condense(fault.stack) if fault.stack else ""
    if stack.partition(": ")[0].casefold() in _VAGUE and stack.partition(": ")[2] in said:
        stack = ""
    if stack and stack not in said and (not fault.message or fault.message in stack):
        return _code(fault, stack if not kind or kind.rpartition(".")[2] in stack else f"{kind}: {stack}", said)
    if kind and kind in message:
        kind = ""
    if message and stack and (frame := _GO_FRAME.match(stack)):
        message = f"{message} at {frame[1]}"
    return _code(fault, ": ".join(part for part in (kind, message) if part), said)


def _code(fault: Fault, words: str, said: str) -> str:
    if not fault.code or fault.code in words or fault.code in said:
        return words
    return f"{words} code={fault.code}" if words else f"code={fault.code}"


def _of_object(value: dict[str, Any], depth: int) -> Fault | None:
    fields = {plain(key).lstrip("@"): inner for key, inner in list(value.items())[:64]}
    message, cause = "", None
    for key in _TEXTS:
        inner = fields.get(key)
        if isinstance(inner, str) and inner.strip():
            message = inner.strip()
            break
        if isinstance(inner, dict):
            nested = fault_of(inner, depth + 1)
            if nested is not None:
                return nested
    stack = _stack(next((fields[key] for key in _STACKS if fields.get(key)), None))
    for key in _CAUSES:
        if fields.get(key):
            cause = fault_of(fields[key], depth + 1)
            break
    kind = next((str(fields[key]) for key in _TYPES if isinstance(fields.get(key), str) and fields[key]), "")
    code = next((str(fields[k]) for k in _CODES if isinstance(fields.get(k), str | int) and fields[k]), "")
    if not (message or stack or kind or cause or code):
        return None
    if cause and not (message or stack or kind):
        return cause
    if not (message or stack) and code.isdecimal() and 0 < int(code) < 400 and not kind:
        return None  # a status of a success
    return Fault(kind, message, stack, code, cause)


def _of_list(value: list[Any], depth: int) -> Fault | None:
    if all(isinstance(part, str) for part in value):
        text = "\n".join(value[:200])
        return fault_of(text if _TRACE.search(text[:_MAX_CHARS]) else "; ".join(value[:5]), depth)
    return next((found for part in value[:5] if (found := fault_of(part, depth + 1))), None)


def _stack(value: Any) -> str:
    """Returns a stack as text: of a text, a list of texts, or a list of frames."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(line for part in value[:200] if (line := _frame(part)))
    return ""


def _frame(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    names: Sequence[tuple[str, ...]] = (("class", "className", "module"), ("method", "function", "name", "methodName"))
    where = [next((str(part[key]) for key in keys if part.get(key)), "") for keys in names]
    file = next((str(part[key]) for key in ("file", "filename", "fileName") if part.get(key)), "")
    line = part.get("line") or part.get("lineno") or part.get("lineNumber") or ""
    call = ".".join(name for name in where if name)
    return f"\tat {call}({file}:{line})" if call or file else ""

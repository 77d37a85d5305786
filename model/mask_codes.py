"""Finds the numbers of a line that are codes: a status, an exit code, a signal, an error number, a vendor's code.

Whether a number is a code depends on the words and signs right beside it, never on its value alone: 404 is a status
after a request, and a length after "queue length is". Codes are *hidden*: their digits are moved into a private area of
Unicode, where no rule of masking finds them, and moved back at the end.
"""

from __future__ import annotations

import re

from logwarden.model.mask_words import FOREIGN, NUMBERED, SQLSTATE, VENDORS

_HIDE = {ord("0") + n: 0xE000 + n for n in range(10)} | {ord("-"): 0xE00A}
_HIDE |= {ord(letter): 0xE010 + n for n, letter in enumerate("abcdefABCDEFxX")}
_SHOW = {hidden: shown for shown, hidden in _HIDE.items()}

_NUMBER = r"(?<![\w.])(?:-?\d{1,5}|-\d{9,10})(?![\w*%]|[.:/-][\d*])"
_UNIT = (
    r"(?:[num\u00b5\u03bc]?s|msecs?|millis|(?:milli|micro|nano)?seconds?|secs?|minutes?|mins?|hours?|days?"
    r"|[KMGTkmgt]i?[Bb]"
    r"|bytes?|B|%|dBm?|of|more|times?|rows?|lines?|items?|retries|files?|[a-z]{3,20}[a-rt-z]s)(?![\w=])"
)
"""What is counted. A word before a sign of equality is a key: `status=503 flags=UF`."""
_OPEN = r"""["']?(?: (?:is|was|of|number|value|with|by|code|no\.?))?[ =:(\["'#]{1,12}"""
_NEAR = r"""["']?(?: (?:is|was|of|number|value|with|by|code|no\.?))?[ =:("'#]{1,3}"""
"""Behind the word for an error, whose column may be followed by a count, and whose brackets hold a process."""
_STRONG = (
    r"(?i:status|code|errno)|(?<![A-Za-z])(?i:err|rc|ret|retval|exit|exited|exits|signal|sig|result|res|sqlstate"
    r"|hresult|kodu|felkod|bugcheck|alert|statut|estado|stato|durum|stav"
    r"|event[ _-]?id|http|grpc|reason|mqrc|cause|alarm)|(?i:last_?error)(?:\(\))?"
)
_WEAK = (
    r"(?<![A-Za-z])(?i:returned|returns|return|finished|completed|failed|said|terminated|killed|stopped|aborted"
    r"|crashed|died|ended|reply|response|responded|answered|answer|got|replied)"
)
_LEVEL = r"""(?:(?<=[{,(\[|;"' ])|^)(?i:level|lvl|severity|sev|priority|prio|pri|loglevel|level_?value)["']?"""
METHOD = r"(?:GET|POST|PUT|DELETE|HEAD|PATCH|OPTIONS|CONNECT|TRACE|PROPFIND|MKCOL|REPORT)"
_REQUEST = rf"\b{METHOD}[ |\t]+\"?(?:/|https?:|[*]|[\w.*-]+[.:][\w*])"
_STATUS = r"(?!443)[1-5]\d\d"
_PHRASE = (
    r"(?:OK\b|Created|Accepted|No Content|Moved|Found|See Other|Not [A-Z]|Bad [A-Z]|Unauthorized|Forbidden|Method Not"
    r"|Conflict|Gone|Too [A-Z]|Internal|Service|Gateway|Request|Payload|Unprocessable|Temporary|Client Closed)"
)

_FOREIGN = FOREIGN.replace("LETTERS", r"[^\W\d_]").removesuffix("-?")
_FOREIGN_NUMBER = r"(?<![0-9A-Za-z])-?\d{1,5}(?![0-9A-Za-z*%]|[.:/-][\d*])"

_REFUSED = r"\b(?i:invalid|error|fail(?:ed|ure)?|cannot|can't|could not|unable|refused|denied|no such|timed out)\b"
"""What a library reports with its number behind it, in brackets at the end of the line."""

_NUMBERS: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:{_STRONG}){_OPEN}({_NUMBER})(?! ?{_UNIT})",
        # "exited with 137 after 3 s", but not "returned 3 rows"
        rf"{_WEAK}{_OPEN}({_NUMBER})(?=\W?$|[^\s\w]| [^a-z]"
        r"| (?:from|for|after|by|at|in|on|to|while|during|because|with|and|when)\b)",
        rf"(?<![A-Za-z])(?i:closed?){_OPEN}([134]\d{{3}})(?=\W?$|[^\s\w]| [^a-z])",  # of a websocket: 1006, 4001
        rf"{_LEVEL}[=:] ?[\"']?({_NUMBER})",
        rf"(?:{_FOREIGN})({_FOREIGN_NUMBER})(?! ?{_UNIT})",
        rf"(?i:code|error|err|errno|status|alarm|fault){_OPEN}([A-Z]{{1,7}}\d{{3,6}}[A-Z]?)(?!\w)",
        rf"(?i:error|err|code|errno|fehler|erreur|errore){_OPEN}[A-Z]{{2,8}}-(\d{{3,6}})(?!\w)",
        rf"(?:{_STRONG}|{_WEAK}) with [A-Z]{{2,8}}-(\d{{3,6}})(?!\w)",
        rf"(?<![A-Za-z])(?i:error|fehler|erreur|errore){_NEAR}({_NUMBER})(?! ?{_UNIT})",
        r"(?<![A-Za-z])reason=(-?\d{1,5})(?![\w*])",
        rf"[\[(]({SQLSTATE})[\])]",
        r"\[(-[1-9]\d{1,4})\]",
        r"(?<!\S)(0\d{4,5})(?= \((?:\d{5}|[A-Z\d\ue000-\ue01f]{5})\): )",
        r"(?<=[\ue000-\ue009] \()(\d{5})(?=\): )",
        r"error:([\dA-F]{8})(?=:)",
        rf"(?i:sqlstate|abend){_OPEN}([0-9A-Z]{{3,6}})(?!\w)",
        r", State: (\d{1,3})(?!\d)",
        r"\bMsg (\d{1,5})(?=, Level )",
        r"\bMsg [\ue000-\ue009]+, Level (\d{1,2})(?=,)",
        r"%[A-Z*][A-Z*_]{1,30}-([0-7])-",
        r"%%[\d*]{1,2}[A-Z*][A-Z\d*_]{1,30}/([0-7])/",
        r"%[A-Z*][A-Z*_]{1,30}-[\ue000-\ue009]-(\d{3,6}):",
        rf'" ({_STATUS})(?=\s|$)',
        rf"HTTP/[*\d](?:\.[*\d])?\"?:? ({_STATUS})(?=[\s),]|$)",
        rf"\|\s*({_STATUS})(?=\s*\|)",
        rf"\[({_STATUS})\](?=: {METHOD})",
        rf"\b[A-Z_]{{3,24}}/({_STATUS})(?=\s)",
        rf"(?:->|=>|\u2192|<-)\s?({_STATUS})(?![\w.*]| ?{_UNIT})",
        rf"(?<![\w.])({_STATUS}) (?={_PHRASE})",
        r"(?<![\w.*])([245]\d\d)(?=[ -](?:\*|\d)\.(?:\*|\d+)\.(?:\*|\d+))",
        r"\((\d{1,3}): ",
        rf"(?<=: )\((\d{{1,5}})\)(?= ?[A-Za-z])(?! ?{_UNIT})",
        r"\((\d{1,5})\)(?=[A-Z])",
        rf"{_REFUSED}[^\n]{{0,200}}[A-Za-z'\"] \((\d{{1,3}})\)$",
        r"^\s*(?:\* )?<(\d{1,3})>",
        r"\[[A-Z\d\ue000-\ue01f]{5}\] \[(\d{1,5})\]",
    )
)
_TOKENS = re.compile(
    r"\b(?:0[xX](?:[0-9A-Fa-f]{5,8}|[0-9A-Fa-f]{1,4}(?![ ,]{1,2}(?:\*|0[xX])))"
    r"|[A-Z]{2,8}-\d{3,6}(?=[:\])])|(?<=[<(\[])[A-Z]{2,8}-\d{3,6}(?=[>)\]])"
    rf"|(?:{b'|'.join(sorted(VENDORS)).decode()})-?\d{{3,6}}(?!\w)"
    r"|[A-Z]{1,8}\d{3,6}(?:[A-Z]|(?=[:\])]))|[1-5][xX]{2}"
    rf"|[A-Za-z]{{0,8}}[Ii][Pp][Vv][46])\b"
    rf"|(?<![\w./:@+-])(?:{NUMBERED.pattern.decode()})(?![\w./:@+-])"
)
_AFTER_REQUEST = re.compile(rf"{_REQUEST}[^\n\ue000-\ue009]{{0,600}}?[ |\t]({_STATUS})(?=[ |,\t]|$)(?! ?{_UNIT})")
_LEVELS = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)"
# Before a level stands the number of a process.
_BEFORE_REQUEST = re.compile(rf"(?<=[ \t])({_STATUS})(?! ?{_UNIT})(?=[ \t](?!{_LEVELS}\b).{{0,200}}{_REQUEST})")
_HAS_REQUEST = re.compile(_REQUEST)
_ENHANCED = re.compile(
    r"(?<=[\ue000-\ue009][ -])([245]\.\d{1,3}\.\d{1,3})(?!\d)|(?<=dsn=)([245]\.\d{1,3}\.\d{1,3})(?!\d)"
)
"""An enhanced status of mail, behind the reply or in its own field."""


def hide_codes(text: str) -> str:
    """Returns the text with its codes hidden."""
    text = _TOKENS.sub(lambda found: found[0].translate(_HIDE), text)
    if not any("0" <= c <= "9" for c in text):
        return text
    for pattern in _NUMBERS:
        text = pattern.sub(_hidden, text)
    if _HAS_REQUEST.search(text):
        known = _AFTER_REQUEST.search(text) or _BEFORE_REQUEST.search(text)
        if known:
            text = text[: known.start(1)] + known[1].translate(_HIDE) + text[known.end(1) :]
    return _ENHANCED.sub(lambda found: found[0].translate(_HIDE), text)


def show_codes(text: str) -> str:
    """Returns the text with its hidden codes as they were."""
    return text.translate(_SHOW)


def _hidden(found: re.Match[str]) -> str:
    start, end = found.start(1) - found.start(), found.end(1) - found.start()
    return found[0][:start] + found[1].translate(_HIDE) + found[0][end:]

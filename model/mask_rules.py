"""The second level of masking: from what the first level left to the text that stands for a kind of line.

Runs once per distinct result of the first level and may therefore be slow. First the codes are found and hidden from
the rules, then every other number, name, path, address and id becomes ``*``, and at last stars that stand together
become one. Every rule looks at a token and at known words around it, never at other lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

MAX_CANONICAL_CHARS: Final = 240
"""Twice what the line encoder reads."""
_HEAD, _BREAK = 150, " … "
_READ_HEAD, _READ_TAIL = 720, 400

Rule = tuple[re.Pattern[str], "str | Callable[[re.Match[str]], str]"]

# Digits of codes are moved out of the way of the rules, into a private area of Unicode, and moved back at the end.
_HIDE = {ord("0") + n: 0xE000 + n for n in range(10)} | {ord("-"): 0xE00A}
_SHOW = {hidden: shown for shown, hidden in _HIDE.items()}

_NUMBER = r"(?<![\w.])-?\d{1,5}"
_UNITS = (
    r"(?:[num\u00b5\u03bc]?s|msecs?|millis?|milliseconds?|secs?|seconds?|minutes?|mins?|hours?|days?"
    r"|[KMGT]i?B|bytes?|B|kb|mb|gb|%|rows?|times|files?|items?|records?|lines?|entries|requests?|attempts?|errors?|warnings?)"
)
_AMOUNT = (
    r"(?:[KMGTP]i?[Bb]|B|[num\u00b5\u03bc]?s|min|h|secs?|msecs?|bytes?|(?:milli|micro|nano)?seconds?"
    r"|minutes?|hours?|days?)"
)
_NO_UNIT = rf"(?! ?{_UNITS}(?![\w]))(?![\d*]|\.[\d*])"
_OPEN = r"""["']?(?: (?:is|was|of|number|value|with|by|code|no\.?))?[ =:(\["'#]{1,4}"""
_METHOD = r"(?:GET|POST|PUT|DELETE|HEAD|PATCH|OPTIONS|CONNECT|TRACE|PROPFIND|MKCOL|REPORT)"
_STATUS = r"[1-5]\d\d"
_PHRASE = (
    r"(?:OK|Created|Accepted|No Content|Moved|Found|See Other|Not |Bad |Unauthorized|Forbidden|Method|Conflict|Gone"
    r"|Too |Internal|Service|Gateway|Request|Payload|Unprocessable|Temporary|Client Closed)"
)
_CODES: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b0[xX][0-9A-Fa-f]{8}\b",
        r"^(?:\* )?<\d{1,3}>",
        r"\[[A-Z0-9]{5}\] \[\d{1,5}\]",
        rf"(?i:status|code|errno){_OPEN}{_NUMBER}{_NO_UNIT}",
        r"(?<![A-Za-z])(?i:err|rc|ret|retval|exit|exited|exits|signal|sig|result|res|sqlstate|event[ _-]?id|hresult"
        rf"|closed|terminated|killed|stopped|aborted|crashed|died|ended|reply|response|responded|answered|answer|got|http|grpc"
        rf"|severity|level|lvl|priority|prio){_OPEN}{_NUMBER}{_NO_UNIT}",
        rf"(?<![A-Za-z])(?i:returned|returns|return|finished|completed|failed|said){_OPEN}"
        rf"{_NUMBER}(?=$|[,;.)\]]|[ -]\*\.)",
        rf"(?<![A-Za-z])(?i:error)[ =(\[#:]{{1,2}}{_NUMBER}(?=$|[,;.:)\]]| [(A-Z])",
        rf"\b{_METHOD} [^|]{{0,600}}?(?<=[ |]){_STATUS}(?=[ |,]|$){_NO_UNIT}",
        rf'" {_STATUS}(?= |$)',
        rf"HTTP/[*\d](?:\.[*\d])?\"? {_STATUS}(?= |$)",
        rf"\| +{_STATUS}(?= +\|)",
        rf"\b[A-Z_]{{3,24}}/{_STATUS}(?= )",
        rf"(?<![\w.]){_STATUS} (?={_PHRASE})",
        r"(?<![\w.])[245]\d\d(?=[ -]\*\.\*\.\*)",
        r"\(\d{1,3}: ",
        r"\b[A-Z]{2,8}-\d{3,6}(?=:)",
        r"\b[A-Z]{1,6}\d{3,6}(?=[:)\]])",
        r"\b[1-5][xX]{2}\b",
    )
)

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_WEEKDAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_ZONE = (
    r"(?:[AP]M|Z|UTC|GMT|WET|WEST|CET|CEST|EET|EEST|MSK|MSD|BST|IST|[ECMPAHN][SD]T|AK[SD]T|A[ECW][SD]T|NZ[SD]T|[JKHS]ST|HKT"
    r"|SGT|PKT|WIB|WITA|WIT|[+-]\*:?\*?)"
)
_HOST = r"(?:[a-z0-9*][\w*-]{0,62}\.){1,8}[a-z]{2,12}"
_DOMAIN = re.compile(
    r"com|net|org|edu|gov|mil|biz|local|internal|lan|arpa|cloud|xyz|io|ai|co|tv|example|"
    r"invalid|localhost|localdomain|corp|svc|ad|ae|ar|au|be|bg|br|ca|ch|cl|cn|cy|cz|de|"
    r"dk|ee|eg|es|eu|fi|fr|ge|gr|hk|hr|hu|ie|il|ir|jp|ke|kr|kz|lt|lu|lv|ma|mk|mt|"
    r"mx|ng|nl|nu|nz|pe|ph|pk|pt|ro|ru|sa|se|sg|si|sk|su|th|tr|tw|ua|uk|us|uy|uz|"
    r"ve|vn|za"
)
_TREES = ("com.", "org.", "net.", "io.", "de.", "java.", "javax.", "sun.", "edu.", "ru.", "cn.")


def _without_host(found: re.Match[str]) -> str:
    """Returns a star for the name of a host; names of packages, turned around, and of files stay."""
    host = found[0]
    known = _DOMAIN.fullmatch(host.rpartition(".")[2]) and not host.startswith(_TREES)
    return "*" if known else host


def _without_random(found: re.Match[str]) -> str:
    return "*" if _is_random(found[0]) else found[0]


_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_VOWELS = re.compile(r"[aeiouyAEIOUY]")


def _is_random(token: str) -> bool:
    """Returns True for letters that no word is made of: many changes of case, or no vowel in a long row."""
    letters = token.replace("*", "")
    if len(letters) >= 9 and not _VOWELS.search(letters):
        return True
    if letters.islower() or letters.isupper() or len(token) < 8:
        return False
    humps = _HUMP.findall(letters)
    return len(humps) >= 3 and len(letters) < 2.6 * len(humps)


# Order matters: a URL before the paths in it, addresses and dates before the runs of stars that they leave.
_RULES: tuple[Rule, ...] = (
    (re.compile(r"\d+"), "*"),
    # The host of a syslog line stands between the time and the program.
    (
        re.compile(
            r"^((?:\* )?<[^<>]{1,3}>)?"
            rf"(?:{_MONTH} +\* \*:\*:\*|\S*\*:\*:\*\S*) [\w.*-]+ (?=[^\s:]{{1,80}}(?:\[\*\])?: )"
        ),
        r"\1* ",
    ),
    (re.compile(r'"([A-Z]{3,8}) \S+( HTTP/\*(?:\.\*)?)?"'), r'"\1 path"'),  # a request line: method kept, target not
    (re.compile(rf"\b({_METHOD}) +(\"?)/\S*?\2(?=[ |]|$)"), r"\1 path"),
    (re.compile(r"\b[A-Za-z][A-Za-z0-9+.]{1,15}://[^\s'\"<>,\])]+"), "url"),
    # user@host, user@database/client, e-mail addresses; not Class@hash, whose hash is a star by now
    (re.compile(r"(?<![\w<])[\w.+*-]{1,64}@(?=[A-Za-z])[\w.*-]+(?:/\S+)?"), "*"),
    (re.compile(r"(?<![\w*:-])(?:[0-9A-Fa-f*]{1,4}[:-]){5,7}[0-9A-Fa-f*]{1,4}(?![\w*:-])"), "*"),
    (re.compile(r"(?<![\w<*])(?:/[\w.$@%+=:~*-]+){2,}/?"), "path"),
    (re.compile(r"(?<![\w\\])(?:[A-Za-z]:|\\)\\[^\s\"'<>|,;]+"), "path"),
    (
        re.compile(r"(?i)\b(user(?:name)?|role|login|account|rhost|ruser|database|db)(=|[ =:]*[\"'])[\w.@*-]*[\"']?"),
        r"\1=*",
    ),
    (re.compile(r"\b(invalid user|for user|by user) [^\s,;:]+"), r"\1 *"),
    (re.compile(r"\b(for|user|by|of) [\w.@*-]+ (from|port)\b"), r"\1 * \2"),
    (re.compile(r"(?<![\w'])'[^']{0,200}'(?![\w'])"), "*"),
    (re.compile(r"\b(?:[a-z]+[*-]*-)?[bcdfghjklmnpqrstvwxz*]{0,10}(?<=-)[bcdfghjklmnpqrstvwxz]{5}\b"), "*"),
    (re.compile(r"(?<![\w*])[A-Za-z][A-Za-z*]{7,}(?![\w*])"), _without_random),
    (re.compile(rf"\b{_WEEKDAY}\b[ ,]*(?={_MONTH}\b|\*)"), ""),
    (re.compile(rf"\b{_MONTH}[a-z]*\b(?=[ ,/*:-]*\*)|(?<=\*/){_MONTH}(?=/\*)"), "*"),
    (re.compile(rf"(?<=\*)(?:T\*)?(?:[ ]?{_ZONE})(?![\w*])"), ""),
    (re.compile(rf"(?<![\w.*@/$-]){_HOST}(?![\w.*@$(-])(?=(:\*|[\s,;)\]}}]|$))"), _without_host),
    (re.compile(r"(?<=_)-\*"), "*"),
    (re.compile(r"(?<=[\s=(:,\[])[-+]\*"), "*"),
    (re.compile(rf"\* ?{_AMOUNT}(?![\w*])"), "*"),
    (re.compile(r"[\[(]\*[\])]"), "*"),
    (re.compile(r"\*\s?(?:\(\)|\[\])"), "*"),
    (re.compile(r"[-+]?\*(?:[\s,.:;/|@+#%_-]*\*)+"), "*"),
    (re.compile(r"(?<!\S)((?:[^\s*]{0,40}\*){1,4}[^\s*]{0,40})(?:[\s,]+\1)+(?!\S)"), r"\1"),
    (re.compile(r"\s+"), " "),
)


def canonical(key: bytes) -> str:
    """Returns the text that stands for every line with this first-level key.

    It has at most `MAX_CANONICAL_CHARS` characters, U+FFFD for bytes that are not UTF-8, and is empty for a line of
    white space. Of a long line both ends are kept. The line encoder reads it, and `line_hash` names it.
    """
    if (
        len(key) > _READ_HEAD + _READ_TAIL
    ):  # before the rules, so that a line of megabytes costs no more than a long one
        key = key[:_READ_HEAD] + b" \xe2\x80\xa6 " + key[-_READ_TAIL:]
    text = key.decode("utf-8", "replace").replace("\0", " ")
    if any(map(str.isdigit, text)):
        for code in _CODES:
            text = code.sub(_hidden, text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _shortened(text.translate(_SHOW).strip())


def _hidden(found: re.Match[str]) -> str:
    """Returns the match with the digits of its last number, and a minus before them, out of the rules' sight."""
    text = found[0]
    number = list(re.finditer(r"(?:0[xX][0-9A-Fa-f]+|[A-Z]{1,6}\d+|-?\d+)(?=\D*\Z)|[1-5][xX]{2}", text))[-1]
    return text[: number.start()] + number[0].translate(_HIDE) + text[number.end() :]


def _shortened(text: str) -> str:
    """Returns at most `MAX_CANONICAL_CHARS` of a text: its head and its tail, cut between words where there are any."""
    if len(text) <= MAX_CANONICAL_CHARS:
        return text
    tail = MAX_CANONICAL_CHARS - _HEAD - len(_BREAK)
    end = text.rfind(" ", _HEAD - 40, _HEAD + 1)
    start = text.find(" ", len(text) - tail, len(text) - tail + 40)
    head = text[: end if end > 0 else _HEAD].rstrip()
    return head + _BREAK + text[start if start > 0 else len(text) - tail :].strip()

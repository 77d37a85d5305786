"""Rules of the second level of masking for forms of whole phrases: pairs of addresses, owners, fields and frames.

They are applied before the rules for single tokens, which would take such a form to pieces. Numbers are stars by then.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from logwarden.model.mask_ids import names_one
from logwarden.model.mask_words import MIXED

_HEX_NUMBER = rf"(?:{MIXED}|\*|\d{{1,8}})"
_HEX_WORD = rf"(?:[A-F]{{1,7}}\*|(?=[A-F\d]{{6,8}}(?![\w*{MIXED}]))[A-F]{{1,7}}\d{{3,6}})"
_HEX_PAIR = re.compile(
    rf"(?<![\w*/.{MIXED}-])(?<![\d*:]:)(?:{_HEX_NUMBER}/{_HEX_WORD}|{_HEX_WORD}/(?:{_HEX_NUMBER}|{_HEX_WORD})"
    rf"|[A-F]/(?:{MIXED}|{_HEX_WORD}))(?![\w*/{MIXED}]|[.-][\w*{MIXED}])"
)
"""Two hexadecimal numbers with a slash between them, of which one begins with a letter: ``0/CB09198``."""


def mask_hex_pairs(text: str) -> str:
    """Returns the text of the first level with a star for two hexadecimal numbers joined by a slash."""
    return _HEX_PAIR.sub("*", text) if "/" in text else text


_STATE = (
    r"(?i:(?:un|in|de|dis)?(?:locked|blocked|abled|activated|active|known|valid|healthy|available|reachable|verified"
    r"|authorized|authenticated|connected)|enabled|ok|okay|up|down|on|off|yes|no|true|false|null|none|success(?:ful)?"
    r"|succeeded|passed|fail(?:ed|ure)?|err(?:or)?|warn(?:ing)?|info|debug|trace|fatal|critical|panic|timed?[ _-]?out"
    r"|refused|denied|rejected|accepted|granted|lost|abort(?:ed)?|reset|closed|open(?:ed)?|full|empty|missing|degraded"
    r"|ready|running|start(?:ed|ing)|stopp(?:ed|ing)|paused|online|offline|pending|expired|revoked|suspended|created"
    r"|deleted|removed|done|finished|completed|cancell?ed|killed|crashed|broken|required)"
)
"""A word that states what happened, or how something is. It is no value."""
_STATED = re.compile(
    r"(?i:(?<![a-z])(?:status|state|result|outcome|phase|health|verdict|condition|severity|level))[ :=]{1,3}\Z"
)
_WORD = re.compile(r"[A-Za-z_-]{1,40}")


def states(found: re.Match[str]) -> bool:
    """Returns whether a quoted word is a state: the noun that announces one stands before it."""
    before = found.string[max(0, found.start() - 16) : found.start()]
    return bool(_WORD.fullmatch(found[1])) and bool(_STATED.search(before))


def _before_colon(found: re.Match[str]) -> str:
    return found[0] if states(found) else "*"


_BRACED = re.compile(
    rf"(?<![\w.:/-])([A-Za-z][\w.-]{{0,60}}):(?!{_STATE}[\s,;}}])"
    r"([^\s,;|&\"'()\[\]{}\ue000-\ue01f]{1,200})(?=[\s,;|}]|$)"
)


def _braced(found: re.Match[str]) -> str:
    """Returns the pairs in braces with a star for each value that names one thing."""
    return _BRACED.sub(lambda pair: f"{pair[1]}:*" if names_one(pair[1]) else pair[0], found[0])


_KEY = r"[A-Za-z][\w.-]{0,60}"
_EMPTY = re.compile(rf"({_KEY})=(?= )")


def _filled(found: re.Match[str]) -> str:
    """Returns pairs in which every key without a value has a star, if its value would name one thing."""
    return found[1] + _EMPTY.sub(lambda key: f"{key[1]}=*" if names_one(key[1]) else key[0], found[2] + " ")[:-1]


_BARE = r"[^\s,;|&\"'()\[\]{}\ue000-\ue01f]{1,200}"
_PERSON = r"[\w.@$\\*+-]{1,64}"
_OWNER = r"[\w.+*-]{1,64}"
_ADDRESS = (
    r"(?:\*(?:\.\*){3}(?::\*)?|\*:\*|\[[\w*:.%]{2,60}\](?::\*)?"
    r"|(?!(?i:sha|md)\*)[A-Za-z][\w.*-]{0,100}(?:\([\w*]{1,20}\))?:\*)"
)
_FOLDERS = r"(?:[\w.*~@-]{1,64}/){1,20}"
_FUNCTION = r"[\w*-]{1,64}\.[\w*.]{1,100}(?:\[[\w*.]{1,60}\])?"
_METHOD = r"[\w*-]{1,64}\.\(\*?\w{1,64}\)\.\w"
_GIVEN = r"(?:string|text|input|literal|word|token|symbol|character|identifier|argument|number|integer|numeric|boolean)"

FORM_RULES: Final[tuple[tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    # The user of an access log stands between the ident and the time.
    (" [*/", re.compile(r"(?<!\S)- \S{1,100}(?= \[\*/[A-Z][a-z]{2}/\*:\*:\*:\* [+-]\*\] \")"), "- -"),
    # An owner in brackets; a noun behind "user" is a name itself.
    (" [", re.compile(rf"(?<![Uu]ser )\b((?i:user|account|principal)(?i:names?|s)?:?) \[(?!{_STATE}\])"
                     rf"{_PERSON}(?:, ?{_PERSON}){{0,20}}\]"), r"\1 *"),
    # A name between bars, before the address of its machine; a level or a method there is no name.
    ("|*.", re.compile(rf"(?:(?<=\|)|\A)(?!{_STATE}\||[A-Z]+\|)[A-Za-z][\w.@-]{{0,63}}\|(?=\*(?:\.\*){{3}}\|)"), "*|"),
    # database/user@address, and user@[database]/client
    ("@", re.compile(rf"(?<![\w/.*@:\])-]){_OWNER}/{_OWNER}@{_ADDRESS}(?![\w*])"), "*"),
    ("@[", re.compile(r"(?<![\w<.+*\])-])(?:[\w.+*-]{1,64}|\[[\w.*-]{1,64}\])@\[[\w.*-]{1,64}\]"
                      r"(?:/(?:\[[\w.*-]{1,64}\]|[^\s\[\]]{1,100}))?(?![\w*])"), "*"),
    ("{", re.compile(r"\{[^{}\"\n]{1,400}(?:\}|$)"), _braced),
    # Three pairs or more with nothing but a colon between key and value.
    (":", re.compile(rf"(?:(?:(?<=\s)|(?<=\|)|\A){_KEY}:{_BARE}(?:[ |]|$)){{3,20}}"), _braced),
    # Pairs without a value between two that have one.
    ("= ", re.compile(rf"(=(?:\"[^\"\n]{{0,100}}\"|[^\s=\"]{{1,100}}))((?: {_KEY}=){{1,8}})(?= {_KEY}=[^\s=])"),
     _filled),
    # What a parser was given.
    (': "', re.compile(rf'(?<=[a-z] )({_GIVEN}): "(?!(?!null\b){_STATE}")[^"\n]{{0,200}}"(?=[\s,;.)]|$)'), r'\1: "*"'),
    # What a sentence quotes before a colon. In JSON a bracket or a comma stands before a quoted key.
    ('":', re.compile(rf'(?<=[A-Za-z] )"(?!{_STATE}")([^"\s]{{1,200}})"(?=: [^"])'), _before_colon),
    # A frame of Go keeps its own file.
    (".go:", re.compile(r"(?<!\S)(?:[A-Za-z]:)?(?:[\w.*@~+!-]{0,64}/){1,24}([\w.*-]{1,64}\.go):(?=\* \+(?:\*|0x))"),
     r"path \1:"),
    # So does a function of Go keep its name: of its package the last word stays.
    ("created by ", re.compile(rf"\bcreated by (?:{_FOLDERS}(?={_METHOD}|{_FUNCTION}(?:\Z| in goroutine))"
                               rf"|(?={_METHOD}|{_FUNCTION} in goroutine))"), "created in "),
    (".(", re.compile(rf"(?<!\S){_FOLDERS}(?={_METHOD})"), ""),
    ("/", re.compile(rf"\A(\s{{0,8}}){_FOLDERS}(?={_FUNCTION}\([^()]{{0,300}}\)\Z)"), r"\1"),
)  # fmt: skip
"""As in `mask_rules`: a text without which the rule has nothing to do, the pattern, and what stands in its place."""

JAVA_FRAME: Final = r"\((?:[\w$*-]{1,100}\.[a-z]{1,6}[:)]|Native Method|Unknown Source)"
"""What follows the method in a frame of Java, as in ``java.base/java.net.Socket.connect(Socket.java:*)``."""

OPERATION: Final = r"/[a-z][\w*]{0,60}(?:\.[\w*]{1,60}){0,8}\.[A-Z][\w*]{0,60}/[A-Z][\w*]{0,60}(?![\w*/]|\.\w)"
"""An operation of gRPC, ``/package.Service/Method``."""

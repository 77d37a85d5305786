"""Decides by a token alone whether it is an id, a host or a word: no other line has a say, so no order of"
" lines has."""

from __future__ import annotations

import re
from functools import lru_cache

from logwarden.model.mask_words import MIXED

_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_VOWEL = re.compile(r"[aeiouyAEIOUY]")
_ABBREVIATION = re.compile(
    r"(?i)ms?gs?|strs?|sqls?|cfg|ctx|mgr|srv|svc|dbs?|fs|fn|tx|rx|js|css|x?html?|xml|https?|tcp|ssl|tls|dns"
    r"|ptr|fmt|src|dst"
    r"|pkg|cmd|btn|img|txt|prm|ldr|hdr|wrk|thr|tbl|ftp|ssh|smtp|rpc|grpc|jdbc|jvm|gc|vm|md|hr|ns|nr|ms|pwd"
    r"|dhcp|ldap|cpu|pdf"
    r"|png|jpg|csv|tsv|jsp|php|st|nd|rd|th|mc|k|x|z|w"
)
"""What programmers write without a vowel."""
_MANY_LETTERS = 9  # letters without a vowel: no language writes a word like that in ASCII
_SHORT_HUMP = 2.85  # letters between changes of case, on average, in a token with a hump that nobody pronounces
_TINY_HUMP = 2.3  # and in any token
_NUMBERED_HUMP = 3.6  # and in a token with a number behind it: names of classes have none
_ID_LETTERS = 8

_DOMAIN = re.compile(
    r"com|net|org|edu|gov|mil|biz|local|internal|lan|arpa|cloud|xyz|io|ai|co|tv|example|invalid|localhost"
    r"|localdomain|corp"
    r"|svc|ad|ae|ar|au|be|bg|br|ca|ch|cl|cn|cy|cz|de|dk|ee|eg|es|eu|fi|fr|ge|gr|hk|hr|hu|ie|il|ir|jp|ke|kr|kz"
    r"|lt|lu|lv|ma"
    r"|mk|mt|mx|ng|nl|nu|nz|pe|ph|pk|pt|ro|ru|sa|se|sg|si|sk|su|th|tr|tw|ua|uk|us|uy|uz|ve|vn|za"
)
"""The last label of a host's name; none that ends the name of a source file or of a field (py, sh, rs, md,"
" id, name)."""
_SOURCE = re.compile(
    r"py|go|js|ts|rs|rb|cs|cc|cpp|java|kt|php|pl|sh|so|md|vb|hs|ml|ps|gz|scala|swift|lua|html?|jsx?|tsx?|c|h"
    r"|id|is|in|to|if|no|ok|up|by|on|db"
)
"""Endings of the names of source files and of fields, which no host has here."""
_TREES = ("com.", "org.", "net.", "io.", "de.", "java.", "javax.", "sun.", "edu.", "ru.", "cn.")
"""Names of packages are names of hosts turned around."""


def is_random(token: str) -> bool:
    """Returns True for letters that are no word: many changes of case, or a long row without a vowel.

    A star in the token stands for digits. "GetObject" and "TLSHandshake" have long humps; "kUwnZvPuFXw" has"
                                           " short ones.
    """
    letters = token.replace("*", "")
    if len(letters) >= _MANY_LETTERS and not _VOWEL.search(letters):
        return True
    if letters.islower() or letters.isupper() or len(token) < _ID_LETTERS:
        return False
    humps = _HUMP.findall(letters)
    if len(humps) < 3:
        return False
    if token.endswith("*") and len(letters) < _NUMBERED_HUMP * len(humps):
        return True
    if len(humps) > 3 and len(letters) < _TINY_HUMP * len(humps):
        return True
    mute = [hump for hump in humps if not (hump.isupper() or _VOWEL.search(hump) or _ABBREVIATION.fullmatch(hump))]
    if not mute:
        return False
    if 2 * len(mute) > len(humps):
        return True
    wordy = any(len(hump) > 2 and not hump.isupper() and hump not in mute for hump in humps)
    return len(letters) < _SHORT_HUMP * len(humps) or not wordy


def is_odd(piece: str) -> bool:
    """Returns True for letters that no writer capitalises so: "myT", "qQz"; words, names and acronyms are not odd."""
    return not (piece.islower() or piece.isupper() or piece[1:].islower()) and (len(piece) < 5 or is_random(piece))


def is_host(name: str, *, port: bool) -> bool:
    """Returns True for a name with dots that ends like a host's, or that a port follows."""
    last = name.rpartition(".")[2]
    if name.startswith(_TREES) or _SOURCE.fullmatch(last):
        return False
    return port or bool(_DOMAIN.fullmatch(last)) or (len(last) == 2 and name.count(".") > 1)


def mask_random(found: re.Match[str]) -> str:
    """Returns a star for a token that is no word."""
    return "*" if is_random(found[0]) else found[0]


_PLAIN = re.compile(r"[a-z]{3,}|[A-Z]{5,}|[A-Z][a-z]{3,}")
"""A word beside an id."""
_BETWEEN = re.compile(r"([+/_=-]+)")
_OWN_SIGNS = ("_", "-")
"""Signs of an id's own alphabet, with which it may begin."""


def mask_pieces(found: re.Match[str]) -> str:
    """Returns an id that its own signs have cut into pieces in one piece; the words beside it stay.

    ``V1StGXR8_Z5jdHi6B-myT`` is a star, and of ``job-V1StGXR8-failed`` the words stay.
    """
    if found[0].startswith("/") and not ("+" in found[0] or found[0].endswith("=")):  # a path
        return found[0]
    parts = _BETWEEN.split(found[0].lstrip("/"))
    out: list[str] = []
    for place in range(0, len(parts), 2):
        between, piece = parts[place - 1] if place else "", parts[place]
        if not piece:
            # A sign at an end belongs to the id beside it, at the head of a path it does not.
            if not (out and out[-1] == MIXED):
                out.append(between)
        elif "+" in found[0] or _is_piece(piece):  # no word is joined by a plus
            if out and out[-1] == MIXED:
                continue
            out += ["" if between in _OWN_SIGNS and not any(out) else between, MIXED]
        else:
            out += [between, piece]
    return "".join(out)


def _is_piece(piece: str) -> bool:
    letters = piece.rstrip("*")
    if not letters or MIXED in piece:
        return True
    return not _PLAIN.fullmatch(letters) or any(not _VOWEL.search(hump) for hump in _HUMP.findall(letters))


def mask_joined(found: re.Match[str]) -> str:
    """Returns a star for pieces joined by signs of base64 and of other alphabets, if a piece is odd beside a star."""
    pieces = [piece for piece in re.split(r"[*+/=_-]+", found[0]) if piece]
    starred = "*" in found[0] or found[0].endswith("=") or sum(map(is_odd, pieces)) > 1
    return "*" if starred and any(map(is_odd, pieces)) else found[0]


# Keys whose value names one person, machine, place or thing. A key counts by its last word or its last two.
_KEYS = re.compile(
    r"users?|usr|s?user|duser|uname|username|login|logname|account|acct|owner|actor|principal|member|customer"
    r"|tenant|client"
    r"|visitor|author|sender|recipient|rcpt|mailto|e?mail|msgid|messageid|host|hostname|node|server|peer"
    r"|remote|rhost|ruser"
    r"|shost|dhost|addr|address|ip|ipaddr|src|dst|mac|domain|pod|podname|container|instance|device|session"
    r"|sess|sid|token"
    r"|dn|trace|span|rid|uid|uuid|guid|id|ids|hash|sha|md|digest|etag|fingerprint|nonce|cookie|path|file|fname"
    r"|filename|dir"
    r"|folder|url|uri|href|referer|referrer|agent|useragent|query|q|sku|key|topic|queue|bucket|object|sn"
    r"|serial|exe|comm|cmd"
    r"|command|database|db|role|schema|table|relation|bundle|title|city|country|package|pkg|module|plugin"
    r"|library|image"
    r"|volume|name|town|street|company|organi[sz]ation|merchant|supplier|firstname|lastname|surname|nickname|note"
    r"|comment|remark|subject|caption|ugi"
)


_LEVEL = re.compile(r"(?i)trace|debug|info|notice|warn(?:ing)?|err(?:or)?|fatal|crit(?:ical)?|fail(?:ed|ure)?|ok")


@lru_cache(maxsize=4096)
def names_one(key: str) -> bool:
    """Returns True for a key whose value names one person, machine, place or thing: `client_ip`, `srcUser`."""
    return bool(_KEYS.fullmatch(re.split(r"[_.*-]+|(?<=[a-z])(?=[A-Z])", key.rstrip("_.*-0123456789"))[-1].lower()))


def mask_value(found: re.Match[str]) -> str:
    """Returns ``key=*`` for a key and a value that names one thing, whichever signs join them.

    A quoted value of another key may consist of pairs, as in an audit record.
    """
    if names_one(found[1]) and not _states_more(found):
        return f"{found[1]}=*"
    if "=" in found[0] and found[0][-1] in "'\"" and found[0].count("=") > 1:
        start = len(found[1]) + 2
        return found[0][:start] + found.re.sub(mask_flat, found[0][start:-1]) + found[0][-1]
    return found[0]


_PLACEHOLDERS = ("path", "url")


def _states_more(found: re.Match[str]) -> bool:
    """Returns True for words behind a path that is masked already: "probe of path: HTTP_503", but not "path: *"."""
    behind = found[0][len(found[1]) :].lstrip(": ")
    is_path = found[1] in _PLACEHOLDERS and found[0][len(found[1])] == ":"
    return is_path and behind[:1].isalpha() and behind not in _PLACEHOLDERS


def mask_flat(found: re.Match[str]) -> str:
    """Returns ``key=*`` for a pair whose value names one thing; any other pair as it is."""
    return f"{found[1]}=*" if names_one(found[1]) else found[0]


def mask_element(found: re.Match[str]) -> str:
    """Returns ``<user>*</user>`` for an element of XML whose content names one thing."""
    return f"<{found[1]}>*</{found[1]}>" if names_one(found[1]) else found[0]


def mask_bracketed(found: re.Match[str]) -> str:
    """Returns ``session[*]`` for a value in brackets behind a key whose value names one thing."""
    return f"{found[1]}=*" if names_one(found[1]) and not _LEVEL.fullmatch(found[2]) else found[0]


def mask_host(found: re.Match[str]) -> str:
    """Returns a star for the name of a host; names of packages and of files stay."""
    return "*" if is_host(found[0], port=found[1].startswith(":")) else found[0]


def mask_target(found: re.Match[str]) -> str:
    """Returns ``url`` for the name of a host and a path behind it, as of an image; other paths stay."""
    host = found[0].partition("/")[0].partition(":")[0]
    return "url" if is_host(host, port=found[1].startswith(":")) else found[0]

"""The second level of masking: from what the first level left to the text that stands for a kind of line.

Runs once per distinct result of the first level and may therefore be slow. First the codes are hidden from the rules,
then every other number, name, path, address and id becomes ``*``, and at last stars that stand together become one.
Every rule looks at a token and at known words around it, never at other lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from logwarden.model.failure_words import GLOSSES
from logwarden.model.mask_codes import METHOD, hide_codes, show_codes
from logwarden.model.mask_forms import FORM_RULES, JAVA_FRAME, OPERATION, mask_hex_pairs, states
from logwarden.model.mask_ids import (
    mask_bracketed,
    mask_element,
    mask_host,
    mask_joined,
    mask_pieces,
    mask_random,
    mask_target,
    mask_value,
)
from logwarden.model.mask_own import OwnRule
from logwarden.model.mask_times import TIME_RULES, without_month_at_head
from logwarden.model.mask_words import MIXED

MAX_CANONICAL_CHARS: Final = 240
"""Twice what the line encoder reads."""
_HEAD, _BREAK = 150, " \u2026 "
_READ_HEAD, _READ_TAIL = 720, 400

Replacement = str | Callable[[re.Match[str]], str]
Rule = tuple[str, re.Pattern[str], Replacement]
"""A text without which the rule has nothing to do, the pattern, and what stands in its place."""

_NUMBERS = re.compile(r"\b0[xX][0-9A-Fa-f]+\b|\d+")
_SQL = re.compile(
    r"(?i)\b(?:select\b.{1,400}\bfrom|insert\s+into|update\s+\S+\s+set|delete\s+from|merge\s+into|replace\s+into"
    r"|where\s|exec(?:ute)?\s+\S+\s+@"
    r"|values\s*\()"
)
_HOST = r"(?:[A-Za-z0-9*](?:[\w*-]{0,62})\.){1,8}[a-z]{2,12}"
_TELLING = re.compile(
    r"(?i)fail|err|refus|den(?:y|ied)|invalid|time|\bno\b|\bnot\b|can't|cannot|unable|lost|down|reset|clos|abort"
    r"|exceed|full"
    r"|corrupt|unknown|missing|exception|warn|fatal|kill|panic|broken|space|forbid|expired|unreach|\bout of\b"
)
"""Words for which a quoted text of several words stays: it is what happened, and no value."""

_TELLING_ELSEWHERE = re.compile("|".join(sorted(map(re.escape, GLOSSES), key=len, reverse=True)))

_NAME = (
    r"(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}'|<[^<>\n]{0,100}>|[\u201c\u201e][^\u201c\u201d\n]{0,200}[\u201c\u201d]"
    r"|[^\s,;|&\"'()\[\]{}\ue000-\ue01f]{1,200}(?![\ue000-\ue01f]))"
)
_KEYED = re.compile(
    rf"(?<![\w.-])([A-Za-z][\w.-]{{0,60}})(?:(=|[\"']\s?[:=]\s?|[ =:]{{1,2}}(?=[\"'])){_NAME}"
    r"|: [^\s,;|&\"'()\[\]{}\ue000-\ue01f]{0,199}[^\s,;|&\"'()\[\]{}\ue000-\ue01f.](?=[,;)]|\.?$)"
    r"|: (?=\.$))"
)
_IN_PIECES = re.compile(rf"[A-Za-z*+/_=-]{{0,100}}{MIXED}[A-Za-z*{MIXED}+/_=-]{{0,200}}")
_GRAMMAR = (
    r"(?!(?:not|is|was|has|had|are|were|does|did|do|can|will|session|sessions|name|names|id|ids|agent|unknown"
    r"|data|account"
    r"|accounts|with|from|to|in|on|at|by|for|of|the|a|an|and|or|input|space|mode|request|error|profile|defined"
    r"|interface"
    r"|service|logged|invalid|authentication|password|login|permission|level|list|key|limit|code|type|info|user)\b)"
)
_PERSON = r"(?:\"[^\"\n]{0,100}\"|'[^'\n]{0,100}'|[\w.@*+$\\-]{1,100})"
_ACTED = (
    r"(?:logged|signed|logs|signs|created|deleted|added|removed|uploaded|downloaded|opened|changed|failed"
    r"|requested|joined"
    r"|left|connected|disconnected|was|has|is|does|did|from|at|on|not|granted|denied|locked|expired|authenticated"
    r"|cannot"
    r"|registered|attempted|updated|tried)"
)

_UNIT_ELSEWHERE = r"(?:毫秒|微秒|秒|分钟|小时|天|ミリ秒|밀리초|초|мс|мкс|сек|мин|час(?:а|ов)?|[кмгт]б|(?-i:Ko|Mo|Go))"  # noqa: RUF001
_USER_ELSEWHERE = "пользовател[а-я]{1,3}"  # noqa: RUF001
_RDN = r"(?:cn|uid|ou|o|dc|sn|gn|l|st|c|street|emailaddress|serialnumber)"
_MONEY = r"(?:EUR|USD|GBP|JPY|CNY|RUB|INR)"

# Order matters: a URL before the paths in it, names before hosts, addresses before the runs of stars that they leave.
_RULES: tuple[Rule, ...] = (
    # The host of a syslog line stands between the time and the program.
    (":", re.compile(
        r"^((?:\d+ |\* )?<[^<>]{1,3}>)?(?:(?:[A-Z][a-z]{2} +)?\* \*:\*:\*|\S{0,24}\*:\*:\*\S{0,16}) [\w.*-]+"
        r" (?=[^\s:]{1,80}(?:\[\*\])?(?: \(\[?\*\]?\))?: )"), r"\1* "),
    *FORM_RULES,
    ("arn:", re.compile(r"\b(arn:[\w-]{1,20}:[\w-]{1,40}):[^\s,;\"')\]]{1,400}"), r"\1:*"),
    ("W/", re.compile(r"\bW/(?=\")"), ""),
    ("://", re.compile(r"(?<![A-Za-z])[A-Za-z][A-Za-z0-9+.*]{1,15}://[^\s'\"<>,\])]+"), "url"),
    # Request lines: the method stays, the target goes, and so does what a log quotes after the status.
    ('"', re.compile(rf'"({METHOD}|[A-Z]{{3,8}}) \S+( HTTP/\*(?:\.\*)?)?"'), r"\1 path"),
    ("", re.compile(rf"\b({METHOD})([ |\t]+)(\"?)(?:/|\*/|url)[^\s\"|]*\3(?=[ |\t]|$)"), r"\1 path"),
    (" path", re.compile(rf'(\b{METHOD} path.{{0,60}}?) "[^"\n]{{0,400}}"(?: "[^"\n]{{0,400}}")*'), r"\1 *"),
    ("<", re.compile(r"(?:(?<![\w.])(?:[A-Z][\w.'-]{1,30} ){1,3})?<[\w.+*/=-]{1,100}@[\w.*-]{1,100}>"), "*"),
    # user@host, user@database/client, e-mail addresses; not Class@hash, whose hash is a star by now
    ("@", re.compile(r"(?<![\w<.+*-])[\w.+*-]{1,64}@(?=[A-Za-z]|\*(?:\.\*){3})[\w.*-]+(?:/\S+)?"), "*"),
    ("\\", re.compile(
        r"(?<![\w\\])(?:[A-Za-z]:|\\\\[\w.*$-]{1,64}|%\w{1,32}%|\\\\[?.](?:\\[A-Za-z]:)?|\\(?:Device|SystemRoot|\?\?)(?=\\))"
        r"(?:\\{1,2}[^\\/:?\"<>|\r\n]{1,64}(?=\\)){0,20}"
        r"\\{1,2}[^\s\"'<>|,;]*"), "path"),
    ("\\", re.compile(r"(?<![\w\\:])[A-Z][A-Z0-9_*-]{1,62}(?:\\{1,2}[\w.$*-]{1,64}){1,20}(?![\w\\])"), "*"),
    ("/", re.compile(rf"(?<![\w<*./])(?:[A-Za-z]:|~[\w.-]{{0,32}}|\.{{1,2}})?(?!{OPERATION})"
                     r"(?:/[\w.$@%+=:~*!-]+){2,}/?"), "path"),
    ("/", re.compile(r"(?<=[\s\"'=(\[])(?:[A-Za-z]:|~[\w.-]{0,32})?/[A-Za-z_.][\w.*-]{0,63}/?(?=[\s,;:)\]\"']|$)"),
     "path"),
    (".", re.compile(rf"(?<![\w.*@/$-]){_HOST}(?=((?::\*)?)/)(?::\*)?(?:/[\w.*@:+-]{{1,100}}){{1,20}}"), mask_target),
    ("/", re.compile(r"(?<![\w<*./:=-])(?:[\w.*$@-]{1,64}/){1,20}[\w.*$@-]{1,64}\.[A-Za-z]{1,5}(?:\.\*){0,3}"
                     rf"(?![\w/*.]|{JAVA_FRAME})"), "path"),
    # People and machines in the places where daemons write them.
    ("user", re.compile(rf"\b([Ii]nvalid user|for user|by user|to user|of user|as user) +"
                        rf"(?:{_PERSON}|\([\w.@*$-]{{1,64}}\))"), r"\1 *"),
    ("er ", re.compile(rf"\b((?:by|for|from|of|to) (?:customer|employee|member|visitor|operator|owner)) "
                       rf"{_GRAMMAR}{_PERSON}"
                       r"(?=[\s,;:.)]|$)"), r"\1 *"),
    ("for ", re.compile(rf"\b((?:[Ll]og(?:in|on)|[Pp]assword|[Aa]uthentication|[Ss]ign-?in)\b[^;:\n]{{0,40}}? for) "
                        rf"{_GRAMMAR}(?!(?:reason|user)\b){_PERSON}(?=[,;:.)]|$| (?:on|from|at|via|using|with)\b)"),
     r"\1 *"),
    ("", re.compile(rf"\b({_USER_ELSEWHERE}|(?i:benutzer|usuario|usuário|utente|utilisateur|gebruiker|kullanıcı"
                    rf"|użytkownik[a-z]{{0,3}})|用户|用戶|ユーザー|사용자) (?=[A-Za-z\"'*]){_PERSON}(?![^\s,;:.)])",
                    re.IGNORECASE), r"\1 *"),
    ("id=*(", re.compile(r"\b((?:e|s|fs|au)?[ug]id=)\*\([\w.@$-]{1,64}\)"), r"\1*"),
    ("COMMAND=", re.compile(r"\bCOMMAND=.+$"), "COMMAND=*"),
    ("ser ", re.compile(rf"\b([Uu]ser) {_GRAMMAR}{_PERSON}(?= {_ACTED}\b|[,;:.)\]]|$)"), r"\1 *"),
    ("", re.compile(rf"\b(for|user|by|of|from user) {_GRAMMAR}{_PERSON} (from|port|on port|at)\b(?= ?\*| url| path|$)"),
     r"\1 * \2"),
    ("for ", re.compile(rf"\b(for|of) (?!(?:user|the)\b){_PERSON} (from)\b"), r"\1 * \2"),
    ("by", re.compile(rf"\b(uploaded|created|deleted|opened|changed|requested|approved|removed|modified|locked"
                       rf"|added|sent|owned|submitted|initiated|triggered|started|cancelled|canceled|updated|saved)"
                       rf"( [^;]{{1,80}}?)? by(:?) {_GRAMMAR}{_PERSON}"), r"\1\2 by\3 *"),
    ("Client", re.compile(r"\[[\w.*@-]{1,64}\](?= (?:OK|FAIL) [A-Z]{2,16}: Client\b)"), "*"),
    ("</", re.compile(r"<([A-Za-z][\w.-]{0,60})>[^<>\n\ue000-\ue01f]{1,200}</\1>"), mask_element),
    ("(to ", re.compile(r"(?<=\(to )[\w.@*-]{1,64}\) [\w.@*-]{1,64}(?= on )"), "*) *"),
    ("CMD", re.compile(r"\([\w.*@-]{1,64}\)(?= (?:CMD|RELOAD|LIST|END EDIT|BEGIN EDIT)\b)"), "*"),
    ("TTY=", re.compile(r"[\w.*@-]{1,64}(?= : (?:[^;=]{1,80} ; )?TTY=)"), "*"),
    # The name of an entry of a directory, or of the owner of a certificate.
    ("=", re.compile(rf"(?<![\w=])(?i:{_RDN})=[^,=;\"'\n]{{1,64}}(?:, ?(?i:{_RDN})=[^,=;\"'\s)\]]{{1,64}}"
                     rf"(?: [^,=;\"'\n]{{1,64}}(?=, ?(?i:{_RDN})=))?){{1,20}}"), "*"),
    ("", _KEYED, mask_value),
    # Quoted values. A text of several words that speaks of trouble is no value.
    ("'", re.compile(r"(?<![\w'])'([^'\n]{0,200})'(?![\w'])"), "quoted"),
    ('"', re.compile(r'(?<![\w"=:])(?<![=:] )"([^"\n]{0,200})"(?![\w":=])'), "quoted"),
    ("`", re.compile(r"`([^`\n]{0,200})`"), "quoted"),
    ("`", re.compile(r"(?<!in )`([^`'\n]{0,200})'(?!\w)"), "quoted"),
    ("", re.compile(r"[«\u201e\u201c\u2018\u201a\u300c\u300e]([^»\u201c\u201d\u2019\u2018\u300d\u300f\n]{1,200})"
                    r"[»\u201c\u201d\u2019\u2018\u300d\u300f]"), "quoted"),
    ("[", re.compile(r"(?<![\w.-])([A-Za-z][\w.-]{0,60})\[([\w.@*-]{1,100})\]"), mask_bracketed),
    ("<", re.compile(r"(?<![\w.-])([A-Za-z][\w.-]{0,60})<([\w.@*-]{1,100})>"), mask_bracketed),
    # Addresses and ids. One of fifteen UUIDs has a group without a digit.
    ("-*", re.compile(r"(?:\*|\b[a-f]{8})(?:-(?:\*|(?!dead|face|fade)(?:[a-f]{4}|[A-F]{4})))*-\*"), "*"),
    ("]:*", re.compile(r"(?<![\w*])\[(?=[0-9A-Fa-f*]{0,4}:)[0-9A-Fa-f*:.]{2,48}(?:%\w+\*?)?\]:\*"), "*"),
    (":", re.compile(r"(?<![\w*:-])(?:[0-9A-Fa-f*]{1,4}:){5,7}[0-9A-Fa-f*]{1,4}(?![\w*:-])"), "*"),
    (":", re.compile(r"(?<![\w*:-])(?:(?:[0-9A-Fa-f]{2}|\*):){8,256}[0-9A-Fa-f*]{1,2}(?![\w*:-])"), "*"),
    ("-", re.compile(r"(?<![\w*:-])(?:[0-9A-Fa-f*]{1,2}-){5,7}[0-9A-Fa-f*]{1,2}(?![\w*:-])"), "*"),
    (".", re.compile(r"(?<![\w*.])(?=[\w.]*\*)(?:[0-9A-Fa-f*]{1,4}\.){2}[0-9A-Fa-f*]{1,4}(?![\w*.])"), "*"),
    ("::", re.compile(r"(?<![\w:*])(?=[\w:]*\*|::[\s\]/])(?:[A-Fa-f*]{0,4}:){2,7}[A-Fa-f*]{0,4}(?:%\w+\*?)?"
                      r"(?![\w:])"), "*"),
    (":", re.compile(r"\b(?:SHA|sha|MD)\d*\*?:[\w*+/=:]{4,100}"), "*"),
    (" ", re.compile(r"^[0-9a-fA-F*]{1,16}:?[ \t]+(?:(?:[0-9a-fA-F]{2}|[0-9a-fA-F]{4}|\*)[ \t]{1,3}){8,}"
                     r".{0,20}$"), "*"),
    ("\\x", re.compile(r"(?:\\\*){0,64}\\x[0-9A-Fa-f*]{1,2}(?:\\(?:x[0-9A-Fa-f*]{1,2}|\*)){1,}"), "*"),
    ("*", re.compile(r"\[(?=[^\]]{0,200}\*)(?:[0-9a-fA-F]{2}|\*)(?:, ?(?:[0-9a-fA-F]{2}|\*)){3,}\]"), "*"),
    (" ", re.compile(r"(?<![^\s:])(?:(?:[0-9a-fA-F]{2}|[0-9a-fA-F]{4}|\*)[ \t]{1,3}){7,}(?:[0-9a-fA-F*]{1,4}(?!\S))?"
                     r"(?:[ \t]*\|.{0,17}\|?$|[ \t]+\S{8,17}$)?"), "* "),
    ("-", re.compile(r"(?<=[\w*]-)(?!https?d?\b|xhtml\b)(?:[bcdfghjklmnpqrstvwxz]{5}|[bcdfghjklmnpqrstvwxz]{1,4}\*)"
                     r"(?![\w-])"), "*"),
    ("", re.compile(r"(?<![\w*+/=.-])(?=[\w*+/-]*[*+/=_-])[A-Za-z*+/_-]{10,}={0,2}(?![\w*+/=])"), mask_joined),
    ("", re.compile(r"(?<![^\W_])[A-Za-z][A-Za-z*]{7,}(?![^\W_])"), mask_random),
    (".", re.compile(rf"(?<![\w.*@/$-]){_HOST}(?![\w.*@$(-])(?=(:\*|[\s,;)\]}}\[]|$))"), mask_host),
    (".", re.compile(
        r"(?i)(?<![\w*/\\.])[\w*~+-]{1,100}(?:\(\*\))?(?:\.[\w*-]{1,20})?\.(?:exe|dll|sys|msi|pdf|txt|csv|tsv|xlsx?|docx?"
        r"|pptx?|jpe?g|png"
        r"|gif|svg|mp[34]|avi|mov|zip|gz|tgz|bz2|xz|zst|tar|rar|7z|bak|tmp|dat|log|parquet|avro|sst|pcap"
        r"|dump|so|dylib|jar|war|deb|rpm|ko)(?![\w.])"), "*"),
    ("*", re.compile(r"(?<![\w.*])[\w-]{0,60}\*[\w*-]{0,60}\.(?:xml|json|html?|ya?ml|pcapng|pid|sock|lock|crt"
                     r"|pem|db)(?![\w.])"), "*"),
    # Addresses of devices on a bus, repositories, resources of a program.
    (":*.", re.compile(r"(?<![\w*:.])\*:[a-f]{2}:\*\.[a-f*](?![\w*])"), "*"),
    (".git", re.compile(r"(?<![\w*])\*:(?:path|[\w.*~/-]{1,100}\.git)(?![\w/])"), "*"),
    ("ocid", re.compile(r"\bocid\*\.[\w.*-]{4,200}"), "*"),
    ("classpath", re.compile(r"\bclasspath\*?:(?:path|[\w.*/-]{1,100})"), "classpath:path"),
    # A name with a number, behind the noun that says what it names.
    ("*", re.compile(r"\b(domain|node|host|server|volume|disk|device|broker|member|shard|replica|replicaset|partition"
                     r"|pod|container) (?=[\w-]*[*_])[\w*-]{1,64}(?=[\s,;:.)]|$)"), r"\1 *"),
    *TIME_RULES,
    # Amounts.
    ("*", re.compile(r"\*(?:[.,:'\u2019\u202f\xa0]\*)+"), "*"),
    ("*", re.compile(r"(?<=[\s=(])[<>~\u2248]\*(?![>*])"), "*"),
    ("*", re.compile(r"(?:(?<=[\s=(:,\[_])|\A)[-+]\*"), "*"),
    ("*", re.compile(r"\* ?(?:[KMGTPkmgtp]i?[Bb]|B|[num\u00b5\u03bc]?s|min|h|secs?|msecs?|bytes?|(?:milli|micro|nano)?"
                     r"seconds?|minutes?|hours?|days?|[KMGTkmgt]?(?:bps|[Bb]its?|Hz|pps|FLOPS)|[kMGT]?Wh|[kM]W|m?Ah|[mk]V|hPa|mbar|[Rr][Pp][Mm]|rps|qps|i?ops|IOPS)(?![\w*])"),
     "*"),
    ("PT", re.compile(r"\bPT\*"), "*"),
    ("+", re.compile(r"(?<=\*)\+build\b[.\w*-]*"), ""),
    ("*", re.compile(rf"\* ?{_UNIT_ELSEWHERE}(?![\w*])", re.IGNORECASE), "*"),
    ("%", re.compile(r"\* (?=%(?!\w))"), "*"),
    ("*", re.compile(rf"(?:[$€£¥₹₽]|\b{_MONEY} ?)\*|\* ?(?:[€£¥₹₽]|{_MONEY}\b)"), "*"),
    ("-", re.compile(r"(?i)\*-(?:rc|alpha|beta|snapshot|release|final|dev|pre|build)\b[.-]?\*?"), "*"),
    ("*", re.compile(r"[\[(]\s{0,8}\*[\])]"), "*"),
    ("*", re.compile(r"\*\s?(?:\(\)|\[\]|=+(?!\S))"), "*"),
    ("*", re.compile(r"(?<![\w*])[-+]?\*(?:[\s,.:;/|@+#%_-]*\*)+|\*(?:[\s,.:;/|@+#%-]+\*)+"), "*"),
    ("*", re.compile(r"[\[(]\*[\])]"), "*"),
    # A list of one thing, and a list of pairs: "node-* <ok> node-* <ok>".
    ("*", re.compile(r"(?<!\S)((?:[^\s*]{0,40}\*){1,4}[^\s*,]{0,40}(?: [^\s*]{1,20})?)(?:[\s,]+\1)+(?![^\s,])"), r"\1"),
    ("", re.compile(r"\s+"), " "),
)  # fmt: skip

_SQL_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?:\b[EeNnXxBb])?'(?:[^'\n]|''){0,2000}(?:'|$)|\$\$.{0,2000}?\$\$"), "*"),
    (re.compile(r"\$\*|:\w+\b(?=\s*[,)])|\?"), "*"),
    (re.compile(r"(?i)(?<=[=<>(,])(\s*)(?:null|true|false|default)(?=\s*[,)\s;]|$)"), r"\1*"),
    (re.compile(r"-?\*(?:\s*,\s*-?\*)+"), "*"),
    (re.compile(r"\(\s*\*\s*\)(?:\s*,\s*\(\s*\*\s*\))*"), "(*)"),
)


def canonical(key: bytes, own: Sequence[OwnRule] = ()) -> str:
    """Returns the text that stands for every line with this first-level key.

    It has at most `MAX_CANONICAL_CHARS` characters, U+FFFD for bytes that are not UTF-8, and is empty for a line of
    white space. Of a long line both ends are kept. The line encoder reads it, and `line_hash` names it. `own` are masks
    of the user's; they are applied before the others.
    """
    if (
        len(key) > _READ_HEAD + _READ_TAIL
    ):  # before the rules, so that a line of megabytes costs no more than a long one
        key = key[:_READ_HEAD] + _BREAK.encode() + key[-_READ_TAIL:]
    text = key.decode("utf-8", "replace").replace("\0", " ")
    text = mask_hex_pairs(text)
    if MIXED in text:
        text = _IN_PIECES.sub(mask_pieces, text).replace(MIXED, "*")
    for pattern, replacement in own:
        text = pattern.sub(replacement, text)
    text = without_month_at_head(_NUMBERS.sub("*", hide_codes(text)))
    if _SQL.search(text):
        for pattern, replacement in _SQL_RULES:
            text = pattern.sub(replacement, text)
    for needed, pattern, by in _RULES:
        if needed in text:
            text = pattern.sub(_quoted if by == "quoted" else by, text)
    return _shortened(show_codes(text).strip())


def _quoted(found: re.Match[str]) -> str:
    """Returns a star for a quoted value; a quoted state and a text of several words about trouble stay."""
    if " " not in found[1].strip() and found[1].isascii():
        return found[0] if states(found) else "*"
    return found[0] if _TELLING.search(found[1]) or _TELLING_ELSEWHERE.search(found[1].casefold()) else "*"


def _shortened(text: str) -> str:
    """Returns at most `MAX_CANONICAL_CHARS` of a text: its head and its tail, cut between words where there are any."""
    if len(text) <= MAX_CANONICAL_CHARS:
        return text
    tail = MAX_CANONICAL_CHARS - _HEAD - len(_BREAK)
    end = text.rfind(" ", _HEAD - 40, _HEAD + 1)
    start = text.find(" ", len(text) - tail, len(text) - tail + 40)
    head = text[: end if end > 0 else _HEAD].rstrip()
    return head + _BREAK + text[start if start > 0 else len(text) - tail :].strip()

"""The words and signs by which the first level of masking knows what may be a code, and its numbers."""

from __future__ import annotations

import re

import numpy as np

from logwarden.model.arrays import Bools, Bytes

# Colours and other orders to a terminal (ECMA-48), none across a line's end: bounded, so that no text is read twice.
PAINT = re.compile(rb"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)|[@-Z\\^_])")

MIXED = "\x01"
"""Stands for a token in which digits and letters alternate, as in ids; a star stands for a number."""
TAIL = 8  # letters of a word that are compared, from its end: they fit one integer
CODE_ENDINGS = (b"status", b"code", b"errno")
CODE_WORDS = (
    b"err error rc ret retval exit exits exited signal sig sigs result res returned returns return sqlstate eventid"
    b" event hresult closed terminated killed failed died ended finished completed reply response responded answered"
    b" answer got http grpc severity level lvl priority prio said stopped aborted crashed"
    b" reason mqrc lasterror state cause alarm fault fehler erreur errore kodu felkod bugcheck msg close alert"
    b" statut estado stato durum stav"
).split()
MAX_GAP = 12  # columns are padded with blanks
BEFORE = b" =:\"'([#-"
"""Bytes that can stand right before a code that a word announces."""
VENDORS = frozenset(
    b"CPF CPD CPI CPA CPC MCH RNX RNQ AMQ CSQ HASP DFH DSN DSNT IEF IEC ICH IKJ IST ANR ANS"
    b" WFLY WFLYCTL WFLYSRV WFLYUT WFLYEJB WFLYJCA WFLYTX WFLYCLINF WFLYCLWEB HHH JBAS ISPN ARJUNA CWWKZ CWWKF SRVE"
    b" ADMA SECJ DCSV HMGR TRAS WSVR WTRN DSRA CNTR CHFW AADSTS ORA TNS PLS RMAN CRS KUP PRVF PRVG LRM DIA NMS"
    b" OPW UDE MY BEA JDK DMR NQS".split()
)
"""Names before the numbers of messages of vendors, as in ``CPF4131`` and ``ORA-00600``: known ones, because an order
or a ticket has the same form."""
LEFT, RIGHT = b" \t\"'|/([=:,->\n", b" \t\n|\"',)];:"
"""Bytes that can stand around a status that no word announces."""
SHORT, LONG = 5, 6  # digits of a code; and of a vendor's code, as in ORA-00600
HEX = 8  # letters and digits of which a token of hexadecimal capitals has more, if the digits are behind
REPLIES = frozenset(
    n
    for first, last in (
        (100, 103), (110, 110), (120, 120), (125, 125), (150, 150), (200, 208), (211, 235), (250, 257), (300, 308),
        (331, 354), (400, 431), (440, 455), (460, 464), (494, 511), (520, 541), (550, 561), (598, 599),
    )
    for n in range(first, last + 1)
)  # fmt: skip
"""Statuses of HTTP, and replies of SMTP and FTP, in blocks."""

NUMBERED = re.compile(rb"(?!x)(?:[g-z][0-9]{1,2}[a-z]|[a-z][0-9]{1,2}[g-z]|[a-z]2[a-z])|[a-z]{2,6}[24]j")
"""Words with a number inside: ``k8s``, ``i18n``, ``e2e``, ``log4j``."""

ENHANCED = re.compile(rb"(?:(?<![0-9A-Za-z])[245][0-9]{2}[ -]|=)([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9A-Za-z.])")
"""An enhanced status of mail, behind its reply or in a field: ``550 5.7.1``."""

FOREIGN = (
    r"(?:(?:错误|状态|返回|退出|响应|结果|故障|报警|异常|终止)码|代码|(?:錯誤|狀態|返回|結束|回應|退出|離開|終止|異常|故障|結果|傳回)碼|代碼|状态|狀態|状態|信号|信號"
    r"|コード|ステータス|シグナル|코드|상태|신호|(?:С|с)татус|(?:С|с)игнал|รหัส|สถานะ|κωδικός|कोड"  # noqa: RUF001
    r"|(?:(?:К|к)од(?:ом|а)?|(?:C|c)ódigo(?: de)?|(?:K|k)ód|(?:K|k)od(?:em)?|رمز|كود|(?:M|m)ã|קוד)(?: LETTERS{2,20})?)"  # noqa: RUF001
    r"(?:[ :=#(\[]|\uff1a|\uff08){0,4}-?"
)
"""Words of other scripts and languages that announce a code, and the signs behind them."""
_FOREIGN = re.compile(
    FOREIGN.replace("LETTERS", r"[^\x00-\x40\x5b-\x60\x7b-\x7f]").replace("2,20", "2,40").encode()
    .replace(rb"\uff1a", "\uff1a".encode()).replace(rb"\uff08", "\uff08".encode())
    + rb"(?<![0-9A-Za-z])([0-9]{1,5})(?![0-9A-Za-z])"
)  # fmt: skip
_DEVICE = re.compile(rb"%[A-Z][A-Z0-9_]{1,30}-([0-7])-(?:([0-9]{3,6})(?=:))?|%%[0-9]{2}[A-Z][A-Z0-9_]{1,30}/([0-7])/")
"""Facility, severity and number of a message of a network device: ``%LINK-3-UPDOWN:``, ``%ASA-4-106023:``,
``%%01IFNET/4/LINK_STATE``."""
SQLSTATE = (
    r"(?:[0-5][0-9][SPTV][0-9]{2}|0LP01|2BP01|HY[T0-9][0-9]{2}|HV00[0-9A-Z]|IM0[0-9]{2}|XX00[0-9]"
    r"|(?:0[ABFPZ]|2[BDF]|3[BDF]|F0|P0)00[0-9])"
)
"""A state of SQL with a letter inside."""
LIBRARY_CODE = re.compile(rb":[0-9A-F]{8}:")
"""A code of OpenSSL, behind the word for an error: ``error:0A000086:SSL routines``."""
STATE_IN_FRAME = re.compile(rb"[\[(](?=[0-9])%s[\])]" % SQLSTATE.encode())
_DEVICE_NAME = re.compile(rb"%%([0-9]{2}[A-Z][A-Z0-9_]{1,30})/[0-7]/")


_SPELLED = tuple(
    (word, re.compile(word + rb"""["']?[ =:(\["'#]{1,4}([0-9A-Z]{3,6})(?![0-9A-Za-z])"""))
    for word in (b"SQLSTATE", b"sqlstate", b"SqlState", b"ABEND", b"abend")
)
"""Words before a code of digits and capitals, as in ``SQLSTATE 42P01`` and ``ABEND=S0C7``, and the code."""


def spelled(blob: bytes) -> list[tuple[int, int]]:
    """Returns where codes of digits and capitals begin and end. A word that announces nothing else stands before."""
    forms = [code for word, code in _SPELLED if word in blob] + ([_DEVICE_NAME] if b"%%" in blob else [])
    return [found.span(1) for form in forms for found in form.finditer(blob)]


def announced(blob: bytes) -> list[int]:
    """Returns where numbers stand that a word of another script, or the form of a device's message, makes codes."""
    found = [] if blob.isascii() else [match.start(1) for match in _FOREIGN.finditer(blob)]
    if b"%" in blob:
        found += [match.start(group) for match in _DEVICE.finditer(blob) for group in (1, 2, 3) if match[group]]
    return found


def unpainted(blob: bytes) -> bytes:
    """Returns the bytes without colours and other orders to a terminal."""
    return PAINT.sub(b"", blob) if b"\x1b" in blob else blob


def _ending(word: bytes) -> list[int]:
    """Returns the last three letters of a word, by five bits of each, the last one highest; all before a short word."""
    last = (word[-1] & 0x1F) << 10 | (word[-2] & 0x1F) << 5
    return [last | word[-3] & 0x1F] if len(word) > 2 else [last | bits for bits in range(32)]


IS_ENDING = np.zeros(1 << 15, bool)
IS_ENDING[[bits for word in (*CODE_WORDS, *CODE_ENDINGS, b"with") for bits in _ending(word)]] = True


def _name(word: bytes) -> int:
    """Returns the last letters of a word as an integer, the last one lowest."""
    return int.from_bytes(word[::-1][:TAIL].ljust(TAIL), "little")


_NAMES = np.array(sorted({_name(word) for word in CODE_WORDS}), np.uint64)


_VENDORS = np.array(sorted({_name(word.lower()) for word in VENDORS}), np.uint64)


def names_vendor(tails: Bytes) -> Bools:
    """Returns which words of capitals stand before the numbers of a vendor's messages."""
    names = np.ascontiguousarray(tails | np.uint8(0x20)).view("<u8")[:, 0]
    return np.asarray(_VENDORS[np.minimum(np.searchsorted(_VENDORS, names), len(_VENDORS) - 1)] == names)


def names_code(tails: Bytes) -> Bools:
    """Returns which words announce a code. `tails` are their last letters, the last one first."""
    names = np.ascontiguousarray(tails | np.uint8(0x20)).view("<u8")[:, 0]
    found = _NAMES[np.minimum(np.searchsorted(_NAMES, names), len(_NAMES) - 1)] == names
    for ending in CODE_ENDINGS:
        mask = np.uint64((1 << (8 * len(ending))) - 1)
        found |= (names & mask) == np.uint64(_name(ending)) & mask
    return np.asarray(found)

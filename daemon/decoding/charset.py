"""Turns bytes of any charset into UTF-8: by byte order mark, by the setting, or by the pattern of the bytes.

Detection finds UTF-8, UTF-16, UTF-32, the charsets of Chinese, Japanese and Korean, Windows-1251 and KOI8-R,
Windows-1250, -1252 and -1254. Others need the setting.
"""

from __future__ import annotations

import codecs
import re

AUTO = "auto"
_SAMPLE_BYTES = 4_096
_MIN_WIDE = 16
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, and the charset that each announces."""
_PAIRS = re.compile(rb"[\x81-\xfe][\x40-\xfe]")
_COMMON_HAN = re.compile(rb"[\xa1-\xa3\xb0-\xd7][\xa1-\xfe]")
# Japanese has kana in every sentence. Korean syllables end before those of Chinese begin to be rare. Of the second
# bytes of traditional Chinese four in ten are ASCII.
_EASTERN = (
    ("shift_jis", re.compile(rb"\x82[\x9f-\xf1]|\x83[\x40-\x96]"), 45),
    ("euc-jp", re.compile(rb"\xa4[\xa1-\xf3]|\xa5[\xa1-\xf6]"), 40),
    ("cp949", re.compile(rb"[\xb0-\xc8][\xa1-\xfe]"), 100),
)
_BIG5 = re.compile(rb"[\xa4-\xc6][\x40-\x7e\xa1-\xfe]")
_BESIDE_LETTERS = re.compile(rb"(?<=[A-Za-z])[\x80-\xff]|[\x80-\xff](?=[A-Za-z])")
_TURKISH, _ACUTE = frozenset(b"\xf0\xfd\xfe\xdd\xde"), frozenset(b"\xe1\xe9\xed\xf3\xfa\xe6")
"""Letters that Icelandic and Turkish write with the same bytes, and letters of which Turkish has none."""
_HIGH_WORDS = re.compile(rb"[\x80-\xff]{3,}")


def to_utf8(value: bytes, encoding: str = AUTO) -> tuple[bytes, bool]:
    """Returns a value as UTF-8, and True if it was in another charset. Bytes of no charset stay as they are."""
    for mark, name in MARKS:
        if value.startswith(mark):
            rest = value[len(mark) :]
            while name == "utf-8" and rest.startswith(mark):  # files were joined, or a writer wrote it twice
                rest = rest[len(mark) :]
            return (rest, False) if name == "utf-8" else (_decoded(rest, name), True)
    if encoding != AUTO and codecs.lookup(encoding).name != "utf-8":
        return _decoded(value, encoding), True
    if encoding == AUTO and b"\0" in value and (wide := _wide(value)):
        return _decoded(value, wide), True
    if encoding != AUTO or value.isascii() or _is_utf8(value):
        return value, False
    found = _detected(value[:_SAMPLE_BYTES])
    return (value, False) if found is None else (_decoded(value, found), True)


def is_wide(value: bytes) -> bool:
    """Returns True if a character of the value has two or four bytes."""
    return value.startswith(tuple(mark for mark, _ in MARKS[1:])) or _wide(value) is not None


def _decoded(value: bytes, encoding: str) -> bytes:
    """Returns UTF-8. Half of a UTF-16 unit at the end is dropped; other bad bytes become U+FFFD."""
    width = 4 if "32" in encoding else 2 if "16" in encoding else 1
    whole = value[: len(value) - len(value) % width]
    return whole.decode(encoding, "replace").replace("\ufeff", "").encode("utf-8", "replace")


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _wide(value: bytes) -> str | None:
    """Returns UTF-16 of the byte order in which most zeros stand, if text in it has so many."""
    # "hi" is 68 00 69 00 in little endian: of the odd places all are zero, of the even ones none
    sample = value[:_SAMPLE_BYTES]
    even, odd = sample[0::2], sample[1::2]
    if len(sample) < 4 or not even or not odd:
        return None
    zeros = even.count(0) / len(even), odd.count(0) / len(odd)
    if zeros[1] >= 0.4 and zeros[0] <= 0.05:
        return "utf-16-le"
    # Letters of one script share their high byte: of Cyrillic text each odd byte is 4, or 0 of spaces and digits.
    for high, low, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        others = set(high) - {0}
        if len(sample) >= _MIN_WIDE and len(others) == 1 and 0 in high and max(others) < 0x20 and 0 not in low:
            return name
    return "utf-16-be" if zeros[0] >= 0.4 and zeros[1] <= 0.05 else None


def _detected(sample: bytes) -> str | None:
    high = sum(byte >= 0x80 for byte in sample)
    if eastern := _eastern(sample, high):
        return eastern
    if _is_chinese(sample, high):
        return "gb18030"
    in_words = sum(map(len, _HIGH_WORDS.findall(sample)))
    if in_words * 10 >= high * 7:  # letters beyond ASCII stand in words of their own, as Cyrillic ones
        letters = sum(byte >= 0xC0 for byte in sample)
        if letters * 10 < high * 9:
            return None
        lower = sum(byte >= 0xE0 for byte in sample)
        return "cp1251" if lower * 2 > letters else "koi8-r"
    return _of_latin(sample) if high * 3 <= len(sample) else None


def _of_latin(sample: bytes) -> str:
    """Returns the charset of letters with accents among others: of central Europe, of Turkey, or of the west."""
    inside = [found[0] for found in _BESIDE_LETTERS.finditer(sample)]
    letters = {name: sum(byte.decode(name, "replace").isalpha() for byte in inside) for name in ("cp1252", "cp1250")}
    if letters["cp1250"] > letters["cp1252"]:
        return "cp1250"
    high = set(sample)
    return "cp1254" if high & _TURKISH and not high & _ACUTE else "cp1252"


def _eastern(sample: bytes, high: int) -> str | None:
    """Returns the charset of Japanese, Korean or traditional Chinese text, by the bytes of common signs."""
    for name, common, share in _EASTERN:
        found = sum(map(len, common.findall(sample)))
        if found * 100 >= high * share and found >= 8 and _fits(sample, name):
            return name
    pairs = _BIG5.findall(sample)
    low = sum(pair[1] < 0x80 for pair in pairs)
    is_big5 = len(pairs) >= 4 and low * 6 >= len(pairs) and (2 * len(pairs) - low) * 5 >= high * 4
    return "big5" if is_big5 and _fits(sample, "big5") else None


def _fits(sample: bytes, name: str) -> bool:
    """Returns True if the bytes are text of the charset; the last character may be torn."""
    try:
        sample.decode(name)
    except UnicodeDecodeError as error:
        return error.start >= len(sample) - 2 and len(sample) == _SAMPLE_BYTES
    return True


def _is_chinese(sample: bytes, high: int) -> bool:
    try:
        sample.decode("gb18030")
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 3:
            return False
    pairs = _PAIRS.findall(sample)
    common = sum(_COMMON_HAN.match(pair) is not None for pair in pairs)
    return len(pairs) >= 2 and common * 10 >= len(pairs) * 8 and common * 20 >= high * 7

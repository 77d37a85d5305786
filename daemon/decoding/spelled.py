"""Reads a text that was written as something else: in base64, in hexadecimal digits, as a string of JSON.

A token is a text in disguise only if what it stands for is text with words in it, or a packed value. Ids and hashes
stand for neither.
"""

from __future__ import annotations

import ast
import base64
import binascii
import re
import zlib
from urllib.parse import unquote_to_bytes

import msgspec

from logwarden.daemon.decoding import packed
from logwarden.daemon.errors import UndecodableRecord

MIN_CHARS = 16
"""Characters of the shortest token that may stand for a text."""
_SAMPLE = 512
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_SIGNS = re.compile(r"[A-Za-z0-9+/_=-]+")
_PERCENT = re.compile(rb"(?:%[57][BbDd]|%22|%2[0CcFf]|%3[Aa])")
"""Signs of JSON, and a blank, in the spelling of an address of the web."""
_PACKED = (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")
_INFLATED = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
_MAX_PACKED_BYTES = 65_536
"""Bytes to which a packed text inside a field may unpack: a record has many fields, and a line is not longer."""
_REPR = re.compile(rb"""[bB](?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")""")
"""Bytes as Python prints them."""
_MAX_REPR_BYTES = 65_536
_BYTEA = (rb"\x", b"0x")
"""Before the hexadecimal digits of bytes, as databases print them."""
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def may_be(token: str) -> bool:
    """Returns False for a text that `text_of` leaves as it is, by its signs alone."""
    return token[:1] in ("%", "\\") or is_repr(token) or _SIGNS.fullmatch(token) is not None


def is_repr(text: str) -> bool:
    """Returns True for a text that may be bytes as Python prints them: `b'…'`."""
    return text[:1] in ("b", "B") and text[1:2] in ("'", '"') and text[-1:] == text[1:2]


def bytes_of(token: bytes) -> bytes | None:
    """Returns the bytes that a token of base64 or hexadecimal digits stands for; None if they are no text."""
    if token[:1] in (b"b", b"B") and (printed := _of_repr(token)) is not None:
        return printed
    if len(token) < MIN_CHARS:
        return None
    if token.startswith(_BYTEA) and _HEX.fullmatch(token, 2):
        return _if_text(bytes.fromhex(token[2:].decode()))
    if token[:1] == b"%" and len(_PERCENT.findall(token[:_SAMPLE])) > 2:
        return _if_text(unquote_to_bytes(token))
    if _HEX.fullmatch(token):
        return _if_text(bytes.fromhex(token.decode()))
    # What decodes to a text in ASCII has many small letters, capitals or digits: the head alone decides most times.
    if not _BASE64.fullmatch(token):
        return None
    try:
        value = base64.b64decode(token.rstrip(b"=").translate(_TO_STANDARD) + b"=" * (-len(token.rstrip(b"=")) % 4))
    except (binascii.Error, ValueError):
        return None
    return _if_text(value)


def text_of(token: str) -> str | None:
    """Returns the text that a token stands for; None if it stands for itself."""
    value = bytes_of(token.encode()) if token.isascii() else None
    if value is None:
        return None
    try:
        return packed.unpacked(value, _MAX_PACKED_BYTES).decode()
    except (UndecodableRecord, UnicodeDecodeError):
        return None


def _of_repr(token: bytes) -> bytes | None:
    """Returns the bytes that Python printed; None for any other token."""
    if len(token) > _MAX_REPR_BYTES or not _REPR.fullmatch(token):
        return None
    try:
        value = ast.literal_eval(token.decode())
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, bytes) else None


def unquoted(value: bytes) -> bytes | None:
    """Returns the content of a value that is one string of JSON; None for any other value."""
    try:
        return msgspec.json.decode(value, type=str).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return None


def _inflates(value: bytes) -> bool:
    """Returns True if the value begins with a text that was packed: two bytes alone may be the begin of an id."""
    decoder = zlib.decompressobj()
    try:
        head = decoder.decompress(value, _MAX_PACKED_BYTES)
    except zlib.error:
        return False
    return (decoder.eof or len(head) == _MAX_PACKED_BYTES) and _if_text(head[:_SAMPLE]) is not None


def _if_text(value: bytes) -> bytes | None:
    if value.startswith(_PACKED):
        return value
    if value.startswith(_INFLATED):
        return value if _inflates(value) else None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    head = text[:_SAMPLE].strip()
    has_words = " " in head or head[:1] in ("{", "[")
    letters = sum(char.isalnum() for char in head)
    is_text = has_words and 2 * letters >= len(head) and all(char.isprintable() or char.isspace() for char in head)
    return value if is_text else None

"""Turns the values of binary formats into those that JSON has, within a bound."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 100


class Misfit(Exception):
    """A schema, or a record of it, cannot be read. The text is a sentence without a capital and a full stop."""


def plain(value: Any, depth: int = 0) -> Any:
    """Returns a value of objects, lists, texts, numbers and None. Bytes are text if they are UTF-8, else digits."""
    if depth > MAX_DEPTH:
        raise Misfit("it is nested too deeply")
    match value:
        case dict():
            return {str(key): plain(inner, depth + 1) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner, depth + 1) for inner in value]
        case bytes():
            return text_of(value)
    return value


def text_of(value: bytes) -> str:
    """Returns bytes as text if they are UTF-8 that people can read, else as hexadecimal digits."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if all(char.isprintable() or char.isspace() for char in text[:256]) else value.hex()

"""Finds values in decoded JSON by dotted paths, where a key may itself contain dots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Path = tuple[str, ...]
"""A dotted path, split at its dots."""


def split_paths(paths: Sequence[str]) -> list[Path]:
    """Returns dotted paths as tuples of keys."""
    return [tuple(path.split(".")) for path in paths]


def first_value(event: dict[str, Any], paths: Sequence[tuple[str, ...]]) -> Any:
    for path in paths:
        found = value_at(event, path)
        if found is not None:
            return found
    return None


def value_at(value: Any, path: tuple[str, ...]) -> Any:
    """The value at a path, or None. The longest dotted key that fits is taken."""
    if not isinstance(value, dict):
        return None
    if len(path) == 1:
        return value.get(path[0])
    for size in range(len(path), 0, -1):
        key = path[0] if size == 1 else ".".join(path[:size])
        if key in value:
            found = value[key] if size == len(path) else value_at(value[key], path[size:])
            if found is not None:
                return found
    return None

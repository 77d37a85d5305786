"""Defines the types of settings: how a word of the environment becomes a value, and what every group shares."""

from __future__ import annotations

import json
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from logwarden.daemon.settings.patterns import checked_pattern, refuse_slow
from logwarden.model.mask_own import compile_masks
from logwarden.model.schema import AlertKind

PREFIX = "LOGWARDEN_"


def _none_word(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


def list_word(value: object) -> object:
    """Returns the strings of a comma list or of a JSON list; any other value as it is."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value  # broken JSON stays a string, which the validation refuses with the sentence about lists
    return tuple(part for part in (part.strip() for part in value.split(",")) if part)


def _charset(name: str) -> str:
    """Returns the name of a charset that Python knows. Raises ValueError for any other name."""
    if name != "auto":
        try:
            b" ".decode(name)
        except (LookupError, UnicodeError):  # codecs of bytes, such as base64, are no charsets
            raise ValueError(
                f"{name!r} is no charset: write auto or a name such as utf-8, gb18030 or latin-1"
            ) from None
    return name


def _zone(name: str) -> str:
    """Returns the name of a time zone. Raises ValueError for any other name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone: write a name such as UTC or Europe/Berlin") from None
    return name


def _mask_words(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        masks = json.loads(value or "{}")
    except json.JSONDecodeError:
        masks = None
    if not isinstance(masks, dict) or not all(isinstance(expression, str) for expression in masks.values()):
        raise ValueError('write a JSON object of names and regular expressions, such as {"tenant": "tenant-[a-z]+"}')
    return tuple(f"{name}={expression}" for name, expression in masks.items())


def named_masks(masks: tuple[str, ...]) -> list[tuple[str, str]]:
    """Returns the (name, regular expression) of masks written as `name=expression`."""
    return [(name, expression) for name, _, expression in (mask.partition("=") for mask in masks)]


def _checked_masks(masks: tuple[str, ...]) -> tuple[str, ...]:
    for name, expression in named_masks(masks):
        [(compiled, _)] = compile_masks([(name, expression)])
        try:
            checked_pattern(expression)
            refuse_slow(compiled)  # in it a star is a digit and a sign, so that other repetitions overlap
        except ValueError as error:
            raise ValueError(f"the mask {name!r} is refused: {error}") from error
    return masks


T = TypeVar("T")
Encoding = Annotated[str, AfterValidator(_charset), Field(title="auto or a charset")]
TimeZone = Annotated[str, AfterValidator(_zone), Field(title="name of a time zone")]
Maybe = Annotated[T | None, BeforeValidator(_none_word)]
"""A value, or the word `none` in the environment and None in the program."""
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(list_word), Field(min_length=1)]
"""A JSON list or a comma list in the environment, a tuple in the program."""
MoreNames = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(list_word)]
"""The same, and the list may be empty."""
Kinds = Annotated[tuple[AlertKind, ...], NoDecode, BeforeValidator(list_word), Field(min_length=1)]
"""Kinds of anomalies, as `Names`."""

Masks = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(_mask_words),
    AfterValidator(_checked_masks),
    Field(title="JSON object of names and regular expressions"),
]
"""A JSON object in the environment, a tuple of `name=expression` in the program."""


class SettingsGroup(BaseModel):
    """Frozen settings; the text under a field is its description."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, protected_namespaces=()
    )

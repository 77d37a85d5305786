"""Defines the types of settings: how a word of the environment becomes a value, and what every group shares."""

from __future__ import annotations

import json
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

PREFIX = "LOGWARDEN_"


def _none_word(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


def _list_word(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value  # broken JSON stays a string, which the validation refuses with the sentence about lists
    return tuple(part for part in (part.strip() for part in value.split(",")) if part)


T = TypeVar("T")
Maybe = Annotated[T | None, BeforeValidator(_none_word)]
"""A value, or the word `none` in the environment and None in the program."""
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_list_word), Field(min_length=1)]
"""A JSON list or a comma list in the environment, a tuple in the program."""
MoreNames = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_list_word)]
"""The same, and the list may be empty."""


class SettingsGroup(BaseModel):
    """Frozen settings; the text under a field is its description."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, protected_namespaces=()
    )

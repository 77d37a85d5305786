"""Describes the settings for people: every variable with its value, its source, its limits and its meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MinLen
from pydantic.fields import FieldInfo
from pydantic.types import PathType

from logwarden.daemon.settings.groups import PREFIX, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One setting in words. Never contains a secret."""

    variable: str
    value: str
    default: str
    source: str
    """`default`, `file`, `environment` or `option`."""
    description: str
    allowed: str


def describe(settings: Settings) -> list[SettingRow]:
    """Returns every setting with its value and the source of the value, in the order of their definition."""
    return [
        SettingRow(
            variable=variable,
            value=_shown(getattr(getattr(settings, group), field)),
            default=_shown(definition.default),
            source=settings.origin(variable),
            description=" ".join((definition.description or "").split()),
            allowed=allowed_values(definition),
        )
        for variable, group, field, definition in setting_fields()
    ]


def settings_table_markdown() -> str:
    """Returns the documentation's table of settings; a test compares the two."""
    rows = ["| variable | default | meaning | allowed |", "|---|---|---|---|"]
    for row in describe(Settings()):
        rows.append(f"| `{row.variable}` | `{row.default}` | {row.description} | {row.allowed} |")
    return "\n".join(rows) + "\n"


def setting_fields() -> Iterator[tuple[str, str, str, FieldInfo]]:
    """Yields every setting as (variable, group, field, definition), in the order of their definition."""
    for group, group_field in Settings.model_fields.items():
        for field, definition in type(group_field.default).model_fields.items():
            yield f"{PREFIX}{group}__{field}".upper(), group, field, definition


def allowed_values(definition: FieldInfo) -> str:
    """Returns the allowed values of a setting in words, such as "an integer from 2 to 512" or "a string or none"."""
    if definition.title:
        return definition.title
    annotation = definition.annotation
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    words = [_in_words(kind, definition.metadata) for kind in kinds if kind is not type(None)]
    return " or ".join(words + (["none"] if type(None) in kinds else []))


def _in_words(kind: object, rules: list[Any]) -> str:
    if get_origin(kind) is Annotated:
        kind, *inner = get_args(kind)
        rules = [rule for one in inner for rule in (one.metadata if isinstance(one, FieldInfo) else [one])]
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return "a list of at least one string, as JSON or with commas"
    if kind is bool:
        return "true or false"
    if kind is int or kind is float:
        return f"{'an integer' if kind is int else 'a number'}{_bounds(rules)}"
    for rule in rules:
        if isinstance(rule, PathType):
            return "an existing directory" if rule.path_type == "dir" else "an existing file"
    return "a non-empty string" if any(isinstance(rule, MinLen) for rule in rules) else "a string"


def _bounds(rules: list[Any]) -> str:
    low = next((rule.ge for rule in rules if isinstance(rule, Ge)), None)
    above = next((rule.gt for rule in rules if isinstance(rule, Gt)), None)
    high = next((rule.le for rule in rules if isinstance(rule, Le)), None)
    if low is not None:
        return f" from {low} to {high}" if high is not None else f" of at least {low}"
    return f" above {above} and at most {high}"


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)

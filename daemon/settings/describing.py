"""Describes the settings for people: every variable with its value, its source, its limits and its meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo
from pydantic.types import PathType

from logwarden.daemon.settings.fields import PREFIX
from logwarden.daemon.settings.groups import Settings

_PAGE_INTRODUCTION = """# Settings

`logwarden config --format markdown` prints this page; do not edit it by hand.

Every setting is an environment variable. `--env-file FILE` reads variables from a file, and the environment wins over
the file. `logwarden config` lists the value in use of every setting and where it came from.

- An empty variable counts as unset.
- A list of strings is written with commas (`a,b`) or as JSON (`["a", "b"]`).
- Where the type allows none, write `none`.
- A wrong value, an unknown variable, or two values that contradict each other end the daemon at the start (exit code
  2). The message names the variable: correct it and start again."""


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


def settings_markdown() -> str:
    """Returns the page docs/settings.md: a table for each group of settings."""
    rows = {row.variable: row for row in describe(Settings())}
    lines = [_PAGE_INTRODUCTION]
    for group in Settings.model_fields:
        lines += ["", f"## {group.capitalize()}", "", "| variable | type | default | meaning |", "|---|---|---|---|"]
        for variable in (variable for variable, name, _, _ in setting_fields() if name == group):
            row = rows[variable]
            lines.append(f"| `{variable}` | {row.allowed} | `{row.default}` | {row.description} |")
    return "\n".join(lines) + "\n"


def setting_fields() -> Iterator[tuple[str, str, str, FieldInfo]]:
    """Yields every setting as (variable, group, field, definition), in the order of their definition."""
    for group, group_field in Settings.model_fields.items():
        for field, definition in type(group_field.default).model_fields.items():
            yield f"{PREFIX}{group}__{field}".upper(), group, field, definition


def allowed_values(definition: FieldInfo) -> str:
    """Returns the type of a setting with its limits, such as `integer 2–512` or `path of an existing file or none`."""
    if definition.title:
        return definition.title
    annotation = definition.annotation
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    words = [_type_name(kind, definition.metadata) for kind in kinds if kind is not type(None)]
    return " or ".join(words + (["none"] if type(None) in kinds else []))


def with_article(allowed: str) -> str:
    """Returns the words of `allowed_values` as they follow "must be": `an integer 2–512`, `one of debug, info`."""
    articles = {"integer": "an ", "number": "a ", "string": "a ", "list": "a ", "path": "the "}
    return articles.get(allowed.partition(" ")[0], "") + allowed


def _type_name(kind: object, rules: list[Any]) -> str:
    if get_origin(kind) is Annotated:
        kind, *inner = get_args(kind)
        rules = [rule for one in inner for rule in (one.metadata if isinstance(one, FieldInfo) else [one])]
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return "list of strings"
    if kind is bool:
        return "true or false"
    if kind is int or kind is float:
        return ("integer " if kind is int else "number ") + _bounds(rules)
    for rule in rules:
        if isinstance(rule, PathType):
            return f"path of an existing {'directory' if rule.path_type == 'dir' else 'file'}"
    return "string"


def _bounds(rules: list[Any]) -> str:
    low = next((rule.ge for rule in rules if isinstance(rule, Ge)), None)
    above = next((rule.gt for rule in rules if isinstance(rule, Gt)), None)
    high = next((rule.le for rule in rules if isinstance(rule, Le)), None)
    if low is not None:
        return f"{low}–{high}" if high is not None else f"≥ {low}"
    return f"> {above} and ≤ {high}"


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)

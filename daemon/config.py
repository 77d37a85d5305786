"""Reads the settings, once, and describes them. The only file that reads the environment.

A setting is the variable `LOGWARDEN_<GROUP>__<FIELD>`; the environment wins over an env file, which wins over the
defaults. What the settings are is said in `logwarden.daemon.settings`, whose names are offered here too. Refuses to
know what they are used for.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MinLen
from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic.types import PathType
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings import (
    PREFIX,
    AlertSettings,
    BatchSettings,
    HttpSettings,
    InputSettings,
    KafkaSettings,
    LimitSettings,
    LogSettings,
    ModelSettings,
    Settings,
    ShutdownSettings,
    WindowSettings,
)

__all__ = [
    "AlertSettings",
    "BatchSettings",
    "HttpSettings",
    "InputSettings",
    "KafkaSettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "SettingRow",
    "Settings",
    "ShutdownSettings",
    "WindowSettings",
    "describe",
    "load",
    "own_environment",
    "settings_table_markdown",
]

HINT = "`logwarden config` lists every setting with its default and meaning"

_TEST_SUITE = frozenset(
    {"LOGWARDEN_DATA", "LOGWARDEN_REQUIRE_KAFKA", "LOGWARDEN_REQUIRE_DATA", "LOGWARDEN_REQUIRE_FAULTLAB"}
)
"""Variables of the test suite, which share the prefix."""
_SERVICE_LINK = re.compile(
    r"LOGWARDEN_(?:[A-Z0-9]+_)*(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_[A-Z0-9_]+)"
)
"""What Kubernetes puts into every pod beside a Service called logwarden or logwarden-…: no typing mistakes.
`LOGWARDEN_PORT=tcp://…` belongs to them too and is told by its value."""


def load(
    env: Mapping[str, str] | None = None,
    env_file: Path | None = None,
    *,
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from `env` (None: the real environment) over `env_file` over the defaults; empty means unset.

    `overrides`: variables that win over both, for options of the command line, so that they obey the same limits.
    Raises ConfigurationError with one sentence about the first wrong variable.
    """
    given: dict[str, str] = {}
    origins: dict[str, str] = {}
    environment = dict(os.environ if env is None else env)
    layers = (("file", _read_file(env_file)), ("environment", environment), ("option", overrides or {}))
    for origin, variables in layers:
        ours = _settings_among(variables)
        given.update(ours)
        origins.update(dict.fromkeys(ours, origin))
    source = EnvSettingsSource(Settings)
    source.env_vars = {variable.lower(): value for variable, value in given.items()}
    try:
        return Settings(**source()).with_origins(origins)
    except ValidationError as error:
        raise ConfigurationError(_sentence(error), hint=HINT) from None


def own_environment() -> dict[str, str]:
    """The real environment without our settings: what a daemon that we start ourselves begins with."""
    return {variable: value for variable, value in os.environ.items() if not variable.startswith(PREFIX)}


def _read_file(env_file: Path | None) -> dict[str, str]:
    if env_file is None:
        return {}
    try:
        with env_file.open(encoding="utf-8") as stream:
            # No interpolation: it would read the environment behind our back and spoil a password that has a dollar.
            lines = dotenv_values(stream=stream, interpolate=False)
    except OSError as error:
        raise ConfigurationError(f"the env file {str(env_file)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the env file {str(env_file)!r} cannot be read: it is not UTF-8 text") from None
    return {variable: value or "" for variable, value in lines.items()}


def _settings_among(variables: Mapping[str, str]) -> dict[str, str]:
    """The settings among some variables; raises for a name with our prefix that is none."""
    known = [variable for variable, _, _, _ in _fields()]
    ours: dict[str, str] = {}
    for variable, value in variables.items():
        if variable in known:
            if value:
                ours[variable] = value
        elif variable.startswith(PREFIX) and not _is_foreign(variable, value):
            # Without the prefix, which is alike in all of them and would make anything look near.
            names = [name.removeprefix(PREFIX) for name in known]
            near = difflib.get_close_matches(variable.removeprefix(PREFIX), names, n=1)
            meant = f"; did you mean {PREFIX}{near[0]}?" if near else ""
            raise ConfigurationError(f"{variable} is not a setting{meant}", hint=HINT)
    return ours


def _is_foreign(variable: str, value: str) -> bool:
    """Whether somebody else's variable merely shares our prefix."""
    link = _SERVICE_LINK.fullmatch(variable) or (variable.endswith("_PORT") and "://" in value)
    return variable in _TEST_SUITE or bool(link)


def _fields() -> Iterator[tuple[str, str, str, FieldInfo]]:
    """Every setting as (variable, group, field, definition), in the order they are written."""
    for group, group_field in Settings.model_fields.items():
        for field, definition in type(group_field.default).model_fields.items():
            yield f"{PREFIX}{group}__{field}".upper(), group, field, definition


def _sentence(error: ValidationError) -> str:
    """The first thing wrong: the variable, what it is, what is allowed."""
    first: ErrorDetails = error.errors()[0]
    others = error.error_count() - 1
    more = f" (and {others} more {'is' if others == 1 else 'are'} wrong)" if others else ""
    if first["type"] == "value_error":
        return f"{first['ctx']['error']}{more}"
    group, field = (str(part) for part in first["loc"][:2])
    variable, definition = next((v, d) for v, g, f, d in _fields() if (g, f) == (group, field))
    return f"{variable} is {_as_given(first['input'])}, but it must be {_allowed(definition)}{more}"


def _as_given(value: object) -> str:
    return f"{','.join(map(str, value))!r}" if isinstance(value, tuple | list) else repr(str(value))


def _allowed(definition: FieldInfo) -> str:
    """The values a setting takes, in words."""
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
        return "a comma list or a JSON list of at least one text"
    if kind is bool:
        return "true or false"
    if kind is int or kind is float:
        return f"a {'whole ' if kind is int else ''}number{_bounds(rules)}"
    for rule in rules:
        if isinstance(rule, PathType):
            return "an existing directory" if rule.path_type == "dir" else "an existing file"
    return "a text that is not empty" if any(isinstance(rule, MinLen) for rule in rules) else "a text"


def _bounds(rules: list[Any]) -> str:
    low = next((rule.ge for rule in rules if isinstance(rule, Ge)), None)
    above = next((rule.gt for rule in rules if isinstance(rule, Gt)), None)
    high = next((rule.le for rule in rules if isinstance(rule, Le)), None)
    if low is not None:
        return f" from {low} to {high}" if high is not None else f" from {low} up"
    return f" above {above} and at most {high}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One setting as people are shown it; a secret is never in it."""

    variable: str
    value: str
    default: str
    source: str
    """`default`, `file`, `environment` or `option`."""
    description: str
    allowed: str


def describe(settings: Settings) -> list[SettingRow]:
    """Every setting with its value and where that came from, in the order they are written."""
    return [
        SettingRow(
            variable=variable,
            value=_shown(getattr(getattr(settings, group), field)),
            default=_shown(definition.default),
            source=settings.origin(variable),
            description=" ".join((definition.description or "").split()),
            allowed=_allowed(definition),
        )
        for variable, group, field, definition in _fields()
    ]


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def settings_table_markdown() -> str:
    """README's table of settings; a test holds the two together."""
    rows = ["| variable | default | meaning | allowed |", "|---|---|---|---|"]
    for row in describe(Settings()):
        rows.append(f"| `{row.variable}` | `{row.default}` | {row.description} | {row.allowed} |")
    return "\n".join(rows) + "\n"

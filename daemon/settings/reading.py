"""Reads the settings, once. The only file that reads the environment.

A setting is the variable `LOGWARDEN_<GROUP>__<FIELD>`; the environment wins over an env file, which wins over the
defaults. The settings are defined in `daemon/settings/groups.py`. Refuses to know how they are used.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.describing import allowed_values, setting_fields, with_article
from logwarden.daemon.settings.fields import PREFIX
from logwarden.daemon.settings.groups import Settings

HINT = "`logwarden config` lists every setting with its default and meaning"
ENV_FILE_HINT = "check the path after --env-file: the file must be readable UTF-8 text"

_TEST_SUITE = frozenset(
    {"LOGWARDEN_DATA", *(f"LOGWARDEN_REQUIRE_{name}" for name in ("KAFKA", "DATA", "FAULTLAB", "BROWSER"))}
)
"""Variables of the test suite, which share the prefix."""
_SERVICE_LINK = re.compile(
    r"LOGWARDEN_(?:[A-Z0-9]+_)*(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_[A-Z0-9_]+)"
)
"""Variables that Kubernetes sets in every pod beside a Service called logwarden or logwarden-…; no misspelt settings.
Their `LOGWARDEN_PORT=tcp://…` is recognised by its value."""


def read_settings(
    env: Mapping[str, str] | None = None,
    env_file: Path | None = None,
    *,
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """Returns the settings of `env` (None: the real environment) over `env_file` over the defaults.

    An empty variable is unset. `overrides`: variables that win over both, for options of the command line, which then
    obey the same limits. Raises ConfigurationError with one sentence about the first wrong variable.
    """
    given: dict[str, str] = {}
    origins: dict[str, str] = {}
    environment = dict(os.environ if env is None else env)
    layers = (("file", _read_file(env_file)), ("environment", environment), ("option", overrides or {}))
    for origin, variables in layers:
        known = _settings_among(variables)
        given.update(known)
        origins.update(dict.fromkeys(known, origin))
    source = EnvSettingsSource(Settings)
    source.env_vars = {variable.lower(): value for variable, value in given.items()}
    try:
        return Settings(**source()).with_origins(origins)
    except ValidationError as error:
        raise ConfigurationError(_sentence(error), hint=HINT) from None


def own_environment() -> dict[str, str]:
    """Returns the real environment without logwarden's variables, for a daemon that logwarden starts as a process."""
    return {variable: value for variable, value in os.environ.items() if not variable.startswith(PREFIX)}


def _read_file(env_file: Path | None) -> dict[str, str]:
    if env_file is None:
        return {}
    try:
        with env_file.open(encoding="utf-8") as stream:
            # No interpolation: it reads the environment as well, and spoils a password that contains a dollar.
            lines = dotenv_values(stream=stream, interpolate=False)
    except OSError as error:
        raise ConfigurationError(
            f"the env file {str(env_file)!r} cannot be read: {error.strerror}", hint=ENV_FILE_HINT
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"the env file {str(env_file)!r} cannot be read: it is not UTF-8 text", hint=ENV_FILE_HINT
        ) from None
    return {variable: value or "" for variable, value in lines.items()}


def _settings_among(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the settings among `variables`. Raises ConfigurationError for an unknown LOGWARDEN_ name."""
    known = [variable for variable, _, _, _ in setting_fields()]
    settings: dict[str, str] = {}
    for variable, value in variables.items():
        if variable in known:
            if value:
                settings[variable] = value
        elif variable.startswith(PREFIX) and not _is_foreign(variable, value):
            # Compared without the prefix: all names have it, so any two would look similar.
            names = [name.removeprefix(PREFIX) for name in known]
            near = difflib.get_close_matches(variable.removeprefix(PREFIX), names, n=1)
            meant = f"; did you mean {PREFIX}{near[0]}?" if near else ""
            raise ConfigurationError(f"{variable} is not a setting{meant}", hint=HINT)
    return settings


def _is_foreign(variable: str, value: str) -> bool:
    """Returns True for a variable of the test suite or of Kubernetes that only has the same prefix."""
    link = _SERVICE_LINK.fullmatch(variable) or (variable.endswith("_PORT") and "://" in value)
    return variable in _TEST_SUITE or bool(link)


def _sentence(error: ValidationError) -> str:
    """Returns the sentence about the first error: the variable, its value, the allowed values."""
    first: ErrorDetails = error.errors()[0]
    others = error.error_count() - 1
    more = f" (and {others} more {'is' if others == 1 else 'are'} wrong)" if others else ""
    if not first["loc"]:  # a rule on several settings, which has a sentence of its own
        return f"{first['ctx']['error']}{more}"
    group, field = (str(part) for part in first["loc"][:2])
    variable, definition = next((v, d) for v, g, f, d in setting_fields() if (g, f) == (group, field))
    if first["type"] == "value_error":  # the reason of a type of ours, which follows the variable's name
        return f"{variable} {first['ctx']['error']}{more}"
    return f"{variable} is {_as_given(first['input'])}, but it must be {with_article(allowed_values(definition))}{more}"


def _as_given(value: object) -> str:
    return f"{','.join(map(str, value))!r}" if isinstance(value, tuple | list) else repr(str(value))

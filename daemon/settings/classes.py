"""Defines how classes of services are written, and reads them: `payments=pay-*,web=web-*`. Loads no numpy."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from logwarden.daemon.selecting import MAX_PATTERN_CHARS, MAX_PATTERNS, OTHER_CLASS
from logwarden.daemon.settings.fields import Name, list_word

MAX_CLASSES = 16
"""Each class is a value of a label, and a metrics store pays for each."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def _checked(specs: tuple[str, ...]) -> tuple[str, ...]:
    if len(specs) > MAX_PATTERNS:
        raise ValueError(f"has {len(specs)} entries; write at most {MAX_PATTERNS}")
    for spec in specs:
        name, _, pattern = spec.partition("=")
        if not pattern or len(pattern) > MAX_PATTERN_CHARS:
            raise ValueError(f"contains {spec[:80]!r}; write class=pattern, such as payments=pay-*")
        if not _NAME.fullmatch(name) or name == OTHER_CLASS:
            form = f"write at most 32 of a-z, 0-9, _ and -, a letter first, and not {OTHER_CLASS}"
            raise ValueError(f"names a class {name[:80]!r}; {form}")
    classes = {spec.partition("=")[0] for spec in specs}
    if len(classes) > MAX_CLASSES:
        raise ValueError(f"names {len(classes)} classes; name at most {MAX_CLASSES}")
    return specs


ServiceClasses = Annotated[
    tuple[Name, ...],
    NoDecode,
    BeforeValidator(list_word),
    AfterValidator(_checked),
    Field(title="list of class=pattern"),
]
"""A comma list or a JSON list in the environment, a tuple of `class=pattern` in the program."""

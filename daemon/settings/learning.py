"""Defines how the learning of single services is written, and reads it: `web-*=200,batch=500/7d`. Loads no numpy."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from logwarden.daemon.selecting import MAX_PATTERN_CHARS
from logwarden.daemon.settings.fields import Name, list_word

MAX_LINES = 10_000
"""Ages of services are known up to 2**14 lines."""
MAX_DAYS = 366.0
_NEED = re.compile(r"([0-9]{1,5})?(?:(?:^|/)([0-9]{1,4}(?:\.[0-9]{1,3})?)([dh]))?")
_FORM = "write service=lines, service=days or service=lines/days, such as web-*=200,cron=2d,batch=500/7d"


def need_of(text: str) -> tuple[int | None, float | None]:
    """Returns the lines and days of a text such as `500/7d`. Raises ValueError for another text."""
    match = _NEED.fullmatch(text)
    if not match or not text:
        raise ValueError(_FORM)
    lines = None if match[1] is None else int(match[1])
    days = None if match[2] is None else float(match[2]) / (24 if match[3] == "h" else 1)
    if lines is not None and lines > MAX_LINES:
        raise ValueError(f"lines are at most {MAX_LINES}")
    if days is not None and not 0 < days <= MAX_DAYS:
        raise ValueError(f"days are more than 0 and at most {MAX_DAYS:.0f}")
    return lines, days


def _checked(special: tuple[str, ...]) -> tuple[str, ...]:
    names = set()
    for each in special:
        name, _, need = each.rpartition("=")
        if not name or len(name) > MAX_PATTERN_CHARS:
            raise ValueError(f"contains {each!r}, which names no service; {_FORM}")
        if name in names:
            raise ValueError(f"names the service {name!r} twice; write one of them")
        names.add(name)
        try:
            need_of(need)
        except ValueError as error:
            raise ValueError(f"gives {name!r} the learning {need!r}: {error}") from None
    return special


ServiceLearning = Annotated[
    tuple[Name, ...],
    NoDecode,
    BeforeValidator(list_word),
    AfterValidator(_checked),
    Field(title="list of service=lines/days"),
]
"""A comma list or a JSON list in the environment, a tuple of `service=need` in the program."""

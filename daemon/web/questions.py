"""Reads the questions of the HTTP API: parameters, bodies, pages; refuses those that it does not understand.

Knows no endpoint and no answer. A refusal has a code for programs and a sentence for people.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from logwarden.daemon.selecting import matcher, time_of

K = TypeVar("K", bound=tuple[str | int, ...])


class Refusal(Exception):
    """The answer to a request that is not served."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of the query."""

    name: str
    meaning: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    is_repeatable: bool = False
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A request of an endpoint, checked."""

    values: Mapping[str, Sequence[str]]
    """Values of each parameter that is given."""
    body: Any = None
    """The body, of the endpoint's type."""

    def text(self, name: str) -> str | None:
        """Returns the value of a parameter. Returns None without one."""
        return next(iter(self.values.get(name, ())), None)

    def words(self, name: str, allowed: Sequence[str]) -> frozenset[str]:
        """Returns the values of a parameter that allows these words only. Raises Refusal for another word."""
        found = frozenset(self.values.get(name, ()))
        if found - set(allowed):
            wrong = min(found - set(allowed))[:80]
            raise Refusal(400, "bad_parameter", f"{name} is {wrong!r}, but it must be one of {', '.join(allowed)}.")
        return found

    def number(self, name: str, otherwise: int, most: int) -> int:
        """Returns an integer from 1 to `most`. Raises Refusal for another value."""
        text = self.text(name)
        if text is None:
            return otherwise
        if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
            message = f"{name} is {text[:80]!r}, but it must be an integer from 1 to {most}."
            raise Refusal(400, "bad_parameter", message)
        return int(text)


# ---------------------------------------------------------------- parameters that endpoints share

TIMES = "a time ago, such as 30m, 2h or 7d, or a date such as 2026-11-23T10:00Z"
SERVICE = Parameter(
    name="service",
    meaning="Only services of this name, or that match this pattern of a shell, such as `web-*`.",
    is_repeatable=True,
)
AFTER = Parameter(name="after", meaning="The value of `next` in the page before.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WordChoice:
    """A parameter that chooses entries by a word. Repeatable: any of the words is enough."""

    name: str
    meaning: str
    words: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection(Generic[K]):
    """What a request chose of a list."""

    chosen: Callable[[str], bool] | None
    """Test of names of services; None chooses all."""
    words: Mapping[str, frozenset[str]]
    """Words of each choice; none chooses all."""
    since_ms: int | None
    after: K | None
    """The entry behind which the page begins."""
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The parameters of an endpoint that answers a list in pages."""

    choices: Sequence[WordChoice]
    since: str
    """What `since` chooses."""
    limit: int
    most: int

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Returns all parameters."""
        schema = {"type": "integer", "minimum": 1, "maximum": self.most, "default": self.limit}
        return (
            SERVICE,
            *(
                Parameter(
                    name=each.name,
                    meaning=each.meaning,
                    schema={"type": "string", "enum": list(each.words)},
                    is_repeatable=True,
                )
                for each in self.choices
            ),
            Parameter(name="since", meaning=f"{self.since}: {TIMES}."),
            Parameter(name="limit", meaning="Most entries of a page.", schema=schema),
            AFTER,
        )

    def selection(self, question: Question, now_ms: int, key: type[K]) -> Selection[K]:
        """Returns what a request chose. `key`: types of an entry's place in the list. Raises Refusal."""
        return Selection(
            chosen=_chosen_names(question),
            words={each.name: question.words(each.name, each.words) for each in self.choices},
            since_ms=_moment(question, now_ms),
            after=_decoded_cursor(question, key),
            limit=question.number("limit", self.limit, self.most),
        )


def encoded_cursor(key: Sequence[str | int]) -> str:
    """Returns the place behind which the next page begins, as text for a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(key))).decode().rstrip("=")


def _chosen_names(question: Question) -> Callable[[str], bool] | None:
    """Returns the test of names in `service`. Returns None without one. Raises Refusal for patterns beyond a bound."""
    patterns = question.values.get("service")
    try:
        return matcher(patterns) if patterns else None
    except ValueError as error:
        raise Refusal(400, "bad_parameter", f"service: {error}.") from None


def _moment(question: Question, now_ms: int) -> int | None:
    """Returns the time in `since`. Returns None without one. Raises Refusal for a text that is no time."""
    text = question.text("since")
    try:
        return None if text is None else time_of(text, now_ms)
    except ValueError as error:
        raise Refusal(400, "bad_parameter", f"since: {error}.") from None


def _decoded_cursor(question: Question, kinds: type[K]) -> K | None:
    """Returns the place in `after`, whose values have these types. Returns None without one.

    Raises Refusal for a text that is no cursor.
    """
    text = question.text("after")
    if text is None:
        return None
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(data, type=kinds)
    except (binascii.Error, msgspec.MsgspecError, UnicodeError):
        message = "after is no value of `next`. Begin with the first page."
        raise Refusal(400, "bad_parameter", message) from None

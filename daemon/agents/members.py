"""Requests facts of a group from the first of its members that answers: each answers for all. Blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from logwarden.daemon.errors import FatalError

Query = Sequence[tuple[str, str]]


class Member(Protocol):
    """The HTTP API of one daemon. See `daemon/commands/asking.py`."""

    def get(self, path: str, query: Query = (), *, refusals: Sequence[int] = ()) -> Any:
        """Returns the JSON at a path. Raises FatalError with the sentence why there is none."""


class Members:
    """The members whose addresses are known."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = list(members)

    def first(self, path: str, query: Query = (), *, refusals: Sequence[int] = ()) -> Any:
        """Returns the first answer, or else the first refusal among `refusals`. Raises FatalError without either.

        The next request goes to the member that answered first, so that one that is down costs its time-out once.
        """
        refused: Any = None
        failed: FatalError | None = None
        for member in list(self._members):
            try:
                answer = member.get(path, query, refusals=refusals)
            except FatalError as error:
                failed = failed or error
                continue
            if "error" in answer:
                refused = refused or answer
                continue
            if member is not self._members[0]:
                self._members = [member, *(other for other in self._members if other is not member)]
            return answer
        if refused is not None:
            return refused
        assert failed is not None, "there is at least one member"
        raise failed

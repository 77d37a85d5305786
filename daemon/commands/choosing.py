"""Chooses the records that a command shows, by the options that the commands about a topic share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.selecting import matcher, time_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicOptions:
    """Options of the command line. An empty collection chooses all."""

    services: Sequence[str] = ()
    """Names and patterns of services."""
    severities: Sequence[str] = ()
    kinds: Sequence[str] = ()
    """See `logwarden.model.schema.AlertKind`."""
    since_ms: int | None = None
    form: AlertFormat = AlertFormat.pretty
    limit: int | None = None
    """Most records that are shown."""


class RecordChoice:
    """The test whether a record is shown."""

    def __init__(self, options: TopicOptions) -> None:
        """Raises ConfigurationError for patterns of services beyond a bound."""
        self._is_chosen = _names_of(options.services)
        self._options = options
        self.is_of_all = not (options.services or options.severities or options.kinds)
        """True if every record is shown."""

    def admits(self, services: Iterable[str], severity: str, kinds: Iterable[str]) -> bool:
        """Returns True for a record of these services and kinds, of which one is enough, and of this severity."""
        options = self._options
        return (
            any(map(self._is_chosen, services))
            and (not options.severities or severity in options.severities)
            and (not options.kinds or any(kind in options.kinds for kind in kinds))
        )


def since_when(text: str, now_ms: int) -> int:
    """Returns the milliseconds of `30m`, `2h`, `7d`, or of a date. Raises ConfigurationError for another text."""
    try:
        return time_of(text, now_ms)
    except ValueError as error:
        raise _explained(error) from None


def _names_of(patterns: Sequence[str]) -> Callable[[str], bool]:
    try:
        return matcher(patterns)
    except ValueError as error:
        raise _explained(error) from None


def _explained(error: ValueError) -> ConfigurationError:
    sentence, _, hint = str(error).partition("; ")
    return ConfigurationError(sentence, hint=hint)

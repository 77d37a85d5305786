"""Options of `logwarden feedback`, `logwarden mute` and `logwarden maintenance`."""

from __future__ import annotations

from typing import Annotated

import typer

from logwarden.daemon.commands.formats import AlertFormat, MaintenanceAction
from logwarden.daemon.commands.parsers.common import (
    EnvFile,
    console,
    log_warnings_only,
    output,
    until_interrupted,
)

Services = Annotated[
    list[str] | None,
    typer.Option("--service", metavar="PATTERN", help="Of services with such a name; * is any text. Repeatable."),
]
Length = Annotated[str | None, typer.Option("--for", metavar="TIME", help="For this long: 30m, 2h, 7d.")]
Reason = Annotated[str, typer.Option("--note", "--reason", help="Why, for those who read it.")]
Form = Annotated[AlertFormat, typer.Option("--format", help="Print for people, or one JSON object per line.")]


def feedback(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="INCIDENT|list|undo|export",
            help="The id of an incident or the begin of one; or what to do with the feedback given so far.",
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="FEEDBACK", help="What to undo, as `list` names it.")] = "",
    expected: Annotated[bool, typer.Option("--expected", help="Its lines are normal: no alert on them.")] = False,
    real: Annotated[bool, typer.Option("--real", help="It is a fault: teaches, and takes --expected back.")] = False,
    length: Length = None,
    service: Services = None,
    note: Reason = "",
    every: Annotated[bool, typer.Option("--all", help="List feedback that has ended as well.")] = False,
    form: Form = AlertFormat.pretty,
    env_file: EnvFile = None,
) -> None:
    """Judge an incident; list, undo or export the feedback given so far."""
    from rich.console import Console

    from logwarden.daemon.commands import feedback as commands
    from logwarden.daemon.errors import ConfigurationError
    from logwarden.daemon.feedback.giving import length_of
    from logwarden.daemon.settings.reading import read_settings
    from logwarden.model.feedback import FeedbackKind

    if name and subject != "undo":
        raise ConfigurationError(f"{name[:80]!r} is one word too many", hint="judge one incident at a time")
    settings = read_settings(env_file=env_file)
    log_warnings_only(settings)
    if subject == "list":
        until_interrupted(commands.list_feedback(settings, form, console(), ended=every))
    elif subject == "export":
        until_interrupted(commands.export(settings, output(), Console(stderr=True, highlight=False)))
    elif subject == "undo":
        if not name:
            raise ConfigurationError("undo needs a name", hint="`logwarden feedback list` shows the names")
        until_interrupted(commands.undo(settings, name, console()))
    elif expected == real:
        raise ConfigurationError(
            "an incident is either expected or real", hint="add --expected or --real, and not both of them"
        )
    else:
        kind = FeedbackKind.EXPECTED if expected else FeedbackKind.REAL
        wish = commands.Wish(services=service or (), for_ms=length_of(length), reason=note)
        until_interrupted(commands.judge(settings, subject, kind, wish, console()))


def mute(
    pattern: Annotated[str, typer.Argument(metavar="TEXT", help="Part of a line; * is any text.")],
    service: Services = None,
    length: Length = None,
    note: Reason = "",
    env_file: EnvFile = None,
) -> None:
    """Publish no alert on lines with a text."""
    from logwarden.daemon.commands import feedback as commands
    from logwarden.daemon.feedback.giving import length_of
    from logwarden.daemon.settings.reading import read_settings

    wish = commands.Wish(services=service or (), for_ms=length_of(length), reason=note)
    settings = read_settings(env_file=env_file)
    log_warnings_only(settings)
    until_interrupted(commands.mute(settings, pattern, wish, console()))


def maintenance(
    action: Annotated[MaintenanceAction, typer.Argument(help="Announce one, end it, or list them.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of its own, such as that of a deploy job.")] = "",
    service: Services = None,
    system: Annotated[
        list[str] | None,
        typer.Option("--system", metavar="PATTERN", help="Of all services of such a system. Repeatable."),
    ] = None,
    length: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="For this long, unless it is stopped. Default: 1h.")
    ] = None,
    note: Reason = "",
    form: Form = AlertFormat.pretty,
    env_file: EnvFile = None,
) -> None:
    """Announce maintenance: its alerts are marked as planned, and become one planned incident."""
    from logwarden.daemon.commands import feedback as commands
    from logwarden.daemon.errors import ConfigurationError
    from logwarden.daemon.feedback.giving import length_of
    from logwarden.daemon.settings.reading import read_settings

    if action is not MaintenanceAction.start and (service or system or length or note):
        raise ConfigurationError(
            f"{action.value!r} takes no --service, --system, --for and --note",
            hint="they belong to `logwarden maintenance start`; a maintenance ends as a whole",
        )
    wish = commands.Wish(services=service or (), systems=system or (), for_ms=length_of(length), reason=note)
    settings = read_settings(env_file=env_file)
    log_warnings_only(settings)
    until_interrupted(commands.maintain(settings, action, name, wish, form, console()))

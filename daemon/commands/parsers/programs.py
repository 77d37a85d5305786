"""Commands that become another program: `demo`, `train`, `evaluate`, `faultlab`.

They replace this process by `python -m logwarden.…`, so Ctrl-C and the exit code belong to the other program. An entry
point would only hide the import: `daemon` and `training` are two products on one model and must not import each other,
which import-linter checks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn

import typer

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Settings of a command that passes all its arguments to another program, `--help` included."""


def demo(context: typer.Context) -> None:
    """Show the daemon at work on this machine: an embedded broker, a failing service, the alerts."""
    _become("logwarden.demo", context.args)


def train(context: typer.Context) -> None:
    """Adapt the model to labels of your own (all options go to `python -m logwarden.training.head`; try --help)."""
    _require_torch(context.args)
    _become("logwarden.training.head", context.args)


def evaluate(context: typer.Context) -> None:
    """Measure a model (all options go to `python -m logwarden.training.evaluation`; try --help)."""
    _require_torch(context.args)
    _become("logwarden.training.evaluation", context.args)


def faultlab(context: typer.Context) -> None:
    """Record real systems under real faults. All options go to `python -m logwarden.training.faultlab`; try --help."""
    _become("logwarden.training.faultlab", context.args)


def _require_torch(arguments: Sequence[str]) -> None:
    """Raises ConfigurationError where what trains is not installed; the help needs none of it."""
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing and not {"-h", "--help"} & set(arguments):
        from logwarden.daemon.errors import ConfigurationError

        raise ConfigurationError(
            f"{' and '.join(missing)} cannot be imported, but this command trains or measures with them",
            hint="pip install logwarden installs them; the image for CPUs leaves them out",
        )


def _become(module: str, arguments: list[str]) -> NoReturn:
    sys.stdout.flush()
    # -P: a folder `logwarden` in the current directory, such as a checkout's, must not be taken for this package.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])


OTHER_PROGRAMS = (demo, train, evaluate, faultlab)

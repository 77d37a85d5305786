"""Adapts the shipped model to labels of your own: `logwarden train`.

    logwarden lines app.log --anomalous numbers > lines.jsonl
    logwarden train --lines lines.jsonl --out my-model

Labelled lines are JSON, one object on a line, as `logwarden lines` prints them. Labelled sessions are

    {"lines": ["first line", "second line"], "label": 0, "service": "shop"}

in the order of time. 1 is anomalous and 0 normal; a line may have null, which is neither.

The last third of the incidents is kept to compare with the shipped model. A model that is not better is not written,
and the exit code is 1. With --bert-path a new head is trained on another BERT, from sessions alone, with all options of
`python -m logwarden.training.head.recipe`.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

EXIT_KEPT = 1
"""Exit code when the model that exists is kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns 0, 1 if the old model is kept, or 2 after one sentence about a caller's error."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if any(word.split("=")[0] == "--bert-path" for word in given):
        from logwarden.training.head import recipe

        return recipe.main(given)
    options = _parser().parse_args(given)
    try:
        _check(options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries: the caller can do nothing about them
            from logwarden.training.head.own_labels import train

            return 0 if train(options) else EXIT_KEPT
    except (OSError, ValueError) as error:
        named = isinstance(error, OSError) and error.filename is not None and error.strerror is not None
        message = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and named else str(error)
        print(f"logwarden train: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="logwarden train", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--lines", type=Path, default=None, metavar="FILE", help="labelled lines, JSON lines")
    add("--sessions", type=Path, default=None, metavar="FILE", help="labelled sessions, JSON lines")
    add("--model", type=Path, default=None, metavar="DIR", help="model to start from (default: the shipped one)")
    add("--out", type=Path, default=Path("final_moe_model"), metavar="DIR", help="directory of the new model")
    add("--force", action="store_true", help="write the new model even if it is not better")
    add("--threads", type=int, default=1, help="number of CPU threads (default: 1; a second one gains little)")
    add("--bert-path", type=Path, default=None, metavar="DIR", help="train a new head on this BERT instead")
    return parser


def _check(options: argparse.Namespace) -> None:
    """Raises ValueError with one sentence for an option that would fail only after minutes of work."""
    if (options.lines is None) == (options.sessions is None):
        raise ValueError("name either labelled lines with --lines, or labelled sessions with --sessions")
    if options.threads < 1:
        raise ValueError(f"--threads must be at least 1, not {options.threads}")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"{options.out} is a file; name another directory with --out")
    if options.out.is_dir() and any(options.out.iterdir()) and not (options.out / "config.json").is_file():
        raise ValueError(f"{options.out} contains something else than a model; name another directory with --out")
    home = next(path for path in (options.out, *options.out.absolute().parents) if path.exists())
    if not home.is_dir() or not os.access(home, os.W_OK):
        raise ValueError(f"cannot write to {options.out}: name another directory with --out")


if __name__ == "__main__":
    sys.exit(main())

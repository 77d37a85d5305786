"""Trains a head: `python -m logwarden.training.head.recipe`, or `logwarden train` with --bert-path.

Without --sessions it runs the recipe of the shipped model, which needs no labels and reads the streams of the data
folder. With --sessions FILE.jsonl it trains on your own sessions, one JSON object per line:

    {"lines": ["first line", "second line"], "label": 0, "service": "shop"}

"label" is 0 or 1; "service" is optional. Sessions of one service build its history in the order of the file.

Checkpoints go to moe_results/, logs to moe_logs/, the model to final_moe_model/; options name other folders. --resume
continues from the last checkpoint. Training stops early when the held-out loss stops falling.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from logwarden.training.head.training import train


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit code: 0, or 2 after one sentence about an error of the caller's."""
    options = _options(arguments)
    try:
        for path in (options.results, options.logs, options.out):
            _require_writable(path)
        train(options)
    except (FileNotFoundError, ValueError, PermissionError, NotADirectoryError) as error:
        print(f"logwarden train: {error}", file=sys.stderr)
        return 2
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m logwarden.training.head.recipe",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add = parser.add_argument
    add("--sessions", type=Path, default=None, help="file of labelled sessions, JSON lines (default: the recipe)")
    add("--bert-path", type=Path, default=None, help="BERT directory for the line encoder (default: the shipped one)")
    add("--out", type=Path, default=Path("final_moe_model"), help="directory of the model (default: final_moe_model)")
    add("--results", type=Path, default=Path("moe_results"), help="directory of checkpoints (default: moe_results)")
    add("--logs", type=Path, default=Path("moe_logs"), help="directory of the training log (default: moe_logs)")
    add("--resume", action="store_true", help="continue from the last checkpoint")
    add("--epochs", type=float, default=8, help="largest number of epochs (default: 8)")
    add("--patience", type=int, default=2, help="epochs without a better held-out loss before the end (default: 2)")
    add(
        "--failures",
        type=Path,
        default=None,
        help="texts of logwarden.training.encoder.text_harvest: more messages that name a failure",
    )
    add("--windows", type=int, default=60_000, help="number of training windows of the recipe (default: 60,000)")
    add("--batch-size", type=int, default=256, help="windows per step (default: 256)")
    add("--learning-rate", type=float, default=1e-3, help="peak learning rate (default: 0.001)")
    add("--seed", type=int, default=0, help="seed of every random step (default: 0)")
    add("--threads", type=int, default=2, help="number of CPU threads (default: 2)")
    add("--device", choices=("auto", "cpu"), default="auto", help="auto: the first GPU, else the CPU (default: auto)")
    return parser.parse_args(arguments)


def _require_writable(path: Path) -> None:
    """Raises PermissionError with one sentence unless a file can be created in the directory."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PermissionError(f"cannot write to {path}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())

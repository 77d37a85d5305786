"""Runs scans of files in tests, with a toy model in the place of BERT."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.scan import ScanOptions, scan
from logwarden.daemon.ports import Engine
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from logwarden.model.lines import LineTable
from logwarden.model.verdicts import AlertPolicy, Scores
from logwarden.model.windowing import WindowBatch


def toy_engine(settings: Settings) -> Engine:
    """Returns an engine that scores .99 for panics and lines new to their service, and .01 for other lines."""

    def encode(texts: Sequence[str]) -> Any:
        return np.ones((len(texts), 4), np.float32) / 2

    def score(batch: WindowBatch) -> Scores:
        panic = np.array([b"panic" in text for text in batch.newest("text")], bool)
        anomalous = panic | (batch.newest("log_count") == 0)
        weights = np.zeros((len(batch), batch.size), np.float32)
        weights[:, -1] = 1.0
        probability = np.where(anomalous, 0.99, 0.01)
        return Scores(np.zeros((len(batch), 2), np.float32), probability, weights)

    return Engine(
        scorer=SimpleNamespace(score=score),
        table=LineTable(settings.model.table_rows, encode, lambda *_: None),
        policy=AlertPolicy(
            threshold=settings.alerts.threshold or 0.5,
            learning_lines=settings.alerts.learning_lines,
            model_revision="toy",
        ),
    )


def scanned(*files: Path, terminal: bool = False, settings: dict[str, str] | None = None, **options: Any) -> Any:
    """Runs a scan that prints its alerts. Returns its output (rendered alerts) and its notes."""
    out, notes = io.StringIO(), io.StringIO()
    out_terminal = terminal and options.get("form") is AlertFormat.jsonl
    scan(
        ScanOptions(files=files, **({"lines": True} | options)),
        read_settings({f"LOGWARDEN_{name}": value for name, value in (settings or {}).items()}),
        Console(file=out, width=300, force_terminal=out_terminal),
        Console(file=notes, width=120, force_terminal=terminal),
        toy_engine,
    )
    return SimpleNamespace(out=out.getvalue(), notes=notes.getvalue())


def written(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Returns the JSON lines of standard output."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


CALM = ["request served", "connection closed", "cache refreshed", "user logged in"] * 10


def found(out: str) -> list[str]:
    """Returns the places of the alerts, `name:line`."""
    return [match[0] for line in out.splitlines() if line.startswith("●") and (match := re.search(r"\S+:\d+$", line))]

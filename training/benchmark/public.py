"""Tables of the public data sets and of the demo's recording, as the benchmark prints them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

import logwarden.model
from logwarden.model.checkpoint import SHIPPED, load_checkpoint
from logwarden.training.benchmark.cache import Cache, stamp_of
from logwarden.training.evaluation import grouping
from logwarden.training.evaluation.suite import Suite
from logwarden.training.evaluation.tables import Grid, as_json
from logwarden.training.faultlab.release import RECORDINGS

PUBLIC = {"recording": False, "hdfs": True, "openstack-faults": True, "openstack-vm": True, "grouping": True}
"""Part → True where it needs data of others."""
DEMO = RECORDINGS / "demo"


@dataclass(frozen=True, slots=True)
class PublicTask:
    """What a worker is given."""

    name: str
    seeds: int = 5
    cache: Path | None = None


def public_tables(task: PublicTask) -> dict[str, Any]:
    """Returns the tables and rows of one part, or takes them from the cache."""
    torch.set_num_threads(1)
    code = [path for folder in (logwarden.model, grouping) for path in Path(folder.__file__ or "").parent.glob("*.py")]
    weights = sorted(path for path in SHIPPED.rglob("*") if path.is_file() and path.suffix != ".md")
    stamp = stamp_of([*sorted(code), *weights, str(task.seeds), Path(__file__)])
    found: dict[str, Any] = Cache(task.cache).values(f"public-{task.name}", stamp, lambda: _measured(task))
    return found


def _measured(task: PublicTask) -> dict[str, Any]:
    if task.name == "grouping":
        return {"grids": [], "rows": [], "systems": {name: asdict(one) for name, one in grouping.measure().items()}}
    with Progress(disable=True) as progress:
        suite = Suite(load_checkpoint(), name="logwarden", seeds=task.seeds, shipped=True, progress=progress)
        if task.name == "recording":
            suite.recording(DEMO)
        elif task.name == "hdfs":
            suite.hdfs()
        elif task.name == "openstack-faults":
            suite.openstack_faults()
        else:
            suite.openstack_vm()
    found = suite.findings
    return {
        "grids": [
            {"title": grid.title, "header": grid.header, "rows": grid.rows, "remark": grid.remark}
            for grid in found.grids
        ],
        "rows": as_json(found.rows),
        "recording": [
            {
                "method": one.method,
                "found": one.found,
                "faults": len(one.faults),
                "clean_alerts": one.clean_alerts,
                "clean_lines": one.clean_lines,
            }
            for one in found.recording
        ],
    }


def public_sections(found: Mapping[str, Any]) -> list[str]:
    """Returns a section of BENCHMARKS.md for each part. `found`: part → what `public_tables` returns."""
    parts = []
    for name, tables in found.items():
        grids = [
            Grid(g["title"], tuple(g["header"]), [tuple(row) for row in g["rows"]], g["remark"])
            for g in tables["grids"]
        ]
        if name == "grouping":
            header = ("system", "lines", "events", "groups", "grouping accuracy", "F1")
            rows: list[tuple[str, ...]] = [
                (
                    system,
                    f"{one['lines']:,}",
                    str(one["events"]),
                    str(one["groups"]),
                    f"{one['accuracy']:.3f}",
                    f"{one['f1']:.3f}",
                )
                for system, one in tables["systems"].items()
            ]
            grids = [Grid("", header, rows)]
        parts.append("\n\n".join([f"## Other data: {name}", *(grid.markdown() for grid in grids)]))
    return parts

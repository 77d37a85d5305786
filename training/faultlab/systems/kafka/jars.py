"""Fetches Kafka's jars, once for all runs. Knows Maven and nothing of brokers."""

import os
import shutil
import tempfile
from pathlib import Path

from logwarden.training.faultlab.process import Workshop

VERSION = "4.1.1"
CACHE = Path.home() / ".cache" / "logwarden" / f"kafka-{VERSION}"
_POM = Path(__file__).with_name("pom.xml")
# 43 MB, over a slow line.
_FETCH_S = 600.0


def copy_jars(workshop: Workshop, target: Path) -> None:
    """Puts the jars into `target`: brokers run as users without access to root's home."""
    if not CACHE.is_dir():
        _fetch(workshop)
    shutil.copytree(CACHE, target)


def _fetch(workshop: Workshop) -> None:
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{CACHE.name}.part-", dir=CACHE.parent) as part:
        whole = Path(part, "libs")
        workshop.must(
            [
                # A run has a loopback of its own and no way out of it; who started us still has one.
                *(["nsenter", f"--net=/proc/{os.getppid()}/ns/net"] if os.geteuid() == 0 else []),
                *("mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"),
                *(f"-DoutputDirectory={whole}", "-DincludeScope=runtime"),
            ],
            timeout_s=_FETCH_S,
        )
        whole.chmod(0o755)
        try:
            whole.rename(CACHE)
        except OSError:
            # Another run was faster; rename(2) does not replace a folder with content.
            if not CACHE.is_dir():
                raise

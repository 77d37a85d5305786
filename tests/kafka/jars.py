"""The jars of a Kafka broker, which Maven fetches once into `.cache/kafka-VERSION/libs`, and the programs they need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
POM = Path(__file__).with_name("pom.xml")
# TEST_KAFKA_VERSION and not LOGWARDEN_…: the daemon refuses LOGWARDEN_ variables that are not its settings.
VERSION = os.environ.get("TEST_KAFKA_VERSION", "4.1.1")  # or 3.9.1: the profiles of pom.xml
OLDEST_JAVA = 17  # needed by the class files of the 4.x broker

FETCH_TIMEOUT_S = 600.0  # 43 MB, over a slow line
LOG_TAIL_LINES = 30


class FetchFailed(RuntimeError):
    """Maven could not fetch the jars. The message ends with the end of Maven's output."""


def missing_requirements(version: str = VERSION) -> str | None:
    """Returns one line with the packages to install, or None if a broker can be started on this machine."""
    if shutil.which("sh") is None or os.name != "posix":
        return "a real Kafka broker in tests needs a POSIX system"
    wanted = f"Java {OLDEST_JAVA} and Maven (Debian: apt-get install openjdk-17-jre-headless maven)"
    java = shutil.which("java")
    if java is None:
        return f"no java on the PATH; a real Kafka broker needs {wanted}"
    banner = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    found = re.search(r'version "(\d+)', banner)
    if found is None or int(found[1]) < OLDEST_JAVA:
        return f"java on the PATH is {found[1] if found else 'unreadable'}; a real Kafka broker needs {wanted}"
    if not _libs(version).is_dir() and shutil.which("mvn") is None:
        return f"no mvn on the PATH to fetch Kafka's jars with; a real Kafka broker needs {wanted}"
    return None


def fetch_jars(version: str = VERSION) -> Path:
    """Returns the folder with the broker's jars, fetched on first use. A folder of that name is always complete.

    Raises FetchFailed with the end of Maven's output.
    """
    libs = _libs(version)
    if libs.is_dir():
        return libs
    cache = libs.parent.parent
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"kafka-{version}.part-", dir=cache) as part:
        whole = Path(part, "whole")
        command = ["mvn", "-q", "-B", "-f", str(POM), "-P", f"kafka-{version}", "dependency:copy-dependencies"]
        command += [f"-DoutputDirectory={whole / 'libs'}", "-DincludeScope=runtime"]
        fetched = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
        if fetched.returncode != 0:
            raise FetchFailed(f"Maven could not fetch Kafka {version}:\n{tail(fetched.stdout + fetched.stderr)}")
        try:
            whole.rename(libs.parent)
        except OSError:
            # Another test run was faster; rename(2) never replaces a folder with content.
            if not libs.is_dir():
                raise
    return libs


def _libs(version: str) -> Path:
    return REPOSITORY / ".cache" / f"kafka-{version}" / "libs"


def tail(text: str) -> str:
    """Returns the last lines of a program's output: the reason of a failure stands there."""
    return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])

"""Finds or installs the tools of the checks: Debian's packages by apt, others by `go install` into `.cache/tools`.

Versions are pinned here. Nothing is installed twice.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".cache" / "tools"
GO_TOOLS = {
    "actionlint": "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
    "helm": "helm.sh/helm/v3/cmd/helm@v3.19.0",
}
DEBIAN_PACKAGES = {
    "promtool": ("prometheus",),
    "prometheus": ("prometheus",),
    "amtool": ("prometheus-alertmanager",),
    "rsyslogd": ("rsyslog", "rsyslog-kafka"),
    "systemd-analyze": ("systemd",),
    "go": ("golang",),
    "java": ("openjdk-17-jre-headless",),
    "mvn": ("maven",),
}
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
INSTALL_S = 1_200


class ToolMissing(Exception):
    """A tool, or a file that a check needs, can be neither found nor fetched: offline, say, or without root."""


def tool(name: str) -> str:
    """Returns the path of a program, and installs it first if it is missing. Raises ToolMissing."""
    own = TOOLS / "bin" / name
    if own.exists():
        return str(own)
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/go/bin")
    if found:
        return found
    if name in GO_TOOLS:
        fetch([tool("go"), "install", GO_TOOLS[name]], env={"GOBIN": str(TOOLS / "bin")})
        return str(own)
    if name in DEBIAN_PACKAGES:
        install(*DEBIAN_PACKAGES[name])
        return tool(name)
    raise ToolMissing(f"{name} is not installed; install it")


def install(*packages: str) -> None:
    """Installs Debian packages. In run level 1 none starts its server."""
    if os.geteuid() != 0:
        raise ToolMissing(f"run this as root, or install {' '.join(packages)}")
    quiet = {"RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    wait = ["-o", "DPkg::Lock::Timeout=300"]
    fetch(["apt-get", *wait, "update", "-qq"])
    fetch(["apt-get", *wait, "install", "-y", "-qq", "--no-install-recommends", *packages], env=quiet)


def unpacked(name: str, packages: tuple[str, ...]) -> Path:
    """Returns a folder into which Debian packages are unpacked, without installing them."""
    folder = TOOLS / name
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        fetch(["apt-get", "download", "-qq", *packages], cwd=partial)
        for package in partial.glob("*.deb"):
            run(["dpkg", "-x", str(package), str(partial)])
        partial.rename(folder)
    return folder


def go_module(module: str) -> Path:
    """Returns the folder of a Go module in the cache of modules."""
    answer = fetch([tool("go"), "mod", "download", "-json", module], cwd=TOOLS)
    folder: str = json.loads(answer[answer.index("{") :])["Dir"]
    return Path(folder)


def python_package(requirement: str) -> Path:
    """Returns the folder of a Python package, fetched once and kept apart from the environment of the tests."""
    folder = TOOLS / requirement.replace("==", "-")
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        fetch([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(partial), requirement])
        partial.rename(folder)
    return folder


def maven_jars(name: str, pom: Path) -> Path:
    """Returns a folder with the jars that a project of Maven names, fetched once."""
    folder = TOOLS / name
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        arguments = ["-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
        fetch([tool("mvn"), "-q", "-B", "-f", str(pom), MAVEN_COPY, *arguments])
        partial.rename(folder)
    return folder


def fetch(command: list[str], *, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Returns the output of a command that fetches something. Raises ToolMissing with the end of its output."""
    try:
        return run(command, env=env, cwd=cwd, timeout_s=INSTALL_S)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        raise ToolMissing(str(error)) from error


def run(
    command: list[str], *, env: dict[str, str] | None = None, timeout_s: float = 300, cwd: Path | None = None
) -> str:
    """Returns the output of a command. Raises AssertionError with the output if it fails."""
    done = subprocess.run(
        command,
        check=False,  # below, with the output
        env=os.environ | (env or {}),
        cwd=cwd,
        timeout=timeout_s,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout

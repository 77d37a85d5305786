"""Checks the file for Docker Compose by compose's own loader, and what its containers read by the tools of each."""

from __future__ import annotations

import json
from typing import Any

import yaml

from logwarden.daemon.settings.reading import read_settings
from tests.deploy.tools import ROOT, TOOLS, fetch, run, tool

COMPOSE = ROOT / "deploy" / "compose.yaml"
FILES = ROOT / "deploy" / "compose"
LOADER = "github.com/compose-spec/compose-go/v2 v2.9.0"
PROGRAM = """package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions(os.Args[1:2], cli.WithName("logwarden"))
	if err == nil {
		project, failure := options.LoadProject(context.Background())
		err = failure
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(project)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
"""


def check_compose() -> list[str]:
    """Runs the checks. Returns a sentence for each."""
    project = json.loads(run([_loader(), str(COMPOSE)]))
    services: dict[str, Any] = project["services"]
    assert {"kafka", "topics", "shipper", "logwarden", "bridge", "alertmanager", "prometheus", "grafana"} == set(
        services
    )
    for name, service in services.items():
        image = service["image"]
        assert "build" in service or image == "logwarden" or not image.endswith(":latest"), f"{name}: {image}"
        assert ":" in image or image == "logwarden", f"{name} has no fixed image: {image}"
        for port in service.get("ports", ()):
            assert port["host_ip"] == "127.0.0.1", f"{name} is open to the network"
        for volume in service.get("volumes", ()):
            assert volume["type"] != "bind" or (ROOT / volume["source"]).exists(), f"{name}: {volume['source']}"
    for name in ("logwarden", "bridge"):
        variables = services[name]["environment"]
        settings = read_settings({key: value for key, value in variables.items() if key.startswith("LOGWARDEN_")})
        grace_s = services[name]["stop_grace_period"]
        assert _seconds(grace_s) >= settings.shutdown.drain_timeout_s + 10, f"{name} is killed before its drain ends"
        assert services[name]["read_only"], name
    run([tool("promtool"), "check", "config", "--syntax-only", str(FILES / "prometheus.yaml")])
    run([tool("amtool"), "check-config", str(FILES / "alertmanager.yaml")])
    return [f"compose's loader reads {len(services)} services; Prometheus and Alertmanager read their configurations"]


def created_topics() -> set[str]:
    """Returns the topics that the file creates."""
    [script] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["topics"]["command"]
    return {line.split()[2] for line in script.splitlines() if line.startswith("create --topic")}


def _seconds(duration: Any) -> float:
    return duration / 1e9 if isinstance(duration, int) else float(str(duration).removesuffix("s"))


def _loader() -> str:
    folder = TOOLS / "compose-loader"
    program = folder / "loader"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "go.mod").write_text(f"module loader\n\ngo 1.24\n\nrequire {LOADER}\n")
        (folder / "main.go").write_text(PROGRAM)
        fetch([tool("go"), "mod", "tidy"], cwd=folder)
        run([tool("go"), "build", "-o", "loader", "."], cwd=folder, timeout_s=600)
    return str(program)

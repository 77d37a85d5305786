"""What deploys the daemon, as far as no tool is needed: rules and runbook, the dashboard, names of metrics.

`make deploy-test` checks the same files by their real tools (`tests/deploy`).
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.web.metrics_page import metrics_markdown
from logwarden.model.version import __version__
from tests.deploy.chart import CHART, VALUES
from tests.deploy.compose import created_topics
from tests.deploy.dashboard import DASHBOARD, EMPTY, dashboard, queries
from tests.deploy.rules import RULES, SCENARIOS, alert_names, rules_of
from tests.deploy.shippers import snippets
from tests.deploy.unit import drain_fits, variables
from tests.test_readme import unknown_settings

ROOT = Path(__file__).parent.parent
RUNBOOK = ROOT / "RUNBOOK.md"
DOCKERFILE = ROOT / "Dockerfile"
FOREIGN = {"up", "process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes"}
"""Metrics that Prometheus or its client library makes."""


def known_metrics() -> set[str]:
    """Returns every name that a query may use."""
    page = metrics_markdown()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.M)
    names = {name for name, _ in rows} | FOREIGN
    names |= {f"{name}_{part}" for name, kind in rows if kind == "histogram" for part in ("bucket", "sum", "count")}
    recorded = {rule["record"] for rule in rules_of(*RULES) if "record" in rule}
    return names | recorded


def metrics_in(expression: str) -> set[str]:
    """Returns the metrics that an expression names."""
    return set(
        re.findall(r"\b(?:logwarden|process|up)[a-z0-9_:]*(?=[\s{\[)]|$)", re.sub(r"\"[^\"]*\"", '""', expression))
    )


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values over others, as Helm joins them: null removes a key."""
    both = dict(below)
    for key, value in above.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return {key: value for key, value in both.items() if value is not None}


def entries(text: str) -> list[tuple[str, str]]:
    """Returns the headings of a runbook and the text below each."""
    parts = re.split(r"^## (.+)$", text, flags=re.M)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def test_each_rule_has_its_entry_in_the_runbook() -> None:
    """At night nobody reads the code: an alert leads to a page that states what it means and what to do."""
    found = entries(RUNBOOK.read_text(encoding="utf-8"))
    assert [name for name, _ in found] == alert_names()
    for name, text in found:
        assert all(part in text for part in ("**Means.**", "**Look.**", "**Do.**")), name


def test_each_rule_is_complete_and_has_a_scenario() -> None:
    """A rule has a severity that a router knows, and sentences for people."""
    for rule in rules_of(*RULES):
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule
            assert all(rule["annotations"][key].endswith(".") for key in ("summary", "description")), rule
    assert {scenario.alert for scenario in SCENARIOS} == set(alert_names())


def test_rules_and_dashboard_use_metrics_that_exist() -> None:
    """A renamed metric would leave a panel empty and an alert silent for ever."""
    known = known_metrics()
    for query in [rule["expr"] for rule in rules_of(*RULES)] + [expression for _, expression in queries()]:
        assert metrics_in(query), f"no metric found in {query}"
        assert metrics_in(query) <= known, f"{metrics_in(query) - known} in {query}"
    assert all(any(name.startswith(excused) for name in known) for excused in EMPTY)
    with pytest.raises(AssertionError):
        assert metrics_in("rate(logwarden_lag[5m])") <= known


def test_the_dashboard_is_whole() -> None:
    """Panels have ids of their own, lie beside each other, and ask the chosen Prometheus."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        box = panel["gridPos"]
        own = {(x, y) for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])}
        assert box["x"] + box["w"] <= 24, panel["title"]
        assert not own & cells, f"{panel['title']} lies on another panel"
        cells |= own
        assert panel["type"] == "row" or panel["targets"], panel["title"]
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
            assert '{job=~"$job"' in target["expr"], f"{panel['title']} mixes the groups of all jobs"
    assert {variable["name"] for variable in dashboard()["templating"]["list"]} == {"datasource", "job"}


def test_the_settings_of_the_unit_are_settings() -> None:
    """Every variable of the unit's file exists, with a value that the daemon takes, also those to be uncommented."""
    offered = variables()
    assert len(offered) > 8
    assert unknown_settings(" ".join(offered)) == []
    assert drain_fits()


def test_the_values_of_the_chart_fit_their_schema() -> None:
    """The schema takes the chart's own values and every example, and refuses a value that it does not know."""
    described = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    schema = Draft7Validator(described)
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert len(VALUES) >= 6
    for values in [{}, *(yaml.safe_load(path.read_text(encoding="utf-8")) for path in VALUES)]:
        schema.validate(merged(defaults, values))
    assert not schema.is_valid(defaults | {"replica": 3})
    undescribed = set(defaults) ^ (set(described["properties"]) - {"global"})
    assert not undescribed, f"in values.yaml or its schema alone: {undescribed}"


def test_the_settings_of_the_chart_are_settings() -> None:
    """Every setting in the chart's values, of the release or of a file, is one of the daemon."""
    names = set()
    for path in [CHART / "values.yaml", *VALUES]:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        for part in (values, values.get("bridge", {}), values.get("mcp", {})):
            names |= set(part.get("settings", {})) | {each["setting"] for each in part.get("files", ())}
    assert len(names) > 15
    assert unknown_settings(" ".join(f"LOGWARDEN_{name}" for name in names)) == []


def test_the_chart_takes_no_secret_in_plain_text() -> None:
    """What may also come as a file is a secret, and the chart's values are in Git and in Helm's own Secrets."""
    template = (CHART / "templates" / "_helpers.tpl").read_text(encoding="utf-8")
    [refused] = re.findall(r'regexMatch "([^"]+)" \$name', template)
    names = re.findall(r"^\| `LOGWARDEN_(\w+)`", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8"), re.M)
    secrets = {name for name in names if f"{name}_FILE" in names}
    assert len(secrets) > 8
    assert [name for name in secrets if not re.search(refused, name)] == []
    assert not re.search(refused, "KAFKA__SASL_PASSWORD_FILE")


def test_the_chart_has_the_rules_and_the_dashboard() -> None:
    """Helm reads files of the chart only: these are links, so that there is one copy."""
    for name, target in (("alerts.yaml", RULES[1]), ("recording.yaml", RULES[0]), ("dashboard.json", DASHBOARD)):
        assert (CHART / "files" / name).resolve() == target.resolve()
    assert yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"] == __version__


def test_compose_creates_the_topics_of_the_settings() -> None:
    """The daemon creates the state topic only; every other one exists under its default name before it starts."""
    kafka, bridge = Settings().kafka, Settings().bridge
    wanted = {kafka.alerts_topic, kafka.dead_letter_topic, kafka.incidents_topic, kafka.feedback_topic}
    assert created_topics() == {*kafka.input_topics, *wanted, bridge.dead_letter_topic}


def test_every_file_that_a_machine_reads_is_yaml() -> None:
    """A tab or a colon too many would be found by the first user."""
    folders = [ROOT / "deploy", ROOT / ".github"]
    files = [path for folder in folders for path in (*folder.rglob("*.yaml"), *folder.rglob("*.yml"))]
    assert len(files) > 15
    for path in [*files, ROOT / ".pre-commit-config.yaml"]:
        if "templates" not in path.parts:
            assert list(yaml.safe_load_all(path.read_text(encoding="utf-8"))), path


def test_every_snippet_of_a_shipper_is_well_formed() -> None:
    """What people paste is parsed here, also of shippers that no test can run."""
    parsers: dict[str, Callable[[str], Any]] = {"yaml": yaml.safe_load, "toml": tomllib.loads}
    found = snippets()
    assert len(found) == 6
    for name, (language, text) in found.items():
        assert "kafka-1:9092" in text, f"{name} names no broker to replace"
        if language in parsers:
            assert parsers[language](text), name


def test_a_release_has_the_notes_of_its_version() -> None:
    """The page of a release is the version's part of the changelog, and a version without one is refused."""
    program = runpy.run_path(str(ROOT / "deploy" / "release_notes.py"))
    text = "# Changelog\n\n## [Unreleased]\n- new\n\n## [1.1.0] - 2026-01-02\n- b\n\n## [1.0.0]\n### Added\n- a\n"
    assert (program["notes_of"]("1.1.0", text), program["notes_of"]("1.0.0", text)) == ("- b\n", "### Added\n- a\n")
    with pytest.raises(LookupError, match=r"has no notes of the version 1\.2\.0"):
        program["notes_of"]("1.2.0", text)
    assert program["notes_of"]("Unreleased", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def test_a_release_publishes_the_images_that_its_chart_names(tmp_path: Path) -> None:
    """An image without CUDA and one with it, under the tags that the packed chart asks for without a further value."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    [pack] = [step["run"] for step in jobs["packages"]["steps"] if "helm package" in step.get("run", "")]
    [named] = [step["run"] for step in jobs["image"]["steps"] if step.get("id") == "image"]
    shutil.copytree(CHART, tmp_path / "deploy/helm/logwarden", ignore=shutil.ignore_patterns("files"))
    (tmp_path / "helm").write_text("#!/bin/sh\n")
    (tmp_path / "helm").chmod(0o755)
    output = tmp_path / "output"
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "IMAGE": "registry.example.com/Some/Logwarden",
        "TAG": f"v{__version__}",
        "GITHUB_OUTPUT": str(output),
    }

    def step(script: str, **more: str) -> None:
        subprocess.run(["bash", "-euc", script], env=environment | more, cwd=tmp_path, check=True)

    step(pack)
    image = yaml.safe_load((tmp_path / "deploy/helm/logwarden/values.yaml").read_text(encoding="utf-8"))["image"]
    published = {}
    for each in jobs["image"]["strategy"]["matrix"]["include"]:
        step(named, SUFFIX=each["suffix"])
        published[each["device"]] = output.read_text(encoding="utf-8").splitlines()[-1].removeprefix("name=")
    assert (image["repository"], image["tag"], image["digest"]) == ("registry.example.com/some/logwarden", "", "")
    tag = f"{image['repository']}:{__version__}"
    assert published == {"cpu": tag, "cuda": f"{tag}-cuda"}


def health_check() -> str:
    """Returns the program of the image's health check."""
    [words] = re.findall(r"^    CMD (\[\"python3\".*?\])$", DOCKERFILE.read_text(encoding="utf-8"), re.M | re.S)
    program: str = json.loads(words.replace("\\\n", ""))[-1]
    return program


@pytest.mark.parametrize(
    ("port", "is_healthy"), [("none", True), (" NONE", True), ("0", True), ("1", False), ("", False)]
)
def test_the_health_check_asks_only_where_http_is_on(port: str, is_healthy: bool) -> None:
    """Without HTTP there is nothing to ask; where HTTP is on and nothing answers, the container is unhealthy."""
    environment = {"LOGWARDEN_HTTP__PORT": port}
    program = health_check().replace("'8080'", "'1'")  # an unset port is the default one, where something may listen
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert (done.returncode == 0) is is_healthy, done.stderr.decode()


def test_the_health_check_of_a_bridge_asks_the_port_of_the_bridge(tmp_path: Path) -> None:
    """One image runs daemon, bridge and server for agents; the arguments of the first process tell the check which."""
    environment = {"LOGWARDEN_HTTP__PORT": "1", "LOGWARDEN_BRIDGE__HTTP_PORT": "none"}
    healthy = {}
    for command in ("run", "bridge", "mcp"):
        (tmp_path / "cmdline").write_bytes(
            b"\0".join([b"tini", b"-e", b"143", b"--", b"logwarden", command.encode(), b""])
        )
        program = health_check().replace("/proc/1/cmdline", str(tmp_path / "cmdline"))
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
        healthy[command] = done.returncode == 0
    assert healthy == {"run": False, "bridge": True, "mcp": True}


def test_the_image_leaves_out_what_it_knows() -> None:
    """What the image for CPUs leaves out is a dependency still, and ONNX Runtime is not among it."""
    [left_out] = re.findall(r"'cpu': \{([^}]*)\}", DOCKERFILE.read_text(encoding="utf-8"))
    names = set(re.findall(r"'([a-z-]+)'", left_out))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dependencies = {re.split(r"[^a-z-]", each)[0] for each in project["dependencies"]}
    assert {"torch", "transformers"} <= names <= dependencies - {"onnxruntime", "onnx", "numpy"}

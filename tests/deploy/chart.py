"""Checks the Helm chart: lint, templates over every file of values in `ci/`, and each object by its schema."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.pods import check_names, check_pods
from tests.deploy.schemas import STRIMZI_VERSIONS, schemas
from tests.deploy.tools import ROOT, run, tool

CHART = ROOT / "deploy" / "helm" / "logwarden"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
VERSIONS = ("1.27.0", "1.34.0")
"""The oldest Kubernetes that the chart supports, and a new one."""
WRONG = {
    "replicas: two": "replicas",
    "settings: {KAFKA__INPUT_TOPICS: logs, KAFKA__SASL_PASSWORD: x}": "is a secret",
    "bridge: {enabled: true, settings: {BRIDGE__SLACK_URL: https://x}}": "is a secret",
    "settings: {HTTP__PORT: 9}": "is set by the chart",
    "settings: {HTTP__ADVERTISED_ADDRESS: 'a:1'}": "is set by the chart",
    "settings: {kafka.group: x}": "kafka.group",
    "bridge: {enabled: true}": "names no destination",
    "topics: {mode: strimzi}": "strimziCluster",
    "http: {enabled: false}\nserviceMonitor: {enabled: true}": "needs http.enabled",
    "files: [{setting: HTTP__TOKEN_FILE, key: token}]": "needs either a secret or a configMap",
    "autoscaling: {enabled: true}\nsettings: {KAFKA__INPUT_TOPICS: '^logs'}": "has a pattern",
    "image: {repository: x, digest: md5:1}": "digest",
    "secondsAfterDrain: 0": "secondsAfterDrain",
    "mcp: {enabled: true}": "names no MCP__TOKEN_FILE",
    "http: {enabled: false}\nmcp: {enabled: true}": "needs http.enabled",
    "settings: {MCP__ALLOWED_HOSTS: x}": "is set by the chart",
    "mcp: {settings: {KAFKA__GROUP_ID: x}}": "KAFKA__GROUP_ID",
    "mcp: {hosts: ['https://x/mcp']}": "hosts",
    "extraEnv: [{name: LOGWARDEN_KAFKA__GROUP_ID, value: x}]": "extraEnv",
    "http: {host: 127.0.0.1}": "host",
    "podLabels: {app.kubernetes.io/name: x}": "app.kubernetes.io/name",
    "podAnnotations: {checksum/settings: x}": "checksum/settings",
    "serviceMonitor: {enabled: true, labels: {helm.sh/chart: x}}": "helm.sh/chart",
    "files: [{setting: A__FILE, secret: a, key: b}, {setting: A__FILE, secret: c, key: d}]": "is named twice",
}
"""Values that the chart must refuse, and words of the refusal."""
RELEASES = (
    *("logwarden", "logwarden-2", "2026.logs", "a" * 41),
    *(f"platform-observability-logwarden-production-eu-west-{n}" for n in (1, 2)),
)
"""Names of releases that may share a namespace: Helm allows digits, dots and 53 characters."""


def check_chart() -> list[str]:
    """Checks the chart as Helm sees it. Returns a sentence for each check."""
    helm = tool("helm")
    for values in VALUES:
        run([helm, "lint", "--strict", "--quiet", "--kube-version", VERSIONS[-1], "-f", str(values), str(CHART)])
    with tempfile.TemporaryDirectory() as folder:
        run([helm, "package", "--destination", folder, str(CHART)])
    return [f"helm lints, renders and packs {len(VALUES)} files of values", *_rendered_as_meant(), _refusals(helm)]


def check_objects() -> list[str]:
    """Checks the objects that the chart makes by the schemas of their projects. Returns a sentence."""
    objects = 0
    with tempfile.TemporaryDirectory() as folder:
        for version in VERSIONS:
            known = schemas(version)
            for values in VALUES:
                rendered = Path(folder) / values.name
                rendered.write_text(template(values, version), encoding="utf-8")
                objects += _conforms(rendered, known)
        _notices_a_mistake(Path(folder), schemas(VERSIONS[-1]))
    return [
        f"{objects} objects conform to the schemas of Kubernetes {' and '.join(VERSIONS)}, KEDA, Prometheus' operator "
        f"and Strimzi ({', '.join(STRIMZI_VERSIONS)})"
    ]


def template(values: Path, version: str = VERSIONS[-1], release: str = "logwarden") -> str:
    """Returns the objects that the chart makes of a file of values."""
    command = [tool("helm"), "template", release, str(CHART), "--kube-version", version, "-f", str(values)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _rendered_as_meant() -> list[str]:
    """Checks what no schema knows: the drain fits, and files are mounted where settings look."""
    for values in VALUES:
        given = yaml.safe_load(values.read_text(encoding="utf-8"))
        objects = [each for each in yaml.safe_load_all(template(values)) if each]
        [stateful] = [each for each in objects if each["kind"] == "StatefulSet"]
        check_pods(objects, given, values.name)
        assert _has_its_image(stateful, given), values.name
        for workload in (each for each in objects if each["kind"] in ("StatefulSet", "Deployment")):
            _variables_and_mounts_agree(workload["spec"]["template"]["spec"], values.name)
        names = {each["metadata"]["name"] for each in objects}
        autoscaled = given.get("autoscaling", {}).get("enabled", False)
        assert ("replicas" in stateful["spec"]) is not autoscaled, f"{values.name}: two would count the members"
        assert stateful["spec"]["serviceName"] in names, values.name
        for topic in (each for each in objects if each["kind"] == "KafkaTopic"):
            _is_a_topic(topic)
        _numbers_are_whole(given, values)
        _members_have_addresses(objects, values.name)
    everything = CHART / "ci" / "agents-values.yaml"
    check_names({each: list(yaml.safe_load_all(template(everything, release=each))) for each in RELEASES})
    return [
        "every drain fits before the kill, every file that a setting names is mounted, and numbers keep their digits",
        "the containers' settings are read by logwarden itself, and each pod reaches what it needs and no more",
        f"{len(RELEASES)} releases in one namespace have objects of their own with valid names",
    ]


def _has_its_image(stateful: dict[str, Any], given: dict[str, Any]) -> bool:
    """Members with GPUs need the tag of the image with CUDA; a tag or digest of the operator counts more."""
    [container] = stateful["spec"]["template"]["spec"]["containers"]
    named = given.get("image", {}).get("tag") or given.get("image", {}).get("digest")
    tag = named or yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] + "-cuda" * bool(given.get("gpu"))
    return bool(container["image"].endswith(("@" if ":" in tag else ":") + tag))


def _numbers_are_whole(given: dict[str, Any], values: Path) -> None:
    """Helm reads numbers as floats: 134217728 would reach the daemon as 1.34217728e+08, which is no integer there."""
    text = template(values)
    for name, number in given["settings"].items():
        if isinstance(number, int | float) and not isinstance(number, bool):
            assert f'LOGWARDEN_{name}: "{number}"' in text, f"{values.name}: {name} is not {number}"
    assert not re.search(r"\b[0-9.]+e\+[0-9]+", text), values.name


def _is_a_topic(made: dict[str, Any]) -> None:
    """Checks what Strimzi's schema leaves to Kubernetes and to the operator: the object's name, and its cluster."""
    name = made["metadata"]["name"]
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name), name
    assert made["metadata"]["labels"]["strimzi.io/cluster"] == "main", name


def _members_have_addresses(objects: Sequence[dict[str, Any]], name: str) -> None:
    """Checks that a member's address names its pod by the headless service."""
    [stateful] = [each for each in objects if each["kind"] == "StatefulSet"]
    template = stateful["spec"]["template"]
    [container] = template["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    address = variables.get("LOGWARDEN_HTTP__ADVERTISED_ADDRESS")
    assert (address is None) is (variables["LOGWARDEN_HTTP__PORT"] == "none"), name
    if address is None:
        return
    assert list(variables).index("POD_NAME") < list(variables).index("LOGWARDEN_HTTP__ADVERTISED_ADDRESS"), name
    assert address.startswith(f"http://$(POD_NAME).{stateful['spec']['serviceName']}."), name
    port = container["ports"][0]["containerPort"]
    assert address.endswith(f".svc:{port}"), name


def _variables_and_mounts_agree(pod: dict[str, Any], name: str) -> None:
    [container] = pod["containers"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"], name
    assert pod["securityContext"]["runAsNonRoot"], name
    assert not security["allowPrivilegeEscalation"], name
    paths = {each["value"] for each in container["env"] if str(each.get("value", "")).startswith("/etc/logwarden/")}
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    sources = [
        (mounted[volume["name"]], item["path"])
        for volume in pod["volumes"]
        if volume["name"] == "files"
        for source in volume["projected"]["sources"]
        for item in next(iter(source.values()))["items"]
    ]
    assert paths == {f"{folder}/{path}" for folder, path in sources}, name
    assert set(mounted) == {volume["name"] for volume in pod["volumes"]}, name


def _refusals(helm: str) -> str:
    for text, words in WRONG.items():
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as values:
            values.write(text)
            values.flush()
            command = [helm, "template", "x", str(CHART), "--kube-version", VERSIONS[-1], "-f", values.name]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode != 0, f"the chart takes {text!r}"
        assert words in done.stderr, f"{text!r}: {done.stderr}"
    return f"the chart refuses {len(WRONG)} wrong values with a sentence"


# ---------------------------------------------------------------- schemas


def _conforms(rendered: Path, known: Path) -> int:
    output = run([tool("kubeconform"), "-strict", "-output=json", "-summary", *_location(known), str(rendered)])
    summary = json.loads(output)["summary"]
    assert summary["invalid"] == summary["errors"] == summary["skipped"] == 0, output
    return int(summary["valid"])


def _notices_a_mistake(folder: Path, known: Path) -> None:
    """Breaks every kind of object once: a schema that takes everything would prove nothing."""
    kinds: dict[tuple[str, str], dict[str, Any]] = {}
    for values in VALUES:
        made = (each for each in yaml.safe_load_all(template(values)) if each)
        kinds |= {(each["kind"], each["apiVersion"]): each for each in made}
    assert len(kinds) == 13, sorted(kinds)
    for kind, each in kinds.items():
        path = folder / "broken.yaml"
        path.write_text(json.dumps(each | {"spce": {}, "spec": {"replcas": 1, "groups": 1}, "data": 7}))
        done = subprocess.run(
            [tool("kubeconform"), "-strict", *_location(known), str(path)], capture_output=True, check=False
        )
        assert done.returncode != 0, f"the schema of {kind} takes everything"


def _location(known: Path) -> list[str]:
    return ["-schema-location", f"{known}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"]

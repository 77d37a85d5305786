"""Checks the Helm chart: lint, templates over every file of values in `ci/`, and each object by its schema.

Kubernetes' schemas come with a Python package, KEDA's with its Go module. Those of Prometheus' operator are generated
from its types. Strimzi's is written down here: it comes with no package.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import ROOT, SCHEMAS, TOOLS, go_module, python_package, run, tool

CHART = ROOT / "deploy" / "helm" / "logwarden"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
VERSIONS = ("1.27.0", "1.34.0")
"""The oldest Kubernetes that the chart supports, and a new one."""
KEDA = "github.com/kedacore/keda/v2@v2.18.0"
OPERATOR = "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring"
OPERATOR_VERSION = "v0.92.1"
KUBERNETES = (
    *("configmap-v1", "service-v1", "serviceaccount-v1", "statefulset-apps-v1", "deployment-apps-v1"),
    *("poddisruptionbudget-policy-v1", "networkpolicy-networking-v1", "job-batch-v1"),
)
"""Schemas of the objects that the chart makes."""
KAFKA_TOPIC: dict[str, Any] = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "kafka.strimzi.io/v1beta2"},
        "kind": {"const": "KafkaTopic"},
        "metadata": {"type": "object", "required": ["name", "labels"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "topicName": {"type": "string"},
                "partitions": {"type": "integer", "minimum": 1},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 32767},
                "config": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
            },
        },
    },
}
WRONG = {
    "replicas: two": "replicas",
    "settings: {KAFKA__INPUT_TOPICS: logs, KAFKA__SASL_PASSWORD: x}": "is a secret",
    "settings: {HTTP__PORT: 9}": "is set by the chart",
    "settings: {kafka.group: x}": "kafka.group",
    "bridge: {enabled: true}": "names no destination",
    "topics: {mode: strimzi}": "strimziCluster",
    "http: {enabled: false}\nserviceMonitor: {enabled: true}": "needs http.enabled",
    "files: [{setting: HTTP__TOKEN_FILE, key: token}]": "needs either a secret or a configMap",
    "autoscaling: {enabled: true}\nsettings: {KAFKA__INPUT_TOPICS: '^logs'}": "has a pattern",
    "image: {repository: x, digest: md5:1}": "digest",
    "secondsAfterDrain: 0": "secondsAfterDrain",
}
"""Values that the chart must refuse, and words of the refusal."""


def check_chart() -> list[str]:
    """Runs the checks. Returns a sentence for each."""
    helm = tool("helm")
    objects = 0
    for values in VALUES:
        run([helm, "lint", "--strict", "--quiet", "--kube-version", VERSIONS[-1], "-f", str(values), str(CHART)])
    with tempfile.TemporaryDirectory() as folder:
        for version in VERSIONS:
            schemas = _schemas(version)
            for values in VALUES:
                rendered = Path(folder) / values.name
                rendered.write_text(template(values, version), encoding="utf-8")
                objects += _conforms(rendered, schemas)
        _notices_a_mistake(Path(folder), _schemas(VERSIONS[-1]))
        run([helm, "package", "--destination", folder, str(CHART)])
    return [
        f"helm lints and renders {len(VALUES)} files of values; {objects} objects conform to the schemas of Kubernetes "
        f"{' and '.join(VERSIONS)}, KEDA and Prometheus' operator",
        *_rendered_as_meant(),
        _refusals(helm),
    ]


def template(values: Path, version: str = VERSIONS[-1]) -> str:
    """Returns the objects that the chart makes of a file of values."""
    command = [tool("helm"), "template", "logwarden", str(CHART), "--kube-version", version, "-f", str(values)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _rendered_as_meant() -> list[str]:
    """Checks what no schema knows: the drain fits, and files are mounted where settings look."""
    for values in VALUES:
        given = yaml.safe_load(values.read_text(encoding="utf-8"))
        objects = [each for each in yaml.safe_load_all(template(values)) if each]
        [stateful] = [each for each in objects if each["kind"] == "StatefulSet"]
        pod = stateful["spec"]["template"]["spec"]
        drain_s = given["settings"].get("SHUTDOWN__DRAIN_TIMEOUT_S", 30)
        assert pod["terminationGracePeriodSeconds"] >= drain_s + 10, values.name
        for workload in (each for each in objects if each["kind"] in ("StatefulSet", "Deployment")):
            _variables_and_mounts_agree(workload["spec"]["template"]["spec"], values.name)
        names = {each["metadata"]["name"] for each in objects}
        autoscaled = given.get("autoscaling", {}).get("enabled", False)
        assert ("replicas" in stateful["spec"]) is not autoscaled, f"{values.name}: two would count the members"
        assert stateful["spec"]["serviceName"] in names, values.name
    return ["every drain fits before the kill, and every file that a setting names is mounted"]


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


def _conforms(rendered: Path, schemas: Path) -> int:
    output = run([tool("kubeconform"), "-strict", "-output=json", "-summary", *_location(schemas), str(rendered)])
    summary = json.loads(output)["summary"]
    assert summary["invalid"] == summary["errors"] == summary["skipped"] == 0, output
    return int(summary["valid"])


def _notices_a_mistake(folder: Path, schemas: Path) -> None:
    """Breaks every kind of object once: a schema that takes everything would prove nothing."""
    kinds: dict[str, dict[str, Any]] = {}
    for values in VALUES:
        kinds |= {each["kind"]: each for each in yaml.safe_load_all(template(values)) if each}
    assert len(kinds) == 12, sorted(kinds)
    for kind, each in kinds.items():
        path = folder / "broken.yaml"
        path.write_text(json.dumps(each | {"spce": {}, "spec": {"replcas": 1, "groups": 1}, "data": 7}))
        done = subprocess.run(
            [tool("kubeconform"), "-strict", *_location(schemas), str(path)], capture_output=True, check=False
        )
        assert done.returncode != 0, f"the schema of {kind} takes everything"


def _location(schemas: Path) -> list[str]:
    return ["-schema-location", f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"]


def _schemas(version: str) -> Path:
    """Returns the folder with the schemas of a version of Kubernetes and of the others' objects, made once."""
    folder = TOOLS / f"schemas-{version}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        source = python_package(SCHEMAS) / "kubernetes_validate" / "kubernetes-json-schema" / f"v{version}-local-strict"
        shared = json.loads((source / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
        for name in KUBERNETES:  # each with what it refers to: kubeconform follows no reference to another file
            text = (source / f"{name}.json").read_text(encoding="utf-8").replace('"/api/_definitions.json#', '"#')
            (partial / f"{name}.json").write_text(json.dumps(json.loads(text) | {"$defs": shared}))
        (partial / "kafkatopic-kafka-v1beta2.json").write_text(json.dumps(KAFKA_TOPIC))
        for path in [*_keda_definitions(), *_operator_definitions(partial)]:
            _write_definitions(path, partial)
        partial.rename(folder)
    return folder


def _keda_definitions() -> list[Path]:
    return list((go_module(KEDA) / "config" / "crd" / "bases").glob("keda.sh_scaledobjects.yaml"))


def _operator_definitions(folder: Path) -> list[Path]:
    """Generates the definitions from the types of the module."""
    project = folder / "operator"
    project.mkdir()
    (project / "go.mod").write_text(f"module definitions\n\ngo 1.24\n\nrequire {OPERATOR} {OPERATOR_VERSION}\n")
    (project / "types.go").write_text(f'package definitions\n\nimport _ "{OPERATOR}/v1"\n')
    run([tool("go"), "mod", "tidy"], cwd=project, timeout_s=600)
    arguments = ["crd", f"paths={OPERATOR}/v1", "output:crd:dir=out"]
    run([tool("controller-gen"), *arguments], cwd=project, timeout_s=600)
    wanted = ("servicemonitors", "prometheusrules")
    return [path for path in (project / "out").glob("*.yaml") if path.stem.split("_")[1] in wanted]


def _write_definitions(path: Path, folder: Path) -> None:
    for definition in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        group, kind = definition["spec"]["group"].split(".")[0], definition["spec"]["names"]["kind"].lower()
        for version in definition["spec"]["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            (folder / f"{kind}-{group}-{version['name']}.json").write_text(json.dumps(schema))


def _strict(schema: Any) -> Any:
    """Returns an OpenAPI schema as a JSON schema that refuses unknown fields."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    if made.get("x-kubernetes-int-or-string") is True:
        made.pop("type", None)
    open_ended = made.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in made
    if isinstance(made.get("properties"), dict) and made.get("type") == "object" and not open_ended:
        made["additionalProperties"] = False
    return made

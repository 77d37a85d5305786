"""Collects the schemas of the objects that the chart makes, each from the project that defines the object.

Kubernetes' schemas come with a Python package. KEDA and Prometheus' operator have their definitions in their Go
modules. Strimzi's is generated from its types by its own generator, both from Maven Central. Nothing of them is in this
repository.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import TOOLS, go_module, maven_jars, python_package, run, tool

KUBERNETES_PACKAGE = "kubernetes-validate==1.37.0"
"""A package that carries the JSON schemas of Kubernetes' objects."""
KUBERNETES = (
    *("configmap-v1", "service-v1", "serviceaccount-v1", "statefulset-apps-v1", "deployment-apps-v1"),
    *("poddisruptionbudget-policy-v1", "networkpolicy-networking-v1", "job-batch-v1"),
)
"""Schemas of the objects of Kubernetes itself."""
GO_DEFINITIONS = {
    "github.com/kedacore/keda/v2@v2.18.0": ("config/crd/bases/keda.sh_scaledobjects.yaml",),
    "github.com/prometheus-operator/prometheus-operator@v0.92.1": (
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
}
"""Go modules and the files of their definitions."""
STRIMZI_POM = Path(__file__).with_name("strimzi-pom.xml")
STRIMZI_VERSIONS = ("v1", "v1beta2")
"""The versions of Strimzi's API that the chart knows."""


def schemas(version: str) -> Path:
    """Returns the folder with the schemas of a version of Kubernetes and of the others' objects, made once."""
    folder = TOOLS / f"schemas-{version}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write_kubernetes(version, partial)
        for module, names in GO_DEFINITIONS.items():
            for name in names:
                _write_definitions(go_module(module) / name, partial)
        _write_definitions(_strimzi_definition(), partial)
        partial.rename(folder)
    return folder


def _write_kubernetes(version: str, folder: Path) -> None:
    """Writes each schema with what it refers to: kubeconform follows no reference to another file."""
    package = python_package(KUBERNETES_PACKAGE) / "kubernetes_validate"
    source = package / "kubernetes-json-schema" / f"v{version}-local-strict"
    shared = json.loads((source / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
    for name in KUBERNETES:
        text = (source / f"{name}.json").read_text(encoding="utf-8").replace('"/api/_definitions.json#', '"#')
        (folder / f"{name}.json").write_text(json.dumps(json.loads(text) | {"$defs": shared}))


def _strimzi_definition() -> Path:
    """Returns the definition of KafkaTopic, generated once as Strimzi's own build does it."""
    jars = maven_jars("strimzi", STRIMZI_POM)
    definition = jars / "kafkatopics.yaml"
    if not definition.exists():
        newest, *_ = STRIMZI_VERSIONS
        versions = [
            "--crd-api-version",
            "v1",
            "--api-versions",
            ",".join(STRIMZI_VERSIONS),
            "--storage-version",
            newest,
        ]
        generator = [tool("java"), "-cp", f"{jars}/*", "io.strimzi.crdgenerator.CrdGenerator"]
        topic = f"io.strimzi.api.kafka.model.topic.KafkaTopic={definition}"
        run([*generator, "--yaml", "--target-kube", "1.25+", *versions, topic])
    return definition


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

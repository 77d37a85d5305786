"""Names the service of a log event: from fields of shippers, names of pods and log files, headers and keys of records.

A name is a service only if the next replica, the next deployment and the next request carry it, too. Replica and
deployment suffixes are taken off, and a key that is an identifier by its form names no service.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import msgspec

from logwarden.daemon.records import Record

PATHS = (
    *("service.name", "service", "resource.attributes.service.name", "resource.service.name", "resource.service"),
    *("kubernetes.labels.app.kubernetes.io/name", "kubernetes.labels.app_kubernetes_io/name"),
    *("kubernetes.labels.k8s-app", "kubernetes.labels.k8s_app", "kubernetes.labels.app", "kubernetes.labels.service"),
    *("kubernetes.pod_labels.app.kubernetes.io/name", "kubernetes.pod_labels.app_kubernetes_io/name"),
    *("kubernetes.pod_labels.k8s-app", "kubernetes.pod_labels.app"),
    *("kubernetes.deployment.name", "kubernetes.statefulset.name", "kubernetes.daemonset.name"),
    *("kubernetes.cronjob.name", "kubernetes.deployment_name", "kubernetes.deployment", "kubernetes.owner"),
    *("kubernetes.container.name", "kubernetes.container_name", "k8s.deployment.name", "k8s.container.name"),
    *("resource.attributes.k8s.deployment.name", "resource.attributes.k8s.container.name"),
    *("resource.labels.container_name", "resource.labels.service_name", "resource.labels.function_name"),
    *("resource.labels.module_id", "resource.labels.job_name"),
    *(
        "k8s.container_name",
        "service_name",
        "servicename",
        "servicecontext.service",
        "svc",
        "fields.service",
        "fields.service.name",
    ),
    *("fields.app", "fields.application", "app.name", "app", "application.name", "application", "app_name", "appname"),
    *("application_name", "applicationname", "component.name", "microservice", "attrs.com.docker.compose.service"),
    *("attrs.tag", "attrs.service"),
    *("labels.app", "labels.service", "labels.service_name", "labels.app.kubernetes.io/name", "labels.job"),
    *("tags.service", "tags.app", "dd.service", "ddsource.service", "program", "programname", "app-name", "ident"),
    *(
        "process.program",
        "syslogtag",
        "systemd.unit",
        "_systemd_unit",
        "syslog_identifier",
        "log.syslog.appname",
        "syslog.appname",
    ),
    *("container.name", "container_name", "docker.container.name", "docker.container_name", "container.labels.app"),
    *("ecs_task_family", "ecs_container_name", "lambda.name", "function_name", "functionname", "loggroup"),
    *(
        "unit",
        "properties.application",
        "properties.service",
        "approlename",
        "containerappname",
        "cloud_rolename",
        "processname",
        "_comm",
        "ecs_task_definition",
    ),
    *("fly.app.name", "cf.app.name", "cf_app_name", "cloudfoundry.app.name", "nomad.job.name", "nomad.job_name"),
    *("nomad.task_name", "heroku.app", "projectname", "scriptname", "script_name", "worker.name", "dyno.app"),
    *("docker.container.labels.com_docker_compose_service", "container.labels.com_docker_compose_service"),
    "container.labels.com.docker.compose.service",
    *("docker.container.labels.com.docker.compose.service", "attrs.com.docker.swarm.service.name"),
)
"""Fields that name a service, the best first. They are found in any case and with `_` or `-` between their words."""
POD_PATHS = (
    *("kubernetes.replicaset.name", "kubernetes.job.name", "kubernetes.pod.name", "kubernetes.pod_name"),
    *("resource.attributes.k8s.pod.name", "k8s.pod.name", "resource.labels.pod_name", "kubernetes.pod", "pod_name"),
    *("pod", "labels.pod"),
)
FILE_PATHS = ("log.file.path", "log.file.name", "file.path", "filepath", "filename", "source", "file")
"""Fields that name a log file, where a shipper puts it. Other files, as of source code, name no service."""
WEAK_PATHS = ("name", "logger", "logger_name", "loggername", "host.name", "hostname", "host", "channel")
"""Fields that name a service where a record has neither a better field nor a key."""
HEADERS = ("service.name", "service", "service_name", "servicename", "app", "application", "x-service")

KEY_FIELDS = (*HEADERS, "service_id", "name", "application_name", "appname", "program", "unit")
"""Fields that name a service in a key that is an object."""
_QUOTING = ('"', "{")

MAX_CHARS = 256
"""Some producers put whole log lines into keys. An alert names its service five times, and a broker limits its size."""
_LOOKED_AT = 1_024
"""Characters of a name, a key or a path that are looked at: what was found for the last ones is kept in memory."""
_NO_KEYS = frozenset(("null", "none", "nil", "undefined", "n/a", "(null)", "unknown"))
"""What a producer writes as a key that has none."""
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
# The names of replicas come from an alphabet without vowels, so that they form no words. Hashes of other makers are
# known by a digit among letters.
_REPLICA = re.compile(
    rf"-(?:(?=[a-z]*[0-9])(?:[0-9a-f]{{6,10}}|[{_SAFE}]{{8,10}})-[a-z0-9]{{5}}|[{_SAFE}]{{8,10}}-[{_SAFE}]{{5}})\Z"
)
_SWARM = re.compile(r"\.[0-9]{1,4}\.[a-z0-9]{25}\Z")
_DOCKERSHIM = re.compile(r"k8s_([^_]{1,253})_[^_]{1,253}_[^_]{1,253}_[0-9a-f-]{8,64}_[0-9]{1,6}\Z")
_ORDINAL = re.compile(r"-[0-9]{1,3}\Z")
_DAEMON = re.compile(rf"-(?=[a-z0-9]*[0-9])[a-z0-9]{{5}}\Z|-[{_SAFE}]{{5}}\Z")
_HASH_TAIL = re.compile(
    rf"-(?=[a-z]*[0-9])(?:[0-9a-f]{{8,10}}|[{_SAFE}]{{8,10}})\Z" r"|-(?=[a-f]*[0-9])[0-9a-f]{11,64}\Z|-[0-9]{8,12}\Z"
)
_LOG_FILE = re.compile(
    r"(?i)^(?:/|[a-z]:\\|\\\\).*(?:[/\\]logs?[/\\]|\.log\b|\.out\b|\.err\b|/(?:containers|pods|journal)/)"
)
_CONTAINER_LOG = re.compile(r"/containers/[^/_]{1,253}_[^/_]{1,253}_([^/]{1,253})-[0-9a-f]{8,64}\.log")
_POD_LOG = re.compile(r"/pods/[^/_]{1,253}_[^/_]{1,253}_[^/]{1,64}/([^/]{1,253})/[^/]{1,64}\Z")
_ROTATION = re.compile(  # possessive: a date is also three numbers, and twenty dates took for ever
    r"(?:(?<=[a-z])[0-9]{6,8}|[._-](?:[0-9]{4}-?[0-9]{2}-?[0-9]{2}(?:[-_T.]?[0-9]{2,6})?|[0-9]{1,4}))++(?=(?:\.[a-z]{2,4}){0,2}\Z)"
)
_PACKED = re.compile(r"\.(?:gz|xz|bz2|zst)\Z")
_HASH_FOLDER = re.compile(r"(?i)[/\\][0-9a-f]{32,64}[/\\]")
_TAG = re.compile(r"(?<=[A-Za-z0-9_])(?:\[[0-9]{1,10}\])?:\Z")
"""Process and colon behind the program in a tag of syslog."""
_REVISION = re.compile(r"(?<=[a-z0-9]):[0-9]{1,5}\Z")
"""Number of a task's definition behind its name."""
_UNIT = re.compile(r"(?:@[^.]{0,200})?\.(?:service|scope|socket|timer|mount|slice)\Z")
_WORD = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_NO_NAMES = frozenset(
    (
        *("root", "main", "__main__", "default", "logger", "log", "app", "console", "stdout", "stderr", "unknown"),
        *("none", "null", "-", "n/a", "undefined", "localhost"),
    )
)


def name_of(value: Any) -> str | None:
    """Returns the service that a value names, without the suffixes of a replica; None if it names none."""
    name = value[:_LOOKED_AT].strip() if type(value) is str else _text(value)
    return _trimmed(name) if name and name != "-" else None


def of_pod(value: Any) -> str | None:
    """Returns the name of the workload that a pod, a replica set or a job belongs to."""
    name = _text(value)
    return _workload(name) if name else None


def of_file(value: Any) -> str | None:
    """Returns the service that a log file's path names: its container, else the path without rotation."""
    return _of_file(value) if isinstance(value, str) and len(value) <= _LOOKED_AT else None


@lru_cache(maxsize=8192)
def _of_file(path: str) -> str | None:
    return _of_path(path) if _LOG_FILE.search(path) else None


def weak_name(key: str, value: Any) -> str | None:
    """Returns a name out of a field that rather names a logger or a host; None if it looks like neither service."""
    name = _text(value)
    if not name or name.casefold() in _NO_NAMES:
        return None
    if key.casefold().replace("_", "") in ("host", "hostname", "host.name"):
        return _workload(name)
    # A logger called after a class or a module is a part of a service: a service per class would know no windows.
    return name[:MAX_CHARS] if _WORD.fullmatch(name) else None


def of_record(record: Record, host: str | None = None) -> str:
    """Returns the service of a record whose value names none: its header, its key, its host, its topic."""
    found = of_headers(record.headers) if record.headers else None
    key = record.key
    return found or (_of_key(key[:_LOOKED_AT]) if key else None) or host or record.topic[:MAX_CHARS]


class NamesOfKeys(dict[bytes | None, str | None]):
    """Services of the keys of a batch, without a call for each record."""

    def __missing__(self, key: bytes | None) -> str | None:
        found = self[key] = _of_key(key[:_LOOKED_AT]) if key else None
        return found


def of_headers(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """Returns the service that the headers of a record name."""
    found = {name.casefold(): value for name, value in headers}
    for name in HEADERS:
        value = found.get(name)
        if value:
            text = value[:_LOOKED_AT].decode("utf-8", "replace").strip()
            if text:
                return _trimmed(text)
    return None


def of_key(key: bytes) -> str | None:
    """Returns the service that a record's key names; None if the key is an identifier, a number, a time or binary."""
    return _of_key(key[:_LOOKED_AT])


@lru_cache(maxsize=8192)
def _of_key(key: bytes) -> str | None:
    text = key.decode("utf-8", "replace").strip()
    if text[:1] in _QUOTING:
        text = _of_written_key(text)
    if (
        not text
        or "::" in text
        or any(char < " " or char == "\x7f" for char in text)
        or 4 * text.count("\ufffd") > len(text)
    ):
        return None
    if text[0] in "{[\"'<" or text.casefold() in _NO_KEYS:
        return None
    if _is_token(text):
        return None
    rest = _RUN.sub(lambda run: "\0" if _is_token(run[0]) else run[0], _IDS.sub("\0", text))
    if rest != text:
        rest = re.sub(r"\0+", "\0", rest).strip("\0 -_:/|.,;#=@+~")
        parts = [part for part in rest.split("\0") if part.strip("-_:/|.,;#=@+~ ")]
        if not parts or not any(char.isalpha() for char in parts[0]):
            return None
        name = _NUMBER_TAIL.sub("", parts[0].strip("-_:/|.,;#=@+~ "))
        return name[:MAX_CHARS] or None
    if not any(char.isalpha() for char in text) or "@" in text.strip("@"):
        return None
    return _trimmed(text)


def _of_written_key(text: str) -> str:
    """Returns the name in a key that a producer wrote as JSON: a text, or an object with a field for a service."""
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        fields = {str(name).casefold(): field for name, field in value.items()}
        value = next((fields[name] for name in KEY_FIELDS if name in fields), "")
        return value.strip() if isinstance(value, str) else _text(value) or ""
    return text


_END = r"(?![0-9A-Za-z])"
_START = r"(?<![0-9A-Za-z])"
_IDS = re.compile(
    rf"{_START}[0-9a-fA-F]{{8}}-?(?:[0-9a-fA-F]{{4}}-?){{3}}[0-9a-fA-F]{{12}}{_END}"  # UUID
    rf"|{_START}[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[T ][0-9:.,]{{4,20}}(?:Z|[+-][0-9:]{{4,6}})?)?{_END}"  # date, time
    rf"|{_START}[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}(?::[0-9]{{1,5}})?{_END}"  # IPv4 and port
    rf"|{_START}(?:[0-9a-fA-F]{{1,4}}:){{3,7}}:?[0-9a-fA-F]{{0,4}}{_END}"  # IPv6, MAC
    rf"|{_START}(?=[a-fA-F]{{0,63}}[0-9])(?=[0-9]{{0,63}}[a-fA-F]|[0-9]{{4}})[0-9a-fA-F]{{8,64}}{_END}"  # hex
    rf"|{_START}0x[0-9a-fA-F]{{4,64}}{_END}"
    rf"|{_START}[0-9]{{4,40}}{_END}|(?<=:)[0-9]{{2,5}}\Z"  # a number; a port
)
_NUMBER_TAIL = re.compile(r"[:/|#][0-9]{1,9}\Z")
_TOKEN = re.compile(r"[A-Za-z0-9+/_=.-]{8,}")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_RUN = re.compile(r"[A-Za-z0-9]{8,}")


def _is_token(text: str) -> bool:
    """Returns True for a random token by its form: base62, base64, ULID, KSUID, nanoid, JWT."""
    if not _TOKEN.fullmatch(text):
        return False
    digits = sum(char.isdigit() for char in text)
    upper = sum(char.isupper() for char in text)
    lower = sum(char.islower() for char in text)
    if len(text) == 26 and not lower and digits >= 2 and text.isalnum():  # ULID
        return True
    if any(len(part) <= 7 and part.isalpha() and part.islower() for part in re.split(r"[-_./]", text) if len(part) > 2):
        return False  # a word between separators
    changes = sum(_class(a) != _class(b) for a, b in pairwise(text))
    is_mixed = digits >= 1 and upper >= 2 and lower >= 2 and changes * 3 >= len(text)
    if not text.isalnum() or len(text) < 10:
        # With signs inside, or with few characters, more has to speak for a random one: half of them change their kind.
        return is_mixed if len(text) >= 16 else text.isalnum() and digits >= 1 and changes * 2 >= len(text)
    # Names have digits in one place: `log4shop`, `worker12`. Of 10 random characters nearly all have them in two.
    words = _WORDS.findall(text)  # CamelCase has few and long ones
    return is_mixed or len(re.findall("[0-9]+", text)) >= 2 or (len(words) >= 5 and 2 * len(text) < 5 * len(words))


def _class(char: str) -> int:
    return 0 if char.isdigit() else 1 if char.isupper() else 2


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value[:_LOOKED_AT].strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return _text(value.get("name"))
    return None


@lru_cache(maxsize=8192)
def _trimmed(name: str) -> str | None:
    """Returns a name without the suffix of a replica of a deployment and without the kind of a systemd unit."""
    if name.startswith("/var/log/"):
        return _of_path(name)
    if name.startswith("unknown_service"):  # what OpenTelemetry writes where no name is set
        return None
    if found := _DOCKERSHIM.search(name):
        return found[1]
    if name.startswith("/aws/"):
        return name.rstrip("/").rpartition("/")[2][:MAX_CHARS] or None
    name = _TAG.sub("", name)
    name = _REVISION.sub("", name.rpartition("/")[2] if name.startswith("arn:") else name.lstrip("/") or name)
    if unit := _UNIT.sub("", name):
        name = _ORDINAL.sub("", unit) if name.endswith(".scope") else unit
    return (_REPLICA.sub("", _SWARM.sub("", name)) or name)[:MAX_CHARS]


@lru_cache(maxsize=8192)
def _workload(name: str) -> str:
    """Returns the workload of a pod's name: of a deployment, a stateful set, a daemon set or a cron job."""
    for pattern in (_REPLICA, _DAEMON, _ORDINAL):
        trimmed = pattern.sub("", name)
        if trimmed and trimmed != name:
            return (_HASH_TAIL.sub("", trimmed) or trimmed)[:MAX_CHARS]
    return (_HASH_TAIL.sub("", name) or name)[:MAX_CHARS]


@lru_cache(maxsize=8192)
def _of_path(path: str) -> str | None:
    found = _CONTAINER_LOG.search(path) or _POD_LOG.search(path)
    if found:
        return found[1][:MAX_CHARS]
    if _HASH_FOLDER.search(path):  # the folder of one container: the next one has another
        return None
    path = _PACKED.sub("", path)
    return (_ROTATION.sub("", path) or path)[:MAX_CHARS]

"""Names of services: what stays one service when a pod, a deployment or a request is the next one."""

from __future__ import annotations

import json
import random
import string
import tracemalloc
import uuid
from collections.abc import Mapping

import pytest

from logwarden.daemon.decoding import services
from tests.oracles import LogRecord, default_decoder

CONTAINER = "f9ff3e78" * 8
FIELDS: dict[str, dict[str, object]] = {
    "cart": {
        "kubernetes": {"container": {"name": "cart"}, "pod": {"name": "cart-7d9f8b6c5d-xkzqw"}},
        "host": {"name": "n"},
    },
    "label": {"kubernetes": {"labels": {"app.kubernetes.io/name": "label"}, "container": {"name": "c"}}},
    "dedotted": {"kubernetes": {"labels": {"app_kubernetes_io/name": "dedotted"}, "deployment": {"name": "d"}}},
    "k8s-app": {"kubernetes": {"labels": {"k8s-app": "k8s-app"}, "container_name": "c"}},
    "deployment": {"kubernetes": {"deployment": {"name": "deployment"}, "pod": {"name": "x-7d9f8b6c5d-xkzqw"}}},
    "pod": {"kubernetes": {"pod": {"name": "pod-7d9f8b6c5d-xkzqw"}}},
    "otel": {"resource": {"attributes": {"service.name": "otel"}}, "host": {"name": "n"}},
    "object": {"service": {"name": "object", "version": "1"}},
    "syslog": {"appname": "syslog", "hostname": "web-1"},
    "rsyslog": {"programname": "rsyslog", "fromhost": "web-1"},
    "unit": {"systemd": {"unit": "unit.service"}, "host": {"name": "web-1"}},
    "journal": {"_SYSTEMD_UNIT": "journal.service", "_HOSTNAME": "web-1"},
    "ident": {"SYSLOG_IDENTIFIER": "ident", "_HOSTNAME": "web-1"},
    "added": {"fields": {"service": "added"}, "host": {"name": "web-1"}},
    "docker": {"container": {"name": "/docker"}, "container_id": CONTAINER},
    "tag": {"attrs": {"tag": "tag"}},
    "file": {"log": {"file": {"path": f"/var/log/containers/x-7d9f8b6c5d-xkzqw_shop_file-{CONTAINER}.log"}}},
    "upper": {"Service": "upper"},
    "host": {"host": {"name": "host"}},
}


def service_of(event: Mapping[str, object], **record: object) -> str:
    value = json.dumps({"message": "m", **event}).encode()
    [found] = default_decoder().decode([LogRecord(value, **record)]).services  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("name", FIELDS)
def test_the_field_of_each_shipper_names_the_service(name: str) -> None:
    """The most exact field wins, whichever shipper wrote it."""
    assert service_of(FIELDS[name]) == name


def test_a_header_and_a_key_count_before_the_host_and_the_topic() -> None:
    """The name of a machine is a weak name: a producer that sets a key or a header means it."""
    host, header = {"host": {"name": "web-1"}}, (("service.name", b"from-header"),)
    assert service_of(host, key=b"from-key", headers=header) == "from-header"
    assert service_of(host, key=b"from-key") == "from-key"
    assert service_of(host, key=uuid.uuid4().bytes) == "web-1"
    assert service_of({"logger": "com.example.Cart"}) == "logs"
    assert service_of({"service": "s"}, key=b"from-key", headers=header) == "s"


@pytest.mark.parametrize(
    ("pod", "workload"),
    [
        ("cart-7d9f8b6c5d-xkzqw", "cart"),
        ("shop-cart-v2-66f9b6c5d-2qwxz", "shop-cart-v2"),
        ("kafka-broker-0", "kafka-broker"),
        ("node-exporter-x7k2p", "node-exporter"),
        ("report-28391040-7xk2p", "report"),
        ("cart-7d9f8b6c5d", "cart"),
        ("payment-processor-queue", "payment-processor-queue"),
        ("order-service", "order-service"),
        ("web-admin", "web-admin"),
        ("queue", "queue"),
    ],
)
def test_a_pod_loses_what_the_next_one_has_otherwise(pod: str, workload: str) -> None:
    """Replica, hash, ordinal and time are taken off; words are not, whatever their length."""
    assert services.of_pod(pod) == workload


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"/var/log/containers/cart-7d9f8b6c5d-xkzqw_shop_web-ui-{CONTAINER}.log", "web-ui"),
        ("/var/log/pods/shop_cart-7d9f8b6c5d-xkzqw_0123-uid/cart/12.log", "cart"),
        ("/var/log/nginx/access.log.3", "/var/log/nginx/access.log"),
        ("/var/log/app/app-2026-11-23.log", "/var/log/app/app.log"),
        ("/var/log/app/app.20261123.log.gz", "/var/log/app/app.log"),
        ("C:\\inetpub\\logs\\u_ex261123.log", "C:\\inetpub\\logs\\u_ex.log"),
        (f"/var/lib/docker/containers/{CONTAINER}/{CONTAINER}-json.log", None),
        ("/app/shop/views.py", None),
        ("/basket", None),
        ("views.log", None),
    ],
)
def test_a_log_file_is_one_service_when_it_is_rotated(path: str, name: str | None) -> None:
    """A container's log names its container; another file loses date and number, and source code is no log."""
    assert services.of_file(path) == name


NAMES = """cart orders-api payment_service auth.api web-1 eu-west-1 prod/eu-1/cart com.example.Shop checkout_v2
k8s-proxy
AuthService OrderProcessor3 HTTPServer2 s3 db2 ip-10-0-3-7 kafka-0 log4j2 backend-prod-2 base64coder
café 订单服务"""


@pytest.mark.parametrize("name", NAMES.split())
def test_a_key_that_names_a_service_stays(name: str) -> None:
    """A real key keeps its lines together, with its numbers and its separators."""
    assert services.of_key(name.encode()) == name


@pytest.mark.parametrize(
    "key",
    [
        *("42", "-1", "3.14", "10.0.3.7:5432", "192.0.2.1", "::1", "00:1a:2b:3c:4d:5e", "1795430000123"),
        *(
            "2026-11-23T10:00:00Z",
            '{"id":7}',
            '"4bf92f3577b34da6"',
            "[1]",
            "ann@example.com",
            "+4915112345678",
            "0x7f3a2b1c",
        ),
        *("01HF5ZK9QW3E4R5T6Y7U8I9O0P", "507f1f77bcf86cd799439011", "V1StGXR8_Z5jdHi6B-myT", "dGhpcyBpcyBhIHRlc3Q="),
        *("4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", "\0\0\0\7", "\0\1\2abc", "  ", "", "null", "None"),
    ],
)
def test_a_key_that_is_an_identifier_names_no_service(key: str) -> None:
    """A key per record would be a service per record, which never learns."""
    assert services.of_key(key.encode()) is None


@pytest.mark.parametrize("length", [16, 20, 22, 27, 32])
def test_random_keys_are_few_services(length: int) -> None:
    """Of a thousand random keys of any common alphabet nearly none is taken for a name."""
    rng = random.Random(length)
    for alphabet in (
        string.hexdigits.lower(),
        string.ascii_letters + string.digits,
        string.ascii_lowercase + string.digits,
    ):
        keys = ["".join(rng.choice(alphabet) for _ in range(length)).encode() for _ in range(1000)]
        assert len({services.of_key(key) for key in keys} - {None}) < 80
    assert {services.of_key(str(uuid.UUID(int=rng.getrandbits(128))).encode()) for _ in range(1000)} == {None}


def test_a_key_of_a_name_and_an_identifier_is_its_name() -> None:
    """`order-1234567` and `order-7654321` are lines of one kind of thing."""
    keys = (
        b"order-1234567",
        b"session:9f86d081884c7d65",
        b"cust_9s6XKzkNRiz8i3",
        b"cart-7d9f8b6c5d-xkzqw",
        b"db:6379",
    )
    assert [services.of_key(key) for key in keys] == ["order", "session", "cust", "cart", "db"]


LONG = "shop" * 400
LONG_NAMES: dict[str, LogRecord] = {
    "field": LogRecord(json.dumps({"message": "x", "service": LONG}).encode()),
    "pod": LogRecord(json.dumps({"message": "x", "pod": LONG}).encode()),
    "logger": LogRecord(json.dumps({"message": "x", "logger": LONG}).encode()),
    "host": LogRecord(json.dumps({"message": "x", "host": LONG}).encode()),
    "function": LogRecord(json.dumps({"message": "x", "logGroup": f"/aws/{LONG}"}).encode()),
    "file": LogRecord(json.dumps({"message": "x", "log.file.path": f"/var/log/{LONG[:900]}.log"}).encode()),
    "header": LogRecord(b"x", headers=(("service", LONG.encode()),)),
    "key": LogRecord(b"x", key=LONG.encode()),
    "key with an id": LogRecord(b"x", key=LONG[:600].encode() + b"-20261123"),
    "topic": LogRecord(b"x", topic=LONG),
}


@pytest.mark.parametrize("record", LONG_NAMES.values(), ids=LONG_NAMES)
def test_a_name_has_at_most_256_characters(record: LogRecord) -> None:
    """An alert names its service five times and has to fit into a message."""
    [service] = default_decoder().decode([record]).services
    assert 0 < len(service) <= services.MAX_CHARS


def test_long_keys_and_names_do_not_stay_in_memory() -> None:
    """Verdicts about names are kept, and a producer may put a megabyte into a key, a header, a field or a time."""
    decoder = default_decoder()
    tracemalloc.start()
    for number in range(20):
        long = f"{number}-" + "ab " * 300_000
        for field in ("service", "pod", "host", "log.file.path"):
            decoder.decode([LogRecord(json.dumps({"message": "x", field: long}).encode())])
        decoder.decode([LogRecord(b"x", key=long.encode()), LogRecord(b"x", headers=(("app", long.encode()),))])
        decoder.decode([LogRecord(f'time="{long[:60_000]}" level=info msg=x'.encode())])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000

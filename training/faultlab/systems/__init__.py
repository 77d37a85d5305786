"""The systems that the lab can record, by name: one package each, behind `scenario.System`.

The module of a system is imported when `build` is called, so that listing all names takes no time.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from logwarden.training.faultlab.scenario import System

# The module's name is the system's; its class is built with the seed of the run.
SYSTEMS: Mapping[str, str] = {
    "bind": "Bind",
    "etcd": "Etcd",
    "kafka": "Kafka",
    "mariadb": "MariaDB",
    "mosquitto": "Mosquitto",
    "openssh": "OpenSSH",
    "postfix": "Postfix",
    "postgres": "Postgres",
    "prometheus": "Prometheus",
    "rabbitmq": "RabbitMQ",
    "redis": "Redis",
    "slapd": "Slapd",
    "squid": "Squid",
    "tomcat": "Tomcat",
    "web": "Web",
    "zookeeper": "ZooKeeper",
}


def build(name: str, seed: int) -> System:
    """Returns the system called `name` for one run."""
    return cast(System, getattr(import_module(f"{__name__}.{name}.system"), SYSTEMS[name])(seed))

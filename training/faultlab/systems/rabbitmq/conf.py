"""The configuration of RabbitMQ, its definitions and its environment. Knows neither processes nor clients."""

import json
from collections.abc import Mapping
from pathlib import Path

COOKIE = "pear-lantern"
# Room on the small disk, and below what of it publishers are blocked.
DISK_MB = 300
DISK_LIMIT_MB = 80
# More than five lanes of the workload can hold at once.
CONNECTION_LIMIT = 50

# The first node alone is named as a peer: it starts by itself, and the second joins it. The pauses before a silent peer
# counts as down are short, so that a cut link is noticed within seconds.
SERVER = """
listeners.tcp.1 = 127.0.0.1:{client}
log.dir = {logs}
log.file = {log}
log.file.level = info
log.console = false
{disk_free_limit}.absolute = {limit}MB
vm_memory_high_watermark.absolute = 400MB
heartbeat = 6
net_ticktime = 8
cluster_partition_handling = autoheal
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {first}
load_definitions = {definitions}
"""
DISK_FREE_LIMIT = "disk_free_limit"
# The mistake that the fault makes.
MISSPELT = "disk_free_limt"

# One scheduler that does not spin while it waits: the machine is shared. `ALLOW_INPUT` makes
# Debian's script execute the server in its own process, so that a signal reaches it.
_EMULATOR = f"-noinput +S 1:1 +SDcpu 1:1 +SDio 2 +sbwt none +sbwtdcpu none +sbwtdio none -setcookie {COOKIE}"


def environment(epmd: int) -> Mapping[str, str]:
    """Returns the environment of nodes and operator programs, with a port mapper of its own and no file of /etc."""
    return {
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd),
        "RABBITMQ_CONF_ENV_FILE": "/nonexistent",
        "RABBITMQ_CTL_ERL_ARGS": f"-setcookie {COOKIE} +S 1:1 +sbwt none",
    }


def node_environment(node: str, peer_port: int, config: Path, store: Path, logs: Path) -> Mapping[str, str]:
    return {
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_DIST_PORT": str(peer_port),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_MNESIA_BASE": str(store),
        "RABBITMQ_LOG_BASE": str(logs),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(config.with_name("enabled_plugins")),
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _EMULATOR,
    }


def definitions(user: str, password: str, queues: tuple[str, ...], max_length: int, probe: str) -> str:
    """Returns the definitions: every queue has a mirror on the other node, and probes expire after some seconds."""
    mirrored = {"ha-mode": "all", "ha-sync-mode": "automatic", "ha-promote-on-shutdown": "always"}
    limited = mirrored | {"max-length": max_length}
    brief = mirrored | {"message-ttl": 4000}

    def policy(name: str, pattern: str, priority: int, definition: Mapping[str, object]) -> Mapping[str, object]:
        where = {"vhost": "/", "pattern": pattern, "apply-to": "queues", "priority": priority}
        return {"name": name, "definition": definition, **where}

    return json.dumps(
        {
            "vhosts": [{"name": "/"}],
            "users": [{"name": user, "password": password, "tags": ""}],
            "permissions": [{"user": user, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
            "policies": [policy("limited", ".*", 0, limited), policy("brief", f"^{probe}$", 1, brief)],
            "parameters": [
                {
                    "vhost": "/",
                    "component": "vhost-limits",
                    "name": "limits",
                    "value": {"max-connections": CONNECTION_LIMIT},
                }
            ],
            "queues": [
                {"name": name, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}} for name in queues
            ],
        }
    )

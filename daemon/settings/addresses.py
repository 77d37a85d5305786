"""Checks the addresses among the settings. A wrong one is refused in words that follow the name of its variable."""

from __future__ import annotations

import re
from functools import partial
from ipaddress import IPv6Address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from logwarden.daemon.roster import checked_address

_FORM = "must be host:port,host:port"
_LAST_PORT = 65_535


def brokers(addresses: str) -> list[tuple[str, int]]:
    """Returns the pairs (host, port) of `host:port,host:port`, an IPv6 address without its brackets.

    Ignores spaces, and a comma too many. Raises ValueError with the reason for the first wrong part.
    """
    parts = [part for part in (part.strip() for part in addresses.split(",")) if part]
    if not parts:
        raise ValueError(f"is {addresses!r}, but it {_FORM}")
    return [_broker(part) for part in parts]


def _broker(part: str) -> tuple[str, int]:
    host, colon, port = part.rpartition(":")
    if "://" in part:
        wrong = "has a scheme; remove it, and set LOGWARDEN_KAFKA__SECURITY_PROTOCOL for TLS and SASL"
    elif not colon or part.endswith("]"):
        wrong = "has no port"
    elif not (port.isascii() and port.isdigit() and 1 <= int(port) <= _LAST_PORT):
        wrong = f"has no port from 1 to {_LAST_PORT}"
    elif not host:
        wrong = "has no host"
    elif host.startswith("[") and host.endswith("]"):
        wrong = "" if _is_ipv6(host[1:-1]) else "has no IPv6 address in its brackets"
    elif ":" in host:
        wrong = "needs brackets around its IPv6 address, as in [::1]:9092"
    else:
        wrong = "" if re.fullmatch(r"[^\s/@\[\]?#]+", host) else "has a wrong host"
    if wrong:
        raise ValueError(f"contains {part!r}, which {wrong}; it {_FORM}")
    return host.strip("[]"), int(port)


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _normalised(addresses: str) -> str:
    return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in brokers(addresses))


def checked_url(url: str, login: str) -> str:
    """Returns the URL. Its own text is in no message, because it could contain a password.

    `login`: the variables for what it must not contain.
    """
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, half a bracket
        is_right = False
    if not is_right or re.search(r"[^!-~]", url):
        raise ValueError("is no URL; it must be https://host/path")
    if parts.username is not None:
        raise ValueError(f"contains a user; remove it, and set {login}")
    return url


Brokers = Annotated[str, AfterValidator(_normalised)]
"""Addresses of brokers, without spaces and needless commas: the client accepts the text as it is."""
TokenUrl = Annotated[str, AfterValidator(partial(checked_url, login="LOGWARDEN_KAFKA__OAUTH_CLIENT_ID and its secret"))]
"""URL of a token endpoint, without credentials."""
RegistryUrl = Annotated[
    str, AfterValidator(partial(checked_url, login="LOGWARDEN_INPUT__SCHEMA_REGISTRY_USERNAME and its password"))
]
"""URL of a schema registry, without credentials."""
MemberAddress = Annotated[str, AfterValidator(checked_address), Field(title="host:port or URL")]
"""Address of a member's HTTP port, as a URL without a path."""

"""Names the members of a group as they introduce themselves to each other: id, name, address of their HTTP port.

A member publishes its card in the group's metadata. Every program that may join the group can write anything there, so
a card from the group is checked before any part of it is used. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import msgspec

from logwarden.daemon.records import Partition

MAX_CARD_BYTES = 1_024
"""Bytes of a card in the group's metadata, which every broker keeps in memory."""
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?")
EVERYWHERE = ("0.0.0.0", "::")
"""Hosts at which a server listens on all addresses of its machine."""
_FORM = "must be host:port or a URL without a path, such as http://10.0.0.7:8080"


class MemberCard(msgspec.Struct, frozen=True, kw_only=True):
    """How a member introduces itself."""

    id: str
    """Random text of one process, so that nothing else is taken for it."""
    name: str
    """Host and process."""
    address: str | None
    """URL of its HTTP port without a path, for the other members. None: it has none."""

    @property
    def host(self) -> str:
        """The machine, container or pod."""
        return self.name.rpartition("/")[0]

    def encode(self) -> bytes:
        """Returns the card as it is published. Returns nothing for one that is too large."""
        card = msgspec.json.encode(self)
        return card if len(card) <= MAX_CARD_BYTES else b""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """A member as the group's coordinator describes it."""

    member_id: str
    """Given by the coordinator."""
    host: str
    """From which the coordinator is reached."""
    partitions: tuple[Partition, ...] = ()
    card: MemberCard | None = None
    """None: it published none, or none that is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDescription:
    """The members of a group at one moment."""

    members: tuple[GroupMember, ...]
    is_stable: bool
    """False during a rebalance, when the coordinator knows no cards and no partitions."""


def card_in(published: bytes | None) -> MemberCard | None:
    """Returns the card in the metadata of a member. Returns None for anything else."""
    if not published or len(published) > MAX_CARD_BYTES:
        return None
    try:
        card = msgspec.json.decode(published, type=MemberCard)
        address = None if card.address is None else checked_address(card.address)
    except (msgspec.MsgspecError, ValueError):
        return None
    is_readable = card.name.isprintable() and card.id.isalnum()
    return MemberCard(id=card.id, name=card.name, address=address) if is_readable else None


def checked_address(text: str) -> str:
    """Returns the address of an HTTP port as a URL without a path.

    Raises ValueError for a text that is no such address, or one that no single member can have.
    """
    address = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # a port that is no number, half a bracket
        raise ValueError(f"is {text[:80]!r}, but it {_FORM}") from None
    number = ip_of(host)
    shown = f"[{host}]" if ":" in host else host
    is_whole = address.rstrip("/").lower() == f"{parts.scheme}://{shown}:{port}"
    is_host = number is not None or _HOST.fullmatch(host)
    if parts.scheme not in ("http", "https") or not port or not is_whole or not is_host:
        raise ValueError(f"is {text[:80]!r}, but it {_FORM}")
    if number is not None and (number.is_unspecified or number.is_multicast or number.is_link_local):
        raise ValueError(f"contains {host!r}, at which no single member can be reached")
    return f"{parts.scheme}://{shown}:{port}"


def derived_address(host: str, port: int | None, local_host: str | None) -> str | None:
    """Returns the address of a server that listens on `host`. Returns None where other members have no way to it.

    `local_host`: the address from which this member reaches its brokers, which counts where it listens on all of them.
    """
    reached = local_host if host in EVERYWHERE else host
    if not port or not reached:
        return None
    try:
        return checked_address(f"[{reached}]:{port}" if ":" in reached else f"{reached}:{port}")
    except ValueError:
        return None


def is_of_one_machine(address: str) -> bool:
    """Returns True for an address that other machines cannot reach."""
    return is_loopback(urlsplit(address).hostname or "")


def is_loopback(host: str) -> bool:
    """Returns True for a host that other machines cannot reach."""
    number = ip_of(host)
    return host == "localhost" if number is None else number.is_loopback


def ip_of(host: str) -> IPv4Address | IPv6Address | None:
    """Returns a host as an IP address. Returns None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None

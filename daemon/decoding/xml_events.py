"""Reads an event written in XML as the object that the same event would be in JSON: of Windows, log4j, Java's logger.

Attributes and children become members under their local names; a document with its own entities is not read.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from logwarden.daemon.decoding.event import quoted

MAX_BYTES = 262_144
_MAX_DEPTH = 8
_MAX_ALIKE = 64
_ROOTS = (
    b"<Event",
    b"<log4j:",
    b"<record>",
    b"<event",
    b"<log>",
    b"<LogEvent",
    b"<entry",
    b"<log ",
    b"<message",
    b"<?xml",
)
_WINDOWS = {"1": "CRITICAL", "2": "ERROR", "3": "WARNING", "4": "INFO", "5": "DEBUG"}
"""Levels of a Windows event, whose numbers are no other logger's."""


def document_of(value: bytes) -> dict[str, Any] | None:
    """Returns the event of a text in XML; None for any other text."""
    text = value.strip()
    if not text.startswith(_ROOTS) or text[-1:] != b">" or len(text) > MAX_BYTES:
        return None
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        return None
    # The layout of log4j writes a prefix and leaves its declaration to the file around the events.
    declared = text.replace(b"<log4j:", b"<").replace(b"</log4j:", b"</")
    try:
        root = ElementTree.fromstring(declared)
    except (ElementTree.ParseError, ValueError, LookupError):  # the last one of a charset that there is not
        return None
    event = _event(root)
    return _of_windows(event) if isinstance(event.get("System"), dict) else event or None


def _object(element: ElementTree.Element, depth: int) -> dict[str, Any]:
    out: dict[str, Any] = {_local(name): value for name, value in element.attrib.items()}
    for child in element if depth < _MAX_DEPTH else ():
        text = (child.text or "").strip()
        value: Any = _object(child, depth + 1) if len(child) or child.attrib else text
        if isinstance(value, dict) and text:
            value["value"] = text
        _add(out, *_named(_local(child.tag), value))
    return out


def _event(root: ElementTree.Element) -> dict[str, Any]:
    """Returns the members of an event; the text between its own tags is its message."""
    event, said = _object(root, 0), (root.text or "").strip()
    return {"message": said, **event} if said else event


def _named(tag: str, value: Any) -> tuple[str, Any]:
    """Returns the member that an element is: `<Data Name="user">anna</Data>` is the member `user`, not `Data`."""
    if not isinstance(value, dict) or len(value) != 2:
        return tag, value
    (first, name), (second, text) = value.items()
    is_pair = first.lower() in ("name", "key") and second.lower() == "value"
    return (name, text) if is_pair and isinstance(name, str) and name and isinstance(text, str) else (tag, value)


def _add(out: dict[str, Any], key: str, value: Any) -> None:
    """Adds a member. Elements of one name are a list, as a JSON writer makes of them."""
    if key not in out:
        out[key] = value
    elif not isinstance(out[key], list):
        out[key] = [out[key], value]
    elif len(out[key]) < _MAX_ALIKE:
        out[key].append(value)


def _of_windows(event: dict[str, Any]) -> dict[str, Any]:
    """Returns an event of Windows with its provider, number, level, time and texts as members of their own."""
    system, rendered = event["System"], event.get("RenderingInfo")
    name, created = _text(system.get("Provider"), "Name"), _text(system.get("TimeCreated"), "SystemTime")
    data = event.get("EventData")
    texts = [part for key, value in data.items() for part in _words(key, value)] if isinstance(data, dict) else []
    said = _text(rendered.get("Message")) if isinstance(rendered, dict) else ""
    return {
        "message": said or " ".join(part for part in (name, *texts) if part),
        "level": _WINDOWS.get(_text(system.get("Level")), "INFO"),
        "event_id": _text(system.get("EventID")),
        "time": created,
        "hostname": _text(system.get("Computer")),
        "channel": _text(system.get("Channel")),
    }


def _words(key: str, value: Any) -> list[str]:
    """Returns the words of a member of the event's data: a pair, or the text alone if only its place names it."""
    texts = [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, str) and part]
    return texts if key == "Data" else [f"{key}={quoted(text)}" for text in texts]


def _text(value: Any, key: str = "value") -> str:
    """Returns a member's text; of one with attributes or children, the text of the member under this key."""
    value = value[0] if isinstance(value, list) else value
    found = value.get(key) if isinstance(value, dict) else value
    return found if isinstance(found, str) else ""


def _local(name: str) -> str:
    """Returns a name without its namespace."""
    return name.rpartition("}")[2].rpartition(":")[2]

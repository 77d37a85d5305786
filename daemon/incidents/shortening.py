"""Makes an alert shorter for a topic that takes no message of its length. Pure; knows the alert's fields."""

from __future__ import annotations

import msgspec

from logwarden.daemon.incidents.alert import decode_alert
from logwarden.model.schema import truncated

_FAIR_CHARS, _LEAST_CHARS = 256, 16
"""Characters of a line that an alert which must be shorter keeps beside other lines, and at least."""


def shorter_alert(value: bytes) -> bytes | None:
    """Returns the alert in half the bytes, or as short as it can be. Returns None if it cannot be shorter.

    Long texts are truncated first, then the oldest lines go, then the texts become as short as the settings allow.
    """
    alert = decode_alert(value)
    lines, original = alert.logwarden.lines, alert.event.original
    original = "" if original is msgspec.UNSET else original
    chars = max(len(alert.message), len(original), *(len(line.text) for line in lines))
    shorter = value
    while len(shorter) > len(value) // 2:
        if chars > _FAIR_CHARS or (len(lines) == 1 and chars > _LEAST_CHARS):
            chars = max(chars // 2, _LEAST_CHARS)
        elif len(lines) > 1:
            lines = lines[len(lines) // 2 :]
        else:
            break
        texts = tuple(msgspec.structs.replace(line, text=truncated(line.text, chars)) for line in lines)
        findings = msgspec.structs.replace(alert.logwarden, lines=texts, shortened=True)
        message = truncated(alert.message, chars)
        event = msgspec.structs.replace(alert.event, original=truncated(original, chars) if original else msgspec.UNSET)
        shorter = msgspec.structs.replace(alert, event=event, message=message, logwarden=findings).encode()
    return shorter if len(shorter) < len(value) else None

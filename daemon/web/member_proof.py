"""Proves to another member that this one has the token, without sending the token.

    Authorization: Member 1795428000.5d41402abc4b2a76…

The number is the time in seconds; behind it is the HMAC (SHA-256, with the token as its key) of the time, the address
of the member that answers, and the path. A card in the group's metadata may contain any address, so what is sent there
must serve nowhere else: it is good for one address, one path, and a minute.
"""

from __future__ import annotations

import hmac

SCHEME = "Member"
VALID_S = 60
"""Seconds by which the clocks of two members may differ."""


def proof(token: str, address: str, path: str, now_s: int) -> str:
    """Returns the value of the header. `path`: with its query, as `urlencode` writes it."""
    return f"{SCHEME} {now_s}.{_code(token, address, path, now_s)}"


def is_proof(given: str, token: str, address: str, path: str, now_s: int) -> bool:
    """Returns True for what `proof` returns with this token for this address and path, within the last minute."""
    kind, _, rest = given.partition(" ")
    moment, _, code = rest.partition(".")
    if kind != SCHEME or not (moment.isascii() and moment.isdigit() and len(moment) <= 12):
        return False
    is_right = hmac.compare_digest(code.encode(errors="replace"), _code(token, address, path, int(moment)).encode())
    return is_right and abs(now_s - int(moment)) <= VALID_S


def _code(token: str, address: str, path: str, now_s: int) -> str:
    text = "\n".join(("logwarden member", str(now_s), address, path))
    return hmac.digest(token.encode(), text.encode(), "sha256").hex()

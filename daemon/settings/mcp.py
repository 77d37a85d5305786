"""Settings of `logwarden mcp`, the server for agents."""

from __future__ import annotations

from pydantic import SecretStr

from logwarden.daemon.settings.fields import Maybe, MoreNames, SettingsGroup
from logwarden.daemon.settings.secret_files import SecretFile


class McpSettings(SettingsGroup):
    """What agents may see, and who may ask."""

    raw_lines: bool = False
    """True: agents see log lines as they were logged, with names, addresses and secrets in them. False: masked."""
    token: Maybe[SecretStr] = None
    """Token that a client of `logwarden mcp --http` needs. None: the one in the file; without either, the server
    listens on loopback only."""
    token_file: Maybe[SecretFile] = None
    """File with that token, read again for each request. None: no file."""
    allowed_hosts: MoreNames = ()
    """Host names by which clients reach `logwarden mcp --http`, beside its own address, such as the name of a proxy.
    Requests that name another host or origin are refused."""

"""Owns what a client proves its identity with: certificates, passwords, tokens. One object for equal settings.

Files are read again: certificates at a handshake after a change, a token for each connection, the secret of a token
endpoint for each request, a password for each connection with SCRAM. With PLAIN the next client reads the password,
because the client keeps it. A file that cannot be read any more leaves the last secret in use.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import structlog
from pydantic import SecretStr

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.kafka.tls import TlsContext
from logwarden.daemon.kafka.tokens import EndpointToken, FileToken
from logwarden.daemon.settings.kafka import KafkaSettings
from logwarden.daemon.settings.secret_files import secret_in, secret_of

log = structlog.get_logger(__name__)


class Credentials:
    """The credentials of all clients with the same settings."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.were_accepted = False
        """True after the first connection: what fails later may be a file or a broker in the middle of a change."""
        self._options: dict[str, Any] = {}
        if settings.security_protocol.endswith("SSL"):
            self._options["ssl_context"] = TlsContext(settings)
        if settings.security_protocol.startswith("SASL"):
            self._options |= _sasl(settings)

    def options(self) -> dict[str, Any]:
        """Returns the arguments of a client for TLS and SASL."""
        password = self._options.get("sasl_plain_password")
        return self._options | ({} if password is None else {"sasl_plain_password": password.now()})


@lru_cache(maxsize=8)
def credentials_of(settings: KafkaSettings) -> Credentials:
    """Returns the credentials, the same object for equal settings. Raises ConfigurationError if they cannot be used."""
    return Credentials(settings)


def _sasl(settings: KafkaSettings) -> dict[str, Any]:
    if settings.sasl_mechanism != "OAUTHBEARER":
        password = _Secret("SASL_PASSWORD", settings.sasl_password, settings.sasl_password_file)
        return {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": Password.of(password),
        }
    if settings.oauth_token_file is not None:
        provider: FileToken | EndpointToken = FileToken(_Secret("OAUTH_TOKEN", None, settings.oauth_token_file).now)
    else:
        secret = _Secret("OAUTH_CLIENT_SECRET", settings.oauth_client_secret, settings.oauth_client_secret_file)
        provider = EndpointToken(settings, secret.now)
    return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": provider}


class _Secret:
    """A secret of the settings or of a file. Keeps the last one that could be read."""

    def __init__(self, name: str, value: SecretStr | None, path: Path | None) -> None:
        self._variable = f"LOGWARDEN_KAFKA__{name}_FILE"
        self._path = path
        self._reason = ""
        try:
            self._last = secret_of(value, path) or ""
        except ValueError as error:
            raise ConfigurationError(f"{self._variable} {error}") from None

    def now(self) -> str:
        """Returns the secret, read now if it is in a file."""
        if self._path is not None:
            try:
                self._last, self._reason = secret_in(self._path), ""
            except ValueError as error:
                if str(error) != self._reason:  # once, and not for each of ten connections a second
                    log.warning("secret_not_read_again", variable=self._variable, error=f"{self._variable} {error}")
                self._reason = str(error)
        return self._last


class Password(str):
    """The password of a client. Encodes to the one that its file contains now, as SCRAM does for each connection."""

    _secret: _Secret

    @classmethod
    def of(cls, secret: _Secret) -> Self:
        """Returns a password whose characters are the present ones."""
        password = cls(secret.now())
        password._secret = secret
        return password

    def now(self) -> Self:
        """Returns a password with the present characters, for the next client."""
        return self.of(self._secret)

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Returns the bytes of the present password."""
        return self._secret.now().encode(encoding, errors)

    def __repr__(self) -> str:
        return "'**********'"

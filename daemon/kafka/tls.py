"""TLS of every client: a context that follows its files, and what the errors of a handshake mean.

- The certificates are read again at the first handshake after one of their files changed, without a restart.
- The client reports a refused client certificate as a closed connection; its cause is in the exception's chain.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import structlog

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.kafka import KafkaSettings
from logwarden.daemon.settings.secret_files import secret_of

log = structlog.get_logger(__name__)

_NAME = "LOGWARDEN_KAFKA__"
_OTHER_HOST, _NOT_VALID_NOW = (62, 64), (9, 10)
"""OpenSSL's numbers of reasons why a certificate is not accepted: name, address; not yet, not any more."""
_TLS_ALERT = b"\x15\x03"
"""First bytes of TLS's answer to a client that sends none: the client takes them for the size of a response."""
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_CLIENT_CERTIFICATE = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
"""Parts of the names of those alerts by which a broker refuses the client's certificate."""
_NOTHING_IN_COMMON = ("HANDSHAKE_FAILURE", "PROTOCOL", "CIPHER")
_USE_TLS = f"set {_NAME}SECURITY_PROTOCOL to SSL or SASL_SSL, or use the port of a listener without TLS"
_CHECK_LISTENER = f"check that the port belongs to a listener for {_NAME}SECURITY_PROTOCOL"


class TlsContext(ssl.SSLContext):
    """Opens each connection with the certificates that its files contain now.

    It delegates to a context that is rebuilt after a change. Loading into the same one would add authorities, and
    would still trust those that the operator removed.
    """

    _settings: KafkaSettings
    _seen: tuple[object, ...]
    _current: ssl.SSLContext

    def __new__(cls, settings: KafkaSettings) -> Self:
        """Returns a context. Raises ConfigurationError if a file cannot be used."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context._settings = settings
        context._seen = _signature(settings)
        context._current = _loaded(settings)
        return context

    def __init__(self, settings: KafkaSettings) -> None:
        """Does nothing: the constructor of the class below would take the settings for a protocol."""

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begins one handshake; asyncio calls it for each connection."""
        self._follow_files()
        return self._current.wrap_bio(*arguments, **options)

    def _follow_files(self) -> None:
        seen = _signature(self._settings)
        if seen == self._seen:
            return
        self._seen = seen  # also after a failure, so that each change is tried and logged once
        try:
            self._current = _loaded(self._settings)
        except ConfigurationError as error:
            hint = error.hint or "the certificates in use stay until their files are correct"
            log.warning("certificates_not_reloaded", error=str(error), hint=hint)
        else:
            log.info("certificates_reloaded")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an address that answers cannot be used, as a sentence and the action to take."""

    sentence: str
    hint: str
    is_certain: bool = True
    """False where a broker that restarts looks the same."""


def problem(error: BaseException, address: str, settings: KafkaSettings) -> Problem | None:
    """Returns the problem with TLS that made a connection fail, or None if there is none to see."""
    tls = settings.security_protocol.endswith("SSL")
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _brokers_certificate(cause, address)
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return _alert(cause, address, settings)
        if isinstance(cause, asyncio.IncompleteReadError):
            if (cause.expected or 0).to_bytes(8, "big")[-4:].startswith(_TLS_ALERT):
                return Problem(f"the Kafka broker at {address} expects TLS", _USE_TLS)
            return Problem(f"the Kafka broker at {address} closed the connection", _CHECK_LISTENER, is_certain=False)
        if cause is error and tls and isinstance(cause, ConnectionResetError | ssl.SSLEOFError):
            sentence = f"the Kafka broker at {address} closed the connection during the TLS handshake"
            return Problem(sentence, _CHECK_LISTENER, is_certain=False)
    return None


def _brokers_certificate(error: ssl.SSLCertVerificationError, address: str) -> Problem:
    whose, reason = f"the certificate of the Kafka broker at {address}", error.verify_message.rstrip(".")
    if error.verify_code in _OTHER_HOST:
        hint = f"write the host name of the certificate into {_NAME}BOOTSTRAP_SERVERS and advertised.listeners"
        return Problem(f"{whose} is for another host: {reason}", hint)
    if error.verify_code in _NOT_VALID_NOW:
        hint = "renew it on the broker, or correct this machine's clock"
        return Problem(f"{whose} is not valid now: {reason}", hint)
    hint = f"set {_NAME}SSL_CAFILE to the authority that signed the brokers' certificates"
    return Problem(f"{whose} is not trusted: {reason}", hint)


def _alert(error: ssl.SSLError, address: str, settings: KafkaSettings) -> Problem:
    code = error.reason or str(error)
    reason = code.lower().replace("_", " ")
    if code in _NOT_TLS:
        return Problem(f"the Kafka broker at {address} does not use TLS", _CHECK_LISTENER)
    if "ALERT" in code and any(part in code for part in _CLIENT_CERTIFICATE):
        if settings.ssl_certfile is None:
            hint = f"set {_NAME}SSL_CERTFILE and {_NAME}SSL_KEYFILE"
            return Problem(f"the Kafka broker at {address} requires a client certificate", hint)
        hint = f"check {_NAME}SSL_CERTFILE: the broker must trust its authority, and it must be valid now"
        return Problem(f"the Kafka broker at {address} refused the client certificate: {reason}", hint)
    hint = "compare the TLS versions and ciphers of broker and daemon"
    is_certain = any(part in code for part in _NOTHING_IN_COMMON)
    return Problem(f"TLS with the Kafka broker at {address} failed: {reason}", hint, is_certain=is_certain)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _files(settings: KafkaSettings) -> list[Path | None]:
    return [settings.ssl_cafile, settings.ssl_certfile, settings.ssl_keyfile, settings.ssl_key_password_file]


def _signature(settings: KafkaSettings) -> tuple[object, ...]:
    """Returns a value that changes with every change of a file: Kubernetes swaps links, editors replace files."""
    signature: list[object] = []
    for path in _files(settings):
        try:
            found = path and path.stat()
            signature.append(found and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))
        except OSError as error:
            signature.append(error.errno)
    return tuple(signature)


def _loaded(settings: KafkaSettings) -> ssl.SSLContext:
    """Returns a context with the files' content. Raises ConfigurationError if one of them cannot be used."""
    certificate, key = settings.ssl_certfile, settings.ssl_keyfile or settings.ssl_certfile
    is_encrypted = False

    def passphrase() -> str:
        nonlocal is_encrypted
        is_encrypted = True
        secret = secret_of(settings.ssl_key_password, settings.ssl_key_password_file)
        if secret is None:  # without this function OpenSSL would wait for an answer on the terminal
            hint = f"set {_NAME}SSL_KEY_PASSWORD_FILE or {_NAME}SSL_KEY_PASSWORD"
            raise ConfigurationError(
                f"the private key in {str(key)!r} is encrypted, but it has no passphrase", hint=hint
            )
        return secret

    loading = settings.ssl_cafile
    try:
        context = ssl.create_default_context(cafile=loading)
        if certificate is not None:
            loading = certificate
            context.load_cert_chain(certificate, settings.ssl_keyfile, password=passphrase)
    except OSError as error:
        if is_encrypted:
            sentence = f"{_NAME}SSL_KEY_PASSWORD does not decrypt the private key in {str(key)!r}"
        else:
            sentence = f"the TLS certificates cannot be used: {str(loading)!r}: {error.strerror or error}"
        raise ConfigurationError(sentence) from None
    except ValueError as error:
        raise ConfigurationError(f"{_NAME}SSL_KEY_PASSWORD_FILE {error}") from None
    return context

"""TLS: the sentence for each wrong certificate, from real handshakes, and certificates that change on disk."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.kafka.tls import Problem, TlsContext, problem
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.certificates import PASSPHRASE, Authority, Pair, encrypted
from tests.fakes import capture, events


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki") / "theirs", "stranger")


@pytest.fixture(scope="module")
def broker(authority: Authority) -> Pair:
    """Returns the certificate of a broker called localhost."""
    return authority.issue("broker")


@contextmanager
def server(pair: Pair, *, clients: Path | None = None) -> Iterator[int]:
    """Yields the port of a TLS server that shakes hands and closes. `clients`: the authority of its clients.

    A thread with blocking sockets: asyncio's own server closes without the alerts that brokers send.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):  # the end of the test closes the listener
            while True:
                accepted, _ = listener.accept()
                connection = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
                with suppress(OSError):
                    connection.do_handshake()
                with socket.socket(fileno=connection.detach()) as plain, suppress(OSError):
                    plain.settimeout(0.5)
                    plain.shutdown(socket.SHUT_WR)
                    while plain.recv(4096):  # unread bytes would turn the end into a reset, and lose the alert
                        pass

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, args=[listener])
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


async def failure(port: int, settings: KafkaSettings, host: str = "localhost") -> Problem:
    """Returns the problem of a connection by the real client."""
    tls = settings.security_protocol == "SSL"
    options: dict[str, Any] = {"security_protocol": settings.security_protocol, "request_timeout_ms": 5_000}
    try:
        connection = await create_conn(host, port, ssl_context=TlsContext(settings) if tls else None, **options)
    except (OSError, KafkaError, TimeoutError) as raised:
        error = raised
    else:
        connection.close()
        pytest.fail("the connection succeeded")
    found = problem(error, f"{host}:{port}", settings)
    assert found is not None, repr(error)
    return found


def trusting(authority: Authority, pair: Pair | None = None, **more: Any) -> KafkaSettings:
    files: dict[str, Any] = {} if pair is None else {"ssl_certfile": pair.certificate, "ssl_keyfile": pair.key}
    return KafkaSettings(security_protocol="SSL", ssl_cafile=authority.certificate, **files, **more)


# ---------------------------------------------------------------- sentences


async def test_an_unknown_authority_names_the_setting(broker: Pair, stranger: Authority) -> None:
    """A broker's certificate that nobody vouches for is no broker that does not answer."""
    with server(broker) as port:
        found = await failure(port, trusting(stranger))
    assert found.sentence.startswith(f"the certificate of the Kafka broker at localhost:{port} is not trusted: ")
    assert "LOGWARDEN_KAFKA__SSL_CAFILE" in found.hint
    assert found.is_certain


async def test_another_host_name_names_the_setting(broker: Pair, authority: Authority) -> None:
    """An address by number, where the certificate has a name."""
    with server(broker) as port:
        found = await failure(port, trusting(authority), "127.0.0.1")
    assert f"at 127.0.0.1:{port} is for another host: IP address mismatch" in found.sentence
    assert "LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS" in found.hint
    assert found.is_certain


async def test_an_expired_certificate_is_renewed_on_the_broker(authority: Authority) -> None:
    """No setting of the daemon helps."""
    with server(authority.issue("expired", expired=True)) as port:
        found = await failure(port, trusting(authority))
    assert "is not valid now: certificate has expired" in found.sentence
    assert "renew it on the broker" in found.hint
    assert found.is_certain


async def test_a_missing_client_certificate_names_the_settings(broker: Pair, authority: Authority) -> None:
    """With TLS 1.3 the refusal comes after the handshake, as the end of the first request."""
    with server(broker, clients=authority.certificate) as port:
        found = await failure(port, trusting(authority))
    assert found.sentence == f"the Kafka broker at localhost:{port} requires a client certificate"
    assert "LOGWARDEN_KAFKA__SSL_CERTFILE" in found.hint
    assert found.is_certain


async def test_a_refused_client_certificate_names_the_setting(
    broker: Pair, authority: Authority, stranger: Authority
) -> None:
    """A certificate of another authority."""
    with server(broker, clients=authority.certificate) as port:
        found = await failure(port, trusting(authority, stranger.issue("foreign")))
    assert found.sentence.startswith(f"the Kafka broker at localhost:{port} refused the client certificate: ")
    assert "LOGWARDEN_KAFKA__SSL_CERTFILE" in found.hint
    assert found.is_certain


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """Yields the port of a server that answers the first bytes with `answer`, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as started:
        yield started.sockets[0].getsockname()[1]


async def test_a_listener_with_tls_is_seen_by_a_client_without() -> None:
    """A broker answers a plain request with these bytes, an alert of TLS 1.2."""
    async with answering(b"\x15\x03\x03\x00\x02\x02\x50") as port:
        found = await failure(port, KafkaSettings())
    assert found.sentence == f"the Kafka broker at localhost:{port} expects TLS"
    assert "LOGWARDEN_KAFKA__SECURITY_PROTOCOL" in found.hint
    assert found.is_certain


@pytest.mark.parametrize(("answer", "is_certain"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", True), (b"", False)])
async def test_a_listener_without_tls_is_seen_by_a_client_with(
    authority: Authority, answer: bytes, is_certain: bool
) -> None:
    """Words that are no TLS are certain; a Kafka broker closes the connection, as one that restarts does."""
    async with answering(answer) as port:
        found = await failure(port, trusting(authority))
    assert "TLS" in found.sentence
    assert "LOGWARDEN_KAFKA__SECURITY_PROTOCOL" in found.hint
    assert found.is_certain is is_certain


@pytest.mark.parametrize(
    ("reason", "is_certain"), [("TLSV1_ALERT_PROTOCOL_VERSION", True), ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", False)]
)
def test_nothing_in_common_is_certain_and_a_broken_record_is_not(reason: str, is_certain: bool) -> None:
    """Versions do not change by waiting, a damaged connection does."""
    error = ssl.SSLError(1, reason)
    error.reason = reason
    found = problem(error, "a:1", KafkaSettings(security_protocol="SSL"))
    assert found is not None
    assert reason.lower().replace("_", " ") in found.sentence
    assert found.is_certain is is_certain


@pytest.mark.parametrize("error", [OSError("no route"), TimeoutError(), ConnectionRefusedError()])
def test_an_absent_broker_has_no_problem_with_tls(error: Exception) -> None:
    """Nothing answered, so nothing is known about certificates."""
    assert problem(error, "a:1", KafkaSettings(security_protocol="SSL")) is None


# ---------------------------------------------------------------- keys


def test_an_encrypted_key_without_a_passphrase_is_one_sentence(
    broker: Pair, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL would wait for an answer on the terminal: here a terminal would fail the test."""
    monkeypatch.setattr(os, "open", lambda *_, **__: pytest.fail("the terminal was opened"))
    key = encrypted(broker.key)
    with pytest.raises(ConfigurationError, match="is encrypted, but it has no passphrase") as caught:
        TlsContext(trusting(authority, Pair(broker.certificate, key)))
    assert str(key) in str(caught.value)
    assert "LOGWARDEN_KAFKA__SSL_KEY_PASSWORD" in caught.value.hint


def test_a_wrong_passphrase_is_one_sentence(broker: Pair, authority: Authority) -> None:
    """The sentence names the variable and shows no passphrase."""
    pair = Pair(broker.certificate, encrypted(broker.key))
    with pytest.raises(ConfigurationError) as caught:
        TlsContext(trusting(authority, pair, ssl_key_password=SecretStr("hunter2")))
    assert str(caught.value) == f"LOGWARDEN_KAFKA__SSL_KEY_PASSWORD does not decrypt the private key in '{pair.key}'"


async def test_a_passphrase_opens_the_key(broker: Pair, authority: Authority, tmp_path: Path) -> None:
    """From the environment, and from a file."""
    pair = Pair(broker.certificate, encrypted(broker.key))
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n", encoding="ascii")
    TlsContext(trusting(authority, pair, ssl_key_password=SecretStr(PASSPHRASE)))
    TlsContext(trusting(authority, pair, ssl_key_password_file=file))


def test_a_passphrase_file_that_was_emptied_is_one_sentence(broker: Pair, authority: Authority, tmp_path: Path) -> None:
    """A secret may change between the settings and the first connection."""
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE, encoding="ascii")
    settings = trusting(authority, Pair(broker.certificate, encrypted(broker.key)), ssl_key_password_file=file)
    file.write_text("", encoding="ascii")
    with pytest.raises(ConfigurationError, match=r"SSL_KEY_PASSWORD_FILE names the file .* which is empty"):
        TlsContext(settings)


# ---------------------------------------------------------------- files that change


async def shakes_hands(context: TlsContext, port: int) -> bool:
    """Returns True if the context accepts the server's certificate."""
    try:
        _, writer = await asyncio.open_connection("localhost", port, ssl=context)
    except ssl.SSLCertVerificationError:
        return False
    writer.close()
    return True


def replace(path: Path, text: str) -> None:
    """Replaces a file as Kubernetes and careful editors do: another inode under the same name."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="ascii")
    new.replace(path)


async def test_a_new_authority_is_trusted_and_an_old_one_is_not(
    broker: Pair, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    """The next handshake uses the files of now, in the same context that the client keeps."""
    cafile = tmp_path / "ca.pem"
    cafile.write_text(stranger.certificate.read_text("ascii"), "ascii")
    context = TlsContext(KafkaSettings(security_protocol="SSL", ssl_cafile=cafile))
    with server(broker) as port:
        assert not await shakes_hands(context, port)
        replace(cafile, authority.certificate.read_text("ascii"))
        assert await shakes_hands(context, port)
        replace(cafile, stranger.certificate.read_text("ascii"))
        assert not await shakes_hands(context, port)


async def test_a_broken_new_certificate_leaves_the_old_one(broker: Pair, authority: Authority, tmp_path: Path) -> None:
    """Half of a rotation is logged once, and the connection is made with the certificates in use."""
    cafile = tmp_path / "ca.pem"
    cafile.write_text(authority.certificate.read_text("ascii"), "ascii")
    context = TlsContext(KafkaSettings(security_protocol="SSL", ssl_cafile=cafile))
    with capture() as log, server(broker) as port:
        replace(cafile, "half a certificate")
        assert await shakes_hands(context, port)
        assert await shakes_hands(context, port)
        assert len(events(log, "certificates_not_reloaded")) == 1
        cafile.unlink()
        assert await shakes_hands(context, port)
        replace(cafile, authority.certificate.read_text("ascii"))
        assert await shakes_hands(context, port)
    assert len(events(log, "certificates_not_reloaded")) == 2
    assert len(events(log, "certificates_reloaded")) == 1


async def test_a_renewed_client_certificate_is_presented(
    broker: Pair, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    """Short-lived client certificates are replaced on disk while the daemon runs."""
    wrong, right = stranger.issue("renewed"), authority.issue("renewed-right")
    mine = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    mine.certificate.write_text(wrong.certificate.read_text("ascii"), "ascii")
    mine.key.write_text(wrong.key.read_text("ascii"), "ascii")
    context = TlsContext(trusting(authority, mine))
    presented: list[str] = []
    asking = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    asking.load_cert_chain(broker.certificate, broker.key)
    asking.load_verify_locations(authority.certificate)
    asking.load_verify_locations(stranger.certificate)
    asking.verify_mode = ssl.CERT_REQUIRED

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("peercert")
        presented.append(dict(part[0] for part in certificate["subject"])["commonName"])
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=asking) as started:
        port = started.sockets[0].getsockname()[1]
        for pair in (wrong, right):
            replace(mine.certificate, pair.certificate.read_text("ascii"))
            replace(mine.key, pair.key.read_text("ascii"))
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
            await reader.read()
            writer.close()
    assert presented == ["renewed", "renewed-right"]

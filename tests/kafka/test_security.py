"""TLS and OAUTHBEARER on a real broker: what works, and the sentence for each mistake."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from logwarden.daemon.errors import BrokerRefused, LogwardenError, SessionFailed
from logwarden.daemon.kafka.connection import check_access, connection_options
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.certificates import PASSPHRASE, Authority, Pair, encrypted
from tests.kafka.broker import Broker
from tests.kafka.evidence import AlertLog, Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.jars import fetch_jars
from tests.kafka.member import READY_S
from tests.kafka.properties import Stores
from tests.kafka.test_trouble import assert_one_sentence
from tests.kafka.topics import Topics
from tests.token_endpoint import token_endpoint, unsecured_token

RECONNECT_S = 60.0
"""Time limit for a client after its broker restarted: the start of the JVM and the client's back-off."""


@dataclass(frozen=True)
class Certificates:
    """Those of the broker's operator, and those of a stranger."""

    authority: Authority
    client: Pair
    stranger: Authority
    foreign: Pair


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ours, theirs = Authority(folder / "ours"), Authority(folder / "theirs", "stranger")
    return Certificates(ours, ours.issue("client"), theirs, theirs.issue("foreign"))


@pytest.fixture(scope="module")
def broker(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Yields a broker of this module, in place of the shared one, with TLS beside SASL."""
    authority = certificates.authority
    stores = Stores(authority.issue("broker").bundle(), authority.certificate)
    with Broker.create(tmp_path_factory.mktemp("secured"), sasl=True, stores=stores) as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def tls(bootstrap: str, authority: Authority, pair: Pair | None = None) -> KafkaSettings:
    files: dict[str, Any] = {"ssl_certfile": pair.certificate, "ssl_keyfile": pair.key} if pair else {}
    return KafkaSettings(
        bootstrap_servers=bootstrap, security_protocol="SSL", ssl_cafile=authority.certificate, **files
    )


def oauth(bootstrap: str, **source: Any) -> KafkaSettings:
    login: dict[str, Any] = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER"}
    return KafkaSettings(bootstrap_servers=bootstrap, **login | source)


async def refusal(settings: KafkaSettings, kind: type[LogwardenError]) -> str:
    """Returns sentence and hint of a refused access, and checks its kind."""
    with pytest.raises(kind) as caught:
        await check_access(settings)
    assert type(caught.value) is kind
    assert "no Kafka broker answered" not in str(caught.value)
    return f"{caught.value} | {caught.value.hint}"


def open_sockets() -> int:
    return sum(path.is_socket() for path in Path("/proc/self/fd").iterdir())


# ---------------------------------------------------------------- TLS


async def test_the_right_certificates_open_the_listeners(broker: Broker, certificates: Certificates) -> None:
    """With and without a certificate of the client. Nothing is left open: a command may end right after."""
    before = open_sockets()
    await check_access(tls(broker.tls_bootstrap, certificates.authority))
    await check_access(tls(broker.mtls_bootstrap, certificates.authority, certificates.client))
    assert open_sockets() == before


async def test_wrong_certificates_are_sentences(broker: Broker, certificates: Certificates) -> None:
    """The broker answered, so the sentence is about the certificate, and the start ends."""
    ours, stranger = certificates.authority, certificates.stranger
    untrusted = await refusal(tls(broker.tls_bootstrap, stranger), BrokerRefused)
    assert "is not trusted" in untrusted
    assert "LOGWARDEN_KAFKA__SSL_CAFILE" in untrusted
    by_number = broker.tls_bootstrap.replace("localhost", "127.0.0.1")
    assert "is for another host" in await refusal(tls(by_number, ours), BrokerRefused)
    missing = await refusal(tls(broker.mtls_bootstrap, ours), BrokerRefused)
    assert f"the Kafka broker at {broker.mtls_bootstrap} requires a client certificate" in missing
    foreign = await refusal(tls(broker.mtls_bootstrap, ours, certificates.foreign), BrokerRefused)
    assert "refused the client certificate" in foreign


async def test_plain_and_tls_mixed_up_are_sentences(broker: Broker, certificates: Certificates) -> None:
    """A listener with TLS answers with an alert. One without closes the connection, as a restarting broker does."""
    for bootstrap in (broker.tls_bootstrap, broker.mtls_bootstrap):
        found = await refusal(KafkaSettings(bootstrap_servers=bootstrap), BrokerRefused)
        assert f"the Kafka broker at {bootstrap} expects TLS" in found
    for bootstrap in (broker.bootstrap, broker.sasl_bootstrap):
        found = await refusal(tls(bootstrap, certificates.authority), SessionFailed)
        assert f"the Kafka broker at {bootstrap} closed the connection during the TLS handshake" in found
        assert "LOGWARDEN_KAFKA__SECURITY_PROTOCOL" in found
    found = await refusal(KafkaSettings(bootstrap_servers=broker.sasl_bootstrap), SessionFailed)
    assert f"the Kafka broker at {broker.sasl_bootstrap} closed the connection |" in found


async def test_a_daemon_works_over_tls(
    topics: Topics, fleet: Fleet, broker: Broker, certificates: Certificates, tmp_path: Path
) -> None:
    """With an encrypted key and its passphrase in a file; beside it, a daemon with the wrong authority ends."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(f"{PASSPHRASE}\n", encoding="ascii")
    files = {
        "KAFKA__BOOTSTRAP_SERVERS": broker.mtls_bootstrap,
        "KAFKA__SECURITY_PROTOCOL": "SSL",
        "KAFKA__SSL_CERTFILE": certificates.client.certificate,
        "KAFKA__SSL_KEYFILE": encrypted(certificates.client.key),
        "KAFKA__SSL_KEY_PASSWORD_FILE": passphrase,
    }
    wrong = fleet.start(**files, KAFKA__SSL_CAFILE=certificates.stranger.certificate)
    right = fleet.start(**files, KAFKA__SSL_CAFILE=certificates.authority.certificate)
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        sent = await traffic.send(20)
        await eventually(lambda: alerts.covers(sent), READY_S, "an alert for every line")
    assert await asyncio.to_thread(wrong.wait, READY_S) == 1
    assert_one_sentence(wrong, "the certificate of the Kafka broker", "is not trusted")
    assert "LOGWARDEN_KAFKA__SSL_CAFILE" in wrong.log()
    assert PASSPHRASE not in right.log() + wrong.log()
    assert await asyncio.to_thread(right.terminate) == 0


# ---------------------------------------------------------------- OAUTHBEARER


async def test_tokens_open_the_listener(broker: Broker, tmp_path: Path) -> None:
    """From a file, and from an endpoint."""
    file = tmp_path / "token"
    file.write_text(unsecured_token("file") + "\n", encoding="ascii")
    await check_access(oauth(broker.sasl_bootstrap, oauth_token_file=file))
    with token_endpoint() as endpoint:
        source = {"oauth_token_url": endpoint.url, "oauth_client_id": "me", "oauth_client_secret": "s3cret"}
        await check_access(oauth(broker.sasl_bootstrap, **source))
        await check_access(oauth(broker.sasl_bootstrap, **source))
    assert endpoint.logins == ["me:s3cret"]


async def test_tokens_that_are_refused_are_sentences(broker: Broker, tmp_path: Path) -> None:
    """The client takes a refused token for an accepted one; the daemon does not."""
    file = tmp_path / "token"
    for token in (unsecured_token("old", life_s=60, age_s=600), "rubbish"):
        file.write_text(token, encoding="ascii")
        found = await refusal(oauth(broker.sasl_bootstrap, oauth_token_file=file), BrokerRefused)
        assert f"the Kafka broker at {broker.sasl_bootstrap} refused the token" in found
        assert token not in found
    source = {"oauth_client_id": "me", "oauth_client_secret": "s3cret"}
    with token_endpoint(status=401, answer={"error": "invalid_client"}) as endpoint:
        settings = oauth(broker.sasl_bootstrap, oauth_token_url=endpoint.url, **source)
        assert "answered 401 (invalid_client)" in await refusal(settings, BrokerRefused)
    settings = oauth(broker.sasl_bootstrap, oauth_token_url=f"{endpoint.url}/away", **source)
    assert "cannot be reached" in await refusal(settings, SessionFailed)


async def test_a_daemon_works_with_tokens(topics: Topics, fleet: Fleet, broker: Broker, tmp_path: Path) -> None:
    """One token serves all clients of the daemon, and neither token nor secret is in its log."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret-words\n", encoding="ascii")
    token = unsecured_token("daemon")
    with token_endpoint(answer={"access_token": token, "expires_in": 600}) as endpoint:
        member = fleet.start(
            KAFKA__BOOTSTRAP_SERVERS=broker.sasl_bootstrap,
            KAFKA__SECURITY_PROTOCOL="SASL_PLAINTEXT",
            KAFKA__SASL_MECHANISM="OAUTHBEARER",
            KAFKA__OAUTH_TOKEN_URL=endpoint.url,
            KAFKA__OAUTH_CLIENT_ID="logwarden",
            KAFKA__OAUTH_CLIENT_SECRET_FILE=secret,
            LOG__LEVEL="debug",
        )
        async with (
            Traffic.to(topics.bootstrap, topics.logs) as traffic,
            AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
        ):
            sent = await traffic.send(20)
            await eventually(lambda: alerts.covers(sent), READY_S, "an alert for every line")
        assert await asyncio.to_thread(member.terminate) == 0
    assert endpoint.logins == ["logwarden:s3cret-words"]
    assert "s3cret-words" not in member.log()
    assert token not in member.log()


# ---------------------------------------------------------------- rotation


async def test_a_rotated_password_is_used_after_a_reconnect(broker: Broker, topics: Topics, tmp_path: Path) -> None:
    """A consumer with SCRAM that lives for months reads the password of now when its broker comes back."""
    file = tmp_path / "password"
    file.write_text(broker.sasl_password, encoding="ascii")
    settings = KafkaSettings(
        bootstrap_servers=broker.sasl_bootstrap,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-256",
        sasl_username=broker.sasl_user,
        sasl_password_file=file,
    )
    consumer = AIOKafkaConsumer(**connection_options(settings), auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topics.logs, 0)])
        await produce(topics, b"before")
        assert (await asyncio.wait_for(consumer.getone(), 20)).value == b"before"
        await asyncio.to_thread(change_scram_password, broker, "rotated")
        file.write_text("rotated", encoding="ascii")
        await asyncio.to_thread(broker.restart)
        await produce(topics, b"after")
        assert (await asyncio.wait_for(consumer.getone(), RECONNECT_S)).value == b"after"
    finally:
        await consumer.stop()
        await asyncio.to_thread(change_scram_password, broker, broker.sasl_password)


async def produce(topics: Topics, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap) as producer:
        await producer.send_and_wait(topics.logs, value, partition=0)


def change_scram_password(broker: Broker, password: str) -> None:
    """Changes it with Kafka's own tool: the client cannot."""
    change = ["--alter", "--add-config", f"SCRAM-SHA-256=[password={password}]"]
    whom = ["--entity-type", "users", "--entity-name", broker.sasl_user]
    command = ["java", "-Xmx128m", "-cp", f"{fetch_jars()}/*", "kafka.admin.ConfigCommand"]
    done = subprocess.run(
        [*command, "--bootstrap-server", broker.bootstrap, *change, *whom],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr

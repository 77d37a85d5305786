"""Credentials of the clients: shared by equal settings, and read again from their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiokafka.conn import ScramAuthenticator
from pydantic import SecretStr

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.kafka.credentials import Credentials, credentials_of
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.fakes import capture, events
from tests.token_endpoint import token_endpoint


def with_password(file: Path, **more: Any) -> KafkaSettings:
    login: dict[str, Any] = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u", "sasl_password_file": file}
    return KafkaSettings(**login | more)


def scram_password(options: dict[str, Any]) -> bytes:
    """Returns the password that the client uses for a connection that it opens now."""
    authenticator = ScramAuthenticator(
        loop=None,
        sasl_plain_password=options["sasl_plain_password"],
        sasl_plain_username=options["sasl_plain_username"],
        sasl_mechanism="SCRAM-SHA-256",
    )
    password: bytes = authenticator._sasl_plain_password
    return password


def test_a_rotated_password_is_used_by_the_next_client(tmp_path: Path) -> None:
    """With PLAIN the client keeps the characters that it was made with."""
    file = tmp_path / "password"
    file.write_text("first\n", encoding="utf-8")
    credentials = Credentials(with_password(file))
    assert credentials.options()["sasl_plain_password"] == "first"
    file.write_text("second\n", encoding="utf-8")
    assert credentials.options()["sasl_plain_password"] == "second"


def test_a_rotated_password_is_used_by_the_next_connection_with_scram(tmp_path: Path) -> None:
    """A client that exists reads the file again, and shows no password."""
    file = tmp_path / "password"
    file.write_text("first\n", encoding="utf-8")
    options = Credentials(with_password(file, sasl_mechanism="SCRAM-SHA-256")).options()
    assert scram_password(options) == b"first"
    file.write_text("zweites-ä\n", encoding="utf-8")
    assert scram_password(options) == "zweites-ä".encode()
    assert "first" not in repr(options)


def test_a_password_that_cannot_be_read_any_more_stays(tmp_path: Path) -> None:
    """A secret in the middle of its replacement is no reason to end; the warning comes once for each reason."""
    file = tmp_path / "password"
    file.write_text("first\n", encoding="utf-8")
    credentials = Credentials(with_password(file))
    file.unlink()
    with capture() as log:
        assert [str(credentials.options()["sasl_plain_password"]) for _ in range(3)] == ["first"] * 3
        file.write_text("", encoding="utf-8")
        assert credentials.options()["sasl_plain_password"] == "first"
        file.write_text("second", encoding="utf-8")
        assert credentials.options()["sasl_plain_password"] == "second"
        file.unlink()
        credentials.options()
    warnings = [event["error"] for event in events(log, "secret_not_read_again")]
    assert [warning.rpartition(" ")[2] for warning in warnings] == ["directory", "empty", "directory"]
    assert all(warning.startswith("LOGWARDEN_KAFKA__SASL_PASSWORD_FILE names the file") for warning in warnings)


def test_a_file_that_is_missing_at_first_is_bad_configuration(tmp_path: Path) -> None:
    """Between the settings and the first connection a secret may be unmounted."""
    file = tmp_path / "password"
    file.write_text("first", encoding="utf-8")
    settings = with_password(file)
    file.unlink()
    with pytest.raises(ConfigurationError, match=r"SASL_PASSWORD_FILE names the file .* cannot be read"):
        Credentials(settings)


def test_a_wrong_certificate_is_found_with_the_source(tmp_path: Path) -> None:
    """The daemon makes the source before it loads the model, so the mistake ends it at once."""
    file = tmp_path / "ca.pem"
    file.write_text("no certificate", encoding="ascii")
    with pytest.raises(ConfigurationError, match="the TLS certificates cannot be used"):
        KafkaSource(KafkaSettings(security_protocol="SSL", ssl_cafile=file))


def test_a_password_of_the_environment_stays() -> None:
    """Without a file there is nothing to read again."""
    settings = KafkaSettings(
        security_protocol="SASL_PLAINTEXT", sasl_username="u", sasl_password=SecretStr("only"), sasl_mechanism="PLAIN"
    )
    options = Credentials(settings).options()
    assert options["sasl_plain_password"] == "only"
    assert "\0".join(["u", options["sasl_plain_password"]]).encode() == b"u\0only"


async def test_a_token_comes_from_a_file_or_from_an_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mechanism has a provider and neither user nor password."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    file = tmp_path / "token"
    file.write_text("t1\n", encoding="ascii")
    oauth: dict[str, Any] = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER"}
    from_file = Credentials(KafkaSettings(**oauth, oauth_token_file=file)).options()
    assert set(from_file) == {"sasl_mechanism", "sasl_oauth_token_provider"}
    assert await from_file["sasl_oauth_token_provider"].token() == "t1"
    secret = tmp_path / "secret"
    secret.write_text("first\n", encoding="ascii")
    with token_endpoint(answer={"access_token": "t2"}) as endpoint:
        settings = KafkaSettings(
            **oauth, oauth_token_url=endpoint.url, oauth_client_id="me", oauth_client_secret_file=secret
        )
        provider = Credentials(settings).options()["sasl_oauth_token_provider"]
        assert await provider.token() == "t2"
        secret.write_text("second\n", encoding="ascii")
        await provider.token()
    assert endpoint.logins == ["me:first", "me:second"]


def test_equal_settings_share_their_credentials() -> None:
    """The clients of one daemon share a context and a token, so that a change is read and logged once."""
    settings = KafkaSettings(security_protocol="SSL")
    assert credentials_of(settings) is credentials_of(KafkaSettings(security_protocol="SSL"))
    assert credentials_of(settings) is not credentials_of(KafkaSettings(security_protocol="SSL", client_id="x"))

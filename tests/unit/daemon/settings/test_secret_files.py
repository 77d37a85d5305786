"""Secrets in files, as Docker and Kubernetes mount them."""

from __future__ import annotations

from pathlib import Path

import pytest

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.describing import describe
from logwarden.daemon.settings.reading import read_settings
from logwarden.daemon.settings.secret_files import secret_in

FILE = "LOGWARDEN_KAFKA__SASL_PASSWORD_FILE"
LOGIN = {"LOGWARDEN_KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "LOGWARDEN_KAFKA__SASL_USERNAME": "reader"}


def refusal(path: Path, **more: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_settings(LOGIN | {FILE: str(path)} | more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "secret"),
    [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("pä$$\n", "pä$$")],
)
def test_one_newline_at_the_end_is_not_part_of_the_secret(tmp_path: Path, content: str, secret: str) -> None:
    """Editors add it, and everything else is the operator's: spaces may belong to a password."""
    path = tmp_path / "secret"
    path.write_bytes(content.encode())
    assert secret_in(path) == secret


def test_a_password_in_a_file_is_a_password(tmp_path: Path) -> None:
    """The file satisfies the rule that SASL needs a password, and its content is in no description."""
    path = tmp_path / "secret"
    path.write_text("hunter2\n", encoding="utf-8")
    settings = read_settings(LOGIN | {FILE: str(path)})
    assert settings.kafka.sasl_password_file == path
    assert "hunter2" not in repr(settings) + repr(describe(settings)) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "which is empty"),
        (b"\n", "which is empty"),
        (b"\xff\xfe", "which is no UTF-8 text"),
        (b"x" * 65_537, "which has more than 65,536 bytes"),
    ],
)
def test_a_file_without_a_secret_is_one_sentence(tmp_path: Path, content: bytes, reason: str) -> None:
    """The daemon ends before it connects, and names the variable and the file."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert refusal(path) == f"{FILE} names the file {str(path)!r}, {reason}"


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret without permission for the daemon's user; tests run as root, which may read everything."""
    path = tmp_path / "secret"
    path.touch()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(path) == f"{FILE} names the file {str(path)!r}, which cannot be read: Permission denied"


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    """A secret that is not mounted."""
    path = tmp_path / "missing"
    assert refusal(path) == f"{FILE} is {str(path)!r}, but it must be the path of an existing file or none"


@pytest.mark.parametrize("name", ["SASL_PASSWORD", "OAUTH_CLIENT_SECRET", "SSL_KEY_PASSWORD"])
def test_a_secret_and_its_file_contradict_each_other(tmp_path: Path, name: str) -> None:
    """Only one of them can be the right one, and the daemon does not choose."""
    path = tmp_path / "secret"
    path.write_text("from-file", encoding="utf-8")
    variable = f"LOGWARDEN_KAFKA__{name}"
    with pytest.raises(ConfigurationError) as caught:
        read_settings({variable: "from-environment", f"{variable}_FILE": str(path)})
    assert str(caught.value) == f"{variable} and {variable}_FILE are both set; set one of them"

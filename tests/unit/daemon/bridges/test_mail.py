"""Mails to a real SMTP server on loopback: plain, with TLS and a login, and with refusals."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from logwarden.daemon.bridges.building import destinations_of
from logwarden.daemon.bridges.destination import Destination
from logwarden.daemon.bridges.notice import Action, Notice
from logwarden.daemon.clock import SystemClock
from logwarden.daemon.errors import ConfigurationError, DestinationUnavailable, NoticeRefused
from logwarden.daemon.settings.reading import read_settings
from tests.bridge_stand_ins import incident
from tests.certificates import Authority
from tests.kafka.ports import free_ports


class Postbox:
    """Takes mails. `answers` are given to the next ones, in place of taking them."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answers: list[str] = []
        self.refused = ""
        self.port = 0

    async def handle_RCPT(  # noqa: N802 - the server calls it by this name
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address == self.refused:
            return "550 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - likewise
        self, server: Any, session: Session, envelope: Envelope
    ) -> str:
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@contextmanager
def postbox(context: ssl.SSLContext | None = None, password: str = "") -> Iterator[Postbox]:
    """Yields a running mail server; with a context it requires STARTTLS, with a password a login."""
    box = Postbox()
    box.port = free_ports(1)[0]
    more: dict[str, Any] = {}
    if context is not None:
        more |= {"tls_context": context, "require_starttls": True}
    if password:

        def authenticator(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
            is_right = isinstance(data, LoginPassword) and data.password.decode() == password
            return AuthResult(success=is_right, handled=False)

        more |= {"auth_required": True, "authenticator": authenticator}
    controller = Controller(box, hostname="127.0.0.1", port=box.port, **more)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


def mail(port: int, **settings: object) -> Destination:
    """Returns the destination of these settings."""
    given = {"SMTP_HOST": "localhost", "SMTP_PORT": port, "SMTP_SECURITY": "plain", "TIMEOUT_S": 5}
    given |= {"MAIL_FROM": "logwarden@example.org", "MAIL_TO": "ops@example.org,b@example.org"} | settings
    read = read_settings({f"LOGWARDEN_BRIDGE__{name}": str(value) for name, value in given.items()})
    [destination] = destinations_of(read, SystemClock())
    return destination


async def deliver(destination: Destination, revision: int = 1) -> None:
    """Delivers an incident, and closes the destination."""
    try:
        await destination.deliver(Notice(record=incident(revision=revision), action=Action.TRIGGER))
    finally:
        await destination.close()


async def test_a_mail_arrives() -> None:
    """Both receivers get the incident with its lines."""
    with postbox() as box:
        await deliver(mail(box.port))
    [arrived] = box.mails
    assert arrived["Subject"] == "[logwarden] ERROR db-1: PANIC: could not write to file: No space left on device"
    assert "5x db-1: PANIC" in arrived.get_content()
    assert arrived["To"] == "ops@example.org, b@example.org"


async def test_a_login_over_tls(tmp_path: Path) -> None:
    """The password leaves for a server with a trusted certificate only; a wrong one is named with its setting."""
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("mail")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    secret = tmp_path / "password"
    secret.write_text("right\n")
    login = {"SMTP_SECURITY": "starttls", "SMTP_USERNAME": "me", "SMTP_PASSWORD_FILE": secret}
    with postbox(context, "right") as box:
        with pytest.raises(DestinationUnavailable, match="certificate"):
            await deliver(mail(box.port, **login))
        await deliver(mail(box.port, CAFILE=authority.certificate, **login))
        assert len(box.mails) == 1
        secret.write_text("wrong\n")
        with pytest.raises(DestinationUnavailable, match="refuses the login") as caught:
            await deliver(mail(box.port, CAFILE=authority.certificate, **login))
    assert "SMTP_USERNAME" in caught.value.hint
    assert "wrong" not in str(caught.value)


async def test_a_full_mailbox_is_tried_again_and_a_refusal_is_buried() -> None:
    """Answers of 4xx pass, answers of 5xx do not."""
    with postbox() as box:
        box.answers = ["452 mailbox is full", "554 this is spam"]
        with pytest.raises(DestinationUnavailable, match="452: mailbox is full"):
            await deliver(mail(box.port))
        with pytest.raises(NoticeRefused, match="554: this is spam"):
            await deliver(mail(box.port))
        box.refused = "b@example.org"
        with pytest.raises(NoticeRefused, match=r"refuses some receivers: b@example\.org"):
            await deliver(mail(box.port))
        assert len(box.mails) == 1, "the other receiver has it"


async def test_no_mail_server() -> None:
    """Without a server the setting to check is named."""
    with pytest.raises(DestinationUnavailable, match="cannot be reached") as caught:
        await deliver(mail(free_ports(1)[0]))
    assert "LOGWARDEN_BRIDGE__SMTP_HOST" in caught.value.hint


@pytest.mark.parametrize("wrong", ["nobody", "a b@c d", "@", ""])
def test_a_wrong_address_is_found_at_the_start(wrong: str) -> None:
    """A text that is no mail address ends the bridge before the first incident."""
    with pytest.raises(ConfigurationError, match=r"mail address|MAIL_FROM"):
        mail(25, MAIL_FROM=wrong)

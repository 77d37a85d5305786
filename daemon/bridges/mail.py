"""Sends incidents by mail: the begin, what makes it worse, and the end, as one thread of messages.

The id of a message is that of the incident and its revision, so that a repeated one is recognized. The client of the
standard library blocks: it runs on a thread of its own, and one connection carries one message.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Literal

from logwarden.daemon.bridges.notice import Action, Notice, Quoting, ending_of, one_line, services_of
from logwarden.daemon.errors import ConfigurationError, DestinationUnavailable, NoticeRefused
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.ports import Clock, Worker

Security = Literal["starttls", "tls", "plain"]
_SUBJECT_CHARS = 150
_SETTING = "LOGWARDEN_BRIDGE__SMTP_HOST"
_LOGIN_HINT = "check LOGWARDEN_BRIDGE__SMTP_USERNAME and its password"


class Mail:
    """The destination. `password` is called for each connection, so that a file with it may change."""

    name, at_once, round_trips, all_updates, remind_s = "mail", 1, 10, False, None

    def __init__(
        self,
        server: SmtpServer,
        worker: Worker,
        close_worker: Callable[[], None],
        quoting: Quoting,
        clock: Clock,
        *,
        sender: str,
        receivers: Sequence[str],
    ) -> None:
        self._server = server
        self._worker = worker
        self._close_worker = close_worker
        self._quoting = quoting
        self._clock = clock
        self._sender = address_of(sender)
        self._receivers = [address_of(receiver) for receiver in receivers]

    async def deliver(self, notice: Notice) -> None:
        message = mail_of(notice, self._quoting, self._sender, self._receivers, self._clock.now_ms())
        await self._worker.run(self._server.send, message)

    async def remind(self, records: Sequence[IncidentRecord]) -> None:
        """Sends nothing: a mail stays."""

    async def close(self) -> None:
        self._close_worker()


class SmtpServer:
    """A mail server. Blocks; used on one thread."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: Security,
        timeout_s: float,
        cafile: Path | None = None,
        username: str | None = None,
        password: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._host = host
        self._port = port
        self._security = security
        self._timeout_s = timeout_s
        self._cafile = cafile
        self._username = username
        self._password = password

    def send(self, message: EmailMessage) -> None:
        """Sends a message. Raises DestinationUnavailable or NoticeRefused."""
        try:
            with self._connected() as client:
                refused = client.send_message(message)
        except smtplib.SMTPAuthenticationError as error:
            raise DestinationUnavailable(
                f"the mail server refuses the login: {_said(error)}", hint=_LOGIN_HINT
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            raise _refusal(next(iter(error.recipients.values()), (550, b""))) from None
        except smtplib.SMTPResponseException as error:
            raise _refusal((error.smtp_code, error.smtp_error)) from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            words = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
            raise DestinationUnavailable(
                f"the mail server cannot be reached: {one_line(words, 200) or type(error).__name__}",
                hint=f"check {_SETTING}, the port and the encryption",
            ) from None
        if refused and all(code >= 500 for code, _ in refused.values()):
            # The others have it: to send it again would repeat it for them.
            names = ", ".join(sorted(refused))
            raise NoticeRefused(f"the mail server refuses some receivers: {one_line(names, 200)}")

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context(cafile=self._cafile)
        client: smtplib.SMTP
        if self._security == "tls":
            client = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=context)
        else:
            client = smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        try:
            if self._security == "starttls":
                client.starttls(context=context)
            if self._username is not None:
                client.login(self._username, self._password() or "")
        except BaseException:
            client.close()
            raise
        return client


def address_of(text: str) -> Address:
    """Returns a mail address, such as `Ops <ops@example.org>`. Raises ConfigurationError for another text."""
    name, address = parseaddr(text)
    try:
        return Address(display_name=one_line(name, 100), addr_spec=address)
    except (ValueError, IndexError):
        raise ConfigurationError(
            f"{text!r} is no mail address", hint="correct LOGWARDEN_BRIDGE__MAIL_FROM and LOGWARDEN_BRIDGE__MAIL_TO"
        ) from None


def mail_of(
    notice: Notice, quoting: Quoting, sender: Address, receivers: Sequence[Address], now_ms: int
) -> EmailMessage:
    """Returns the message of a notice."""
    record, facts = notice.record, notice.record.logwarden
    is_over = notice.action is Action.RESOLVE
    word = facts.status.upper() if is_over else facts.severity.upper()
    message = EmailMessage(policy=SMTP)
    # One subject for the whole thread would hide what is over; the references below keep the thread together.
    message["Subject"] = one_line(f"[logwarden] {word} {quoting.summary(record)}", _SUBJECT_CHARS)
    message["From"] = sender
    message["To"] = list(receivers)
    message["Date"] = format_datetime(datetime.fromtimestamp(now_ms / 1000, UTC))
    thread = f"<{record.id}@logwarden.invalid>"
    message["Message-ID"] = f"<{record.id}.{facts.revision}.{notice.action.value}@logwarden.invalid>"
    message["References"] = thread
    message["In-Reply-To"] = thread
    message["Auto-Submitted"] = "auto-generated"
    message["X-Logwarden-Incident"] = record.id
    message["X-Logwarden-Severity"] = facts.severity
    rows = [
        quoting.summary(record, 1_000),
        "",
        quoting.details(record),
        "",
        f"Services:   {services_of(record, 500)}",
        f"First seen: {facts.first_seen or 'unknown'}",
        f"Last seen:  {facts.last_seen or 'unknown'}",
        f"Alerts:     {facts.alerts} ({', '.join(facts.kinds)})",
        f"Incident:   {record.id}",
        *([f"Ended:      {ending}"] if (ending := ending_of(record)) else []),
    ]
    link = quoting.link_to(record)
    message.set_content("\n".join(rows + ([f"Link:       {link}"] if link else [])) + "\n")
    return message


def _refusal(answer: tuple[int, bytes | str]) -> DestinationUnavailable | NoticeRefused:
    """Returns the error of a mail server's answer: 4xx and a server that closes may take it later."""
    code, said = answer
    words = one_line(said.decode("utf-8", "replace") if isinstance(said, bytes) else said, 200)
    sentence = f"the mail server answered {code}: {words}"
    return NoticeRefused(sentence) if code >= 500 else DestinationUnavailable(sentence)


def _said(error: smtplib.SMTPResponseException) -> str:
    text = error.smtp_error
    return one_line(text.decode("utf-8", "replace") if isinstance(text, bytes) else text, 200)

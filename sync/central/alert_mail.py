"""Alerts by mail: one message to everybody who is named, over TLS. RFC 5321, 5322, 3834 (Auto-Submitted)."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Protocol

import structlog

from config.central import SmtpSecurity
from sync.central.alert_message import Bundle
from sync.errors import LinkError

log = structlog.get_logger("gatepost.central")

TIMEOUT_S = 10.0
"""For each answer of the server; a conversation has about ten, well within ``alert_outbox.LEASE_US``."""


class AlertChannel(Protocol):
    """One way to reach people."""

    @property
    def name(self) -> str:
        """``email`` or ``webhook``."""

    def send(self, bundle: Bundle) -> None:
        """Send, waiting for the other side's word; raises LinkError when it did not take it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailChannel:
    """A mail server and who hears of alerts by it."""

    host: str
    port: int
    security: SmtpSecurity
    sender: str
    to: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    name: str = "email"

    def send(self, bundle: Bundle) -> None:
        """Hand the message to the server. Raises LinkError when it takes it for nobody."""
        try:
            message = mail_of(bundle, sender=self.sender, to=self.to)
            with self._connected() as server:
                if self.security is SmtpSecurity.STARTTLS:
                    server.starttls(context=self.tls)
                if self.user:
                    server.login(self.user, self.password)
                refused = server.send_message(message, from_addr=self.sender, to_addrs=list(self.to))
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise LinkError(f"mail server {self.host}:{self.port}", seen=_said(error)[:200]) from error
        if refused:
            log.warning("alert mail was not taken for everybody", refused=len(refused), of=len(self.to))

    def _connected(self) -> smtplib.SMTP:
        if self.security is SmtpSecurity.TLS:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_S, context=self.tls)
        return smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)


def _said(error: Exception) -> str:
    """The server's own words where there are any; whom it refused is not repeated."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, words = next(iter(error.recipients.values()))
        return f"{code} {words.decode('utf-8', 'replace')}"
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        return f"{error.smtp_code} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}"
    return f"{type(error).__name__}: {error}"


def mail_of(bundle: Bundle, *, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """The mail; the same bundle has the same Message-ID, so that a second copy can be told."""
    message = EmailMessage(policy=SMTP)
    message["Subject"] = bundle.subject()
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Date"] = formatdate(bundle.sent_us / 1_000_000)
    message["Message-ID"] = f"<{bundle.number}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(bundle.text())
    return message

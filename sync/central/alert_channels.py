"""The channels that the settings name, with their secrets read."""

from __future__ import annotations

import ssl
from pathlib import Path

from config.central import Alerts
from config.errors import ConfigError
from config.settings import secret_file
from sync.central.admin.texts import Language
from sync.central.alert_mail import AlertChannel, MailChannel
from sync.central.alert_webhook import WebhookChannel
from sync.central.notifier import Telling

MIN_SECRET_BYTES = 16
MAX_SECRET_BYTES = 4096


def load_telling(alerts: Alerts) -> Telling:
    """How alerts are told. Raises ConfigError for a secret that is missing, too short, or open to others."""
    channels: list[AlertChannel] = []
    if alerts.email_to:
        channels.append(
            MailChannel(
                host=alerts.smtp_host,
                port=alerts.smtp_port,
                security=alerts.smtp_security,
                sender=alerts.email_from,
                to=alerts.email_to,
                user=alerts.smtp_user,
                password=_first_line(alerts.smtp_password_file) if alerts.smtp_password_file is not None else "",
                tls=_tls(alerts.ca_file),
            )
        )
    if alerts.webhook and alerts.webhook_secret_file is not None:
        secret = _first_line(alerts.webhook_secret_file).encode("utf-8")
        if len(secret) < MIN_SECRET_BYTES:
            raise ConfigError(
                f"secret {alerts.webhook_secret_file}",
                seen=f"{len(secret)} bytes",
                expected=f"{MIN_SECRET_BYTES} or more in its first line",
                hint="openssl rand -hex 32",
            )
        channels.append(WebhookChannel(url=alerts.webhook, secret=secret, tls=_tls(alerts.ca_file)))
    return Telling(channels=tuple(channels), language=Language(alerts.language), link=alerts.link)


def _first_line(path: Path) -> str:
    found = secret_file(path)
    try:
        with found.open("rb") as file:
            lines = file.read(MAX_SECRET_BYTES).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"secret {found}", seen=str(error), expected="one line of text") from error
    if not lines or not lines[0].strip():
        raise ConfigError(f"secret {found}", seen="an empty first line", expected="one line of text")
    return lines[0].strip()


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"alerts.ca_file {ca_file}", seen=str(error), expected="certificates, PEM") from error

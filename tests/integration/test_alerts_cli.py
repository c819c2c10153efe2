"""``gatepost-central alerts trial`` (``sync/central/alerts_cli.py``): each channel is tried, whatever the others do."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.errors import ConfigError
from sync.central.alerts_cli import app
from tests.integration.test_alerts_reach_people import SECRET, Hook, listening, settings
from tests.mail_server import MailServer


def mail_and_hook(folder: Path, port: int, url: str) -> Path:
    """A central that tells alerts by mail first, then by webhook."""
    secret = folder / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    return settings(
        folder,
        f'email_to = ["a@example.org"]\nemail_from = "g@example.org"\nsmtp_host = "127.0.0.1"\nsmtp_port = {port}\n'
        f'smtp_security = "none"\nwebhook = "{url}"\nwebhook_secret_file = "{secret}"\n',
    )


def test_a_channel_that_fails_keeps_the_next_one_from_nothing(tmp_path: Path) -> None:
    """The mail server refuses: its words are told, the webhook is tried all the same, and the exit status says so."""
    hook = Hook()
    with MailServer() as server, listening(hook) as url:
        server.refuse = "554 no"
        found = CliRunner().invoke(app, ["trial", "--config", str(mail_and_hook(tmp_path, server.port, url))])
    mail, webhook = found.output.splitlines()
    assert "554 no" in mail
    assert mail.startswith("email: ")
    assert webhook == "webhook: sent"
    assert len(hook.posts) == 1
    assert found.exit_code == 1


def test_all_that_are_taken_are_a_success(tmp_path: Path) -> None:
    """One line each, in the order of the settings' section."""
    with MailServer() as server, listening(Hook()) as url:
        found = CliRunner().invoke(app, ["trial", "--config", str(mail_and_hook(tmp_path, server.port, url))])
    assert (found.exit_code, found.output) == (0, "email: sent\nwebhook: sent\n")


@pytest.mark.parametrize("lines", ["", 'language = "en"\n'])
def test_a_central_that_tells_nobody_has_nothing_to_try(tmp_path: Path, lines: str) -> None:
    """An error that names the section and the file, not a silent success."""
    path = settings(tmp_path, lines)
    found = CliRunner().invoke(app, ["trial", "--config", str(path)])
    assert isinstance(found.exception, ConfigError)
    assert (found.exception.thing, found.exception.hint) == ("[alerts]", str(path))

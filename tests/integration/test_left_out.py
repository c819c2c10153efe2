"""A gate whose list of guards or whose tablets' certificate is lost opens for residents all the same, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.settings import load_settings
from kiosk.records import Kind, PayloadClass
from kiosk.run import build
from tests.fakes import FakeClock
from tests.gate_settings import SIMULATED, lane_text, write_gate
from tests.integration.central_process import free_port
from tests.integration.journal_cases import all_records
from tests.integration.test_duty_records import Browser, guard_line

GUARDS = 'guards = "{folder}/guards.toml"\n'
TABLET = '[web.tablet]\nhost = "127.0.0.1"\nport = 0\n'


def write_authority(path: Path) -> None:
    """A public key as the settings name it."""
    key = Ed25519PrivateKey.generate().public_key()
    path.write_bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


@dataclass
class Site:
    """Where a gate is started, and ended with ``stack``."""

    folder: Path
    stack: ExitStack

    def start(self, more: str = "") -> Browser:
        """The console of the gate once it went round."""
        port = free_port()
        web = SIMULATED.replace("port = 0", f"port = {port}")
        path = write_gate(self.folder, web + more + lane_text("in", "reader"), kiosk_id="gate-1", keys=GUARDS)
        build(load_settings(path, {}).settings, self.stack, clock=FakeClock())._round()
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        self.stack.callback(client.close)
        return Browser(client)

    def guards(self) -> None:
        """The list, as it should be."""
        (self.folder / "guards.toml").write_bytes(guard_line("wang"))
        (self.folder / "guards.toml").chmod(0o600)

    def alarms(self) -> list[Any]:
        """The facts of the records that the central makes alerts of."""
        records = chain.from_iterable(all_records(self.folder / "state/journal.db").values())
        return [record.payloads[PayloadClass.FACTS].body for record in records if record.kind is Kind.ALARM]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def test_without_the_tablets_certificate_it_starts_without_tablets(site: Site) -> None:
    """The guard at the kiosk reads it, and the record names the command that makes one."""
    site.guards()
    console = site.start(TABLET)
    assert console.client.get("/lane/in").status_code == 200
    assert console.log_in("wang") == 303
    assert "平板保安台未启用" in console.client.get("/guard").text
    (alarm,) = site.alarms()
    assert alarm["code"] == "tablets_not_served"
    assert "gatepost console certificate" in alarm["detail"]


@pytest.mark.parametrize("text", [None, "[guards.wang]\nsecret = 'in plain'\n"])
def test_without_its_list_of_guards_it_starts_and_lets_nobody_log_in(site: Site, text: str | None) -> None:
    """The lock page says so without a try; the emergency button is there."""
    if text is not None:
        site.guards()
        (site.folder / "guards.toml").write_text(text)
    console = site.start()
    assert console.client.get("/lane/in").status_code == 200
    locked = console.client.get("/guard/login").text
    assert "本机还没有设置保安账号" in locked
    assert "紧急开放" in locked
    assert console.log_in("wang") == 403
    (alarm,) = site.alarms()
    assert alarm["code"] == "guards_not_read"
    assert "guards.toml" in alarm["detail"]


def test_with_its_files_whole_it_has_nothing_to_say(site: Site) -> None:
    """No alarm at the console, none to the central."""
    site.guards()
    console = site.start()
    assert console.log_in("wang") == 303
    assert 'class="alarm"' not in console.client.get("/guard").text
    assert site.alarms() == []


def test_without_its_note_of_documents_it_starts_and_takes_none(site: Site) -> None:
    """It could not tell an older document from a newer one; what is in force stays."""
    site.guards()
    (site.folder / "state").mkdir()
    (site.folder / "state/documents-in-force.json").write_bytes(b"\xa5" * 40)
    write_authority(site.folder / "authority.pub")
    console = site.start('[sync]\nauthority = "{folder}/authority.pub"\n')
    assert console.log_in("wang") == 303
    assert "无法接收中心下发的文件" in console.client.get("/guard").text
    (alarm,) = site.alarms()
    assert alarm["code"] == "documents_not_taken"
    assert "documents-in-force.json" in alarm["detail"]

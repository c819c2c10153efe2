"""A community whose residents have phones: a real central that issues codes, a browser for each phone, a whole gate.

The gate runs on a thread of this process with a clock that a test can set ahead, so that nobody waits three minutes
for a screenshot to grow old. Cards are tapped on a simulated reader, pictures of a phone's screen are held before the
folder camera.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page
from typer.testing import CliRunner

from config.settings import PASS_CERTIFICATE, load_settings
from kiosk import code_cli
from kiosk.clock import Instant, SystemClock
from kiosk.demo.control import Control
from kiosk.demo.house import answers, free_port, run_once, write_private
from kiosk.demo.programs import Programs
from kiosk.reasons import ClockTrust
from kiosk.run import build
from kiosk.screens.guards import hash_secret
from kiosk.site_stores import open_roster
from sync.keys import generate_key

CARDS = {"R-1": "04A1B2C3", "R-2": "04A1B2C4"}
GUARD_SECRET = "a guard's secret"
ADMIN_SECRET = "a long admin passphrase"

POLICY = """
version = "phones-1"
title = "Card and health code"
[order]
number = "T-1"
issuer = "the test"
scope = "this test"
until = 2099-01-01T00:00:00Z
[[waiver]]
name = "not_here"
text = "Not asked in this test."
[health_code]
challenge = {challenge}
[[category]]
name = "resident"
lives_here = true
[category.entry]
pass = "required"
temperature = "not_here"
health_code = "required"
trip = "not_here"
register = "not_here"
[[category]]
name = "courier"
[category.entry]
pass = "required"
temperature = "not_here"
health_code = "not_here"
trip = "not_here"
register = "not_here"
[[category]]
name = "visitor"
"""
GATE = """
[site]
kiosk_id = "phones-1"
place_code = "https://example.org/place/phones"
[state]
folder = "{folder}/state"
[policy]
file = "{folder}/policy.toml"
[trust]
folder = "{folder}/trust"
[keys]
community = "{folder}/community.key"
guards = "{folder}/guards.toml"
kiosk = "{folder}/kiosk.pem"
[web]
port = {port}
[simulation]
devices = true
[[lane]]
name = "in"
  [lane.reader]
  port = "{folder}/dev/reader-in"
  strength = "uid"
  [lane.camera]
  source = "folder"
  path = "{folder}/pictures"
  follow = true
  [lane.relay]
  port = "{folder}/dev/relay-in"
"""
PLAN = '[[device]]\nname = "reader-in"\nkind = "pn532"\n[[device]]\nname = "relay-in"\nkind = "relay"\n'
CENTRAL = """
[central]
database = "{folder}/central.db"
port = {port}
[codes]
key = "{folder}/code.pem"
subject_key = "{folder}/subject.key"
hours = 1
"""


class AheadClock:
    """The machine's time, ``ahead_s`` seconds ahead."""

    def __init__(self) -> None:
        self.ahead_s = 0
        self._boot_id = SystemClock(None).now().boot_id

    def now(self) -> Instant:
        at_us = time.time_ns() // 1000 + self.ahead_s * 1_000_000
        return Instant(at_us, ClockTrust.SYNCED, self._boot_id, time.monotonic_ns())


@dataclass
class Town:
    """Central and gate; :meth:`phone` enrols a resident's phone the way a resident and an admin do it."""

    folder: Path
    browser: Browser
    challenge: bool = False
    clock: AheadClock = field(default_factory=AheadClock)
    _stack: ExitStack = field(default_factory=ExitStack)
    _pictures: int = 0

    def start(self) -> None:
        for name in ("pictures", "log", "state"):
            (self.folder / name).mkdir(mode=0o700)
        self._keys()
        self.programs = Programs(self.folder / "log")
        self._stack.callback(self.programs.stop)
        self._start_central()
        self._start_gate()

    def stop(self) -> None:
        self._stack.close()

    # --- the central, and a phone's enrolment ---------------------------------------------------------------

    def phone(self, person_id: str) -> Page:
        """A phone of its own: an admin makes the link in the pages, the phone opens it and shows a code."""
        link = self._link(person_id)
        context = self.browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2)
        self._stack.callback(context.close)
        page = context.new_page()
        page.clock.install()
        page.goto(link)
        page.wait_for_selector("[data-when=ready]:visible")
        return page

    def _link(self, person_id: str) -> str:
        page = self._phones_page()
        page.fill("[name=person_id]", person_id)
        page.click("text=生成链接")
        link = page.locator("p.code").first.text_content() or ""
        page.context.close()
        return link.strip()

    def revoke_phone(self) -> None:
        """An admin revokes the phone enrolled last."""
        page = self._phones_page()
        page.locator("button:has-text('取消登记')").first.click()
        page.wait_for_selector(".state.revoked")
        page.context.close()

    def _phones_page(self) -> Page:
        page = self.browser.new_context().new_page()
        page.goto(f"{self.central}/")
        page.fill("[name=name]", "admin")
        page.fill("[name=passphrase]", ADMIN_SECRET)
        page.click("form.login button")
        page.wait_for_url("**/admin/kiosks")
        page.click("nav >> text=手机")
        page.wait_for_selector("h1:has-text('手机')")
        return page

    def _start_central(self) -> None:
        port = free_port()
        self.central = f"http://127.0.0.1:{port}"
        (self.folder / "central.toml").write_text(CENTRAL.format(folder=self.folder, port=port))
        secret, database = self.folder / "admin.txt", str(self.folder / "central.db")
        write_private(secret, ADMIN_SECRET.encode() + b"\n")
        run_once("sync.central.cli", "init", "--database", database, "--admin-passphrase-file", str(secret))
        self.programs.start("central", "sync.central.cli", "serve", "--config", str(self.folder / "central.toml"))
        self.programs.wait_for("its port", lambda: answers(f"{self.central}/health"), program="central")

    # --- the gate ---------------------------------------------------------------------------------------------

    def tap(self, person_id: str) -> None:
        """The person's card is laid on the reader and taken away."""
        self.control("reader-in", "tap", uid=CARDS[person_id], hold_ms=300)

    def hold_up(self, picture: bytes) -> None:
        """A picture of a phone's screen is held before the camera."""
        self._pictures += 1
        path = self.folder / f"pictures/{self._pictures:04d}.png"
        path.with_suffix(".part").write_bytes(picture)
        path.with_suffix(".part").replace(path)

    def screens(self) -> tuple[Page, Page]:
        """The resident's screen and the guard's console, logged in."""
        context = self.browser.new_context(viewport={"width": 1280, "height": 800})
        self._stack.callback(context.close)
        resident, guard = context.new_page(), context.new_page()
        resident.goto(f"{self.gate}/lane/in")
        guard.goto(f"{self.gate}/guard")
        guard.fill("[name=login]", "wang")
        guard.fill("[name=secret]", GUARD_SECRET)
        guard.click("button[type=submit]:has-text('登录')")
        guard.wait_for_selector(".lanes")
        return resident, guard

    def pulses(self) -> int:
        log = self.folder / "relay-relay-in.log"
        return sum(json.loads(line).get("on") is True for line in log.read_text().splitlines()) if log.exists() else 0

    def _keys(self) -> None:
        write_private(self.folder / "community.key", bytes(range(32)))
        write_private(
            self.folder / "guards.toml",
            f'[guards.wang]\nname = "王师傅"\nsecret = "{hash_secret(GUARD_SECRET)}"\n'.encode(),
        )
        trust, key = str(self.folder / "trust"), str(self.folder / "code.pem")
        kiosk_authority, kiosk_key = str(self.folder / "kiosk-authority.pem"), self.folder / "kiosk.pem"
        generate_key(kiosk_key)
        certify = [
            "--kiosk",
            "phones-1",
            "--kiosk-key",
            str(kiosk_key),
            "--out",
            str(self.folder / "state" / PASS_CERTIFICATE),
        ]
        for arguments in (
            ["new-key", key, "--name", "Phones", "--use", "code", "--trust", trust],
            ["new-key", kiosk_authority, "--name", "Phones", "--use", "kiosk", "--trust", trust],
            ["certify-kiosk", "--key", kiosk_authority, *certify],
            ["subject-key", str(self.folder / "community.key"), str(self.folder / "subject.key")],
        ):
            result = CliRunner().invoke(code_cli.app, arguments)
            assert result.exit_code == 0, result.output

    def _start_gate(self) -> None:
        port = free_port()
        self.gate = f"http://127.0.0.1:{port}"
        (self.folder / "gate.toml").write_text(GATE.format(folder=self.folder, port=port))
        (self.folder / "policy.toml").write_text(POLICY.format(challenge=str(self.challenge).lower()))
        (self.folder / "plan.toml").write_text(PLAN)
        settings = load_settings(self.folder / "gate.toml", {}).settings
        with open_roster(settings) as roster:
            lines = ["person_id,category,card_uid,registered"]
            lines += [f"{person_id},resident,{uid},yes" for person_id, uid in CARDS.items()]
            assert roster.import_csv([line.encode() + b"\n" for line in lines], at_us=0).bad_lines == 0
        plan = ("--dir", str(self.folder), "--plan", str(self.folder / "plan.toml"))
        self.programs.start("simulators", "drivers.simulators", *plan)
        self.control = Control(self.folder / "control.sock")
        self.programs.wait_for("its control socket", self.control.ready, program="simulators")
        gate = build(settings, self._stack, clock=self.clock)
        thread = threading.Thread(target=gate.run, name="gate")
        thread.start()
        self._stack.callback(thread.join, 10)
        self._stack.callback(gate.stop)
        deadline = time.monotonic() + 30
        while httpx.get(f"{self.gate}/lane/in", trust_env=False).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)

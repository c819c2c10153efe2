"""A resident's phone from the office to the open gate: enrolled at the central, read by the camera, told on both.

Everything is real but the hardware: the central and its pages, the phone's browser with a key of its own, the gate with
its camera path, decision, journal and screens.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import segno
import zxingcpp
from playwright.sync_api import Browser, Page, expect

from kiosk.journal import JournalReader
from kiosk.records import Kind, PayloadClass, Stream
from tests.chromium import chromium, wait_until
from tests.scenarios.phone_town import Town

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.xdist_group("whole-gate"),
    pytest.mark.timeout(180),
]
SOON_MS = 15_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for this file."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Town]:
    """A community in which a card and a code are asked for."""
    town = Town(tmp_path_factory.mktemp("town"), browser)
    try:
        town.start()
        yield town
    finally:
        town.stop()


def fresh(phone: Page, after_ms: int = 30_000) -> bytes:
    """A picture of the phone's screen with a code that it signed just now, ``after_ms`` later."""
    before = phone.get_attribute("body", "data-shown")
    phone.clock.fast_forward(after_ms)
    wait_until(phone, "text => document.body.dataset.shown !== text", before)
    return phone.screenshot()


def qr_picture(text: str) -> bytes:
    """A code on paper."""
    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(picture, kind="png", scale=6, border=6)
    return picture.getvalue()


def nobody(resident: Page) -> None:
    """The person before is done, and the lane waits for the next one."""
    expect(resident.locator("[data-face=idle]")).to_be_visible(timeout=SOON_MS)


def told(resident: Page, guard: Page, face: str, word: str, reason: str) -> None:
    """Both screens show the verdict in a glance: the resident what to do, the guard why."""
    expect(resident.locator(f"[data-face={face}]")).to_be_visible(timeout=SOON_MS)
    expect(resident.locator("h1")).to_have_text(word, timeout=SOON_MS)
    expect(guard.locator(f"[data-lane=in][data-face={face}]")).to_be_visible(timeout=SOON_MS)
    expect(guard.locator("[data-lane=in] .reason")).to_have_text(reason, timeout=SOON_MS)


def said(town: Town) -> list[str]:
    """What guards attested of health codes, from the journal."""
    reader = JournalReader(town.folder / "state/journal.db")
    try:
        incarnation = next(iter(reader.positions()))[0]
        records = reader.slice(incarnation, Stream.PASSAGE, 0).records
    finally:
        reader.close()
    return [str((r.payloads[PayloadClass.HEALTH].body or {})["code"]) for r in records if r.kind is Kind.ATTESTATION]


def reasons(town: Town) -> list[str]:
    """The first reason of every passage in the gate's journal."""
    reader = JournalReader(town.folder / "state/journal.db")
    try:
        incarnation = next(iter(reader.positions()))[0]
        records = reader.slice(incarnation, Stream.PASSAGE, 0).records
    finally:
        reader.close()
    facts = [r.payloads[PayloadClass.FACTS].body or {} for r in records if r.kind is Kind.PASSAGE]
    return [str(passage["reasons"][0]) for passage in facts]


def test_the_residents_code_opens_and_neither_a_friends_nor_an_old_picture_does(town: Town) -> None:
    """A friend's code with my card is refused, a picture four minutes old is told to refresh, a fresh one opens."""
    phone, friend = town.phone("R-1"), town.phone("R-2")
    resident, guard = town.screens()

    town.tap("R-1")
    expect(resident.locator("h1")).to_have_text("请出示健康码", timeout=SOON_MS)
    town.hold_up(friend.screenshot())
    told(resident, guard, "deny", "请出示健康码", "健康码与持卡人不是同一人")
    assert "本人的健康码" in resident.content()

    screenshot = phone.screenshot()
    town.clock.ahead_s = 215
    resident.wait_for_timeout(1500)
    town.tap("R-1")
    expect(resident.locator("[data-face=pending]")).to_be_visible(timeout=SOON_MS)
    town.hold_up(screenshot)
    told(resident, guard, "deny", "请刷新健康码", "健康码太旧，可能是截图")
    expect(resident.locator("#face .do")).to_have_text("请打开手机刷新后再扫一次")
    expect(resident.locator("#face .word-en")).to_have_text("Refresh health code")
    assert town.pulses() == 0

    refreshed = fresh(phone, 215_000)
    resident.wait_for_timeout(1500)
    town.tap("R-1")
    expect(resident.locator("[data-face=pending]")).to_be_visible(timeout=SOON_MS)
    town.hold_up(refreshed)
    expect(resident.locator("[data-face=admit]")).to_be_visible(timeout=SOON_MS)
    expect(resident.locator("h1")).to_have_text("请通行")
    expect(guard.locator("[data-lane=in][data-face=admit]")).to_be_visible(timeout=SOON_MS)
    assert reasons(town) == ["code_other_person", "code_stale", "all_checks_passed"]
    assert town.pulses() == 1


def test_a_card_in_three_codes_is_asked_for_code_by_code(town: Town) -> None:
    """A SMART Health Card in chunks: the screen counts them, and only the last one brings a verdict."""
    resident, _ = town.screens()
    nobody(resident)
    town.tap("R-2")
    expect(resident.locator("h1")).to_have_text("请出示健康码", timeout=SOON_MS)
    for number in (1, 2):
        town.hold_up(qr_picture(f"shc:/{number}/3/5676290952432060346029243740446031222959532654603460292540"))
        expect(resident.locator("#face .parts")).to_have_text(f"{number} / 3", timeout=SOON_MS)
        expect(resident.locator("h1")).to_have_text("请换下一个码")
    town.hold_up(qr_picture("shc:/3/3/5676290952432060346029243740446031222959532654603460292540"))
    expect(resident.locator("[data-face=guard]")).to_be_visible(timeout=SOON_MS)
    assert reasons(town)[-1] == "code_malformed"


def test_the_digits_on_the_gates_screen_are_typed_into_the_phone(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> None:
    """Where the policy asks for them, even a fresh picture without them is refused, and with them it opens."""
    town = Town(tmp_path_factory.mktemp("challenge"), browser, challenge=True)
    try:
        town.start()
        phone = town.phone("R-1")
        resident, guard = town.screens()
        digits = resident.locator("#face .digits b")
        expect(digits).to_have_text(re.compile(r"^\d{3}$"), timeout=SOON_MS)
        town.tap("R-1")
        expect(resident.locator("h1")).to_have_text("请出示健康码", timeout=SOON_MS)
        town.hold_up(phone.screenshot())
        told(resident, guard, "deny", "请输入数字", "码里没有屏幕上的数字，可能是截图或转发")
        expect(digits).to_be_visible()

        before = phone.get_attribute("body", "data-shown")
        phone.fill("#challenge", digits.text_content() or "")
        wait_until(phone, "text => document.body.dataset.shown !== text", before)
        town.tap("R-1")
        expect(resident.locator("[data-face=pending]")).to_be_visible(timeout=SOON_MS)
        town.hold_up(phone.screenshot())
        expect(resident.locator("[data-face=admit]")).to_be_visible(timeout=SOON_MS)
        assert reasons(town) == ["code_challenge", "all_checks_passed"]
    finally:
        town.stop()


def test_the_picture_changes_every_thirty_seconds_and_the_code_is_renewed_by_half_its_life(town: Town) -> None:
    """The phone signs anew by itself, also without a network; with one it fetches the next code in good time."""
    phone = town.phone("R-1")
    pictures = {fresh(phone), fresh(phone)}
    phone.context.set_offline(True)
    pictures.add(fresh(phone))
    assert len(pictures) == 3
    phone.context.set_offline(False)
    with phone.expect_response("**/v1/phones/code") as renewed:
        phone.clock.fast_forward(31 * 60_000)
    assert renewed.value.status == 200
    assert renewed.value.json()["code"].startswith("GC1:")


def test_a_wrong_code_and_a_revoked_phone_are_told_in_a_sentence(town: Town) -> None:
    """Typed instead of opened, a used code is refused with what to do; a phone that the office revoked learns it."""
    phone = town.phone("R-1")
    second = phone.context.browser.new_context().new_page()  # type: ignore[union-attr]
    second.goto(f"{town.central}/code/")
    second.fill("#enrol-code", "abcd-efgh-jkmn")
    second.click("#enrol")
    expect(second.locator("[data-trouble=refused]")).to_be_visible(timeout=SOON_MS)
    second.context.close()
    town.revoke_phone()
    phone.clock.fast_forward(31 * 60_000)
    expect(phone.locator("[data-trouble=revoked]")).to_be_visible(timeout=SOON_MS)


def test_phones_read_the_gates_place_code_and_the_guard_attests_what_they_show(town: Town) -> None:
    """The idle screen carries the site's code; one key says what the guard saw, and the journal keeps it."""
    resident, guard = town.screens()
    nobody(resident)
    expect(resident.locator("[data-face=idle] .place img")).to_be_visible(timeout=SOON_MS)
    picture = cv2.imdecode(np.frombuffer(resident.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert [code.text for code in zxingcpp.read_barcodes(picture)] == ["https://example.org/place/phones"]

    for key, face, reason in (("不是绿码", "guard", "code_not_green"), ("看到绿码", "admit", "all_checks_passed")):
        resident.wait_for_timeout(1500)
        town.tap("R-2")
        expect(resident.locator("h1")).to_have_text("请出示健康码", timeout=SOON_MS)
        guard.click(f".keys >> text={key}")
        expect(resident.locator(f"[data-face={face}]")).to_be_visible(timeout=SOON_MS)
        assert reasons(town)[-1] == reason
    assert said(town) == ["not_green", "seen_green"]


def test_the_guard_issues_a_pass_that_opens_this_gate_once(town: Town) -> None:
    """From the console to the camera: the code shown there opens once, and a revoked one does not open at all."""
    resident, guard = town.screens()
    nobody(resident)
    before = town.pulses()

    def issue() -> bytes:
        guard.click("text=临时通行证")
        guard.check("[name=category][value=courier]")
        guard.check("[name=use][value=once]")
        guard.click("text=开通行证")
        guard.wait_for_selector("#sheet [data-pass]")
        picture = guard.locator("#sheet [data-pass]").screenshot()
        guard.click("#sheet [data-close]")
        return picture

    shown = issue()
    town.hold_up(shown)
    expect(resident.locator("[data-face=admit]")).to_be_visible(timeout=SOON_MS)
    resident.wait_for_timeout(3500)
    town.hold_up(shown)
    told(resident, guard, "guard", "请登记", "一次性通行证已使用")

    lost = issue()
    guard.click("text=临时通行证")
    guard.locator("#sheet .passes button:has-text('作废')").first.click()
    guard.wait_for_selector("#toast:has-text('已作废')")
    town.hold_up(lost)
    told(resident, guard, "guard", "请找保安", "通行证已作废")
    assert reasons(town)[-3:] == ["all_checks_passed", "pass_used", "pass_revoked"]
    assert town.pulses() == before + 1

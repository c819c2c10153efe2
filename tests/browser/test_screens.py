"""The pages in a real browser: live, inert to hostile text, readable, and usable by hand and by key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from kiosk.board import Emergency, LaneView, Override, RegisterVisitor
from kiosk.screens.app import create_app
from kiosk.screens.guards import GuardBook
from kiosk.screens.hub import Hub
from kiosk.screens.preview import PreviewGate, busy_view, kiosk_view, scenes
from kiosk.screens.server import ScreensServer
from kiosk.screens.texts import Language, Texts, pseudo_locale, texts
from tests.browser.conftest import SIZES, Stage
from tests.chromium import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

HOSTILE = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '"><svg onload=window.hacked=1>',
    "javascript:window.hacked=1",
    "{{7*7}}${7*7}",
    "</title></style><b id=hacked>",
)


def face(page: Page) -> str | None:
    return page.locator("#face [data-face]").get_attribute("data-face")


def watch(page: Page) -> list[str]:
    """Everything that must not happen: foreign requests, policy violations, script errors, dialogs."""
    bad: list[str] = []
    page.on("request", lambda r: None if re.match(r"http://127\.0\.0\.1:\d+/", r.url) else bad.append(r.url))
    page.on("pageerror", lambda error: bad.append(str(error)))
    page.on("console", lambda m: bad.append(m.text) if m.type in ("error", "warning") else None)
    page.on("dialog", lambda dialog: (bad.append("dialog"), dialog.dismiss()))
    page.add_init_script("addEventListener('securitypolicyviolation', (e) => console.error('CSP ' + e.blockedURI))")
    return bad


# --- live ---------------------------------------------------------------------------------------------------------


def test_verdicts_appear_on_both_screens_by_events(stage: Stage) -> None:
    """Admit, deny and see-the-guard reach the resident's screen and the console without a reload."""
    stage.show(kiosk_view(scenes()["idle"]))
    resident, console = stage.open("/lane/east-in"), stage.log_in()
    assert face(resident) == "idle"
    for scene, shown, word in (
        ("admit", "admit", "请通行"),
        ("code_expired", "deny", "请刷新健康码"),
        ("fever", "guard", "请找保安"),
        ("emergency", "emergency", "请通行"),
    ):
        stage.show(kiosk_view(scenes()[scene]))
        expect(resident.locator("#face [data-face]")).to_have_attribute("data-face", shown)
        expect(resident.locator("#face .word")).to_have_text(word)
        expect(console.locator("#panel-east-in .panel")).to_have_attribute("data-face", shown)


def test_a_page_load_shows_the_present_and_what_was_painted_is_known(stage: Stage) -> None:
    """No event is needed to see the state; a verdict that came by event is acknowledged, and the browser is alive."""
    stage.show(kiosk_view(scenes()["code_expired"]))
    page = stage.open("/lane/east-in")
    assert face(page) == "deny"
    with page.expect_request("**/painted"):
        stage.show(kiosk_view(scenes()["admit"]))
    expect(page.locator("#face [data-face]")).to_have_attribute("data-face", "admit")
    wait_until(page, "performance.getEntriesByType('resource').some((e) => e.name.endsWith('/painted'))")
    assert [p.passage for p in stage.server.painted()] == ["p1"]
    age_s = stage.server.browser_age_s("lane/east-in")
    assert age_s is not None
    assert age_s < 60


def test_a_page_says_not_live_when_the_server_is_gone(stage: Stage) -> None:
    """Eight seconds without a sign: the old verdict is covered, by words that tell what to do."""
    page = stage.context.new_page()
    page.clock.install()
    stage.show(kiosk_view(scenes()["admit"]))
    stage.open("/lane/east-in", page=page)
    expect(page.locator(".not-live")).to_be_hidden()
    stage.server.stop()
    page.clock.run_for(9000)
    expect(page.locator(".not-live")).to_be_visible()
    expect(page.locator(".not-live .word")).to_have_text("请找保安")


def test_a_page_says_not_live_when_the_gate_stands_still_and_comes_back(stage: Stage) -> None:
    """A web server that lives alone does not pretend; the first new view brings the screen back."""
    page, console = stage.open("/lane/east-in"), stage.log_in()
    stage.clock["now_ns"] = int(9e9)
    expect(page.locator(".not-live")).to_be_visible()
    expect(console.locator(".not-live-banner")).to_be_visible()
    stage.show(kiosk_view(scenes()["admit"]))
    expect(page.locator(".not-live")).to_be_hidden()
    expect(console.locator(".not-live-banner")).to_be_hidden()


@pytest.mark.parametrize("cover", [".not-live", ".not-live-banner"])
def test_a_page_whose_script_never_came_says_so_by_itself(stage: Stage, cover: str) -> None:
    """The line was cut between page and script: the style sheet counts the same eight seconds."""
    stage.context.route("**/static/sound.js", lambda route: route.abort())
    page = stage.log_in() if cover == ".not-live-banner" else stage.open("/lane/east-in")
    at_ms = "(ms) => document.getAnimations().forEach((a) => { a.pause(); a.currentTime = ms; })"
    page.evaluate(at_ms, 7900)
    expect(page.locator(cover)).to_be_hidden()
    page.evaluate(at_ms, 8100)
    expect(page.locator(cover)).to_be_visible()
    if cover == ".not-live-banner":
        above = page.locator(cover).bounding_box()
        free = page.locator("header .emergency").bounding_box()
        assert above is not None
        assert free is not None
        assert free["y"] + free["height"] <= above["y"]


def test_a_console_whose_session_ended_while_its_line_was_cut_closes_itself(stage: Stage) -> None:
    """Its events are refused when the line is back; a page that only went on trying would show people for ever."""
    stage.context.route("**/events/guard", lambda route: route.abort())
    page, other = stage.log_in(), stage.context.new_page()
    stage.open("/guard", page=other)
    other.click("button:has-text('交班锁定')")
    stage.context.unroute("**/events/guard")
    page.wait_for_url("**/guard/login")


# --- inert and private ----------------------------------------------------------------------------------------------


def test_hostile_text_is_inert_and_nothing_leaves_the_machine(stage: Stage) -> None:
    """Whatever a visitor, a device or a site calls itself: text. No foreign request, no policy violation, no error."""
    page = stage.context.new_page()
    bad = watch(page)
    console = stage.context.new_page()
    bad_console = watch(console)
    stage.open("/lane/east-in", page=page)
    stage.open("/guard", page=console)
    console.fill("[name=login]", "wang")
    console.fill("[name=secret]", "correct horse")
    console.click("button:has-text('登录')")
    console.wait_for_selector(".lanes")
    for text in HOSTILE:
        view = busy_view(1)
        lane = view.lanes[0]
        verdict = lane.verdict
        assert verdict is not None
        lane = replace(
            lane,
            verdict=replace(verdict, category=text),
            devices=tuple(replace(d, ok=False, detail=text, role=text) for d in lane.devices),
        )
        row = replace(view.recent[0], category=text, reason=text, lane=text, passage=text)
        stage.show(replace(view, lanes=(lane,), recent=(row,), site_name=text, alarms=(text,), duty_number=text))
        expect(console.locator("#recent .text").first).to_contain_text(text[:10])
        expect(page.locator(".duty b").first).to_have_text(text)
    for shown in (page, console):
        assert shown.evaluate("window.hacked") is None
        assert shown.locator("#hacked, img, .row script, main script").count() == 0
    assert bad == []
    assert bad_console == []


def test_no_public_page_is_heavy_or_asks_for_foreign_things(stage: Stage) -> None:
    """The resident's page weighs less than 150 kB in all, from this machine alone."""
    page = stage.context.new_page()
    bad = watch(page)
    stage.open("/lane/east-in", page=page)
    page.wait_for_load_state("load")
    weight_bytes = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".filter((e) => !e.name.includes('/events/')).reduce((sum, e) => sum + e.encodedBodySize, 0)"
    )
    assert 10_000 < weight_bytes < 150_000
    assert bad == []


# --- readable -------------------------------------------------------------------------------------------------------

CUT_OFF = """() => {
  const cut = [], width = innerWidth, height = innerHeight;
  const visible = (e) => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  for (const e of document.querySelectorAll('body *')) {
    if (!visible(e) || e.closest('svg') || e.matches('.sr, option')) continue;
    const text = [...e.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim());
    if (!text.length || e.closest('.rows, #detail')) continue;   // rows are cut with an ellipsis on purpose
    const range = document.createRange();
    for (const node of text) {
      range.selectNodeContents(node);
      for (const r of range.getClientRects()) {
        let box = { left: 0, top: 0, right: width, bottom: height };
        for (let p = e; p && p !== document.body; p = p.parentElement) {
          if (getComputedStyle(p).overflow !== 'visible') {
            const q = p.getBoundingClientRect();
            box = { left: Math.max(box.left, q.left), top: Math.max(box.top, q.top),
                    right: Math.min(box.right, q.right), bottom: Math.min(box.bottom, q.bottom) };
          }
        }
        // A line's box is taller than its glyphs; 15 % of it is leading.
        const slack = r.height * 0.15 + 1;
        const over = Math.max(box.left - 1 - r.left, r.right - box.right - 1,
                              box.top - slack - r.top, r.bottom - box.bottom - slack);
        if (over > 0) cut.push(`${node.textContent.trim()}: ${Math.round(over)} px`);
      }
    }
  }
  if (document.documentElement.scrollHeight > height + 1) cut.push('page scrolls');
  return cut;
}"""


SMALL_TARGETS = """() => [...document.querySelectorAll('button, a')]
  .map((e) => [e.textContent.trim(), e.getBoundingClientRect()])
  .filter(([, r]) => r.width && (r.width < 43.9 || r.height < 43.9))
  .map(([text, r]) => [text, r.width, r.height])"""

# Buttons of the lanes that cannot be brought into view whole, and the emergency if it leaves the view meanwhile.
HIDDEN_BUTTONS = """() => {
  const lost = [];
  const whole = (e) => {
    const r = e.getBoundingClientRect();
    return r.top >= -1 && r.left >= -1 && r.bottom <= innerHeight + 1 && r.right <= innerWidth + 1;
  };
  for (const button of document.querySelectorAll('.lane button, .lane a')) {
    button.scrollIntoView({ block: 'center' });
    const r = button.getBoundingClientRect();
    const top = document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2);
    if (!whole(button) || !button.contains(top)) lost.push(button.innerText);
    if (!whole(document.querySelector('.strip .emergency'))) lost.push('emergency');
  }
  return lost;
}"""

# Sizes in parts of the screen's height: word, sentence, shape (on an idle screen the place code in its stead).
PROPORTIONS = """() => {
  const size = (selector) => parseFloat(getComputedStyle(document.querySelector(selector)).fontSize) / innerHeight;
  const shape = document.querySelector('#face .shape, #face .place img').getBoundingClientRect();
  return { word: size('#face .word'), sentence: size('#face .do'), shape: shape.height / innerHeight };
}"""


def each_scene(stage: Stage, page: Page) -> Iterator[tuple[str, LaneView]]:
    """Shows every scene by event and waits until it is drawn."""
    for name, original in scenes().items():
        scene = replace(original, passage=f"scene-{name}")
        stage.show(kiosk_view(scene))
        page.wait_for_selector(f"#face [data-passage='{scene.passage}']")
        yield name, scene


def resize(page: Page, size: str) -> int:
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    return height


@pytest.mark.parametrize(
    ("stretched", "theme"), [(False, "normal"), (True, "contrast")], ids=["as-is", "plus-40-percent"]
)
def test_no_text_is_cut_off_on_the_resident_screen(
    make_stage: Callable[..., Stage], stretched: bool, theme: str
) -> None:
    """Every face at every size, also with texts 40 % longer than ours."""

    def words(language: Language) -> Texts:
        return pseudo_locale(texts(language)) if stretched else texts(language)

    stage = make_stage(texts_of=words)
    page = stage.open(f"/lane/east-in?theme={theme}")
    cut = {}
    for name, _ in each_scene(stage, page):
        for size in SIZES:
            resize(page, size)
            cut[name, size] = page.evaluate(CUT_OFF)
    page.evaluate("document.documentElement.dataset.live = 'no'")
    for size in SIZES:
        resize(page, size)
        cut["not live", size] = page.evaluate(CUT_OFF)
    assert {where: what for where, what in cut.items() if what} == {}


@pytest.mark.parametrize("size", [(1024, 768), (768, 1024), (390, 844)], ids=["tablet", "upright", "phone"])
def test_a_smaller_tablet_scrolls_and_loses_nothing(make_stage: Callable[..., Stage], size: tuple[int, int]) -> None:
    """Below 1280x800 the console becomes a column: every button is whole, the emergency stays in view."""
    stage = make_stage(view=busy_view(4))
    page = stage.log_in()
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(stage.server.address + "/guard")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(SMALL_TARGETS) == []
    assert page.evaluate(HIDDEN_BUTTONS) == []


def test_the_word_is_tall_enough_for_three_metres(stage: Stage) -> None:
    """Word 22 % of the height or more, 35 % on a 7-inch screen for up to four characters; sentence 7 %, shape 35 %."""
    page = stage.open("/lane/east-in")
    for name, _ in each_scene(stage, page):
        for size in ("10-inch", "7-inch"):
            resize(page, size)
            seen = page.evaluate(PROPORTIONS)
            short = size == "7-inch" and len(page.locator("#face .word").inner_text()) <= 4
            assert seen["word"] >= (0.35 if short else 0.22), (name, size)
            assert seen["sentence"] >= 0.07, (name, size)
            assert seen["shape"] >= 0.35, (name, size)


@pytest.mark.parametrize("lanes", [1, 2, 3, 4])
def test_the_console_fits_without_scrolling(make_stage: Callable[..., Stage], lanes: int) -> None:
    """One to four lanes at 1280x800, in every scene: nothing scrolls, nothing is cut off, every target is 44 px."""
    stage = make_stage(view=busy_view(lanes))
    page = stage.log_in()
    for language in Language:
        page.goto(f"{stage.server.address}/guard?lang={language}")
        for shift in range(0, 13, lanes):
            view = busy_view(lanes, shift)
            view = replace(view, lanes=tuple(replace(lane, passage=f"shift-{shift}") for lane in view.lanes))
            stage.show(view)
            page.wait_for_selector(f"[data-lane='{view.lanes[-1].lane}'] [data-passage='shift-{shift}']")
            assert page.evaluate(CUT_OFF) == [], (language, shift)
        assert page.evaluate(SMALL_TARGETS) == []


# --- usable ---------------------------------------------------------------------------------------------------------


def commands(stage: Stage, kind: type) -> list[object]:
    gate: PreviewGate = stage.gate
    return [c for c in gate.commands if isinstance(c, kind)]


def test_an_override_takes_three_presses(stage: Stage) -> None:
    """Admit once, a reason, confirm: and the person it was meant for is named in the command."""
    page = stage.log_in()
    page.click(".more a:has-text('人工放行')")
    page.click("dialog button:has-text('就医等急事')")
    page.click("dialog .primary")
    expect(page.locator("#toast")).to_have_text("已处理，已记录理由")
    assert commands(stage, Override) == [
        Override(lane="east-in", passage="p5", guard="wang", admit=True, reason="urgent_need")
    ]
    expect(page.locator("dialog")).to_be_hidden()


def test_a_visitor_is_registered_by_keyboard_alone(stage: Stage) -> None:
    """Name, phone, host, purpose, save: six keystrokes of Tab and the typing, without a mouse."""
    page = stage.log_in()
    page.locator(".more a:has-text('登记来访')").press("Enter")
    expect(page.locator("dialog [name=name]")).to_be_focused()
    keys = page.keyboard
    keys.insert_text("李明")
    keys.press("Tab")
    keys.type("0042")
    keys.press("Tab")
    keys.insert_text("3号楼501")
    keys.press("Tab")
    keys.press("Space")
    keys.press("ArrowRight")
    keys.press("Enter")
    expect(page.locator("#toast")).to_have_text("已登记")
    visitor = RegisterVisitor(
        lane="east-in", guard="wang", name="李明", phone_last4="0042", host="3号楼501", purpose="delivery"
    )
    assert commands(stage, RegisterVisitor) == [visitor]


def test_a_wrong_field_is_told_in_the_sheet(stage: Stage) -> None:
    """The value stays, the error stands beside it, and the sheet stays open."""
    page = stage.log_in()
    page.click(".more a:has-text('输入体温')")
    page.fill("dialog [name=object_c]", "368")
    page.click("dialog button:has-text('保存')")
    expect(page.locator("dialog .error")).to_contain_text("34.0 到 43.0")
    expect(page.locator("dialog [name=object_c]")).to_have_value("368")


def test_emergency_needs_two_seconds_and_no_login(stage: Stage) -> None:
    """A short press does nothing and says why; two seconds open, from the locked console too."""
    page = stage.context.new_page()
    page.clock.install()
    stage.open("/guard", page=page)
    button = page.locator(".emergency").first
    button.hover()
    page.mouse.down()
    page.clock.run_for(1500)
    page.mouse.up()
    expect(page.locator("#toast")).to_have_text("按住 2 秒")
    assert commands(stage, Emergency) == []
    page.mouse.down()
    page.clock.run_for(2100)
    expect(page.locator("#toast")).to_have_text("已紧急开放")
    page.mouse.up()
    assert commands(stage, Emergency) == [Emergency(lane="east-in", open=True)]


def test_emergency_by_finger(make_stage: Callable[..., Stage]) -> None:
    """A held finger opens after two seconds; neither scrolling nor a menu gets in its way."""
    stage = make_stage(has_touch=True)
    page = stage.context.new_page()
    page.clock.install()
    stage.open("/guard", page=page)
    box = page.locator(".emergency").first.bounding_box()
    assert box is not None
    touch = {"x": box["x"] + 20, "y": box["y"] + 20}
    devtools = stage.context.new_cdp_session(page)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [touch]})
    page.clock.run_for(1000)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.clock.run_for(2000)
    assert commands(stage, Emergency) == []
    devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [touch]})
    page.clock.run_for(2100)
    expect(page.locator("#toast")).to_have_text("已紧急开放")
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert commands(stage, Emergency) == [Emergency(lane="east-in", open=True)]


TONES = """window.tones = [];
window.OscillatorNode = class extends OscillatorNode {
  constructor(context, options) { super(context, options); window.tones.push(options.frequency); }
};"""


def test_every_verdict_has_its_sound(stage: Stage) -> None:
    """Two rising tones admit, a low one twice denies, three level ones call the guard. Console: no admits."""
    page, console = stage.context.new_page(), stage.context.new_page()
    for silent in (page, console):
        silent.add_init_script(TONES)
    stage.show(kiosk_view(scenes()["idle"]))
    stage.open("/lane/east-in", page=page)
    stage.log_in(page=console)
    heard = {}
    for scene, shown in (("admit", "admit"), ("code_expired", "deny"), ("fever", "guard")):
        for open_page in (page, console):
            open_page.evaluate("window.tones.length = 0")
        stage.show(kiosk_view(scenes()[scene]))
        for open_page in (page, console):
            open_page.wait_for_selector(f"[data-face={shown}][data-passage]")
        heard[shown] = (page.evaluate("window.tones"), console.evaluate("window.tones"))
    assert heard["admit"] == ([660, 990], [])
    assert heard["deny"] == ([196, 196], [196, 196])
    assert heard["guard"] == ([523, 523, 523], [523, 523, 523])


def test_emergency_by_key(stage: Stage) -> None:
    """Holding Enter works like holding the finger."""
    page = stage.context.new_page()
    page.clock.install()
    stage.open("/guard", page=page)
    page.locator(".emergency").last.focus()
    page.keyboard.down("Enter")
    page.clock.run_for(2100)
    expect(page.locator("#toast")).to_have_text("已紧急开放")
    page.keyboard.up("Enter")
    assert commands(stage, Emergency) == [Emergency(lane="", open=True)]


def test_the_list_is_walked_with_j_and_k_and_filtered(stage: Stage) -> None:
    """J goes down, K up, the detail is written out; a filter hides the rest."""
    page = stage.log_in()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".row[aria-current]")).to_have_attribute("data-key", "r1")
    page.keyboard.press("k")
    expect(page.locator(".row[aria-current]")).to_have_attribute("data-key", "r0")
    expect(page.locator("#detail")).to_contain_text("各项检查通过")
    page.click("button[data-filter=deny]")
    expect(page.locator(".row:visible")).to_have_count(6)
    page.keyboard.press("j")
    expect(page.locator(".row[aria-current]")).to_have_attribute("data-key", "r2")


def test_the_tab_key_reaches_everything_in_reading_order(make_stage: Callable[..., Stage]) -> None:
    """Strip, then lane by lane its next step before its keys, then the list; each with a visible outline."""
    page = make_stage(view=busy_view(2)).log_in()
    focusable = page.evaluate(
        "[...document.querySelectorAll('a, button, summary')]"
        ".filter((e) => e.checkVisibility()).map((e) => e.textContent)"
    )
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in focusable:
        page.keyboard.press("Tab")
        focused = page.locator(":focus-visible")
        text = focused.text_content()
        outline_px = focused.evaluate("(e) => parseFloat(getComputedStyle(e).outlineWidth)")
        assert outline_px >= 4, text
        reached.append(text)
    assert reached == focusable
    names = [" ".join(text.split()) for text in reached]
    assert names.index("输入体温") < names.index("看到绿码") < names.index("全部")


def test_a_hidden_screen_gives_its_stream_back(stage: Stage) -> None:
    """A browser has six connections to the kiosk: a resident's screen in the background takes none."""
    page = stage.open("/lane/east-in")
    hide = (
        "(v) => {Object.defineProperty(document, 'hidden', {value: v, configurable: true});"
        " dispatchEvent(new Event('visibilitychange'));}"
    )
    with page.expect_event("requestfailed", lambda r: "/events/" in r.url):
        page.evaluate(hide, True)
    stage.show(kiosk_view(scenes()["admit"]))
    page.evaluate(hide, False)
    expect(page.locator("#face [data-face]")).to_have_attribute("data-face", "admit")


def test_a_console_that_is_locked_elsewhere_closes_itself(stage: Stage) -> None:
    """When the session ends, the open console goes to its lock page without a touch."""
    page, other = stage.log_in(), stage.context.new_page()
    stage.open("/guard", page=other)
    other.click("button:has-text('交班锁定')")
    page.wait_for_url("**/guard/login")
    expect(page.locator(".emergency")).to_have_count(2)


def test_focus_and_typing_survive_new_events(stage: Stage) -> None:
    """A burst of passages takes neither the focus from a button nor the text from an open form."""
    page = stage.log_in()
    page.locator("#next-east-in").focus()
    stage.show(kiosk_view(replace(scenes()["fever"], acknowledged=False, decided_at_us=1)))
    expect(page.locator("#panel-east-in time")).to_have_text("08:00:00")
    expect(page.locator("#next-east-in")).to_be_focused()
    page.click(".more a:has-text('登记来访')")
    page.fill("dialog [name=name]", "李")
    stage.show(kiosk_view(scenes()["admit"]))
    expect(page.locator("#panel-east-in .panel")).to_have_attribute("data-face", "admit")
    expect(page.locator("dialog [name=name]")).to_have_value("李")


def test_everything_works_without_script(make_stage: Callable[..., Stage]) -> None:
    """Login, override and emergency are plain forms; pages refresh themselves."""
    stage = make_stage(java_script_enabled=False)
    page = stage.log_in()
    assert page.locator("noscript").count() == 1
    page.click(".more a:has-text('人工放行')")
    page.click("button:has-text('就医等急事')")
    page.click("button.primary")
    page.wait_for_selector("#toast.shown")
    assert len(commands(stage, Override)) == 1
    page.click(".emergency >> nth=0")
    page.click("main .emergency")
    page.wait_for_selector(".emergency-on")
    assert commands(stage, Emergency) == [Emergency(lane="", open=True, guard="wang")]


def test_a_restarted_kiosk_gets_fresh_pages(stage: Stage) -> None:
    """A page drawn by the last start loads itself anew as soon as the kiosk is back: its tokens are good again."""
    page = stage.open("/lane/east-in")
    port = stage.server.port
    stage.server.stop()
    hub = Hub()
    hub.publish(kiosk_view(scenes()["admit"]))
    server = ScreensServer(create_app(hub, stage.gate, guards=GuardBook()), port=port)
    with page.expect_event("load"):
        server.start()
    try:
        assert page.locator("meta[name=gatepost-boot]").get_attribute("content") == hub.boot
        assert face(page) == "admit"
    finally:
        server.stop()

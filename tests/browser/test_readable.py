"""Whether people with other eyes can tell the verdicts apart: shape alone, contrast, forced colours, axe-core."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from kiosk.screens.preview import busy_view, kiosk_view, scenes
from tests.browser.conftest import Stage

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SHAPES = {
    "admit": "circle",
    "emergency": "circle",
    "code_expired": "octagon",
    "moving": "octagon",
    "fever": "triangle",
    "unknown_card": "triangle",
    "fault": "triangle",
    "measuring": "bar",
}
DEFICIENCIES = ("none", "protanopia", "deuteranopia", "tritanopia", "achromatopsia", "blurredVision")


def show(stage: Stage, page: Page, scene: str) -> None:
    stage.show(kiosk_view(replace(scenes()[scene], passage=f"scene-{scene}")))
    page.wait_for_selector(f"#face [data-passage='scene-{scene}']")


def grey(page: Page, **options: object) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(page.screenshot(**options), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return picture


def shape_of(picture: np.ndarray) -> str:
    """What a grey picture of the shape shows, by its outer contour alone.

    The part of the smallest enclosing circle that the contour fills: circle 1, regular octagon 0.90, the triangle
    0.41 to 0.5, the bar far less (it is longer than high).
    """
    _, ink = cv2.threshold(picture, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if ink[0, 0]:
        ink = cv2.bitwise_not(ink)
    contours, _ = cv2.findContours(ink, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outer = max(contours, key=cv2.contourArea)
    _, (width, height), _ = cv2.minAreaRect(outer)
    if max(width, height) > 2 * min(width, height):
        return "bar"
    _, radius = cv2.minEnclosingCircle(outer)
    filled = cv2.contourArea(outer) / (math.pi * radius**2)
    return "circle" if filled > 0.95 else "octagon" if filled > 0.8 else "triangle" if filled < 0.6 else "?"


@pytest.mark.parametrize("theme", ["normal", "contrast"])
def test_verdicts_are_told_apart_by_shape_alone(stage: Stage, theme: str) -> None:
    """Grey pictures, under every deficiency that Chromium simulates: circle, octagon, triangle and bar stay apart."""
    page = stage.open(f"/lane/east-in?theme={theme}")
    page.emulate_media(reduced_motion="reduce")
    devtools = stage.context.new_cdp_session(page)
    kinds = DEFICIENCIES if theme == "normal" else ("none", "achromatopsia")
    seen = {}
    for scene in SHAPES:
        show(stage, page, scene)
        box = page.locator("#face .shape").bounding_box()
        for deficiency in kinds:
            devtools.send("Emulation.setEmulatedVisionDeficiency", {"type": deficiency})
            seen[scene, deficiency] = shape_of(grey(page, clip=box))
    assert seen == {(scene, deficiency): shape for scene, shape in SHAPES.items() for deficiency in kinds}


def test_a_denial_is_framed_and_an_admission_is_not(stage: Stage) -> None:
    """The white frame is seen at the edge of the eye, also without colour."""
    page = stage.open("/lane/east-in")
    edges = {}
    for scene in ("admit", "code_expired"):
        show(stage, page, scene)
        picture = grey(page)
        border = np.concatenate([picture[4, :], picture[-5, :], picture[:, 4], picture[:, -5]])
        edges[scene] = (float(border.mean()), float(np.median(picture)))
    assert edges["code_expired"][0] > 250
    assert edges["code_expired"][0] - edges["code_expired"][1] > 150
    assert edges["admit"][0] < 100


def test_forced_colours_keep_the_shapes(stage: Stage) -> None:
    """In the operating system's high-contrast mode colours go, shapes and words stay."""
    page = stage.open("/lane/east-in")
    page.emulate_media(forced_colors="active", reduced_motion="reduce")
    for scene in ("admit", "code_expired", "fever"):
        show(stage, page, scene)
        assert shape_of(grey(page, clip=page.locator("#face .shape").bounding_box())) == SHAPES[scene]


def test_nothing_moves_for_those_who_asked(stage: Stage) -> None:
    """With reduced motion the bar stands still; without, it is the only thing that moves, slower than 3 Hz."""
    page = stage.open("/lane/east-in")
    show(stage, page, "measuring")
    moving = (
        "document.getAnimations().map((a) => "
        "[a.effect.target.classList.contains('bar'), a.effect.getTiming().duration])"
    )
    assert page.evaluate(moving) == [[True, 1400]]
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moving) == []


OPTIONS = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    # AAA: 7:1 for text. The library leaves it out of its tags' defaults.
    "rules": {"color-contrast-enhanced": {"enabled": True}, "target-size": {"enabled": True}},
}


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options=OPTIONS).response["violations"]
    return [f"{v['id']}: {n['html'][:120]} {n['failureSummary'][:200]}" for v in found for n in v["nodes"]]


@pytest.mark.parametrize("theme", ["normal", "contrast"])
def test_axe_finds_nothing_on_the_resident_screen(stage: Stage, theme: str) -> None:
    """Every face, with the contrast of 7:1."""
    page = stage.open(f"/lane/east-in?theme={theme}")
    for scene in ("idle", "measuring", "admit", "code_expired", "fever"):
        show(stage, page, scene)
        assert violations(page) == [], scene
    page.evaluate("document.documentElement.dataset.live = 'no'")
    assert violations(page) == []


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_axe_finds_nothing_on_the_console(make_stage: Callable[..., Stage], language: str) -> None:
    """Four busy lanes with banner and alarm, in both languages."""
    stage = make_stage(view=replace(busy_view(4), journal_ok=False, alarms=("stranded",)))
    page = stage.log_in()
    page.goto(f"{stage.server.address}/guard?lang={language}")
    assert violations(page) == []


def test_axe_finds_nothing_on_the_small_pages(stage: Stage) -> None:
    """Sheets, lock page, emergency, place code, list of screens, tablets and a code for one."""
    page = stage.log_in()
    sheets = [f"/guard/lane/east-in/sheet/{sheet}" for sheet in ("override", "deny", "temperature", "visitor")]
    for path in ("/", "/place-code", "/guard/login", "/emergency?lane=east-in", "/guard/tablets", *sheets):
        page.goto(stage.server.address + path)
        assert violations(page) == [], path
    page.goto(stage.server.address + "/guard/tablets")
    page.fill("[name=name]", "岗亭平板")
    page.click("form.grid button[type=submit]")
    page.wait_for_selector(".tablet-code")
    assert violations(page) == []

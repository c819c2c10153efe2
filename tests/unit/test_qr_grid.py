"""Finders measured one by one, grids unrolled (drivers/qr_finders.py, drivers/qr_grid.py, drivers/qr.py)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import segno

from drivers import qr, qr_finders, qr_grid, qr_symbol
from drivers.opencv import cv2
from drivers.qr_clock import COSTS_MS, FrameClock
from tests.bench.qr_pictures import Shot, bands, code_texture, glare, sheet_of, take

TEXT = "HC1:6BFOXN%TS3DH0RV8*NCFOXN TS0BI$ZD4:" * 4
AMPLE_S = 60.0
"""What is read here is read well before; a slow machine only takes longer."""


def modules_of(version: int, mask: int = 3) -> np.ndarray:
    """A code of a given version, True where dark."""
    code = segno.make_qr("GATEPOST", version=version, mask=mask)
    return np.array([list(row) for row in code.matrix]) == 1


@pytest.mark.parametrize("version", range(1, 41))
def test_the_template_of_each_version_is_what_every_code_of_it_shows(version: int) -> None:
    """Against an independent encoder: finders, timing, alignment, version bits, and the format of each mask."""
    for mask in (0, 5):
        modules = modules_of(version, mask)
        assert qr_symbol.function_match(modules, version) == 1.0
        assert (qr_symbol.layout_of(modules, version).dark == modules).all()


def test_a_damaged_format_and_lost_finders_are_put_right() -> None:
    """Three wrong bits in each copy of the format, and a finder painted over."""
    modules = modules_of(7)
    spoilt = modules.copy()
    spoilt[8, :3] ^= True
    spoilt[-4:-1, 8] ^= True
    spoilt[:8, :8] = True
    assert (qr_symbol.layout_of(spoilt, 7).dark == modules).all()


def test_a_mirrored_code_is_turned_over() -> None:
    """Seen through a pane from behind."""
    modules = modules_of(4)
    assert (qr_symbol.layout_of(modules.T, 4).dark == modules).all()


def picture(seed: int = 1, **shot: object) -> np.ndarray:
    """A sheet with a code of 152 characters in 1280x720."""
    rng = np.random.default_rng(seed)
    sheet = sheet_of(code_texture(TEXT, "m"), TEXT, 0.1, rng)
    return take(sheet, Shot(fill=0.85, supersample=1, **shot), rng)  # type: ignore[arg-type]


def test_each_finder_gives_its_middle_and_its_module_vectors() -> None:
    """A clean code, turned by 30 degrees: places within a quarter of a module, vectors within a tenth."""
    gray = np.full((400, 400), 230, np.uint8)
    code = qr_symbol.picture(modules_of(5))  # 37 modules, 3 pixels each, 4 modules of quiet zone
    gray[100 : 100 + code.shape[0], 100 : 100 + code.shape[1]] = code
    turn = cv2.getRotationMatrix2D((200, 200), 30, 1.0)
    turned = cv2.warpAffine(gray, turn, (400, 400), flags=cv2.INTER_LINEAR, borderValue=230)
    found = qr_finders.find(turned)
    corners = np.array([[x, y, 1] for x, y in ((122, 122), (122 + 90, 122), (122, 122 + 90))]) @ turn.T
    assert len(found) == 3
    for corner in corners:
        finder = min(found, key=lambda each: float(np.abs(each.middle - corner - 0.5).max()))
        assert np.abs(finder.middle - corner).max() < 1.2
        assert finder.module_px == pytest.approx(3.0, rel=0.1)
    (triple,) = qr_finders.triples(found)
    assert np.abs(triple.top_left.middle - corners[0]).max() < 1.2
    assert triple.modules == pytest.approx(37, abs=1.0)


@pytest.mark.parametrize(
    ("name", "shot"),
    [
        ("rolled to the viewer", {"bend": 0.8, "bend_axis": 0.3}),
        ("rolled away", {"bend": -0.7, "bend_axis": 1.2}),
        ("crumpled", {"crumple_px": 5.0}),
    ],
)
def test_bent_sheets_are_unrolled(name: str, shot: dict[str, float]) -> None:
    """Through the finders and the grid alone, corners included."""
    gray = picture(**shot)
    reader = qr.QrReader(use_zbar=False)
    (triple,) = qr_finders.triples(qr_finders.find(gray), limit=1)
    texts = [
        text.text
        for reading in qr_grid.readings(gray, triple, FrameClock(10.0, {}))
        if (text := reader._read_clean(reading, 0, qr._Place())) is not None
    ]
    assert texts[:1] == [TEXT], name


def covered(picture: np.ndarray, uv: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Something gray over the upper left finder."""
    u, v = np.nan_to_num(uv[..., 0], nan=9.0), np.nan_to_num(uv[..., 1], nan=9.0)
    return np.where((u < -0.25) & (v < -0.25) & (u > -0.45) & (v > -0.45), 0.45, picture).astype(np.float32)


@pytest.mark.parametrize(
    "slant", [{"yaw": 0.3, "pitch": 0.3}, {"yaw": -0.35, "pitch": -0.35}, {"yaw": 0.45, "pitch": 0.2}]
)
def test_a_lost_finder_is_put_where_perspective_has_it(slant: dict[str, float]) -> None:
    """Seen at a slant the third corner of a parallelogram is off by modules; the fourth corner tells the slant."""
    gray = picture(overlays=[covered], **slant)
    finders = qr_finders.find(gray)
    assert len(finders) == 2
    (found,) = qr.QrReader(use_zbar=False).decode(gray, budget_s=AMPLE_S)
    assert found.text == TEXT


def test_the_reader_reads_what_one_perspective_cannot() -> None:
    """The whole cascade on a rolled sheet that zxing-cpp alone misses."""
    gray = picture(bend=0.9, bend_axis=0.8)
    reader = qr.QrReader(use_zbar=False)
    assert reader._read_zxing(gray, 0)[0] == []
    (found,) = reader.decode(gray, budget_s=AMPLE_S)
    assert (found.text, found.engine) == (TEXT, "grid")
    assert cv2.contourArea(np.array(found.corners, np.float32)) == pytest.approx(510 * 510 * 0.69, rel=0.35)


def test_dim_glaring_and_banded_pictures_are_read() -> None:
    """Given time, the looks do it."""
    reader = qr.QrReader(use_zbar=False)
    for shot in ({"light": 0.12, "ink": 0.3}, {"overlays": [glare]}, {"overlays": [bands], "light": 0.5}):
        assert [text.text for text in reader.decode(picture(5, **shot), budget_s=AMPLE_S)] == [TEXT]


def test_the_budget_bounds_the_rescue() -> None:
    """With no budget only the first look is made: a bent sheet is not read, and nothing is spent on it."""
    reader = qr.QrReader(use_zbar=False)
    gray = picture(bend=0.9, bend_axis=0.8)
    assert reader.decode(gray, budget_s=0.0) == []
    assert all(cost < COSTS_MS[name] for name, cost in reader._costs.items()), "nothing was run and measured"


def test_a_step_measured_on_a_busy_machine_is_tried_again_some_day() -> None:
    """One slow turn raises the estimate by little, and being refused lowers it: no step is lost for good."""
    costs = {"refine": 20_000.0}
    clock = FrameClock(0.04, costs)
    refusals = 0
    while not clock.affords("refine", 15_000):
        refusals += 1
        assert refusals < 200
    assert refusals > 50
    with FrameClock(1.0, costs).spend("refine", 1):
        sum(range(2_000_000))
    assert costs["refine"] < 1.5 * 20_000 * 0.97**refusals


def test_a_sighting_tells_what_could_not_be_read() -> None:
    """So that the stream keeps its eye on it."""
    reader = qr.QrReader(use_zbar=False)
    gray = picture(bend=0.9, bend_axis=0.8)
    sighting = reader.look(gray, budget_s=0.0)
    unread = np.array(sighting.unread).reshape(-1, 2)
    assert sighting.texts == []
    assert len(unread) == 0 or (np.ptp(unread, axis=0) > 100).all()


def test_several_codes_come_largest_first_and_bogus_ones_inside_another_are_dropped() -> None:
    """zxing-cpp issue 1162: a small symbol found inside a real one."""
    big, small = (
        ((0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (0.0, 100.0)),
        ((40.0, 40.0), (60.0, 40.0), (60.0, 60.0), (40.0, 60.0)),
    )
    away = tuple((x + 300, y) for x, y in small)
    texts = [
        qr.QrText(text=name, data=name.encode(), corners=corners, engine="test", at_ns=0)
        for name, corners in (("bogus", small), ("real", big), ("other", away))
    ]
    assert [text.text for text in qr.without_nested(texts)] == ["real", "other"]
    assert qr.area_px(big) == 10_000
    assert qr.area_px(()) == 0.0
    assert math.isclose(qr.area_px(small[::-1]), 400)

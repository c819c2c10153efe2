"""Hard pictures of QR codes, made by seed: curled and crumpled sheets, glare, damage, tilt, many codes, ...

A picture is a ray-traced sheet: every pixel's ray meets a plane or a cylinder, so curl and tilt are exact; then
light, dirt, lens, motion, sensor noise and JPEG do their work. Even seeds are for tuning, odd ones for judging. As in
``data/qr``, what no reader could read even if it knew where every module lies is left out, and counted.

    python -m tests.bench.qr_pictures --out DIR --half judge --count 24

writes the layout of ``data/qr`` (``manifest.csv``, ``images/``), which ``tests.bench.qr --data DIR`` reads.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import segno
from numpy.typing import NDArray

from drivers.opencv import cv2
from tests.bench.qr_readable import is_readable, straightened

Image = NDArray[np.float32]
BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
FRAME = (1280, 720)


@dataclass
class Sheet:
    """A flat texture (gray, 0 to 1) and what is written in it."""

    texture: Image
    texts: list[str]
    boxes: list[tuple[float, float, float, float]]  # of each code in the texture: left, top, right, bottom, 0 to 1


@dataclass
class Shot:
    """How the sheet is seen. Lengths are in widths of the sheet, angles in radians."""

    size: tuple[int, int] = FRAME
    fill: float = 0.8  # share of the frame's height that the sheet would fill seen straight
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    bend: float = 0.0  # half the angle over which the sheet is rolled; its sign is convex or concave
    bend_axis: float = 0.0
    crumple_px: float = 0.0
    light: float = 0.85
    ink: float = 0.12
    defocus_px: float = 0.0
    motion_px: float = 0.0
    motion_angle: float = 0.0
    noise: float = 0.012
    jpeg: int = 88
    invert: bool = False
    supersample: int = 2
    overlays: list[Callable[[Image, NDArray[np.float32], np.random.Generator], Image]] = field(default_factory=list)


def payload(rng: np.random.Generator, length: int | None = None, prefix: str = "HC1:") -> str:
    """A text in the alphanumeric set, as dense as a health certificate unless a length is given."""
    length = int(rng.integers(300, 700)) if length is None else length
    return prefix + "".join(BASE45[i] for i in rng.integers(0, 45, length))


def code_texture(text: str, error: str = "m", module_px: int = 8, border: int = 4, version: int | None = None) -> Image:
    """One code in gray, black 0, white 1."""
    code = segno.make_qr(text, error=error, boost_error=False, version=version)
    matrix = 1.0 - np.array([list(row) for row in code.matrix], np.float32)
    matrix = np.pad(matrix, border, constant_values=1.0)
    return np.kron(matrix, np.ones((module_px, module_px), np.float32))


def sheet_of(texture: Image, text: str, margin: float, rng: np.random.Generator) -> Sheet:
    """The code on paper, with lines of print under and above it when the margin is wide enough."""
    side = texture.shape[0]
    pad = int(side * margin)
    paper = np.ones((side + 2 * pad, side + 2 * pad), np.float32)
    if margin > 0.15:
        line = max(6, pad // 8)
        for y in range(line, pad - line, 2 * line):
            for top in (y, paper.shape[0] - pad + y):
                x = line
                while x < paper.shape[1] - 3 * line:
                    width = int(rng.integers(line, 6 * line))
                    paper[top : top + line, x : x + width] = float(rng.uniform(0.0, 0.4))
                    x += width + line
    paper[pad : pad + side, pad : pad + side] = texture
    edge = pad / paper.shape[0]
    return Sheet(paper, [text], [(edge, edge, 1 - edge, 1 - edge)])


def backdrop(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """What is behind the sheet: soft shapes, edges, stripes, checks and small print."""
    width, height = size
    low = rng.uniform(0.1, 0.8, (4, 7)).astype(np.float32)
    back = cv2.resize(low, size, interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(6, 20))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        w, h = int(rng.integers(20, width // 3)), int(rng.integers(10, height // 3))
        cv2.rectangle(back, (x, y), (x + w, y + h), float(rng.uniform(0, 1)), -1)
    for _ in range(int(rng.integers(0, 3))):
        x, y, pitch = int(rng.integers(0, width)), int(rng.integers(0, height)), int(rng.integers(4, 16))
        tile = (np.indices((120, 160)).sum(0) // pitch % 2).astype(np.float32) * float(rng.uniform(0.2, 0.7)) + 0.1
        part = back[y : y + 120, x : x + 160]
        part[:] = tile[: part.shape[0], : part.shape[1]]
    return np.clip(back, 0.0, 1.0)


def _rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float32]:
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return (about_y @ about_x @ about_z).astype(np.float32)


def _trace(shot: Shot, scale: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """For every pixel of the frame times ``scale``: where its ray meets the sheet (u, v in -0.5..0.5) and the
    cosine between ray and sheet; NaN where it misses."""
    width, height = shot.size[0] * scale, shot.size[1] * scale
    focal = 1.1 * width
    distance = focal / (height * shot.fill)
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    rays = np.dstack([(xs - width / 2) / focal, (ys - height / 2) / focal, np.ones_like(xs)])
    rays -= np.array([shot.shift[0] / distance, shot.shift[1] / distance, 0], np.float32)
    turn = _rotation(shot.yaw, shot.pitch, shot.roll)
    d = rays @ turn  # into the sheet's own frame
    o = np.array([0, 0, -distance], np.float32) @ turn
    if abs(shot.bend) < 0.02:
        t = -o[2] / np.where(d[..., 2] == 0, np.float32(1e-9), d[..., 2])
        u, v = o[0] + t * d[..., 0], o[1] + t * d[..., 1]
        cosine = np.abs(d[..., 2]) / np.linalg.norm(d, axis=2)
        return u, v, np.where(t > 0, cosine, np.nan)
    c, s = math.cos(shot.bend_axis), math.sin(shot.bend_axis)
    about = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
    d, o = d @ about, o @ about
    radius = 0.5 / shot.bend  # signed: the axis is behind (convex) or before (concave) the sheet
    # x^2 + (z - radius)^2 = radius^2
    a = d[..., 0] ** 2 + d[..., 2] ** 2
    oz = o[2] - radius
    b = o[0] * d[..., 0] + oz * d[..., 2]
    disc = b * b - a * (o[0] ** 2 + oz * oz - radius * radius)
    root = np.sqrt(np.maximum(disc, 0))
    best_u = np.full_like(a, np.nan)
    best_v, best_c = best_u.copy(), best_u.copy()
    for t in ((-b + root) / a, (-b - root) / a):  # the nearer one is written last
        x, z = o[0] + t * d[..., 0], o[2] + t * d[..., 2]
        angle = np.arctan2(x * np.sign(radius), (radius - z) * np.sign(radius))
        good = (disc > 0) & (t > 0) & (np.abs(angle) < abs(shot.bend) * 1.45)
        nx, nz = np.sin(angle), -np.cos(angle)
        cosine = np.abs(nx * d[..., 0] + nz * d[..., 2]) / np.linalg.norm(d, axis=2)
        along, across = angle * radius, o[1] + t * d[..., 1]
        best_u = np.where(good, along * c + across * -s, best_u)
        best_v = np.where(good, along * s + across * c, best_v)
        best_c = np.where(good, cosine, best_c)
    return best_u, best_v, best_c


def _blur(picture: Image, shot: Shot) -> Image:
    if shot.defocus_px > 0.3:
        size = 2 * math.ceil(shot.defocus_px) + 1
        grid = np.indices((size, size)) - size // 2
        kernel = np.clip(shot.defocus_px + 0.5 - np.hypot(*grid), 0, 1).astype(np.float32)
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    if shot.motion_px > 0.5:
        size = 2 * math.ceil(shot.motion_px / 2) + 3
        kernel = np.zeros((size, size), np.float32)
        middle = size / 2 - 0.5
        for t in np.linspace(-0.5, 0.5, 8 * size):
            x = middle + t * shot.motion_px * math.cos(shot.motion_angle)
            y = middle + t * shot.motion_px * math.sin(shot.motion_angle)
            x0, y0 = int(x), int(y)
            for dy in (0, 1):
                for dx in (0, 1):
                    kernel[y0 + dy, x0 + dx] += (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return picture


Surface = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Sheet coordinates u, v (-0.5 to 0.5 on the sheet) and the cosine to the ray, for every supersampled pixel."""


def surface(shot: Shot, rng: np.random.Generator) -> Surface:
    """Where every ray meets the sheet, crumpled or not."""
    u, v, cosine = _trace(shot, shot.supersample)
    if shot.crumple_px:
        knots = rng.normal(0, 1, (2, 6, 9)).astype(np.float32)
        field = [cv2.resize(k, (u.shape[1], u.shape[0]), interpolation=cv2.INTER_CUBIC) for k in knots]
        per_px = 1.0 / (shot.size[1] * shot.fill)
        u, v = u + field[0] * shot.crumple_px * per_px, v + field[1] * shot.crumple_px * per_px
        slope = cv2.Sobel(field[0], cv2.CV_32F, 1, 0, ksize=5) + cv2.Sobel(field[1], cv2.CV_32F, 0, 1, ksize=5)
        cosine = cosine * np.clip(1 + slope / (np.abs(slope).max() + 1e-6) * 0.35, 0.5, 1.3)
    return u, v, cosine


def take(
    sheet: Sheet,
    shot: Shot,
    rng: np.random.Generator,
    noise: np.random.Generator | None = None,
    seen: Surface | None = None,
) -> NDArray[np.uint8]:
    """The picture of a sheet, in gray; ``noise`` is the sensor's own dice where the scene is to stay the same,
    ``seen`` the sheet's :func:`surface` where it is known already."""
    scale = shot.supersample
    u, v, cosine = surface(shot, rng) if seen is None else seen
    side = sheet.texture.shape[0]
    inside = (np.abs(u) < 0.5) & (np.abs(v) < 0.5) & np.isfinite(cosine)
    map_x = np.where(inside, (u + 0.5) * side - 0.5, -10).astype(np.float32)
    map_y = np.where(inside, (v + 0.5) * side - 0.5, -10).astype(np.float32)
    texture = sheet.texture
    # A mean over the texture's pixels that fall into one of ours, or moire would come from the renderer itself.
    shrink = side / max(1.0, shot.size[1] * scale * shot.fill)
    if shrink > 1.2:
        texture = cv2.GaussianBlur(texture, (0, 0), 0.4 * shrink)
    paper = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderValue=1.0)
    if shot.invert:
        paper = 1.0 - paper
    shade = np.where(inside, 0.35 + 0.65 * cosine, 0)
    lit = (shot.ink + (1 - shot.ink) * paper) * shade * shot.light
    back = cv2.resize(backdrop(shot.size, rng), (u.shape[1], u.shape[0]), interpolation=cv2.INTER_LINEAR)
    picture = np.where(inside, lit, back * shot.light * 0.8).astype(np.float32)
    for overlay in shot.overlays:
        picture = overlay(picture, np.dstack([u, v]), rng)
    picture = cv2.resize(picture, shot.size, interpolation=cv2.INTER_AREA)
    picture = _blur(picture, shot)
    picture = picture + (noise or rng).normal(0, 1, picture.shape).astype(np.float32) * shot.noise * np.sqrt(
        0.2 + picture
    )
    gray = np.clip(picture * 255, 0, 255).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, shot.jpeg])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)


# What lies over the sheet: each gets the picture, the sheet coordinates of its pixels, and the generator


def glare(picture: Image, uv: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A lamp in the gloss of the sheet: one large saturated patch with a soft edge, and a veil."""
    x, y = rng.uniform(-0.35, 0.35, 2)
    a, b, turn = rng.uniform(0.06, 0.16), rng.uniform(0.06, 0.3), rng.uniform(0, math.pi)
    du, dv = np.nan_to_num(uv[..., 0], nan=9.0) - x, np.nan_to_num(uv[..., 1], nan=9.0) - y
    p, q = du * math.cos(turn) + dv * math.sin(turn), -du * math.sin(turn) + dv * math.cos(turn)
    blob = np.exp(-((p / a) ** 2) - (q / b) ** 2)
    return picture + 1.3 * blob.astype(np.float32) + float(rng.uniform(0, 0.15))


def bright_spots(picture: Image, uv: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Sun through leaves: several saturated discs."""
    for _ in range(int(rng.integers(3, 9))):
        x, y, r = *rng.uniform(-0.45, 0.45, 2), rng.uniform(0.02, 0.07)
        far = np.hypot(np.nan_to_num(uv[..., 0], nan=9.0) - x, np.nan_to_num(uv[..., 1], nan=9.0) - y)
        picture = picture + 1.2 / (1 + np.exp(np.clip((far - r) * 120, -30, 30))).astype(np.float32)
    return picture


def dirt(picture: Image, uv: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Scratches, spots and smears, dark and light."""
    u, v = np.nan_to_num(uv[..., 0], nan=9.0), np.nan_to_num(uv[..., 1], nan=9.0)
    for _ in range(int(rng.integers(1, 4))):
        x, y, turn = *rng.uniform(-0.4, 0.4, 2), rng.uniform(0, math.pi)
        p, q = (u - x) * math.cos(turn) + (v - y) * math.sin(turn), -(u - x) * math.sin(turn) + (v - y) * math.cos(turn)
        long, thin = rng.uniform(0.05, 0.25), rng.uniform(0.003, 0.01)
        hit = (np.abs(p) < long) & (np.abs(q + 0.02 * np.sin(p * 20)) < thin)
        picture = np.where(hit, float(rng.choice([0.1, 0.8])), picture)
    for _ in range(int(rng.integers(1, 6))):
        x, y, r = *rng.uniform(-0.45, 0.45, 2), rng.uniform(0.01, 0.04)
        wobble = 1 + 0.3 * np.sin(np.arctan2(v - y, u - x) * int(rng.integers(2, 6)))
        picture = np.where(np.hypot(u - x, v - y) < r * wobble, float(rng.choice([0.1, 0.3, 0.75])), picture)
    return picture.astype(np.float32)


def finger(picture: Image, uv: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A thumb over an edge of the code."""
    u, v = np.nan_to_num(uv[..., 0], nan=9.0), np.nan_to_num(uv[..., 1], nan=9.0)
    turn = rng.uniform(0, 2 * math.pi)
    p, q = u * math.cos(turn) + v * math.sin(turn), -u * math.sin(turn) + v * math.cos(turn)
    reach, side, thick = rng.uniform(0.24, 0.36), rng.uniform(-0.25, 0.25), rng.uniform(0.05, 0.09)
    tip = np.hypot(np.minimum(p - reach - thick, 0), q - side)
    return np.where((p > reach) & (tip < thick), 0.5 + 0.1 * np.cos(q * 30), picture).astype(np.float32)


def bands(picture: Image, uv: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A screen's refresh seen by a rolling shutter, and its pixel grid against the sensor's."""
    height, width = picture.shape
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]
    roll = 1 - rng.uniform(0.3, 0.6) * (0.5 + 0.5 * np.sin(y / height * rng.uniform(8, 30) + rng.uniform(0, 6)))
    turn, period = rng.uniform(0, math.pi), rng.uniform(5, 24)
    grid = 1 + 0.16 * np.sin((x * math.cos(turn) + y * math.sin(turn)) * 2 * math.pi / period)
    inside = np.isfinite(uv[..., 0]) & (np.abs(uv[..., 0]) < 0.5) & (np.abs(uv[..., 1]) < 0.5)
    return np.where(inside, picture * roll * grid, picture).astype(np.float32)


# The kinds


def _small_turn(rng: np.random.Generator) -> dict[str, float]:
    yaw, pitch, roll = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), rng.uniform(-math.pi, math.pi)
    return {"yaw": yaw, "pitch": pitch, "roll": roll}


def _dense(rng: np.random.Generator, margin: float = 0.02) -> Sheet:
    text = payload(rng, int(rng.integers(200, 600)))
    return sheet_of(code_texture(text, "lmq"[int(rng.integers(0, 3))]), text, margin, rng)


def _any(rng: np.random.Generator, margin: float = 0.1) -> Sheet:
    if rng.random() < 0.4:
        return _dense(rng, margin)
    text = payload(rng, int(rng.integers(20, 160)), "GP1:")
    return sheet_of(code_texture(text, "lmqh"[int(rng.integers(0, 4))], 12), text, margin, rng)


def _curl(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    bend = rng.uniform(0.35, 1.0) * rng.choice([-1, 1])
    return _any(rng), Shot(
        fill=rng.uniform(0.7, 0.95), bend=bend, bend_axis=rng.uniform(0, math.pi), **_small_turn(rng)
    )


def _crumple(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    return _any(rng), Shot(fill=rng.uniform(0.75, 0.95), crumple_px=rng.uniform(2, 10), **_small_turn(rng))


def _glare(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    return _any(rng), Shot(fill=rng.uniform(0.7, 0.95), overlays=[glare], **_small_turn(rng))


def _spots(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    return _any(rng), Shot(fill=rng.uniform(0.6, 0.95), overlays=[bright_spots], light=0.6, **_small_turn(rng))


def _damage(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    return _any(rng), Shot(fill=rng.uniform(0.6, 0.95), overlays=[dirt], **_small_turn(rng))


def _finger(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    text = payload(rng, int(rng.integers(80, 400)))
    sheet = sheet_of(code_texture(text, "mqh"[int(rng.integers(0, 3))]), text, 0.05, rng)
    return sheet, Shot(fill=rng.uniform(0.6, 0.95), overlays=[finger], **_small_turn(rng))


def _tilt(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    lean = rng.uniform(0.75, 1.12) * rng.choice([-1, 1])
    turn = {"yaw": lean, "pitch": rng.uniform(-0.3, 0.3)}
    if rng.random() < 0.5:
        turn = {"yaw": rng.uniform(-0.3, 0.3), "pitch": lean}
    shot = Shot(fill=rng.uniform(0.8, 1.0), roll=rng.uniform(-0.4, 0.4), defocus_px=rng.uniform(0, 1.6), **turn)
    return _any(rng), shot


def _blurred(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    sheet = _any(rng)
    modules = sheet.texture.shape[0] / (8 if sheet.texts[0].startswith("HC1") else 12)
    fill = rng.uniform(0.6, 0.95)
    module_px = 720 * fill / modules
    share = rng.uniform(0.5, 1.15)  # of a module
    if rng.random() < 0.5:
        return sheet, Shot(fill=fill, defocus_px=share * module_px, **_small_turn(rng))
    angle = rng.uniform(0, math.pi)
    motion_px = 1.7 * share * module_px
    return sheet, Shot(
        fill=fill, motion_px=motion_px, motion_angle=angle, defocus_px=0.15 * module_px, **_small_turn(rng)
    )


def _far(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    sheet = _any(rng)
    modules = sheet.texture.shape[0] / (8 if sheet.texts[0].startswith("HC1") else 12)
    module_px = rng.uniform(1.7, 2.6)
    shift = (rng.uniform(-0.6, 0.6), rng.uniform(-0.2, 0.2))
    return sheet, Shot(fill=module_px * modules / 720, shift=shift, defocus_px=rng.uniform(0, 0.7), **_small_turn(rng))


def _many(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    across = int(rng.integers(2, 7))
    texts = [payload(rng, int(rng.integers(8, 40)), f"GP1:{i}:") for i in range(across * across)]
    codes = [code_texture(text, "m", 8) for text in texts]
    cell = int(max(code.shape[0] for code in codes) * 1.1)
    paper = np.ones((across * cell, across * cell), np.float32)
    boxes = []
    for i, code in enumerate(codes):
        y, x = divmod(i, across)
        top, left = y * cell + (cell - code.shape[0]) // 2, x * cell + (cell - code.shape[1]) // 2
        paper[top : top + code.shape[0], left : left + code.shape[1]] = code
        ends = (left, top, left + code.shape[1], top + code.shape[0])
        boxes.append(tuple(end / paper.shape[0] for end in ends))
    shot = Shot(size=(1920, 1080), fill=rng.uniform(0.85, 1.0), **_small_turn(rng))
    return Sheet(paper, texts, boxes), shot


def _high_version(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    text = payload(rng, int(rng.integers(900, 2400)))
    sheet = sheet_of(code_texture(text, "l", 6), text, 0.02, rng)
    return sheet, Shot(size=(1600, 1200), fill=rng.uniform(0.8, 0.95), **_small_turn(rng))


def _inverted(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    return _any(rng, 0.15), Shot(fill=rng.uniform(0.5, 0.95), invert=True, **_small_turn(rng))


def _screen(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    light = rng.uniform(0.3, 1.1)
    shot = Shot(fill=rng.uniform(0.6, 0.95), overlays=[bands], light=light, noise=0.03, **_small_turn(rng))
    return _dense(rng, 0.08), shot


def _dim(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    shot = Shot(fill=rng.uniform(0.6, 0.95), light=rng.uniform(0.05, 0.2), noise=0.03, ink=0.3, **_small_turn(rng))
    return _any(rng), shot


def _blank(rng: np.random.Generator) -> tuple[Sheet, Shot]:
    paper = sheet_of(np.ones((400, 400), np.float32), "", 0.3, rng)
    return Sheet(paper.texture, [], []), Shot(
        fill=rng.uniform(0.1, 0.9), defocus_px=rng.uniform(0, 2), **_small_turn(rng)
    )


KINDS: dict[str, Callable[[np.random.Generator], tuple[Sheet, Shot]]] = {
    "curl": _curl,
    "crumple": _crumple,
    "glare": _glare,
    "spots": _spots,
    "damage": _damage,
    "finger": _finger,
    "tilt": _tilt,
    "blur": _blurred,
    "far": _far,
    "many": _many,
    "high_version": _high_version,
    "inverted": _inverted,
    "screen": _screen,
    "dim": _dim,
    "nocode": _blank,
}


def _whole(sheet: Sheet, shot: Shot) -> list[int]:
    """Which codes lie within the frame and on the side of a rolled sheet that is seen."""
    u, v, cosine = _trace(replace(shot, size=(shot.size[0] // 4, shot.size[1] // 4)), 1)
    u, v = u + 0.5, v + 0.5
    edge = np.zeros(u.shape, bool)
    edge[:2], edge[-2:], edge[:, :2], edge[:, -2:] = True, True, True, True
    whole = []
    for i, (left, top, right, bottom) in enumerate(sheet.boxes):
        inside = (u > left) & (u < right) & (v > top) & (v < bottom)
        width, height = right - left, bottom - top
        near = [
            bool((inside & (np.hypot(u - x, v - y) < 0.1 * max(width, height))).any())
            for x in (left, right)
            for y in (top, bottom)
        ]
        if all(near) and not (inside & edge).any() and np.nanmin(np.where(inside, cosine, np.nan)) > 0.2:
            whole.append(i)
    return whole


@dataclass(frozen=True)
class Made:
    """A picture, the texts whole in it, and whether it can be read at all (:mod:`tests.bench.qr_readable`)."""

    picture: NDArray[np.uint8]
    texts: list[str]
    readable: bool


def make(kind: str, seed: int) -> Made:
    """One picture of a kind; the same for the same seed."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    sheet, shot = KINDS[kind](rng)
    whole = _whole(sheet, shot)
    while len(sheet.texts) == 1 and not whole:
        shot.fill *= 0.92
        whole = _whole(sheet, shot)
    seen = surface(shot, rng)
    picture = take(sheet, shot, rng, seen=seen)
    readable = all(
        is_readable(straightened(picture, seen[0], seen[1], sheet.boxes[i]), sheet.texts[i]) for i in whole[:1]
    )
    return Made(picture, [sheet.texts[i] for i in whole], readable)


def write(out: Path, half: str, count: int, kinds: list[str]) -> dict[str, int]:
    """So many readable pictures of each kind in the layout of ``data/qr``, even seeds to tune with and odd ones to
    judge by; returns how many of each kind were left out because nobody could read them."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    left_out: dict[str, int] = {}
    with (out / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "expected_text", "category", "subset", "complete", "ground_truth", "source", "licence"])
        for kind in kinds:
            seed, written = 0 if half == "tune" else 1, 0
            while written < count:
                made = make(kind, seed)
                name = f"images/{kind}-{seed:04d}.png"
                seed += 2
                if not made.readable:
                    left_out[kind] = left_out.get(kind, 0) + 1
                    continue
                written += 1
                cv2.imwrite(str(out / name), made.picture)
                complete = 0 if kind == "many" else 1  # one that the frame's edge cuts may still be read
                facts = [kind, kind, complete, "generated", "tests.bench.qr_pictures", "CC0-1.0"]
                rows.writerow([name, json.dumps(made.texts), *facts])
    return left_out


def main() -> None:
    """See the module's description."""
    parser = argparse.ArgumentParser(description="Write generated pictures of QR codes with their ground truth.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--half", choices=["tune", "judge"], default="judge")
    parser.add_argument("--count", type=int, default=12, help="pictures of each kind")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    left_out = write(options.out, options.half, options.count, options.kinds)
    print("left out as readable by nobody:", ", ".join(f"{kind} {n}" for kind, n in left_out.items()) or "none")


if __name__ == "__main__":
    main()

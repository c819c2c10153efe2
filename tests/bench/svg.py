"""A small chart as SVG text: lines and marks on linear axes with a legend. No library, no script, no fonts to load."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

#: Told apart by colour-blind eyes (Okabe and Ito) and by the dashes as well.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#333333", "#e69f00")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "12 4")
LEFT, TOP, WIDE, HIGH = 64, 44, 400, 400


@dataclass
class Chart:
    """``x`` and ``y`` are (from, to, step); ``note`` stands below the title."""

    title: str
    x_label: str
    y_label: str
    x: tuple[float, float, float]
    y: tuple[float, float, float]
    note: str = ""
    _drawn: list[str] = field(default_factory=list)
    _legend: list[tuple[str, int]] = field(default_factory=list)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * WIDE
        down = TOP + HIGH - (y - self.y[0]) / (self.y[1] - self.y[0]) * HIGH
        return round(across, 1), round(down, 1)

    def line(self, points: list[tuple[float, float]], label: str) -> None:
        """A curve with a place in the legend."""
        number = len(self._legend)
        self._legend.append((label, number))
        path = " ".join("{},{}".format(*self._at(x, y)) for x, y in points)
        self._drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{COLOURS[number % 6]}" stroke-width="2" '
            f'stroke-dasharray="{DASHES[number % 6]}"/>'
        )

    def mark(self, x: float, y: float) -> None:
        """A dot on the curve drawn last."""
        across, down = self._at(x, y)
        colour = COLOURS[(len(self._legend) - 1) % 6]
        self._drawn.append(
            f'<circle cx="{across}" cy="{down}" r="5" fill="{colour}" stroke="#fff" stroke-width="1.5"/>'
        )

    def svg(self) -> str:
        """The whole picture."""
        height = TOP + HIGH + 60 + 20 * len(self._legend)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDE + 24} {height}" '
            f'font-family="sans-serif" font-size="12" fill="#222" role="img" aria-label="{escape(self.title)}">',
            f'<rect width="{LEFT + WIDE + 24}" height="{height}" fill="#fff"/>',
            f'<text x="{LEFT}" y="18" font-size="14" font-weight="bold">{escape(self.title)}</text>',
            f'<text x="{LEFT}" y="34" fill="#555">{escape(self.note)}</text>',
            *self._grid(),
            *self._drawn,
            *self._labels(),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _grid(self) -> list[str]:
        parts = []
        for value in _ticks(self.x):
            across, _ = self._at(value, self.y[0])
            parts.append(f'<path d="M{across} {TOP}V{TOP + HIGH}" stroke="#e2e2e2"/>')
            parts.append(f'<text x="{across}" y="{TOP + HIGH + 16}" text-anchor="middle">{value:g}</text>')
        for value in _ticks(self.y):
            _, down = self._at(self.x[0], value)
            parts.append(f'<path d="M{LEFT} {down}H{LEFT + WIDE}" stroke="#e2e2e2"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{down + 4}" text-anchor="end">{value:g}</text>')
        return parts

    def _labels(self) -> list[str]:
        middle = TOP + HIGH / 2
        parts = [
            f'<text x="{LEFT + WIDE / 2}" y="{TOP + HIGH + 36}" text-anchor="middle">{escape(self.x_label)}</text>',
            f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">'
            f"{escape(self.y_label)}</text>",
        ]
        for row, (label, number) in enumerate(self._legend):
            down = TOP + HIGH + 58 + 20 * row
            parts.append(
                f'<path d="M{LEFT} {down - 4}h28" stroke="{COLOURS[number % 6]}" stroke-width="2" '
                f'stroke-dasharray="{DASHES[number % 6]}"/>'
            )
            parts.append(f'<text x="{LEFT + 36}" y="{down}">{escape(label)}</text>')
        return parts


def _ticks(axis: tuple[float, float, float]) -> list[float]:
    start, end, step = axis
    return [start + index * step for index in range(round((end - start) / step) + 1)]

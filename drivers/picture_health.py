"""Whether a camera's pictures are worth looking at: frozen and black ones are a fault, not silence. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.devices import FaultKind

_NS = 1_000_000_000


class PictureHealth:
    """Watches a thinned-out copy of each frame of a sensor.

    *Frozen*: not one sample changed for ``frozen_s``; a sensor's noise never stands still, a hung camera or driver
    repeats its last buffer. *Dark*: level at most 24 of 255 (limited-range video has its black at 16) and spread at
    most 3 for ``dark_s``: a covered or dead camera, whereas a phone in the night is bright.
    """

    def __init__(self, *, frozen_s: float = 3.0, dark_s: float = 3.0) -> None:
        self._frozen_ns = int(frozen_s * _NS)
        self._dark_ns = int(dark_s * _NS)
        self._last: NDArray[np.uint8] | None = None
        self._changed_ns = 0
        self._lit_ns = 0

    def begin(self, at_ns: int) -> None:
        """The camera was opened afresh."""
        self._last, self._changed_ns, self._lit_ns = None, at_ns, at_ns

    def observe(self, thinned: NDArray[np.uint8], at_ns: int) -> FaultKind | None:
        """The fault that has lasted its time, or None. ``thinned`` is for instance ``gray[::8, ::8]``."""
        if self._last is None or self._last.shape != thinned.shape or not np.array_equal(self._last, thinned):
            self._changed_ns = at_ns
            self._last = thinned.copy()
        if float(thinned.mean()) > 24.0 or float(thinned.std()) > 3.0:
            self._lit_ns = at_ns
        if at_ns - self._lit_ns >= self._dark_ns:
            return FaultKind.DARK
        return FaultKind.FROZEN if at_ns - self._changed_ns >= self._frozen_ns else None

"""How long the machine itself stood still: so that a time limit of ours is not missed by somebody else's load."""

from __future__ import annotations

import threading
import time
from types import TracebackType

_NAP_S = 0.01


class Canary:
    """Naps in a thread of its own and adds up by how much it overslept; use as a context manager."""

    def __init__(self) -> None:
        self.overslept_s = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._nap, name="canary", daemon=True)

    def _nap(self) -> None:
        while not self._ended.is_set():
            begun = time.monotonic()
            time.sleep(_NAP_S)
            late_s = time.monotonic() - begun - _NAP_S
            # A few milliseconds are the scheduler's ordinary grain.
            if late_s > _NAP_S:
                self.overslept_s += late_s

    def __enter__(self) -> Canary:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

"""Wall time with an honest word about it: instants, how far they can be trusted, and a floor that never goes back.

Order is always ``(boot_id, seq)``, never wall time; wall time is for people, retention and expiry. The rules:

==========  =====================================================================================================
synced      the kernel says the clock is disciplined (``STA_UNSYNC`` clear), or timesyncd's mark is fresh
holdover    no sync now, but either a good time earlier in this boot carried on by the monotonic clock while its
            drift bound stays under 60 s, or a real-time clock whose time is not below the floor and not
            more than 60 days above it
asserted    two people said what time it is, not below the floor; carried on by the monotonic clock as long
            as holdover would be, over restarts of the program too
none        none of these; also a clock below the floor, whatever the kernel says of it
==========  =====================================================================================================

The *floor* is the last time known to be good (synced, or carried on from a sync; at first the release's date), kept
in a file. With trust ``none`` an instant is never below it. A real-time clock does not raise it: a wrong battery clock
would otherwise block every later right one. What people say does not raise it either, for the same reason: instants do
not go back behind it, but a sync or two other people may put it right.

Sources: adjtimex(2) (``STA_UNSYNC``, kernel ``include/uapi/linux/timex.h``); systemd-timesyncd.service(8)
(``/run/systemd/timesync/synchronized`` is touched at each adjustment; used where a unit's ``ProtectClock=``
forbids adjtimex); Linux ABI ``/sys/class/rtc``.
"""

from __future__ import annotations

import ctypes
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from config.errors import GatepostError
from kiosk import clock_assertion
from kiosk.clock_assertion import Assertion
from kiosk.durable_file import replace_file
from kiosk.reasons import ClockTrust

MAX_DRIFT_PPM = 100
"""What an uncompensated kiosk crystal is allowed to be wrong by; parts per million."""

MAX_HOLDOVER_ERROR_US = 60 * 1_000_000
"""Holdover on the monotonic clock ends when drift may have reached this (at 100 ppm after about 7 days)."""

MAX_RTC_AHEAD_US = 60 * 86_400 * 1_000_000
"""A battery clock further above the floor than this is not believed unseen (2036, or a year ahead)."""

FLOOR_SAVE_EVERY_US = 60 * 1_000_000
"""The floor's file is written at most this often: wear of the card against a minute's loss of floor."""

MAX_ASSERTED_AHEAD_US = 3 * 365 * 86_400 * 1_000_000
"""People may be this far above the floor; a kiosk that lay longer in a store-room has an old release as well."""

MAX_FLOOR_US = 4_102_444_800_000_000
"""2100-01-01: a floor beyond it is a damaged file, not a time that has passed."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999

SYNC_MARK_FRESH_S = 9 * 3600
"""As long as the kernel itself believes an undisturbed sync: 16 s of error at 500 ppm."""


class ClockError(GatepostError):
    """A time that cannot be accepted, or a floor file that cannot be kept."""


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment. ``at_us`` UTC in microseconds as believed, ``mono_ns`` the monotonic clock of ``boot_id``."""

    at_us: int
    clock_trust: ClockTrust
    boot_id: str
    mono_ns: int

    def utc(self) -> datetime:
        """The same as a timezone-aware datetime."""
        return utc_of(self.at_us)


class Clock(Protocol):
    """Whatever tells the time; only outermost loops hold one, everything else is handed an :class:`Instant`."""

    def now(self) -> Instant:
        """The present instant. Never raises and never goes below the floor."""
        ...


def utc_of(at_us: int) -> datetime:
    """A UTC datetime of microseconds since 1970; clamped to the years that datetime can hold."""
    return _EPOCH + timedelta(microseconds=min(max(at_us, _FIRST_US), _LAST_US))


def this_boot_id() -> str:
    """The kernel's id of this boot (random(4)); a random one for this process where it cannot be read."""
    try:
        return str(uuid.UUID(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()))
    except (OSError, ValueError):
        return str(uuid.uuid4())


class _Timex(ctypes.Structure):
    # struct timex of <sys/timex.h>; only status is read. The tail padding is generous on purpose.
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


_STA_UNSYNC = 0x0040


def kernel_synced() -> bool | None:
    """Whether the kernel calls its clock synchronised; None where it may not be asked (``ProtectClock=``)."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    return not timex.status & _STA_UNSYNC


def timesyncd_synced(mark: Path = Path("/run/systemd/timesync/synchronized")) -> bool:
    """Whether systemd-timesyncd adjusted the clock within the last nine hours."""
    try:
        age_s = time.time() - mark.stat().st_mtime
    except OSError:
        return False
    return -1.0 <= age_s <= SYNC_MARK_FRESH_S


def system_synced() -> bool:
    """Whether this machine's wall clock is disciplined now, by the best source that may be asked."""
    by_kernel = kernel_synced()
    return timesyncd_synced() if by_kernel is None else by_kernel


def has_rtc(folder: Path = Path("/sys/class/rtc")) -> bool:
    """Whether a real-time clock is there that set the system clock or can (``/sys/class/rtc/rtc*``)."""
    try:
        return any(folder.glob("rtc*"))
    except OSError:
        return False


class Floor:
    """The last time known to be good, in a file of one line: microseconds since 1970. It never goes back.

    A missing or unreadable file counts as ``built_at_us`` (what the program knows without one). Saving writes a
    new file beside it and renames, so a power cut leaves the old floor or the new one, never half of either.
    """

    def __init__(self, path: Path | None, *, built_at_us: int = 0) -> None:
        self._path = path
        #: What the file said at the start; None without one that can be read.
        self.kept_us = None if path is None else _kept(path)
        self._saved_us = built_at_us if self.kept_us is None else max(built_at_us, self.kept_us)
        self.at_us = self._saved_us

    def raise_to(self, at_us: int, *, save: bool = False) -> None:
        """Move the floor up to ``at_us`` (lower values change nothing); written when a minute ahead or ``save``."""
        if at_us <= self.at_us:
            return
        self.at_us = at_us
        if save or at_us - self._saved_us >= FLOOR_SAVE_EVERY_US:
            self.save()

    def save(self) -> None:
        """Write the floor durably. Raises nothing: a full disk must not stop the gate; the next minute tries again."""
        if self._path is None or self.at_us <= self._saved_us:
            return
        try:
            replace_file(self._path, f"{self.at_us}\n".encode("ascii"))
        except OSError:
            return
        self._saved_us = self.at_us


def _kept(path: Path) -> int | None:
    try:
        kept_us = int(path.read_text(encoding="ascii")[:32])
    except (OSError, ValueError):
        return None
    return kept_us if kept_us < MAX_FLOOR_US else None


@dataclass(frozen=True, slots=True)
class _Anchor:
    """A time that was good, and the monotonic moment at which it was."""

    at_us: int
    mono_ns: int
    trust: ClockTrust

    def carried_to(self, mono_ns: int) -> int:
        return self.at_us + (mono_ns - self.mono_ns) // 1000

    def drift_us(self, mono_ns: int) -> int:
        return (mono_ns - self.mono_ns) * MAX_DRIFT_PPM // 1_000_000_000


class SystemClock:
    """This machine's clock, judged by the rules at the top of this file. Safe to use from several threads.

    ``floor_path`` is where the floor is kept (None: in memory only), and what people said in the same folder.
    ``built_at_us`` is a time that certainly has passed (the release's date).
    The remaining arguments are the machine's own senses and are replaced in tests.
    Whether the clock is synced is asked at most once a second.
    """

    def __init__(
        self,
        floor_path: Path | None,
        *,
        built_at_us: int = 0,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        synced: Callable[[], bool] = system_synced,
        rtc_present: Callable[[], bool] = has_rtc,
        boot_id: str | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._floor = Floor(floor_path, built_at_us=built_at_us)
        #: When the run before certainly was alive: the floor as it left it, to the minute; microseconds since 1970.
        #: None where none left one. The release's date says nothing of it: a newer one may lie in the pause.
        self.last_run_us = self._floor.kept_us
        self._wall_us = wall_us
        self._monotonic_ns = monotonic_ns
        self._synced = synced
        self._boot_id = boot_id or this_boot_id()
        self._rtc = rtc_present()
        self._anchor: _Anchor | None = None
        self._said_path = None if floor_path is None else floor_path.with_name(clock_assertion.FILE)
        self._said_us = 0
        self._recall_what_was_said()
        self._last_synced = False
        self._asked_at_ns: int | None = None

    @property
    def floor_us(self) -> int:
        """The last time known to be good; microseconds since 1970."""
        return self._floor.at_us

    def now(self) -> Instant:
        """The present instant; see the table at the top of this file for its trust."""
        with self._lock:
            mono_ns = self._monotonic_ns()
            at_us, trust = self._judge(self._wall_us(), mono_ns)
            if self._anchor is not None and self._anchor.trust is ClockTrust.ASSERTED:
                self._said_us = max(self._said_us, at_us)
            return Instant(max(at_us, self._floor.at_us, self._said_us), trust, self._boot_id, mono_ns)

    def assert_time(self, at_us: int, *, people: tuple[str, str]) -> Instant:
        """Take the word of two different people for the time, until the machine is synced or two say otherwise.

        Raises ClockError when ``at_us`` is below the floor or three years above it, or the two are not two.
        """
        if not all(people) or people[0] == people[1]:
            raise ClockError("asserted time", seen=f"{people!r}", expected="two different people")
        with self._lock:
            floor_us = self._floor.at_us
            if not floor_us <= at_us <= floor_us + MAX_ASSERTED_AHEAD_US:
                raise ClockError(
                    "asserted time",
                    seen=utc_of(at_us).isoformat(),
                    expected=f"{utc_of(floor_us).isoformat()}, which is known to have passed, to three years later",
                    hint="look at the year",
                )
            mono_ns = self._monotonic_ns()
            if self._said_path is not None:
                try:
                    clock_assertion.keep(self._said_path, Assertion(at_us, mono_ns, self._boot_id))
                except OSError as error:
                    seen = error.strerror or "not written"
                    raise ClockError(str(self._said_path), seen=seen, expected="a file that can be written") from error
            self._anchor = _Anchor(at_us, mono_ns, ClockTrust.ASSERTED)
            self._said_us = at_us
            return Instant(at_us, ClockTrust.ASSERTED, self._boot_id, mono_ns)

    def close(self) -> None:
        """Write the floor as it stands."""
        with self._lock:
            self._floor.save()

    def _recall_what_was_said(self) -> None:
        said = clock_assertion.recall(self._said_path) if self._said_path is not None else None
        if said is None or said.at_us < self._floor.at_us:
            return
        self._said_us = said.at_us
        if said.boot_id == self._boot_id and said.mono_ns <= self._monotonic_ns():
            self._anchor = _Anchor(said.at_us, said.mono_ns, ClockTrust.ASSERTED)

    def _judge(self, wall_us: int, mono_ns: int) -> tuple[int, ClockTrust]:
        floor_us = self._floor.at_us
        anchor = self._anchor
        if self._is_synced(mono_ns) and wall_us >= floor_us - MAX_HOLDOVER_ERROR_US:
            # A sync may correct a carried-on floor by its drift; further back it is not believed.
            self._anchor = _Anchor(wall_us, mono_ns, ClockTrust.SYNCED)
            self._floor.raise_to(wall_us, save=anchor is None or anchor.trust is not ClockTrust.SYNCED)
            if self._said_us:
                self._said_us = 0
                if self._said_path is not None:
                    clock_assertion.forget(self._said_path)
            return wall_us, ClockTrust.SYNCED
        if anchor is not None:
            carried_us = anchor.carried_to(mono_ns)
            if anchor.drift_us(mono_ns) <= MAX_HOLDOVER_ERROR_US:
                asserted = anchor.trust is ClockTrust.ASSERTED
                if not asserted:
                    self._floor.raise_to(carried_us)
                return carried_us, ClockTrust.ASSERTED if asserted else ClockTrust.HOLDOVER
            # Too long without sync. A battery clock that agrees with the carried time still counts.
            if self._rtc and abs(wall_us - carried_us) <= 2 * anchor.drift_us(mono_ns):
                return wall_us, ClockTrust.HOLDOVER
            return carried_us, ClockTrust.NONE
        if self._rtc and floor_us <= wall_us <= floor_us + MAX_RTC_AHEAD_US:
            return wall_us, ClockTrust.HOLDOVER
        return wall_us, ClockTrust.NONE

    def _is_synced(self, mono_ns: int) -> bool:
        if self._asked_at_ns is None or mono_ns - self._asked_at_ns >= 1_000_000_000:
            self._last_synced = self._synced()
            self._asked_at_ns = mono_ns
        return self._last_synced


class ShiftedClock:
    """A clock that begins at ``start_at_us`` and runs at the real pace: for runs on simulated devices or files only.

    Its trust is ``synced`` unless another is asked for, since the run's own time is by definition right.
    """

    def __init__(
        self,
        start_at_us: int,
        *,
        trust: ClockTrust = ClockTrust.SYNCED,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        boot_id: str | None = None,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._start_at_us = start_at_us
        self._start_ns = monotonic_ns()
        self._trust = trust
        self._boot_id = boot_id or this_boot_id()

    def now(self) -> Instant:
        """The present instant of the simulated day."""
        mono_ns = self._monotonic_ns()
        return Instant(self._start_at_us + (mono_ns - self._start_ns) // 1000, self._trust, self._boot_id, mono_ns)

"""Fakes that several tests share: small, honest stand-ins for the outside world."""

from __future__ import annotations

from kiosk.clock import Instant
from kiosk.reasons import ClockTrust

#: 2026-11-21T08:00:00Z, an ordinary morning at the gate.
MORNING_US = 1_795_248_000_000_000


class FakeClock:
    """A clock that stands still until it is told to move; wall and monotonic time can be moved apart."""

    def __init__(
        self,
        at_us: int = MORNING_US,
        *,
        trust: ClockTrust = ClockTrust.SYNCED,
        boot_id: str = "00000000-0000-4000-8000-000000000001",
        mono_ns: int = 1_000_000_000,
    ) -> None:
        self.at_us = at_us
        self.trust = trust
        self.boot_id = boot_id
        self.mono_ns = mono_ns

    def now(self) -> Instant:
        """The instant as it was last set."""
        return Instant(self.at_us, self.trust, self.boot_id, self.mono_ns)

    def advance(self, seconds: float) -> Instant:
        """Let time pass: wall and monotonic clocks together."""
        micros = round(seconds * 1_000_000)
        self.at_us += micros
        self.mono_ns += micros * 1000
        return self.now()

    def step(self, seconds: float) -> Instant:
        """Somebody sets the wall clock; the monotonic clock does not notice."""
        self.at_us += round(seconds * 1_000_000)
        return self.now()

    def reboot(self, boot_id: str = "00000000-0000-4000-8000-000000000002") -> Instant:
        """A new boot: another id, and a monotonic clock that begins anew."""
        self.boot_id = boot_id
        self.mono_ns = 1_000_000_000
        return self.now()

"""Errors of the sync floor: keys, wire form, transport, refusals.

SyncError
├── KeyFileError     a private key that cannot be read, or that others on the machine could read
├── WireError        bytes that are not a batch, heartbeat or answer; ``status`` is the HTTP status it deserves
└── LinkError        no answer, or none that can be used; trying again later is right
"""

from __future__ import annotations

from config.errors import GatepostError


class SyncError(GatepostError):
    """Root of what goes wrong between the journal and the central."""


class KeyFileError(SyncError):
    """A private key file that is missing, malformed, or readable by group or others."""


class WireError(SyncError):
    """Bytes from the other side that break ``docs/formats-sync.md``; ``status`` is the HTTP status for it."""

    def __init__(self, thing: str, *, status: int = 400, seen: str = "", expected: str = "", hint: str = "") -> None:
        super().__init__(thing, seen=seen, expected=expected, hint=hint)
        self.status = status


class LinkError(SyncError):
    """The exchange did not happen or its answer is unusable: nothing is known, so nothing is acknowledged."""

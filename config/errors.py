"""The one error tree of Gatepost.

    GatepostError
    ├── ConfigError          a setting, a policy, a key file or a folder is not usable
    ├── DriverError          (drivers/errors.py) cable, frame, device
    ├── JournalError         (kiosk/journal_types.py) the durable log
    └── SyncError            (sync/errors.py) wire form, transport, refusal

Every message names the thing, what was seen, what was expected and what to try.
"""

from __future__ import annotations


class GatepostError(Exception):
    """Root of every error that Gatepost raises on purpose.

    ``thing`` is what the message is about (a file, a key, a device); ``seen`` and ``expected`` say what is
    wrong with it; ``hint`` is the next thing to try. All four are shown, so none may hold personal data.
    """

    def __init__(self, thing: str, *, seen: str = "", expected: str = "", hint: str = "") -> None:
        self.thing = thing
        self.seen = seen
        self.expected = expected
        self.hint = hint
        parts = [thing]
        if seen:
            parts.append(f"seen: {seen}")
        if expected:
            parts.append(f"expected: {expected}")
        if hint:
            parts.append(f"try: {hint}")
        super().__init__("; ".join(parts))


class ConfigError(GatepostError):
    """A setting, policy, key file or folder that the program cannot use."""

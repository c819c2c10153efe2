"""The digits on the kiosk's screen that a phone signs into its ``GC1:`` code. Pure; time is an argument.

Three digits, new every 30 seconds, drawn from a secret of this kiosk so that they cannot be foreseen. A code made for
the digits before is still taken, since people need a moment to type; a recording of an earlier minute is not.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

CHANGE_S = 30
_PURPOSE = b"gatepost challenge 1\x00"


def _digits(secret: bytes, window: int) -> str:
    digest = hmac.new(secret, _PURPOSE + window.to_bytes(8, "big"), hashlib.sha256).digest()
    return f"{int.from_bytes(digest[:8], 'big') % 1000:03}"


def shown_challenge(secret: bytes, now: datetime) -> str:
    """What the screen shows at ``now``. ``secret``: 16 bytes or more, of this kiosk."""
    return _digits(secret, int(now.timestamp()) // CHANGE_S)


def accepted_challenges(secret: bytes, now: datetime) -> frozenset[str]:
    """What ``GateContext.challenges`` holds at ``now``: the digits shown, and those shown in the two windows before."""
    window = int(now.timestamp()) // CHANGE_S
    return frozenset(_digits(secret, window - before) for before in range(3))

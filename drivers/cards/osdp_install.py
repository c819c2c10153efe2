"""Giving a new OSDP reader the site's own key: install mode, on the installer's bench, for minutes only.

Reference: SIA OSDP v2.2, 6.16 (KEYSET: 75, key type 01, length 10, the key) and annex D (a reader from the maker takes
SCBK-D, the default key printed in the standard, until it was given one). Who hears the line meanwhile learns the key:
that is one of the published weaknesses (Bishop Fox, 2023). So this is never what a gate does: it is a command by itself
with the reader on a short cable, it ends by the clock, and the reader has to prove the new key before it counts.

    default key: challenge, cryptograms -> KEYSET, encrypted -> ACK -> sequence 0, challenge with the new key -> proven
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from drivers.cards.osdp import KEY_IN_USE, OsdpConversation
from drivers.cards.osdp_frames import DEFAULT_KEY, Code, Packet
from drivers.devices import FaultKind, Proven, Step
from drivers.errors import FrameError

WINDOW_NS = 600_000_000_000
"""Ten minutes: long enough to wire a reader, too short to be forgotten."""
_DEFAULT_KEY_IN_USE = 0
_SECURE_CHANNEL_KEY = 0x01


class OsdpKeyInstall(OsdpConversation):
    """One reader at ``address`` that still has the default key; afterwards it has ``key``.

    ``window_ns`` counts from the first opening of the port. Proven means: the reader holds the new key. Raises
    ValueError for the default key, and for one of another length than 16 bytes.
    """

    proof_timeout_s: float = 4.0

    def __init__(
        self,
        key: bytes,
        *,
        address: int = 0,
        baud: int = 9600,
        window_ns: int = WINDOW_NS,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        super().__init__(key, address=address, baud=baud, random_bytes=random_bytes)
        self._site_key = key
        self._window_ns = window_ns
        self._until_ns: int | None = None

    def begin(self, at_ns: int) -> list[Step]:
        """The port was opened afresh: the default key, unless the time is over."""
        if self._until_ns is None:
            self._until_ns = at_ns + self._window_ns
        if at_ns >= self._until_ns:
            self._reset()
            return self._broken(FaultKind.REFUSED, "install mode is over; start the command again")
        self._key, self._key_in_use = DEFAULT_KEY, _DEFAULT_KEY_IN_USE
        return super().begin(at_ns)

    def _opened(self, at_ns: int) -> list[Step]:
        if self._key_in_use == KEY_IN_USE:
            self._asked = self._deadline_ns = None
            return [Proven("OSDP reader holds the site's key; take it to its place")]
        if self._until_ns is None or at_ns >= self._until_ns:
            return self._broken(FaultKind.REFUSED, "install mode is over; start the command again")
        block = bytes((_SECURE_CHANNEL_KEY, len(self._site_key))) + self._site_key
        return self._ask(Code.KEYSET, block, at_ns)

    def _polled(self, packet: Packet, at_ns: int) -> list[Step]:
        """The answer to KEYSET: the only thing that is asked over the default key's channel."""
        if self._channel is None or not packet.secured:
            return self._broken(FaultKind.REFUSED, "answered in plain on a secured line")
        try:
            self._channel.open(packet)
        except FrameError as error:
            return self._broken(FaultKind.GARBLED, str(error))
        if packet.code != Code.ACK:
            return self._broken(FaultKind.REFUSED, f"does not take the key ({packet.code:#04x})")
        self._key, self._key_in_use = self._site_key, KEY_IN_USE
        return super().begin(at_ns)

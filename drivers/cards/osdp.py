"""An OSDP reader over RS-485, through the Secure Channel or not at all. The gate is the control panel (ACU).

Reference: SIA OSDP v2.2; ``drivers/cards/osdp_frames.py`` for the bytes. The five published weaknesses of OSDP
(Bishop Fox, 2023) come from optional encryption, believed capability replies, install mode left on, the default key
and keys sent over the wire. So here: a reader that claims no encryption, wants the default key or answers a secured
poll in plain is refused aloud; the key is a site's own, and no key ever goes over this wire. A new reader is given its
key beforehand, in a time-limited install mode that is a command of its own (``drivers/cards/osdp_install.py``).

    61 identification -> 45    62 capabilities -> 46    76 challenge -> 76    77 server cryptogram -> 78
    60 poll, every 50 ms -> 40 nothing, 50 card bits, 53 keypad, 79 busy, 41 refused
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import replace

from drivers.cards import wiegand
from drivers.cards.osdp_frames import DEFAULT_KEY, MARK, Code, Decoder, Packet, SecureChannel, encode
from drivers.cards.presentation import Presentations
from drivers.devices import Broken, CardHint, CardTap, FaultKind, Proven, Send, Step
from drivers.errors import FrameError

POLL_NS = 50_000_000
ANSWER_TIMEOUT_NS = 200_000_000
MAX_TRIES = 3
COMMUNICATION_SECURITY = 9
"""Capability 9: bit 0 of its compliance byte says AES-128."""
KEY_IN_USE = 1
"""Third byte of the channel's set-up blocks: 1 is the site's key, 0 the default one."""


class OsdpConversation:
    """One reader at ``address`` (0 to 126) with its own 16-byte key. Raises ValueError for the default key.

    26, 34 and 37 bits are checked by their parities, and the tap carries the number between them; other lengths are
    taken as whole bytes (a UID), left-aligned.
    """

    proof_timeout_s: float = 2.0

    def __init__(
        self,
        key: bytes,
        *,
        address: int = 0,
        baud: int = 9600,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        if len(key) != 16 or hmac.compare_digest(key, DEFAULT_KEY):
            raise ValueError("an OSDP reader needs a key of its own, 16 bytes; the default key protects nothing")
        if not 0 <= address <= 126:
            raise ValueError(f"OSDP address {address}: expected 0 to 126")
        self.baud_rates: tuple[int, ...] = (baud,)
        self._key = key
        self._key_in_use = KEY_IN_USE
        self._address = address
        self._random_bytes = random_bytes
        self._reset()

    def _reset(self) -> None:
        self._decoder = Decoder()
        self._channel: SecureChannel | None = None
        self._rnd_a = b""
        self._sequence = 0
        self._asked: Packet | None = None
        self._sent = b""
        self._tries = 0
        self._deadline_ns: int | None = None
        self._presentations = Presentations()
        self._secured = False

    def begin(self, at_ns: int) -> list[Step]:
        """The port was opened afresh: sequence 0 makes the reader forget its session, too."""
        self._reset()
        return self._ask(Code.ID, b"\x00", at_ns)

    def receive(self, data: bytes, at_ns: int) -> list[Step]:
        """Bytes arrived."""
        steps: list[Step] = []
        for packet in self._decoder.feed(data, at_ns):
            asked = self._asked
            if asked is None or not packet.reply or packet.address != self._address:
                continue  # an echo of ours, a late answer, another reader on the line
            if packet.code == Code.BUSY or packet.sequence != asked.sequence:
                continue
            self._asked = None
            steps += self._answered(asked, packet, at_ns)
        return steps

    def wake_at_ns(self) -> int | None:
        """The next poll, or the end of the wait for an answer."""
        return self._deadline_ns

    def wake(self, at_ns: int) -> list[Step]:
        """Poll, repeat, or give up."""
        if self._deadline_ns is None or at_ns < self._deadline_ns:
            return []
        self._decoder.silence(at_ns)
        if self._asked is None:
            return self._ask(Code.POLL, b"", at_ns)
        self._tries += 1
        if self._tries >= MAX_TRIES:
            return self._broken(FaultKind.SILENT, f"no answer to {self._asked.code:#04x}, {self._tries} times")
        # The same bytes again, so that a reader that did hear us repeats its answer instead of acting twice.
        self._deadline_ns = at_ns + ANSWER_TIMEOUT_NS
        return [Send(self._sent)]

    def _ask(self, code: int, data: bytes, at_ns: int, scb: bytes = b"") -> list[Step]:
        packet = Packet(address=self._address, reply=False, sequence=self._sequence, code=code, scb=scb, data=data)
        if self._secured and self._channel is not None:
            packet = replace(packet, scb=b"\x02\x17" if data else b"\x02\x15")
            self._sent = MARK + self._channel.seal(packet)
        else:
            self._sent = MARK + encode(packet)
        self._sequence = self._sequence % 3 + 1
        self._asked, self._tries = packet, 0
        self._deadline_ns = at_ns + ANSWER_TIMEOUT_NS
        return [Send(self._sent)]

    def _broken(self, kind: FaultKind, detail: str) -> list[Step]:
        self._asked = self._deadline_ns = None
        return [Broken(kind, f"OSDP reader {self._address}: {detail}")]

    def _answered(self, asked: Packet, packet: Packet, at_ns: int) -> list[Step]:
        if packet.code == Code.NAK:
            reason = packet.data[:1].hex() or "without a reason"
            return self._broken(FaultKind.REFUSED, f"refuses {asked.code:#04x} (NAK {reason}); is its key the site's?")
        if self._secured:
            return self._polled(packet, at_ns)
        match asked.code, packet.code:
            case Code.ID, Code.PDID:
                return self._ask(Code.CAP, b"\x00", at_ns)
            case Code.CAP, Code.PDCAP:
                if not _knows_encryption(packet.data):
                    return self._broken(FaultKind.REFUSED, "claims no encryption; it is not used without")
                self._rnd_a = self._random_bytes(8)
                return self._ask(Code.CHLNG, self._rnd_a, at_ns, bytes((3, 0x11, self._key_in_use)))
            case Code.CHLNG, Code.CCRYPT:
                return self._challenged(packet, at_ns)
            case Code.SCRYPT, Code.RMAC_I:
                return self._established(packet, at_ns)
            case _:
                detail = f"answers {packet.code:#04x} to {asked.code:#04x}"
                return self._broken(FaultKind.WRONG_DEVICE, detail)

    def _challenged(self, packet: Packet, at_ns: int) -> list[Step]:
        if packet.scb != bytes((3, 0x12, self._key_in_use)) or len(packet.data) != 32:
            return self._broken(FaultKind.REFUSED, "wants another key; `gatepost card osdp-key` gives it the site's")
        channel = SecureChannel(self._key, self._rnd_a, packet.data[8:16])
        if not hmac.compare_digest(channel.client_cryptogram, packet.data[16:]):
            return self._broken(FaultKind.REFUSED, "does not hold the site's key")
        self._channel = channel
        return self._ask(Code.SCRYPT, channel.server_cryptogram, at_ns, bytes((3, 0x13, self._key_in_use)))

    def _established(self, packet: Packet, at_ns: int) -> list[Step]:
        channel = self._channel
        if channel is None or packet.scb[1:2] != b"\x14" or not hmac.compare_digest(channel.r_mac, packet.data):
            return self._broken(FaultKind.REFUSED, "did not accept the secure channel")
        self._secured = True
        return self._opened(at_ns)

    def _opened(self, at_ns: int) -> list[Step]:
        """The Secure Channel stands."""
        proven = Proven(f"OSDP reader {self._address}, secure channel with the site's key")
        return [proven, *self._ask(Code.POLL, b"", at_ns)]

    def _polled(self, packet: Packet, at_ns: int) -> list[Step]:
        if self._channel is None or not packet.secured:
            return self._broken(FaultKind.REFUSED, "answered in plain on a secured line")
        try:
            data = self._channel.open(packet)
        except FrameError as error:
            return self._broken(FaultKind.GARBLED, str(error))
        self._deadline_ns = at_ns + POLL_NS
        return self._card(data, at_ns) if packet.code == Code.RAW else []

    def _card(self, data: bytes, at_ns: int) -> list[Step]:
        """Reader number, format, bit count (2, LSB first), bits."""
        count = int.from_bytes(data[2:4], "little")
        if len(data) < 5 or not 0 < count <= 8 * len(data[4:]):
            return [CardHint(detail="card data of the reader out of order", at_ns=at_ns)]
        if count in (26, 34, 37):
            card = wiegand.decode(wiegand.bits_of_packed(data[4:], count))
            if not isinstance(card, wiegand.WiegandCard):
                return [CardHint(detail="a bit was lost between card and reader", at_ns=at_ns)]
            uid, unknown_first = card.number, 1 if count == 26 else 0
        elif count % 8 == 0 and count // 8 in (4, 5, 7, 8, 10):
            uid, unknown_first = data[4 : 4 + count // 8], 0
        else:
            return [CardHint(detail=f"a card of {count} bits, which no format of ours has", at_ns=at_ns)]
        tap = CardTap(uid=uid, at_ns=at_ns, unknown_first=unknown_first)
        return [tap] if self._presentations.is_new(uid, at_ns) else []


def _knows_encryption(capabilities: bytes) -> bool:
    """Triples of function, compliance, number; AES-128 is bit 0 of function 9's compliance."""
    triples = zip(capabilities[0::3], capabilities[1::3], strict=False)
    return any(function == COMMUNICATION_SECURITY and compliance & 0x01 for function, compliance in triples)

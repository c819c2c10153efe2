"""An OSDP reader (peripheral device): identification, capabilities, Secure Channel, card bits at the next poll."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from drivers.cards import wiegand
from drivers.cards.osdp_frames import DEFAULT_KEY, Code, Decoder, Packet, SecureChannel, encode
from drivers.errors import FrameError
from drivers.simulators.registry import Spec

REPLY_NS = 3_000_000
PDID = bytes.fromhex("BEBAFE0101AFBEADDEADDEAD")


class OsdpPlayer:
    """``claims_encryption`` False and ``key`` None make the readers that a gate must refuse. ``install`` makes one as
    it comes from the maker, which takes the standard's default key and with it, once, a key of its own."""

    def __init__(
        self,
        key: bytes | None,
        *,
        address: int = 0,
        claims_encryption: bool = True,
        install: bool = False,
        seed: int = 1,
    ) -> None:
        self.key = key
        self._install = install
        self._address = address
        self._capabilities = bytes((3, 1, 1, 8, 1, 0, 9, int(claims_encryption), 1))
        self._random = random.Random(seed)
        self._power_on()
        self._cards: list[bytes] = []

    def _power_on(self) -> None:
        self._decoder = Decoder()
        self._channel: SecureChannel | None = None
        self._rnd_a = b""
        self._secured = False
        self._last: tuple[bytes, bytes] = (b"", b"")
        self._replies: list[tuple[int, bytes]] = []

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        """Commands to this address are answered; the same bytes again get the same answer."""
        for packet in self._decoder.feed(data, at_ns):
            if packet.reply or packet.address != self._address:
                continue
            seen = packet.head + packet.mac
            if seen != self._last[0] or packet.sequence == 0:
                self._last = (seen, self._reply(packet))
            self._replies.append((at_ns + REPLY_NS, self._last[1]))
        return []

    def due_ns(self) -> int | None:
        """When the next reply is ready."""
        return self._replies[0][0] if self._replies else None

    def due(self, at_ns: int) -> list[bytes]:
        """The replies that are ready by now."""
        ready = [reply for when, reply in self._replies if when <= at_ns]
        self._replies = [entry for entry in self._replies if entry[0] > at_ns]
        return ready

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        """``{"do": "tap", "uid": hex}`` sends the UID's bits at the next poll; with ``"bits"``, these."""
        match line.get("do"):
            case "tap":
                bits = str(line.get("bits", ""))
                try:
                    packed = wiegand.packed(bits) if bits else bytes.fromhex(str(line["uid"]))
                except (KeyError, ValueError) as error:
                    raise ValueError(f"tap needs a uid in hex, or bits: {error!r}") from error
                count = len(bits) or 8 * len(packed)
                self._cards.append(b"\x00\x01" + count.to_bytes(2, "little") + packed)
            case "power_on":
                self._power_on()
            case other:
                raise ValueError(f"an OSDP reader cannot {other!r}; it knows tap and power_on")
        return {}

    def _reply(self, packet: Packet) -> bytes:
        plain = Packet(address=self._address, reply=True, sequence=packet.sequence, code=Code.ACK)
        if packet.sequence == 0:
            self._secured = False
        if self._secured and self._channel is not None:
            return self._secured_reply(packet, plain, self._channel)
        match packet.code:
            case Code.ID:
                return encode(replace(plain, code=Code.PDID, data=PDID))
            case Code.CAP:
                return encode(replace(plain, code=Code.PDCAP, data=self._capabilities))
            case Code.CHLNG if packet.scb[1:2] == b"\x11":
                return encode(self._challenged(packet, plain))
            case Code.SCRYPT if self._channel is not None and packet.data == self._channel.server_cryptogram:
                self._secured = True
                return encode(replace(plain, code=Code.RMAC_I, scb=b"\x03\x14\x01", data=self._channel.r_mac))
            case Code.POLL if self.key is None:
                return encode(replace(plain, code=Code.RAW, data=self._cards.pop(0)) if self._cards else plain)
            case _:
                return encode(replace(plain, code=Code.NAK, data=b"\x06"))

    def _challenged(self, packet: Packet, plain: Packet) -> Packet:
        by_default = packet.scb[2:3] == b"\x00"
        key = DEFAULT_KEY if by_default and self._install else self.key
        if key is None or (by_default and not self._install):
            return replace(plain, code=Code.NAK, data=b"\x05")
        rnd_b = self._random.randbytes(8)
        self._channel = SecureChannel(key, packet.data, rnd_b)
        data = PDID[:8] + rnd_b + self._channel.client_cryptogram
        return replace(plain, code=Code.CCRYPT, scb=b"\x03\x12" + packet.scb[2:3], data=data)

    def _secured_reply(self, packet: Packet, plain: Packet, channel: SecureChannel) -> bytes:
        try:
            data = channel.open(packet)
        except FrameError:
            self._secured = False
            return encode(replace(plain, code=Code.NAK, data=b"\x06"))
        if packet.code == Code.KEYSET:
            if not self._install or data[:2] != b"\x01\x10" or len(data) != 18:
                return channel.seal(replace(plain, code=Code.NAK, scb=b"\x02\x18", data=b"\x03"))
            self.key, self._install = data[2:], False
        if packet.code == Code.POLL and self._cards:
            return channel.seal(replace(plain, code=Code.RAW, scb=b"\x02\x18", data=self._cards.pop(0)))
        return channel.seal(replace(plain, scb=b"\x02\x16"))


def player(spec: Spec) -> OsdpPlayer:
    """Options ``key`` (32 hex digits) and ``address``."""
    key = bytes.fromhex(spec.text("key", "00" * 15 + "01"))
    return OsdpPlayer(key, address=int(spec.number("address", 0)), seed=spec.seed)

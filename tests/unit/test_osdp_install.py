"""Install mode: a new reader gets the site's key and proves it; nothing else does, and not for long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.cards.osdp import OsdpConversation
from drivers.cards.osdp_frames import DEFAULT_KEY, Code, Packet, SecureChannel
from drivers.cards.osdp_install import OsdpKeyInstall
from drivers.devices import FaultKind
from drivers.simulators.osdp import OsdpPlayer
from tests.wire_loop import WireLoop

KEY = bytes(range(1, 17))
SECOND_NS = 1_000_000_000


def run(conversation: OsdpConversation, player: OsdpPlayer, for_ms: float = 3000) -> WireLoop:
    return WireLoop(conversation, player, baud=9600).begin().run(for_ms)


def test_a_new_reader_is_given_the_key_and_then_serves_the_gate_with_it() -> None:
    """As it comes from the maker: refused by the gate; after install mode: proven by the gate, with its own key."""
    player = OsdpPlayer(None, install=True)
    assert run(OsdpConversation(KEY), player).proven == []
    loop = run(OsdpKeyInstall(KEY), player)
    assert loop.proven == ["OSDP reader holds the site's key; take it to its place"]
    assert player.key == KEY
    assert run(OsdpConversation(KEY), player).proven == ["OSDP reader 0, secure channel with the site's key"]
    assert KEY not in b"".join(data for _, data in loop.sent)


@pytest.mark.parametrize(
    ("player", "words"),
    [
        (OsdpPlayer(None), "refuses"),
        (OsdpPlayer(bytes(16)), "refuses"),
        (OsdpPlayer(None, install=True, claims_encryption=False), "claims no encryption"),
    ],
)
def test_a_reader_that_is_not_in_install_mode_is_told(player: OsdpPlayer, words: str) -> None:
    """One without encryption, one with a key already: neither is spoken to in plain."""
    loop = run(OsdpKeyInstall(KEY), player)
    assert loop.proven == []
    assert loop.broken is not None
    assert loop.broken.kind is FaultKind.REFUSED
    assert words in loop.broken.detail


def test_install_mode_ends_by_the_clock() -> None:
    """A second opening after the window is refused before a byte was said."""
    conversation = OsdpKeyInstall(KEY, window_ns=10 * SECOND_NS)
    conversation.begin(0)
    (broken,) = conversation.begin(10 * SECOND_NS)
    assert "install mode is over" in broken.detail  # type: ignore[union-attr]
    assert conversation.wake_at_ns() is None


def test_the_key_is_not_said_after_the_window() -> None:
    """A reader that answers slowly: the channel of the default key stands when the time is over, and nothing more."""
    player = OsdpPlayer(None, install=True)
    loop = run(OsdpKeyInstall(KEY, window_ns=SECOND_NS // 10), player)
    assert loop.broken is not None
    assert "install mode is over" in loop.broken.detail
    assert loop.now_ns > 0
    assert player.key is None


class Refusing(OsdpPlayer):
    """A reader that speaks the default key and does not take another one."""

    def _challenged(self, packet: Packet, plain: Packet) -> Packet:
        answer = super()._challenged(packet, plain)
        self._install = False
        return answer


class Forgetful(OsdpPlayer):
    """A reader that says "done" to a new key and keeps the default one."""

    def _secured_reply(self, packet: Packet, plain: Packet, channel: SecureChannel) -> bytes:
        answer = super()._secured_reply(packet, plain, channel)
        self.key, self._install = None, True
        return answer


class Elsewhere(OsdpPlayer):
    """A reader that answers something else, under the right MAC."""

    def _secured_reply(self, packet: Packet, plain: Packet, channel: SecureChannel) -> bytes:
        channel.open(packet)
        return channel.seal(replace(plain, code=Code.KEYPAD, scb=b"\x02\x16"))


@pytest.mark.parametrize(
    ("kind", "words"), [(Refusing, "refuses 0x75"), (Elsewhere, "does not take the key"), (Forgetful, "refuses")]
)
def test_a_reader_that_has_not_taken_the_key_is_not_called_ready(kind: type[OsdpPlayer], words: str) -> None:
    """It says no, or it says yes and cannot prove the new key."""
    loop = run(OsdpKeyInstall(KEY), kind(None, install=True))
    assert loop.proven == []
    assert loop.broken is not None
    assert loop.broken.kind is FaultKind.REFUSED
    assert words in loop.broken.detail


def test_the_default_key_cannot_be_installed() -> None:
    """Nor one of another length."""
    for key in (DEFAULT_KEY, bytes(15)):
        with pytest.raises(ValueError, match="of its own"):
            OsdpKeyInstall(key)


def test_an_installed_reader_takes_no_second_key() -> None:
    """Who comes later with another key is refused; the reader keeps the first."""
    player = OsdpPlayer(None, install=True)
    run(OsdpKeyInstall(KEY), player)
    assert run(OsdpKeyInstall(bytes(range(2, 18))), player).proven == []
    assert player.key == KEY

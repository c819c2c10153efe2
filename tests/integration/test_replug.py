"""Every reader out and in again: seen in 1.5 s, working in 3 s under another device name, never in the role of another.

Each reader is the real device object over a pseudo-terminal that paces the bytes of its simulator. The stable name is
a link, as udev makes it; what it leads to is another pseudo-terminal after each plugging in.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.number_form import NumberForm
from drivers.cards.keyboard_wedge import WedgeDevice
from drivers.cards.osdp import OsdpConversation
from drivers.cards.pn532 import Pn532Conversation
from drivers.cards.rdm6300 import Rdm6300Conversation
from drivers.cards.sdt_idcard import SdtConversation
from drivers.cards.serial_uid import SerialUidConversation
from drivers.devices import CardTap, Conversation, Device, DeviceFault, DeviceReady, IdCardRead
from drivers.serial_port import SerialDevice
from drivers.simulators import rdm6300, serial_uid
from drivers.simulators.keyboard_wedge import WedgePlayer
from drivers.simulators.osdp import OsdpPlayer
from drivers.simulators.pn532 import Pn532Player
from drivers.simulators.rdm6300 import RepeatingPlayer
from drivers.simulators.registry import Player
from drivers.simulators.sdt_idcard import SdtPlayer
from drivers.simulators.wiegand import wiegand_player
from drivers.simulators.wire import Wire

SEEN_WITHIN_S = 1.5
WORKING_WITHIN_S = 3.0
OSDP_KEY = bytes(range(1, 17))
ID_NUMBERS = {"5ae2b3de": "11010519491231002X", "6be2b3de": "110105194912310062"}


@dataclass(frozen=True)
class Kind:
    """How a reader of this kind is simulated, opened, and what of a four-byte card it tells."""

    player: Callable[[], Player]
    device: Callable[[str, str], Device]
    baud: int
    told: Callable[[str], str] = lambda uid: uid


def on_port(conversation: Callable[[], Conversation]) -> Callable[[str, str], Device]:
    return lambda name, path: SerialDevice(name, path, conversation())


KINDS = {
    "pn532": Kind(Pn532Player, on_port(Pn532Conversation), 115200),
    "rdm6300": Kind(
        lambda: RepeatingPlayer(rdm6300.frame, (4,), rdm6300.PERIOD_NS), on_port(Rdm6300Conversation), 9600
    ),
    "serial_uid": Kind(
        lambda: RepeatingPlayer(serial_uid.line_of, (4,), serial_uid.PERIOD_NS),
        on_port(lambda: SerialUidConversation(NumberForm.HEX)),
        9600,
    ),
    "wiegand_26": Kind(
        lambda: wiegand_player(26),
        on_port(lambda: SerialUidConversation(NumberForm.WG26_BITS)),
        9600,
        lambda uid: uid[2:],
    ),
    "wiegand_34": Kind(lambda: wiegand_player(34), on_port(lambda: SerialUidConversation(NumberForm.WG34_BITS)), 9600),
    "wiegand_37": Kind(
        lambda: wiegand_player(37),
        on_port(lambda: SerialUidConversation(NumberForm.WG37_BITS)),
        9600,
        lambda uid: "00" + uid,
    ),
    "osdp": Kind(lambda: OsdpPlayer(OSDP_KEY), on_port(lambda: OsdpConversation(OSDP_KEY)), 9600),
    # A pseudo-terminal is no input device, so the one call that a real one needs, to be grabbed, is left out.
    "keyboard_wedge": Kind(
        WedgePlayer, lambda name, path: WedgeDevice(name, path, NumberForm.DEC10, grab=lambda _fd: None), 38400
    ),
    "sdt_idcard": Kind(SdtPlayer, on_port(SdtConversation), 115200, ID_NUMBERS.__getitem__),
}
EVERY_KIND = pytest.mark.parametrize("kind", sorted(KINDS))


class Plugged:
    """One reader in its role: the simulator, the wire behind the role's stable name, and what the gate hears."""

    def __init__(self, folder: Path, role: str, kind: Kind) -> None:
        self._told = kind.told
        self._id_cards = isinstance(player := kind.player(), SdtPlayer)
        self.wire = Wire(folder / "dev" / role, player, baud=kind.baud, seed=7)
        self._device = kind.device(role, str(self.wire.link))
        self._events: queue.Queue[Any] = queue.Queue()

    def __enter__(self) -> Plugged:
        self.wire.start()
        self._device.start(self._events.put)
        return self

    def __exit__(self, *_: object) -> None:
        self._device.stop()
        self.wire.stop()

    def next(self, kind: type[Any] | tuple[type[Any], ...], within_s: float = 3.0) -> Any:
        """The next event of that kind, however many others come before."""
        end_s = time.monotonic() + within_s
        while True:
            event = self._events.get(timeout=max(0.001, end_s - time.monotonic()))
            if isinstance(event, kind):
                return event

    def present(self, uid: str) -> bool:
        """Present a card and hear it; whether it is the one presented. It has left when this returns."""
        if self._id_cards:
            self.wire.command({"do": "lay", "name": "张伟", "id_number": self._told(uid)})
            heard = self.next(IdCardRead).id_number
            self.wire.command({"do": "lift"})
        else:
            self.wire.command({"do": "tap", "uid": uid, "hold_ms": 250})
            heard = self.next(CardTap).uid.hex()
        time.sleep(0.3)  # a card counts as gone after 300 ms: a hand takes longer
        return bool(heard == self._told(uid))


@pytest.fixture
def rig() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@EVERY_KIND
def test_a_reader_is_missed_and_taken_back_under_another_device_name(tmp_path: Path, rig: ExitStack, kind: str) -> None:
    """Card, out (fault within 1.5 s), in behind the same stable name but as another device, card within 3 s."""
    reader = rig.enter_context(Plugged(tmp_path, "reader-in", KINDS[kind]))
    reader.next(DeviceReady)
    assert reader.present("5ae2b3de")
    before = reader.wire.link.readlink()

    # Somebody holds the old device on, so that its number is not free when the reader comes back.
    held = os.open(reader.wire.link, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    rig.callback(os.close, held)
    pulled_s = time.monotonic()
    reader.wire.unplug()
    reader.next(DeviceFault, within_s=SEEN_WITHIN_S)
    assert time.monotonic() - pulled_s < SEEN_WITHIN_S

    put_back_s = time.monotonic()
    reader.wire.plug()
    assert reader.wire.link.readlink() != before
    reader.next(DeviceReady, within_s=WORKING_WITHIN_S)
    assert reader.present("6be2b3de")
    assert time.monotonic() - put_back_s < WORKING_WITHIN_S + 0.3


@EVERY_KIND
def test_two_readers_of_a_kind_keep_their_roles(tmp_path: Path, rig: ExitStack, kind: str) -> None:
    """Both out, both back in the other order, so that the system numbers them anew: no card changes sides."""
    readers = [rig.enter_context(Plugged(tmp_path, role, KINDS[kind])) for role in ("reader-in", "reader-out")]
    for reader in readers:
        reader.next(DeviceReady)
    for reader in readers:
        reader.wire.unplug()
        reader.next(DeviceFault, within_s=SEEN_WITHIN_S)
    for reader in reversed(readers):
        reader.wire.plug()
    for reader, uid in zip(readers, ("5ae2b3de", "6be2b3de"), strict=True):
        reader.next(DeviceReady, within_s=WORKING_WITHIN_S)
        assert reader.present(uid)
    for reader in readers:
        with pytest.raises(queue.Empty):
            reader.next((CardTap, IdCardRead), within_s=0.05)


@pytest.mark.parametrize("kind", ["serial_uid", "keyboard_wedge"])
def test_a_name_that_leads_elsewhere_is_followed(tmp_path: Path, rig: ExitStack, kind: str) -> None:
    """udev gives the role to another device while the old one still answers: the role's reader is the new one."""
    reader = rig.enter_context(Plugged(tmp_path, "reader-in", KINDS[kind]))
    reader.next(DeviceReady)
    fresh = Wire(tmp_path / "dev" / "fresh", KINDS[kind].player(), baud=KINDS[kind].baud, seed=8)
    fresh.start()
    rig.callback(fresh.stop)
    turned = reader.wire.link.with_name(".turned")
    turned.symlink_to(fresh.link.readlink())
    turned.replace(reader.wire.link)
    reader.next(DeviceFault, within_s=SEEN_WITHIN_S)
    reader.next(DeviceReady, within_s=WORKING_WITHIN_S)
    reader.wire.command({"do": "tap", "uid": "5ae2b3de"})
    fresh.command({"do": "tap", "uid": "6be2b3de"})
    assert reader.next(CardTap).uid.hex() == "6be2b3de"

"""A resident ID card at the guard's desk: read over a pseudo-terminal, checked, its name offered to the form once."""

from __future__ import annotations

import queue
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from config.settings import load_settings
from drivers.cards.sdt_idcard import SdtConversation
from drivers.devices import DeviceReady, IdCardRead, Observed
from drivers.rack import Rack
from drivers.serial_port import SerialDevice
from drivers.simulators.sdt_idcard import SdtPlayer
from drivers.simulators.wire import Wire
from kiosk.id_desk import IdDesk, IdNote, IdProblem, problem_of
from kiosk.reasons import ClockTrust
from tests.fakes import FakeClock
from tests.integration.test_screens_app import Gate
from tests.lane import Lane

GOOD = IdCardRead(
    card_type="resident",
    name="张伟",
    id_number="11010519491231002X",
    valid_from="20200101",
    valid_to="20400101",
    at_ns=0,
)
TODAY = "20261121"
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"valid_to": "长期"}, None),
        ({"valid_to": TODAY}, None),
        ({"valid_to": "20261120"}, IdProblem.EXPIRED),
        ({"valid_from": "20261122"}, IdProblem.NOT_YET_VALID),
        ({"id_number": "110105194912310020"}, IdProblem.BAD_NUMBER),
        ({"valid_from": ""}, IdProblem.UNREADABLE_DATES),
        ({"valid_to": "2040-1-1"}, IdProblem.UNREADABLE_DATES),
        ({"card_type": "foreigner_2017", "id_number": "CHN110105049123"}, None),
    ],
)
def test_number_and_dates_are_checked(changes: dict[str, str], problem: IdProblem | None) -> None:
    """Good through its last day; a wrong check digit outweighs the dates; foreigners' numbers have another form."""
    assert problem_of(replace(GOOD, **changes), TODAY) is problem  # type: ignore[arg-type]


def test_without_a_trusted_clock_no_date_is_judged() -> None:
    """The number still is."""
    assert problem_of(replace(GOOD, valid_to="20200102"), None) is None
    assert problem_of(replace(GOOD, id_number="1"), None) is IdProblem.BAD_NUMBER


def test_a_card_is_offered_to_its_lane_once_and_for_two_minutes() -> None:
    """Taken is gone; so is what lay there too long; another lane's form gets nothing; nothing of it is in a repr."""
    clock = FakeClock()
    desk = IdDesk(clock, SHANGHAI)
    desk.observed(Observed(lane="in", device="id_reader", event=GOOD))
    assert desk.take("out") is None
    note = desk.take("in")
    assert note == IdNote("张伟")
    assert "张伟" not in repr(note)
    assert desk.take("in") is None
    desk.observed(Observed(lane="in", device="id_reader", event=GOOD))
    clock.advance(120)
    assert desk.take("in") is None
    clock.trust = ClockTrust.NONE
    desk.observed(Observed(lane="in", device="id_reader", event=replace(GOOD, valid_to="20200102")))
    assert desk.take("in") == IdNote("张伟")


def test_from_the_module_to_the_guards_form(tmp_path: Path) -> None:
    """Laid on the simulated module, read through the wire, found in the form; expired, and the form says so."""
    wire = Wire(tmp_path / "dev" / "id-reader", SdtPlayer(), baud=115200, seed=3)
    device, events = SerialDevice("in/id_reader", str(wire.link), SdtConversation()), queue.Queue[Any]()
    wire.start()
    device.start(events.put)
    try:
        assert isinstance(events.get(timeout=3), DeviceReady)
        line = {"do": "lay", "name": "张伟", "id_number": GOOD.id_number, "address": "北京市东城区", "nation": "01"}
        wire.command({**line, "valid_from": "20000101", "valid_to": "20200101"})
        card = events.get(timeout=5)
    finally:
        device.stop()
        wire.stop()
    assert isinstance(card, IdCardRead)
    desk = IdDesk(FakeClock(), SHANGHAI)
    gate = Gate(id_cards=desk)
    assert gate.log_in() == 303
    desk.observed(Observed(lane="east-in", device="id_reader", event=card))
    form = gate.client.get("/guard/lane/east-in/sheet/visitor").text
    assert 'value="张伟"' in form
    assert "身份证已过期" in form
    assert GOOD.id_number not in form
    assert "张伟" not in gate.client.get("/guard/lane/east-in/sheet/visitor").text


def test_the_rack_has_the_module_where_a_lane_names_it(tmp_path: Path) -> None:
    """A device of its own role: it is no card reader, and its cards open nothing."""
    path = tmp_path / "gate.toml"
    path.write_text(
        '[site]\nkiosk_id = "a"\n[[lane]]\nname = "in"\n[lane.id_reader]\nport = "/dev/gatepost/id-reader"\n'
    )
    rack = Rack(load_settings(path, {}).settings)
    assert set(rack.lanes["in"].by_role) == {"id_reader"}


def test_a_module_that_is_unplugged_changes_nothing_at_the_lane() -> None:
    """Its light goes out and its record is written; taps go on as before."""
    lane = Lane(devices={"reader": "card", "id_reader": "id_card"}, sensor=None)
    lane.unplug("id_reader")
    lane.tap("04a1")
    assert lane.state.person is not None or lane.state.decided is not None

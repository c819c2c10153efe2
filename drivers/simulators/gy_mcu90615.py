"""A simulated GY-MCU90615: ten frames a second or one when asked, commands as the maker prints them."""

from __future__ import annotations

from drivers.simulators.registry import Spec
from drivers.simulators.scene import Scene
from drivers.simulators.streaming import StreamPlayer
from drivers.thermometers import gy_mcu90615 as protocol


def _frame(scene: Scene, at_ns: int) -> bytes:
    return protocol.encode(scene.object_c(at_ns), scene.ambient_c())


def player(spec: Spec) -> StreamPlayer:
    """The model that a plan's ``kind = "gy_mcu90615"`` names."""
    return StreamPlayer(
        spec,
        _frame,
        period_s=1 / protocol.FACTS_90615.rate_hz,
        continuous=protocol.CONTINUOUS,
        once=protocol.ONE_READING,
        auto_on=protocol.AUTO_SEND_ON,
        auto_off=protocol.AUTO_SEND_OFF,
    )

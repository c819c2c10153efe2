"""A simulated AA 55 06 kiosk module: a "body" figure every 500 ms, in the coding that the plan names.

Plan key ``encoding``: ``bcd`` (default) or ``int_dec``.
"""

from __future__ import annotations

from config.errors import ConfigError
from drivers.simulators.registry import Spec
from drivers.simulators.scene import Scene
from drivers.simulators.streaming import StreamPlayer
from drivers.thermometers import aa55_kiosk as protocol


def player(spec: Spec) -> StreamPlayer:
    """The model that a plan's ``kind = "aa55_kiosk"`` names. Raises ConfigError for an unknown coding."""
    text = spec.text("encoding", protocol.Encoding.BCD.value)
    if text not in list(protocol.Encoding):
        raise ConfigError(f"simulated device {spec.name}, key encoding", seen=repr(text), expected="bcd or int_dec")
    encoding = protocol.Encoding(text)

    def frame(scene: Scene, at_ns: int) -> bytes:
        return protocol.encode(min(99.9, max(0.0, scene.object_c(at_ns) + 2.5)), encoding)

    return StreamPlayer(spec, frame, period_s=protocol.PERIOD_S)

"""A simulated DYP distance sensor: three metres of empty way, or a person at ``distance_mm``."""

from __future__ import annotations

from drivers.simulators.registry import Spec
from drivers.simulators.scene import Scene
from drivers.simulators.streaming import StreamPlayer
from drivers.thermometers import dyp_distance as protocol


def _frame(scene: Scene, at_ns: int) -> bytes:
    return protocol.encode(scene.distance_mm(at_ns))


def player(spec: Spec) -> StreamPlayer:
    """The model that a plan's ``kind = "dyp_distance"`` names."""
    return StreamPlayer(spec, _frame, period_s=protocol.PERIOD_S)

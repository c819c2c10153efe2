"""A simulated GY-614V3: ten frames a second with the module's own "body" figure, which hides mild fevers.

Plan key ``rate_hz``: what its register 02 was set to (1, 2, 5 or 10; default 10).
"""

from __future__ import annotations

from drivers.simulators.registry import Spec
from drivers.simulators.scene import Scene
from drivers.simulators.streaming import StreamPlayer
from drivers.thermometers import gy_614v3 as protocol


def _frame(scene: Scene, at_ns: int) -> bytes:
    object_c = scene.object_c(at_ns)
    # Such modules move 0.2 to 0.4 degC a degree of skin around 36.5 (recomputed from Beall's target data).
    body_c = 36.5 + 0.3 * (object_c - 34.0)
    return protocol.encode(object_c, scene.ambient_c(), body_c)


def player(spec: Spec) -> StreamPlayer:
    """The model that a plan's ``kind = "gy_614v3"`` names."""
    return StreamPlayer(
        spec, _frame, period_s=1 / spec.number("rate_hz", protocol.FACTS.rate_hz), continuous=protocol.CONTINUOUS
    )

"""The device lights of the console: what every device last said of itself, and when. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drivers.devices import DeviceFault, DeviceReady, Observed
from kiosk.board import DeviceLight


@dataclass(slots=True)
class _Light:
    ok: bool = False
    detail: str = "starting"
    last_ns: int | None = None


class Lights:
    """One light a device. A device is dark until it proved itself; a transient fault does not put it out.

    ``frame_age_ms`` tells the age of a camera's last good frame, which is its health: it may see no code for hours.
    """

    def __init__(
        self,
        devices: list[tuple[str, str]],
        frame_age_ms: Mapping[tuple[str, str], Callable[[], float | None]] | None = None,
    ) -> None:
        self._lights = {key: _Light() for key in devices}
        self._frame_age_ms = dict(frame_age_ms or {})

    def observe(self, seen: Observed) -> None:
        """Take note of any event of a device."""
        light = self._lights.get((seen.lane, seen.device))
        if light is None:
            return
        match seen.event:
            case DeviceFault(transient=True):
                light.detail = seen.event.detail
            case DeviceFault():
                light.ok, light.detail = False, f"{seen.event.kind}: {seen.event.detail}"
            case DeviceReady():
                light.ok, light.detail, light.last_ns = True, seen.event.detail, seen.event.at_ns
            case _:
                light.last_ns = seen.event.at_ns

    def of_lane(self, lane: str, now_ns: int) -> tuple[DeviceLight, ...]:
        """The lane's lights in the order of the settings, each with the age of its last good event."""
        return tuple(
            DeviceLight(
                name=role,
                role=role,
                ok=light.ok,
                detail=light.detail,
                age_ms=self._age_ms((of, role), light, now_ns),
            )
            for (of, role), light in self._lights.items()
            if of == lane
        )

    def _age_ms(self, key: tuple[str, str], light: _Light, now_ns: int) -> int | None:
        if key in self._frame_age_ms:
            age_ms = self._frame_age_ms[key]()
            return None if age_ms is None else int(age_ms)
        return None if light.last_ns is None else max(0, (now_ns - light.last_ns) // 1_000_000)

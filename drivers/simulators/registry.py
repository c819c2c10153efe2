"""What a simulated device is, and the table of the kinds a plan may name.

A kind is a sans-I/O model (:class:`Player`) of the far end of a wire; ``drivers/simulators/wire.py`` gives it a
pseudo-terminal, the line's pace and its faults. A new simulator is one file with a function
``player(spec) -> Player`` and one line in :data:`KINDS`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from config.errors import ConfigError


class Player(Protocol):
    """The device at the other end of the wire: bytes and times in, messages out; no thread, port or clock inside.

    Every method is called under one lock by its :class:`~drivers.simulators.wire.Wire`. Each returned ``bytes`` is
    one message (a frame): faults are applied to messages, the line's pace to their bytes.
    """

    def received(self, data: bytes, at_ns: int) -> list[bytes]:
        """Bytes of the kiosk arrived (already delayed by the line's pace); answer with messages."""
        ...

    def due_ns(self) -> int | None:
        """When :meth:`due` wants to be called; None while there is nothing to say unasked."""
        ...

    def due(self, at_ns: int) -> list[bytes]:
        """The time asked for has come: speak unasked."""
        ...

    def command(self, line: dict[str, Any]) -> dict[str, Any]:
        """Carry out a control line such as ``{"do": "tap", ...}``; the answer is merged into ``{"ok": true}``.

        ``{"do": "power_on"}`` comes from the wire at each plugging in: forget what a real device forgets.
        Raises ValueError with a sentence for people for a line that this device does not know.
        """
        ...


@dataclass(frozen=True, slots=True)
class Spec:
    """One ``[[device]]`` of a plan. ``folder`` is the run's folder, for models that keep a log there."""

    name: str
    kind: str
    baud: int
    seed: int
    folder: Path
    options: dict[str, Any] = field(default_factory=dict)

    def number(self, key: str, default: float) -> float:
        """A numeric option of this kind. Raises ConfigError where the plan has something else there."""
        value = self.options.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"simulated device {self.name}, key {key}", seen=repr(value), expected="a number")
        return float(value)

    def text(self, key: str, default: str) -> str:
        """A text option of this kind. Raises ConfigError where the plan has something else there."""
        value = self.options.get(key, default)
        if not isinstance(value, str):
            raise ConfigError(f"simulated device {self.name}, key {key}", seen=repr(value), expected="a text")
        return value


@dataclass(frozen=True, slots=True)
class Kind:
    """``module`` holds ``player(spec)``; ``checksum_index`` says which byte of a message the fault
    ``bad_checksum`` spoils (-1 the last, -2 where a postamble follows); ``options`` are the keys a plan may give.
    """

    module: str
    baud: int
    checksum_index: int = -1
    options: frozenset[str] = frozenset()

    def player(self, spec: Spec) -> Player:
        """Build the model; its module is imported only now, so that a plan costs what it uses."""
        make = cast(Callable[[Spec], Player], importlib.import_module(self.module).player)
        return make(spec)


_SCENE = frozenset({"room_c", "board_c", "noise_c", "bias_c", "auto_send"})
"""What every thermometer's plan may set; see ``drivers/simulators/scene.py``."""

KINDS: dict[str, Kind] = {
    "gy_mcu90615": Kind("drivers.simulators.gy_mcu90615", 115200, options=_SCENE),
    "gy_614v3": Kind("drivers.simulators.gy_614v3", 9600, options=_SCENE | {"rate_hz"}),
    "gy_mcu90640": Kind(
        "drivers.simulators.gy_mcu90640",
        115200,
        options=_SCENE | {"pixel_noise_c", "dead_pixels", "black_body_c"},
    ),
    "aa55_kiosk": Kind("drivers.simulators.aa55_kiosk", 115200, options=_SCENE | {"encoding"}),
    "xy_md02_air": Kind("drivers.simulators.xy_md02_air", 9600, options=frozenset({"air_c", "humidity_percent"})),
    "dyp_distance": Kind("drivers.simulators.dyp_distance", 9600, options=_SCENE),
    "contacts": Kind("drivers.simulators.contacts", 9600, options=frozenset({"contacts"})),
    "relay": Kind("drivers.simulators.relay", 9600, options=frozenset({"channels"})),
    "keyboard_wedge": Kind("drivers.simulators.keyboard_wedge", 38400),
    "osdp": Kind("drivers.simulators.osdp", 9600, options=frozenset({"key", "address"})),
    "rdm6300": Kind("drivers.simulators.rdm6300", 9600, checksum_index=-2),
    "sdt_idcard": Kind("drivers.simulators.sdt_idcard", 115200),
    "serial_uid": Kind("drivers.simulators.serial_uid", 9600),
    "wiegand": Kind("drivers.simulators.wiegand", 9600, options=frozenset({"bits"})),
    "pn532": Kind("drivers.simulators.pn532", 115200, checksum_index=-2),
}


def kind_of(name: str) -> Kind:
    """The kind of that name. Raises ConfigError naming the nearest one."""
    kind = KINDS.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, KINDS, n=1)
        raise ConfigError(
            "kind of a simulated device",
            seen=repr(name),
            expected=", ".join(sorted(KINDS)),
            hint=f"did you mean {near[0]!r}?" if near else "one of the kinds listed",
        )
    return kind

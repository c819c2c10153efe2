"""A plan: which devices are simulated, read from TOML.

::

    [[device]]
    name = "thermo-in"          # the link is DIR/dev/thermo-in
    kind = "gy_mcu90615"        # see drivers/simulators/registry.py
    baud = 9600                 # optional: the kind's own default
    seed = 7                    # optional: from the name, so that two runs are the same
    room_c = 21.0               # further keys belong to the kind
"""

from __future__ import annotations

import difflib
import re
import tomllib
import zlib
from pathlib import Path
from typing import Any

from config.errors import ConfigError
from drivers.simulators.registry import Spec, kind_of

_PLAN_BYTES_MAX = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_COMMON_KEYS = frozenset({"name", "kind", "baud", "seed"})


def load_plan(path: Path, folder: Path) -> list[Spec]:
    """The devices of a plan file; ``folder`` is the run's folder.

    Raises ConfigError naming the file, the device and the key.
    """
    try:
        with path.open("rb") as file:
            plan = tomllib.loads(file.read(_PLAN_BYTES_MAX).decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"plan {path}", seen=str(error), expected="a readable TOML file") from error
    devices = plan.pop("device", None)
    if plan or not isinstance(devices, list) or not all(isinstance(device, dict) for device in devices):
        extra = ", ".join(plan) or "no [[device]]"
        raise ConfigError(f"plan {path}", seen=extra, expected="a list of [[device]] tables and nothing else")
    specs = [_spec(path, device, folder) for device in devices]
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"plan {path}, device {name}", seen="the name twice", expected="a name of its own")
    return specs


def _spec(path: Path, device: dict[str, Any], folder: Path) -> Spec:
    name, kind_name = device.get("name"), device.get("kind")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"plan {path}, name of a device", seen=repr(name), expected="letters, digits, dash, dot")
    thing = f"plan {path}, device {name}"
    if not isinstance(kind_name, str):
        raise ConfigError(f"{thing}, key kind", seen=repr(kind_name), expected="a text")
    kind = kind_of(kind_name)
    options = {key: value for key, value in device.items() if key not in _COMMON_KEYS}
    for key in options:
        if key not in kind.options:
            near = difflib.get_close_matches(key, kind.options | _COMMON_KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            expected = ", ".join(sorted(kind.options | _COMMON_KEYS))
            raise ConfigError(f"{thing}, key {key}", seen="an unknown key", expected=expected, hint=hint)
    return Spec(
        name=name,
        kind=kind_name,
        baud=_whole(thing, device, "baud", kind.baud),
        seed=_whole(thing, device, "seed", zlib.crc32(name.encode())),
        folder=folder,
        options=options,
    )


def _whole(thing: str, device: dict[str, Any], key: str, default: int) -> int:
    value = device.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{thing}, key {key}", seen=repr(value), expected="a whole number, 0 or more")
    return value

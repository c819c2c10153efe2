"""All simulated devices of a gate in one process: ``python -m drivers.simulators --dir DIR --plan PLAN.toml``.

Makes ``DIR/dev/<name>`` for each device of the plan and ``DIR/control.sock`` last, prints ``ready`` and the links,
and runs until SIGTERM or SIGINT. See ``docs/thermometers.md`` for plans and control lines.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from config.errors import GatepostError
from drivers.simulators.control import ControlSocket
from drivers.simulators.plan import load_plan
from drivers.simulators.registry import KINDS, Spec
from drivers.simulators.wire import Wire


def wire_of(spec: Spec) -> Wire:
    """The wire of one planned device, its link in ``<folder>/dev``."""
    kind = KINDS[spec.kind]
    return Wire(
        spec.folder / "dev" / spec.name,
        kind.player(spec),
        baud=spec.baud,
        seed=spec.seed,
        checksum_index=kind.checksum_index,
    )


def main() -> int:
    """Run until told to stop; 2 for a plan that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m drivers.simulators", description="Simulated devices of a gate.")
    parser.add_argument("--dir", type=Path, required=True, help="folder of this run: dev/<name>, control.sock")
    parser.add_argument("--plan", type=Path, required=True, help="TOML file with a [[device]] table a device")
    arguments = parser.parse_args()
    stops = {signal.SIGTERM, signal.SIGINT}
    # Blocked before any thread begins, so that the signal waits for sigwait below and interrupts no one.
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        folder: Path = arguments.dir.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        wires = {spec.name: wire_of(spec) for spec in load_plan(arguments.plan, folder)}
    except GatepostError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    control = ControlSocket(folder / "control.sock", wires)
    try:
        for wire in wires.values():
            wire.start()
        control.start()
        sys.stdout.write(f"ready {' '.join(str(wire.link) for wire in wires.values())}\n")
        sys.stdout.flush()
        signal.sigwait(stops)
    finally:
        control.stop()
        for wire in wires.values():
            wire.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

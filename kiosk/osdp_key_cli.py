"""``gatepost card osdp-key``: a new OSDP reader on the installer's bench is given the site's own key."""

from __future__ import annotations

import queue
import secrets
import time
from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigError
from config.settings import secret_file
from drivers.cards.osdp_install import WINDOW_NS, OsdpKeyInstall
from drivers.devices import DeviceEvent, DeviceFault, DeviceReady
from drivers.serial_port import SerialDevice
from kiosk.issuing import IssuingError, write_secret

KEY_BYTES = 16


def osdp_key(
    *,
    reader: Annotated[str, typer.Option(help="stable device name of the RS-485 adapter")],
    key: Annotated[Path, typer.Option(help="file with the 16 bytes; the gate's setting key names it, too")],
    address: Annotated[int, typer.Option(min=0, max=126, help="the reader's address on its line")] = 0,
    draw: Annotated[bool, typer.Option(help="draw the key first, into a file that is not there yet")] = False,
) -> None:
    """Install mode for ten minutes at most: only with the reader on the bench, on a cable that you can see."""
    if draw:
        if key.exists():
            raise IssuingError(str(key), seen="a file", expected="none: readers that have this key would be lost")
        write_secret(key, secrets.token_bytes(KEY_BYTES))
    try:
        conversation = OsdpKeyInstall(secret_file(key).read_bytes(), address=address)
    except ValueError as error:
        raise ConfigError(f"secret {key}", seen=str(error), expected="16 bytes") from error
    events: queue.Queue[DeviceEvent] = queue.Queue()
    device = SerialDevice("osdp", reader, conversation)
    until_s = time.monotonic() + WINDOW_NS / 1e9
    device.start(events.put)
    try:
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                event = events.get(timeout=left_s)
            except queue.Empty:
                break
            if isinstance(event, DeviceReady):
                typer.echo(event.detail)
                return
            if isinstance(event, DeviceFault):
                typer.echo(f"{event.detail}; trying on", err=True)
        raise IssuingError("install mode", seen="no reader that took the key in ten minutes", expected="a new reader")
    finally:
        device.stop()

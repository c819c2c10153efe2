"""The cameras of this machine under the names that stay: ``/dev/v4l/by-id`` and ``/dev/v4l/by-path``.

``/dev/video0`` is whoever came first at boot. udev names a camera by its maker's serial number (``by-id``; two cameras
of one model without serial numbers share a name there) and by its socket (``by-path``). One camera has several video
nodes; only those that capture pictures are told, as the kernel says itself (``VIDIOC_QUERYCAP``,
Documentation/userspace-api/media/v4l/vidioc-querycap.rst: ``struct v4l2_capability``, 104 bytes).
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

VIDIOC_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("=16s32s32s3I12x")  # driver, card, bus_info, version, capabilities, device_caps
_CAP_VIDEO_CAPTURE = 0x00000001
_CAP_DEVICE_CAPS = 0x80000000

FOLDERS = (Path("/dev/v4l/by-id"), Path("/dev/v4l/by-path"))


@dataclass(frozen=True, slots=True)
class NamedCamera:
    """One camera: its stable names (by serial number first), the node they lead to now, and what it calls itself."""

    names: tuple[str, ...]
    node: str
    model: str


def _query(node: str) -> bytes:
    """The kernel's answer to VIDIOC_QUERYCAP; asking disturbs nobody who has the camera open."""
    fd = os.open(node, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        answer = bytearray(_CAPABILITY.size)
        fcntl.ioctl(fd, VIDIOC_QUERYCAP, answer)
        return bytes(answer)
    finally:
        os.close(fd)


def list_cameras(
    folders: tuple[Path, ...] = FOLDERS, *, query: Callable[[str], bytes] = _query
) -> tuple[NamedCamera, ...]:
    """Every capturing video node that has a stable name, in the order of these names.

    A node that may not be asked (no permission) is told too, with the model "?": it may be the camera.
    """
    names: dict[str, list[str]] = {}
    for folder in folders:
        for link in sorted(folder.iterdir()) if folder.is_dir() else ():
            names.setdefault(os.path.realpath(link), []).append(str(link))
    found = []
    for node, links in names.items():
        model = _model(node, query)
        if model is not None:
            found.append(NamedCamera(tuple(links), node, model))
    return tuple(found)


def _model(node: str, query: Callable[[str], bytes]) -> str | None:
    """The camera's own name, "?" when it cannot be asked, None for a node that gives no pictures."""
    try:
        answer = query(node)
    except OSError:
        return "?"
    _, card, _, _, capabilities, device_caps = _CAPABILITY.unpack(answer)
    able = device_caps if capabilities & _CAP_DEVICE_CAPS else capabilities
    if not able & _CAP_VIDEO_CAPTURE:
        return None
    return bytes(card).split(b"\0", 1)[0].decode("ascii", "replace")

"""Stable names of the cameras (drivers/camera_names.py), against the kernel's answers byte for byte."""

from __future__ import annotations

import struct
from pathlib import Path

from drivers.camera_names import VIDIOC_QUERYCAP, list_cameras

CAPTURE, METADATA, DEVICE_CAPS = 0x1, 0x0080_0000, 0x8000_0000


def answer(card: bytes, able: int) -> bytes:
    """struct v4l2_capability as a UVC camera's driver fills it in: the device's capabilities, then this node's."""
    return struct.pack("=16s32s32s3I12x", b"uvcvideo", card, b"usb-0000:01:00.0-1.3", 0x060106, 0x84A00001, able)


def test_the_query_has_the_number_that_the_kernel_knows() -> None:
    """_IOR('V', 0, struct v4l2_capability) of 104 bytes."""
    assert (2 << 30) | (104 << 16) | (ord("V") << 8) | 0 == VIDIOC_QUERYCAP
    assert len(answer(b"", 0)) == 104


def test_a_camera_is_told_once_with_all_its_names_and_its_metadata_node_is_not(tmp_path: Path) -> None:
    """Two nodes, each with a name by serial number and one by socket; a third camera nobody may ask."""
    nodes = {name: tmp_path / name for name in ("video0", "video1", "video2")}
    by_id, by_path = tmp_path / "by-id", tmp_path / "by-path"
    for folder in (by_id, by_path):
        folder.mkdir()
    for node in nodes.values():
        node.touch()
    for folder, stem in ((by_id, "usb-Maker_Cam_1234-video-index"), (by_path, "platform-usb-0:1.3:1.0-video-index")):
        (folder / f"{stem}0").symlink_to(nodes["video0"])
        (folder / f"{stem}1").symlink_to(nodes["video1"])
    (by_path / "platform-usb-0:1.4:1.0-video-index0").symlink_to(nodes["video2"])

    def query(node: str) -> bytes:
        if node.endswith("video2"):
            raise PermissionError
        return answer(b"Maker Cam: HD", METADATA if node.endswith("1") else CAPTURE)

    first, second = list_cameras((by_id, by_path), query=query)
    assert first.model == "Maker Cam: HD"
    assert first.node == str(nodes["video0"])
    assert [Path(name).parent.name for name in first.names] == ["by-id", "by-path"]
    assert (second.model, len(second.names)) == ("?", 1)


def test_a_machine_without_cameras_has_none(tmp_path: Path) -> None:
    """The folders do not even exist."""
    assert list_cameras((tmp_path / "by-id", tmp_path / "by-path")) == ()

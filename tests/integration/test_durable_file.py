"""Small files are the old one or the new one, whole, and nobody else's to read."""

from __future__ import annotations

import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiosk.durable_file import new_file, replace_file


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """A disk that takes 1,000 bytes of a file and no more (RLIMIT_FSIZE; Python ignores its signal)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_is_replaced_and_stays_its_owners(tmp_path: Path) -> None:
    """Also where the old one could be read by all."""
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    path.chmod(0o644)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.usefixtures("small_files_only")
def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    """The error is told, and what was there is still there."""
    path = tmp_path / "state.json"
    replace_file(path, b"old")
    with pytest.raises(OSError, match="too large"):
        replace_file(path, bytes(5000))
    assert path.read_bytes() == b"old"


def test_a_new_file_never_takes_an_old_ones_place(tmp_path: Path) -> None:
    """A key that is there stays."""
    path = tmp_path / "kiosk.pem"
    new_file(path, b"the key")
    with pytest.raises(FileExistsError):
        new_file(path, b"another")
    assert path.read_bytes() == b"the key"


@pytest.mark.usefixtures("small_files_only")
def test_a_new_file_that_did_not_fit_is_gone(tmp_path: Path) -> None:
    """Half a key would stand in the way of the next try."""
    path = tmp_path / "kiosk.pem"
    with pytest.raises(OSError, match="too large"):
        new_file(path, bytes(5000))
    assert not path.exists()

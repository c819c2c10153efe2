"""Small files are the old one or the new one, whole, and nobody else's to read."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kiosk.durable_file import new_file, owned_folder, replace_file


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


@pytest.mark.usefixtures("small_files_only")
def test_what_did_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    """A full disk is not filled further by the half of a file that could not be replaced."""
    with pytest.raises(OSError, match="too large"):
        replace_file(tmp_path / "state.json", bytes(5000))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [replace_file, new_file])
def test_a_power_cut_before_the_name_leaves_no_half_of_a_file(
    write: Callable[[Path, bytes], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of which half stands under its name would keep a gate from starting; the name comes after the bytes."""

    def power_cut(fd: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "kiosk.pem", b"the key")
    assert not (tmp_path / "kiosk.pem").exists()


def test_a_new_file_can_be_written_on_a_stick_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT knows no link(2); a file that is there stays all the same."""

    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    new_file(tmp_path / "cards.json", b"the keys")
    with pytest.raises(FileExistsError):
        new_file(tmp_path / "cards.json", b"others")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("cards.json", b"the keys")]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """Who may write in the gate's folder cannot have an installer's sudo overwrite, or give away, another file."""
    other = tmp_path / "shadow"
    other.write_bytes(b"root's own")
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "tablets.json.new").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        replace_file(folder / "tablets.json", b"mine")
    assert other.read_bytes() == b"root's own"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_belongs_to_the_folders_owner(tmp_path: Path) -> None:
    """An installer's sudo in the gate's folder: file, folders in it, and files in those are the gate's to read."""
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 4711, 4712)
    owned_folder(state / "calibrations" / "in")
    new_file(state / "calibrations" / "in" / "0001.json", b"{}")
    replace_file(state / "tablets.json", b"{}")
    made = [state / name for name in ("calibrations", "calibrations/in", "calibrations/in/0001.json", "tablets.json")]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(4711, 4712)}
    assert stat.S_IMODE(made[1].stat().st_mode) == 0o700

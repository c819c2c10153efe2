"""A device that is a file with a name (``drivers/device_file.py``): its thread's waiting, its errors, its name."""

from __future__ import annotations

import errno
import os
import pty
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest

from drivers.device_file import DeviceThread, StopAskedError, Woken, fault_kind, still_named
from drivers.devices import FaultKind

LONG_S = 3600.0
ANSWER_S = 20.0


@contextmanager
def thread(path: Path, run: Callable[[DeviceThread], None]) -> Iterator[DeviceThread]:
    thread = DeviceThread("reader", str(path), run)
    try:
        yield thread
    finally:
        thread.stop()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, FaultKind.MISSING),
        (errno.ENODEV, FaultKind.MISSING),
        (errno.EIO, FaultKind.MISSING),
        (errno.EACCES, FaultKind.NOT_PERMITTED),
        (errno.EPERM, FaultKind.NOT_PERMITTED),
        (errno.EBUSY, FaultKind.BUSY),
        (errno.EWOULDBLOCK, FaultKind.BUSY),
        (errno.ENOTTY, FaultKind.WRONG_DEVICE),
        (errno.EISDIR, FaultKind.WRONG_DEVICE),
        (errno.EINVAL, FaultKind.WRONG_DEVICE),
        (errno.ETIMEDOUT, FaultKind.MISSING),
        (None, FaultKind.MISSING),
    ],
)
def test_an_error_says_what_the_installer_has_to_look_for(number: int | None, kind: FaultKind) -> None:
    """Cable, permission, second program or another device; what nobody foresaw counts as gone."""
    error = OSError("no number") if number is None else OSError(number, os.strerror(number))
    assert fault_kind(error) is kind


def test_a_name_leads_to_the_device_that_is_open_until_it_does_not(tmp_path: Path) -> None:
    """An adapter plugged into the next port takes the name along; one that is pulled takes it away."""
    by_id = tmp_path / "usb-reader"
    here, there = pty.openpty(), pty.openpty()
    by_id.symlink_to(os.ttyname(here[1]))
    assert still_named(str(by_id), here[1])
    assert not still_named(str(by_id), there[1])
    by_id.unlink()
    assert not still_named(str(by_id), here[1])
    for fd in (*here, *there):
        os.close(fd)
    by_id.symlink_to("/dev/null")
    assert not still_named(str(by_id), here[1]), "what was closed is open no longer"


def test_bytes_and_the_end_of_them_wake_it(tmp_path: Path) -> None:
    """A line that hangs up is readable as well: the next read says so."""
    woken: SimpleQueue[Woken] = SimpleQueue()
    read, write = os.pipe()

    def run(me: DeviceThread) -> None:
        woken.put(me.wait(LONG_S, read))
        os.read(read, 1)
        woken.put(me.wait(LONG_S, read))

    with thread(tmp_path / "tty", run):
        os.write(write, b"x")
        assert woken.get(timeout=ANSWER_S) == Woken(readable=True)
        os.close(write)
        assert woken.get(timeout=ANSWER_S) == Woken(readable=True)
    os.close(read)


def test_a_name_that_appears_wakes_it_once(tmp_path: Path) -> None:
    """Nobody waits for the next try; what was noticed is noticed once."""
    woken: SimpleQueue[Woken] = SimpleQueue()

    def run(me: DeviceThread) -> None:
        woken.put(me.wait(0))
        woken.put(me.wait(LONG_S))
        woken.put(me.wait(0))

    with thread(tmp_path / "tty", run):
        assert woken.get(timeout=ANSWER_S) == Woken()
        (tmp_path / "tty").symlink_to("/dev/null")
        assert woken.get(timeout=ANSWER_S) == Woken(folder_changed=True)
        assert woken.get(timeout=ANSWER_S) == Woken()


def test_a_folder_that_comes_with_the_first_adapter_is_watched_from_then_on(tmp_path: Path) -> None:
    """/dev/serial/by-id is not there before."""
    woken: SimpleQueue[Woken] = SimpleQueue()
    folder = tmp_path / "by-id"

    def run(me: DeviceThread) -> None:
        woken.put(me.wait(0))
        while True:
            woken.put(me.wait(LONG_S))

    with thread(folder / "tty", run):
        woken.get(timeout=ANSWER_S)
        folder.mkdir()
        assert woken.get(timeout=ANSWER_S).folder_changed
        (folder / "tty").symlink_to("/dev/null")
        assert woken.get(timeout=ANSWER_S).folder_changed


def test_stopping_ends_it_whatever_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything that has arrived, and within its wait; nothing stays open, no thread behind, no error told."""
    before = open_files()
    errors: list[object] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    ended: SimpleQueue[str] = SimpleQueue()
    read, write = os.pipe()
    os.write(write, b"x")

    def run(me: DeviceThread) -> None:
        try:
            me.wait(LONG_S)
        except StopAskedError:
            ended.put("waiting")
        try:
            me.wait(LONG_S, read)
        except StopAskedError:
            ended.put("bytes there")
            raise

    with thread(tmp_path / "tty", run) as device:
        pass
    assert not device._thread.is_alive()
    assert errors == []
    assert [ended.get(timeout=ANSWER_S) for _ in range(2)] == ["waiting", "bytes there"]
    os.close(read)
    os.close(write)
    assert open_files() == before


def test_a_wait_is_as_long_as_it_was_asked_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """poll(2) counts in milliseconds."""
    asked_ms: SimpleQueue[float] = SimpleQueue()

    class Poller:
        def register(self, *_: int) -> None:
            pass

        def poll(self, timeout_ms: float) -> list[tuple[int, int]]:
            asked_ms.put(timeout_ms)
            return []

    monkeypatch.setattr(select, "poll", Poller)
    woken: list[Woken] = []
    with thread(tmp_path / "tty", lambda me: woken.append(me.wait(0.25))) as device:
        device._thread.join(ANSWER_S)
    assert asked_ms.get(timeout=ANSWER_S) == 250.0
    assert woken == [Woken()]


def test_a_thread_that_ended_by_itself_can_be_stopped(tmp_path: Path) -> None:
    """The device is closed by its owner, who need not know."""
    before = open_files()
    with thread(tmp_path / "tty", lambda _: None) as device:
        device._thread.join(ANSWER_S)
    assert open_files() == before

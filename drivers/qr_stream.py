"""A camera in service: frames in, at most one QR text at a time out.

A live source has a capture thread, which keeps only the newest frame, and a decode thread; both engines and OpenCV
release the interpreter lock, so they run side by side. A folder source has one thread, and each picture is held
until the kiosk calls :meth:`QrCamera.decided`. No frame and no text of a code is written or logged here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from drivers.camera import Frame, FrameSource
from drivers.devices import DeviceFault, DeviceReady, Emit, FaultKind, QrText
from drivers.errors import DeviceError, PortError
from drivers.picture_health import PictureHealth
from drivers.qr import DEFAULT_BUDGET_S, Corners, Gray, QrReader, Sighting, shared_reader
from drivers.qr_child import WatchedChild
from drivers.qr_focus import Focus
from drivers.qr_gaze import Gaze
from drivers.qr_vote import ModuleVote

_NS = 1_000_000_000
_READ_TIMEOUT_S = 0.25
_SILENT_S = 3.0
_PROOF_FRAMES = 3
_SPOILT_PAUSE_S = 0.02
_SPOILT_TOLD_EVERY_S = 10.0
_CRASH_TOLD_EVERY_S = 60.0
_HEALTH_TEXT = {
    FaultKind.FROZEN: "the picture has not changed in the least: the camera or its driver hangs; replug it",
    FaultKind.DARK: "the picture is black: is the lens covered, is there any light?",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraStats:
    """Counts since the start. ``dropped`` frames came while another was decoded, ``passed`` ones showed nothing new.

    ``hits`` are looks that read a code, ``told`` the codes handed on (one held still is told once), ``unread`` looks
    that saw a code and could not read it; ``errors`` counts pictures broken off or not decoded. ``live`` tells a camera
    or a video from a folder. ``frame_age_ms`` is the age of the last good frame, None before the first. ``boxes`` are
    the corners of the codes in the last decoded frame and ``unread_boxes`` those of what could not be read: for
    aiming; texts are not kept. ``fault`` with its ``detail`` is what is wrong now; without one, ``detail`` is what was
    opened.
    """

    live: bool
    in_service: bool
    fault: FaultKind | None
    detail: str
    frames: int
    dropped: int
    passed: int
    decodes: int
    hits: int
    told: int
    unread: int
    errors: int
    frame_age_ms: float | None
    decode_ms_mean: float
    child_restarts: int
    child_overruns: int
    boxes: tuple[Corners, ...]
    unread_boxes: tuple[Corners, ...]


class StreamReader:
    """Frame after frame of one camera through gaze, engines and focus; without a thread, so that a bench can run it.

    ``passed`` counts frames that were let pass, ``decodes`` looks, ``hits`` looks that read something, ``unread`` looks
    that saw a code and read none.
    """

    def __init__(
        self, reader: QrReader | None = None, *, forget_s: float = 3.0, budget_s: float = DEFAULT_BUDGET_S
    ) -> None:
        self._reader = reader
        self._budget_s = budget_s
        self._gaze = Gaze()
        self._vote = ModuleVote()
        self._focus = Focus(forget_s=forget_s)
        self.passed = self.decodes = self.hits = self.unread = self.decode_ns = 0
        self.boxes: tuple[Corners, ...] = ()
        self.unread_boxes: tuple[Corners, ...] = ()

    @property
    def child(self) -> WatchedChild | None:
        """The process around libzbar, None before the first look or when it is not used."""
        return self._reader.child if self._reader is not None else None

    def decided(self, *, refused: bool = False) -> None:
        """See :meth:`drivers.qr_focus.Focus.decided`."""
        self._focus.decided(refused=refused)

    def release(self) -> None:
        """See :meth:`drivers.qr_focus.Focus.release`."""
        self._focus.release()

    def take(self, frame: Frame) -> QrText | None:
        """The next frame of the stream; the text to tell now, or None."""
        look = self._gaze.next(frame.gray, frame.at_ns)
        if look is None:
            self.passed += 1
            return None
        left, top, right, bottom = look.box or (0, 0, frame.gray.shape[1], frame.gray.shape[0])
        part = frame.gray[top:bottom, left:right]
        sighting = self._look(part, self._budget_s, frame.at_ns, self.decodes if look.eager else None, self._vote)

        def in_frame(corners: Corners) -> Corners:
            return tuple((x + left, y + top) for x, y in corners)

        texts = [replace(text, corners=in_frame(text.corners)) for text in sighting.texts]
        self.boxes = tuple(text.corners for text in texts)
        self.unread_boxes = tuple(in_frame(corners) for corners in sighting.unread)
        self._gaze.saw(self.boxes, frame.gray.shape, frame.at_ns)
        return self._focus.observe(texts, frame.at_ns, self.unread_boxes)

    def picture(self, frame: Frame, limit_s: float) -> list[QrText]:
        """A single picture: all its codes, largest first, with more patience when the first look reads none."""
        sighting = self._look(frame.gray, self._budget_s, frame.at_ns, None)
        if not sighting.texts:
            sighting = self._look(frame.gray, limit_s, frame.at_ns, 0)
        self.boxes = tuple(text.corners for text in sighting.texts)
        self.unread_boxes = tuple(sighting.unread)
        return sighting.texts

    def _look(
        self, gray: Gray, budget_s: float, at_ns: int, turn: int | None, vote: ModuleVote | None = None
    ) -> Sighting:
        if self._reader is None:
            self._reader = shared_reader()
        began_ns = time.monotonic_ns()
        sighting = self._reader.look(gray, budget_s, at_ns, turn, vote)
        self.decode_ns += time.monotonic_ns() - began_ns
        self.decodes += 1
        self.hits += bool(sighting.texts)
        self.unread += bool(sighting.unread and not sighting.texts)
        return sighting


def _fault_kind(error: PortError) -> FaultKind:
    text = str(error)
    if "not permitted" in text:
        return FaultKind.NOT_PERMITTED
    return FaultKind.BUSY if "another program" in text else FaultKind.MISSING


class QrCamera:
    """A ``Device`` that emits QrText, DeviceFault and DeviceReady.

    ``forget_s``: a text that left the view for so long counts as new when it returns. ``picture_limit_s``: a
    picture of a folder that shows no code within it is reported (a transient fault) and passed over.
    ``reopen_s``: pause between attempts to open a source that is gone.
    """

    def __init__(
        self,
        name: str,
        source: FrameSource,
        *,
        reader: QrReader | None = None,
        forget_s: float = 3.0,
        budget_s: float = DEFAULT_BUDGET_S,
        picture_limit_s: float = 1.5,
        reopen_s: float = 1.0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self._source = source
        self._stream = StreamReader(reader, forget_s=forget_s, budget_s=budget_s)
        self._picture_limit_s = picture_limit_s
        self._reopen_s = reopen_s
        self._clock_ns = clock_ns
        self._health = PictureHealth()
        self._emit: Emit = lambda event: None
        self._stop = threading.Event()
        self._decided = threading.Event()
        self._refused = False
        self._released = threading.Event()
        self._fresh = threading.Condition()
        self._slot: Frame | None = None
        self._latest: Frame | None = None
        self._threads: list[threading.Thread] = []
        self._fault: FaultKind | None = None
        self._in_service = False
        self._detail = ""
        self._frames = self._dropped = self._errors = self._told = 0
        self._spoilt_told_ns: int | None = None
        self._crashes_told = 0
        self._crash_told_ns: int | None = None

    def start(self, emit: Emit) -> None:
        """See :class:`drivers.devices.Device`."""
        self._emit = emit
        runs = (self._run_capture, self._run_decode) if self._source.live else (self._run_pictures,)
        self._threads = [
            threading.Thread(target=run, name=f"{self.name}-{run.__name__[5:]}", daemon=True) for run in runs
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """See :class:`drivers.devices.Device`. A driver that hangs in a read is left behind as a daemon thread."""
        self._stop.set()
        self._decided.set()
        with self._fresh:
            self._fresh.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(1.0)

    def decided(self, *, refused: bool = False) -> None:
        """The text told last has its verdict: a folder shows its next picture, a waiting code gets its turn soon.

        After ``refused`` a phone's renewed text counts as a new one.
        """
        self._refused = refused
        self._decided.set()

    def release(self) -> None:
        """More codes of the same person are awaited: others in view need not wait for a verdict; a folder goes on."""
        self._released.set()
        if not self._source.live:
            self._decided.set()

    def latest_frame(self) -> Frame | None:
        """The newest good frame, for aiming and focusing on the guard's console; it is only ever in memory."""
        return self._latest

    def frame_age_ms(self) -> float | None:
        """The age of the last good frame, the camera's health; None before the first."""
        latest = self._latest
        return None if latest is None else (self._clock_ns() - latest.at_ns) / 1e6

    def stats(self) -> CameraStats:
        """Counts and health; cheap, from any thread."""
        stream = self._stream
        child = stream.child
        return CameraStats(
            live=self._source.live,
            in_service=self._in_service,
            fault=self._fault,
            detail=self._detail,
            frames=self._frames,
            dropped=self._dropped,
            passed=stream.passed,
            decodes=stream.decodes,
            hits=stream.hits,
            told=self._told,
            unread=stream.unread,
            errors=self._errors,
            frame_age_ms=self.frame_age_ms(),
            decode_ms_mean=stream.decode_ns / 1e6 / max(1, stream.decodes),
            child_restarts=child.restarts if child else 0,
            child_overruns=child.overruns if child else 0,
            boxes=stream.boxes,
            unread_boxes=stream.unread_boxes,
        )

    # Faults: told once each, until the source is ready again

    def _fail(self, kind: FaultKind, detail: str) -> None:
        if self._fault is not kind and not self._stop.is_set():
            self._fault, self._detail = kind, detail
            self._in_service = False
            self._emit(DeviceFault(kind=kind, detail=detail, at_ns=self._clock_ns()))

    def _serve(self, detail: str) -> None:
        if not self._in_service:
            self._in_service, self._fault, self._detail = True, None, detail
            self._emit(DeviceReady(detail=detail, at_ns=self._clock_ns()))

    def _pass_over(self, kind: FaultKind, detail: str) -> None:
        self._emit(DeviceFault(kind=kind, detail=detail, at_ns=self._clock_ns(), transient=True))

    def _open_source(self) -> str | None:
        """What was opened; None after a failure (told) and the pause before the next attempt."""
        try:
            return self._source.open()
        except PortError as error:
            self._fail(_fault_kind(error), str(error))
            self._stop.wait(self._reopen_s)
            return None

    # A live source

    def _run_capture(self) -> None:
        while not self._stop.is_set():
            opened = self._open_source()
            if opened is None:
                continue
            try:
                self._capture(opened)
            except PortError as error:
                self._fail(_fault_kind(error), str(error))
            except Exception as error:  # noqa: BLE001 - the thread's top loop: OpenCV raises what it likes on a lost camera
                self._fail(FaultKind.GARBLED, f"{self.name}: {type(error).__name__} while capturing; opening afresh")
            finally:
                self._source.close()
            self._stop.wait(self._reopen_s)

    def _capture(self, opened: str) -> None:
        """Frames into the slot until the source is lost (raises PortError) or the device is stopped."""
        good = 0
        last_ns = self._clock_ns()
        self._health.begin(last_ns)
        while not self._stop.is_set():
            try:
                frame = self._source.read(_READ_TIMEOUT_S)
            except DeviceError as error:
                self._spoilt(error)
                frame = None
            if frame is None:
                if self._clock_ns() - last_ns > _SILENT_S * _NS:
                    raise PortError(f"{self.name}: no frame for {_SILENT_S:g} s; opening afresh")
                continue
            last_ns = frame.at_ns
            self._frames += 1
            sick = self._health.observe(frame.gray[::8, ::8], frame.at_ns) if self._source.checks_health else None
            if sick is not None:
                good = 0
                self._fail(sick, f"{self.name}: {_HEALTH_TEXT[sick]}")
                if sick is FaultKind.FROZEN:
                    return  # opening afresh is what helps a hung driver
                continue
            good += 1
            if good >= _PROOF_FRAMES:
                self._serve(opened)
            with self._fresh:
                self._dropped += self._slot is not None
                self._slot = self._latest = frame
                self._fresh.notify()

    def _spoilt(self, error: DeviceError) -> None:
        """One picture that cannot be used: counted, told now and then, and not asked for again in a spin."""
        self._errors += 1
        now_ns = self._clock_ns()
        if self._spoilt_told_ns is None or now_ns - self._spoilt_told_ns > _SPOILT_TOLD_EVERY_S * _NS:
            self._spoilt_told_ns = now_ns
            self._pass_over(FaultKind.GARBLED, f"{self.name}: {error}")
        self._stop.wait(_SPOILT_PAUSE_S)

    def _run_decode(self) -> None:
        while not self._stop.is_set():
            with self._fresh:
                self._fresh.wait_for(lambda: self._slot is not None or self._stop.is_set(), 1.0)
                frame, self._slot = self._slot, None
            self._tell_crashes()
            if frame is None:
                latest = self._latest
                if self._in_service and latest is not None and self._clock_ns() - latest.at_ns > _SILENT_S * _NS:
                    self._fail(FaultKind.SILENT, f"{self.name}: no frame for {_SILENT_S:g} s")
                continue
            if not self._in_service:
                continue
            if self._decided.is_set():
                self._decided.clear()
                self._stream.decided(refused=self._refused)
            if self._released.is_set():
                self._released.clear()
                self._stream.release()
            try:
                text = self._stream.take(frame)
            except Exception as error:  # noqa: BLE001 - the thread's top loop: one hostile frame must not end the camera
                self._errors += 1
                self._pass_over(FaultKind.GARBLED, f"{self.name}: {type(error).__name__} while decoding a frame")
                continue
            if text is not None:
                self._told += 1
                self._emit(text)

    def _tell_crashes(self) -> None:
        """The decoder's child died or had to be killed: another one serves already; told once a minute at most."""
        child = self._stream.child
        crashes = child.restarts + child.overruns if child is not None else 0
        now_ns = self._clock_ns()
        if crashes <= self._crashes_told or child is None:
            return
        if self._crash_told_ns is not None and now_ns - self._crash_told_ns < _CRASH_TOLD_EVERY_S * _NS:
            return
        self._crashes_told, self._crash_told_ns = crashes, now_ns
        detail = (
            f"the decoder's child died {child.restarts} times and was too slow {child.overruns} times since the start"
        )
        self._pass_over(FaultKind.CRASHED, f"{self.name}: {detail}; started anew each time")

    # A folder of pictures

    def _run_pictures(self) -> None:
        while not self._stop.is_set():
            opened = self._open_source()
            if opened is None:
                continue
            self._serve(opened)
            try:
                self._show_pictures()
            except PortError as error:
                self._fail(_fault_kind(error), str(error))
            finally:
                self._source.close()
            self._stop.wait(self._reopen_s)

    def _show_pictures(self) -> None:
        """Picture after picture until the folder is gone (raises PortError) or the device is stopped."""
        end_told = False
        while not self._stop.is_set():
            try:
                frame = self._source.read(_READ_TIMEOUT_S)
            except DeviceError as error:
                self._errors += 1
                self._pass_over(FaultKind.GARBLED, f"{self.name}: {error}")
                continue
            if frame is None:
                if not end_told and getattr(self._source, "exhausted", False):
                    end_told = True
                    self._pass_over(FaultKind.SILENT, f"{self.name}: all {self._frames} pictures were shown")
                continue
            self._frames += 1
            self._latest = frame
            self._show(frame)
            self._tell_crashes()

    def _show(self, frame: Frame) -> None:
        """One picture: tell its nearest code and wait for the verdict, or pass it over."""
        try:
            texts = self._stream.picture(frame, self._picture_limit_s)
        except Exception as error:  # noqa: BLE001 - the thread's top loop: one hostile picture must not end the folder
            self._errors += 1
            self._pass_over(FaultKind.GARBLED, f"{self.name}: {type(error).__name__} in picture {frame.name}")
            return
        if not texts:
            self._pass_over(FaultKind.SILENT, f"{self.name}: picture {frame.name}: no code found; passed over")
            return
        self._decided.clear()
        self._told += 1
        self._emit(texts[0])
        while not self._stop.is_set() and not self._decided.wait(_READ_TIMEOUT_S):
            pass

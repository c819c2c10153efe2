"""The conversation with a sensor that talks by itself: ask once, prove by good readings, notice silence.

Every streaming sensor here is served by this one; its protocol file gives the decoder, the first words and the times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from drivers.devices import (
    Broken,
    Decoder,
    DeviceEvent,
    DeviceFault,
    FaultKind,
    Proven,
    Send,
    Step,
)

_WORDS_AGAIN_S = 0.25


class StreamConversation:
    """Sans-I/O; see :class:`drivers.devices.Conversation`.

    The device is proven by ``proof_frames`` good frames within the sensor's range (withheld, like everything before
    the proof). The newest frame of one read carries the time of that read; those before it are dated back by
    ``period_s`` each, because a sensor that speaks once a period did not say them at once: they waited while this
    thread could not run.

    ``silent_after_s`` without a good frame breaks the conversation: SILENT where no byte came, OUT_OF_RANGE where
    only impossible values came, else GARBLED. ``gap_s`` without a byte ends a frame that has begun.
    """

    def __init__(
        self,
        decoder: Callable[[], Decoder],
        *,
        model: str,
        baud_rates: tuple[int, ...],
        period_s: float,
        first_words: bytes = b"",
        proof_frames: int = 3,
        proof_timeout_s: float = 0.7,
        silent_after_s: float = 1.0,
        gap_s: float = 0.06,
    ) -> None:
        self.baud_rates = baud_rates
        self.proof_timeout_s = proof_timeout_s
        self._make_decoder = decoder
        self._model = model
        self._first_words = first_words
        self._proof_frames = proof_frames
        self._period_ns = int(period_s * 1e9)
        self._silent_ns = int(silent_after_s * 1e9)
        self._gap_ns = int(gap_s * 1e9)
        self._words_again_ns = int(_WORDS_AGAIN_S * 1e9)
        self._reset(0)

    def _reset(self, at_ns: int) -> None:
        self._decoder = self._make_decoder()
        self._good = 0
        self._last_good_ns = at_ns
        self._gap_at_ns: int | None = None
        self._words_at_ns: int | None = at_ns + self._words_again_ns if self._first_words else None
        self._bytes_since_good = 0
        self._range_faults_since_good = 0

    @property
    def discarded(self) -> int:
        """Bytes thrown away since the port was opened."""
        return self._decoder.discarded

    def begin(self, at_ns: int) -> list[Step]:
        self._reset(at_ns)
        return [Send(self._first_words)] if self._first_words else []

    def receive(self, data: bytes, at_ns: int) -> list[Step]:
        self._bytes_since_good += len(data)
        self._gap_at_ns = at_ns + self._gap_ns
        return self._judge(self._decoder.feed(data, at_ns), at_ns)

    def wake_at_ns(self) -> int | None:
        times = [self._last_good_ns + self._silent_ns]
        times += [time for time in (self._gap_at_ns, self._words_at_ns) if time is not None]
        return min(times)

    def wake(self, at_ns: int) -> list[Step]:
        steps: list[Step] = []
        if self._gap_at_ns is not None and at_ns >= self._gap_at_ns:
            self._gap_at_ns = None
            steps += self._judge(self._decoder.silence(at_ns), at_ns)
        if self._words_at_ns is not None and at_ns >= self._words_at_ns:
            # A module that was still starting did not hear the first words.
            self._words_at_ns = at_ns + self._words_again_ns
            steps.append(Send(self._first_words))
        if at_ns - self._last_good_ns >= self._silent_ns:
            steps.append(self._silent())
        return steps

    def _judge(self, events: list[DeviceEvent], at_ns: int) -> list[Step]:
        steps: list[Step] = []
        for waited, event in zip(range(len(events) - 1, -1, -1), events, strict=True):
            if waited:
                event = replace(event, at_ns=max(self._last_good_ns, at_ns - waited * self._period_ns))  # noqa: PLW2901
            steps.append(event)
            if isinstance(event, DeviceFault):
                self._range_faults_since_good += 1
                continue
            self._good += 1
            self._last_good_ns = event.at_ns
            self._bytes_since_good = self._range_faults_since_good = 0
            if self._good == self._proof_frames:
                self._words_at_ns = None
                steps.append(Proven(f"{self._model}: {self._good} good frames"))
        return steps

    def _silent(self) -> Broken:
        after_s = self._silent_ns / 1e9
        if self._range_faults_since_good:
            detail = f"{self._model}: for {after_s} s only values outside the sensor's own range; replace the sensor"
            return Broken(FaultKind.OUT_OF_RANGE, detail)
        if self._bytes_since_good:
            detail = f"{self._model}: {self._bytes_since_good} bytes but no good frame for {after_s} s; check the wires"
            return Broken(FaultKind.GARBLED, detail)
        return Broken(FaultKind.SILENT, f"{self._model}: no byte for {after_s} s; check power and wires")

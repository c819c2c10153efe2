"""The thermometer half of the vector runner: each file's cases against the shipped decoders.

Every stream is fed as recorded, whole, byte by byte and at cuts drawn by seed; the result must be the same. The
contract of the files is in ``tests/vectors/thermometers/README.md``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from drivers.devices import DeviceEvent, DeviceFault, FaultKind, TemperatureReading
from drivers.thermometers import gy_mcu90615

Outcome = tuple[str, str | None]
"""A case's id, and what is wrong with it (None: nothing)."""
Found = dict[str, Any]

_AT_NS = 1_000_000_000


def cuts_of(chunks: list[str], seed: int) -> Iterator[tuple[str, list[bytes]]]:
    """The stream of a case, cut in several ways, each with a name."""
    recorded = [bytes.fromhex(chunk) for chunk in chunks]
    whole = b"".join(recorded)
    yield "as recorded", recorded
    yield "whole", [whole]
    yield "byte by byte", [whole[index : index + 1] for index in range(len(whole))]
    draw = random.Random(seed)
    for _ in range(3):
        points = sorted(draw.sample(range(len(whole) + 1), min(len(whole), 7)))
        yield f"cut at {points}", [whole[a:b] for a, b in zip([0, *points], [*points, len(whole)], strict=True)]


def stream_cases(
    decoder_of: Callable[[dict[str, Any]], Any], found_of: Callable[[DeviceEvent], Found]
) -> Callable[[dict[str, Any]], Iterable[Outcome]]:
    """A runner of a stream file: ``decoder_of(case)`` makes the decoder, ``found_of(event)`` the expected form."""

    def run(file: dict[str, Any]) -> Iterator[Outcome]:
        for number, case in enumerate(file["cases"]):
            yield case["id"], _stream_failure(case, number, decoder_of, found_of)

    return run


def _stream_failure(
    case: dict[str, Any],
    seed: int,
    decoder_of: Callable[[dict[str, Any]], Any],
    found_of: Callable[[DeviceEvent], Found],
) -> str | None:
    for name, chunks in cuts_of(case["chunks"], seed):
        decoder = decoder_of(case)
        found = [found_of(event) for chunk in chunks for event in decoder.feed(chunk, _AT_NS)]
        outside = decoder.discarded + decoder.pending
        wanted = case["expected"]
        if len(found) != len(wanted):
            return f"{name}: {len(found)} events, expected {len(wanted)}: {found}"
        for have, want in zip(found, wanted, strict=True):
            wrong = {key: (have.get(key), value) for key, value in want.items() if key in have and have[key] != value}
            missing = set(want) - set(have) - {"corrupted"}
            if wrong or missing:
                return f"{name}: (found, expected) {wrong}; not decoded {sorted(missing)}"
        if outside != case["bytes_outside_accepted_frames"]:
            return f"{name}: {outside} bytes outside frames, expected {case['bytes_outside_accepted_frames']}"
        if decoder.silence(_AT_NS):
            return f"{name}: events out of an unfinished frame"
        if decoder.pending or decoder.discarded != outside:
            return f"{name}: silence left {decoder.pending} bytes waiting"
    return None


def _point_found(event: DeviceEvent) -> Found:
    """An event of a point sensor in the form of the vector files."""
    if isinstance(event, TemperatureReading):
        found: Found = {"kind": "reading", "offset": event.offset, "object_c": event.object_c}
        found |= {"ambient_c": event.ambient_c, "plausible_skin": event.plausible_skin}
        return found
    if isinstance(event, DeviceFault) and event.kind is FaultKind.OUT_OF_RANGE and event.transient:
        words = event.detail.replace(",", "").split()
        found = {"kind": "range_error", "offset": event.offset}
        # The raw values stand in the fault's text: "... raw object 32767, raw ambient 2300 ...".
        for name in ("object", "ambient"):
            if name in words:
                found[f"raw_{name}"] = int(words[words.index(name) + 1])
        return found
    return {"kind": type(event).__name__}


RUNNERS: dict[str, Callable[[dict[str, Any]], Iterable[Outcome]]] = {
    "gy_mcu90615": stream_cases(lambda _case: gy_mcu90615.Decoder(), _point_found),
}

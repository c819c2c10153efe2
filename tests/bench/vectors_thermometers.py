"""The thermometer half of the vector runner: each file's cases against the shipped decoders.

Every stream is fed as recorded, whole, byte by byte and at cuts drawn by seed; the result must be the same. The
contract of the files is in ``tests/vectors/thermometers/README.md``.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from config.sensor_model import load_sensor_model
from drivers.devices import (
    BodyHint,
    DeviceEvent,
    DeviceFault,
    DistanceReading,
    FaultKind,
    TemperatureReading,
    ThermalFrame,
)
from drivers.modbus_rtu import ANSWER_TIMEOUT_S, Exchange, ModbusAnswer, ModbusError, ReadRequest
from drivers.thermometers import (
    aa55_kiosk,
    calex_registers,
    dyp_distance,
    gy_614v3,
    gy_mcu90615,
    gy_mcu90640,
    modbus_mi3,
    modbus_pyrominibus,
    modbus_pyrousb,
)
from kiosk.screening import Sensor, Settled, Watch, WindowRule, observe, robust_window

Outcome = tuple[str, str | None]
"""A case's id, and what is wrong with it (None: nothing)."""
Found = dict[str, Any]

_AT_NS = 1_000_000_000

_WINDOW_C = 0.10
_FLOAT32_C = 0.0006
_ROUNDED = {"mean_c": 0.0001}
_DEAD_PIXEL_CENTI_C = -27315


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
            try:
                yield case["id"], _stream_failure(case, number, decoder_of, found_of) or _tag_failure(case, decoder_of)
            except Exception as error:  # noqa: BLE001 - a decoder that raises is the finding
                yield case["id"], f"raised {type(error).__name__}: {error}"

    return run


def _stream_failure(
    case: dict[str, Any],
    seed: int,
    decoder_of: Callable[[dict[str, Any]], Any],
    found_of: Callable[[DeviceEvent], Found],
) -> str | None:
    for name, chunks in cuts_of(case["chunks"], seed):
        decoder = decoder_of(case)
        read = getattr(decoder, "parse", decoder.feed)
        found = [found_of(event) for chunk in chunks for event in read(chunk, _AT_NS)]
        outside = decoder.discarded + decoder.pending
        wanted = case["expected"]
        if len(found) != len(wanted):
            return f"{name}: {len(found)} events, expected {len(wanted)}: {found}"
        for have, want in zip(found, wanted, strict=True):
            wrong = {
                key: (have[key], value)
                for key, value in want.items()
                if key in have and not _same(key, have[key], value)
            }
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


def _same(key: str, have: Any, want: Any) -> bool:
    """Equal; figures that the file rounded (a mean, a float32) to the last place that it gives."""
    if key in _ROUNDED and isinstance(have, float):
        return bool(abs(have - want) <= _ROUNDED[key])
    return bool(have == want)


def _tag_failure(case: dict[str, Any], decoder_of: Callable[[dict[str, Any]], Any]) -> str | None:
    """The cases that screening, not framing, has to stand: sums that are good by accident, a stuck sensor."""
    tags = set(case["tags"]) & {"window", "stuck"}
    if not tags:
        return None
    readings = [
        replace(event, at_ns=index * 100_000_000)
        for index, event in enumerate(decoder_of(case).feed(bytes.fromhex("".join(case["chunks"])), 0))
        if isinstance(event, TemperatureReading)
    ]
    if "window" in tags:
        settled = robust_window([(reading.at_ns, reading.object_c) for reading in readings], WindowRule())
        if isinstance(settled, Settled) and abs(settled.object_c - case["true_object_median_c"]) > _WINDOW_C:
            return f"the window gives {settled.object_c:.3f}, true is {case['true_object_median_c']}"
    if "stuck" in tags:
        sensor = Sensor(model=load_sensor_model("single_spot"))
        watch = Watch()
        for reading in readings:
            watch = observe(watch, reading, reading.at_ns, sensor, contact=False)
        if not watch.stuck:
            return "the stuck sensor was not flagged"
    return None


def _point_found(event: DeviceEvent) -> Found:
    """An event of a point sensor in the form of the vector files."""
    if isinstance(event, TemperatureReading):
        found: Found = {"kind": "reading", "offset": event.offset, "object_c": event.object_c}
        found |= {"ambient_c": event.ambient_c, "plausible_skin": event.plausible_skin}
        found |= {"body_c": event.body_c, "emissivity": event.emissivity}
        return found
    if isinstance(event, BodyHint):
        return {
            "kind": "reading",
            "offset": event.offset,
            "body_c": event.body_c,
            "plausible_skin": event.plausible_skin,
        }
    if isinstance(event, DistanceReading):
        return {"kind": "reading", "offset": event.offset, "distance_mm": event.distance_mm}
    if isinstance(event, DeviceFault) and event.kind is FaultKind.OUT_OF_RANGE and event.transient:
        words = event.detail.replace(",", "").split()
        found = {"kind": "range_error", "offset": event.offset}
        # The raw values stand in the fault's text: "... raw object 32767, raw ambient 2300 ..." or "... raw 037a ...".
        for name in ("object", "ambient"):
            if name in words:
                found[f"raw_{name}"] = int(words[words.index(name) + 1])
        if "object" not in words:
            found["raw"] = words[words.index("raw") + 1]
        return found
    return {"kind": type(event).__name__}


def _array_found(event: ThermalFrame | gy_mcu90640.EmissivityReply) -> Found:
    """A message of the array in the form of the vector file."""
    if isinstance(event, gy_mcu90640.EmissivityReply):
        length = gy_mcu90640.REPLY_BYTES
        return {"kind": "emissivity", "offset": event.offset, "emissivity": event.emissivity, "length": length}
    pixels = event.pixels_centi_c
    hottest = max(range(len(pixels)), key=pixels.__getitem__)
    dead = [index for index, pixel in enumerate(pixels) if pixel <= _DEAD_PIXEL_CENTI_C]
    raw = b"".join(pixel.to_bytes(2, "little", signed=True) for pixel in pixels)
    return {
        "kind": "reading",
        "offset": event.offset,
        "ambient_c": event.ambient_c,
        "max_c": pixels[hottest] / 100,
        "max_row": hottest // event.columns,
        "max_col": hottest % event.columns,
        "mean_c": round(sum(pixels) / len(pixels) / 100, 4),
        "pixels_le_int16_sha256": hashlib.sha256(raw).hexdigest(),
        "dead_pixels": [[index // event.columns, index % event.columns] for index in dead],
    }


def modbus_cases(
    request: ReadRequest, found_of: Callable[[ModbusAnswer | ModbusError], Found]
) -> Callable[[dict[str, Any]], Iterable[Outcome]]:
    """A runner of a Modbus file: the request byte for byte, then what is made of the answer."""

    def run(file: dict[str, Any]) -> Iterator[Outcome]:
        for case in file["cases"]:
            if request.frame.hex() != case["request"]:
                yield case["id"], f"request {request.frame.hex()}, expected {case['request']}"
                continue
            try:
                yield case["id"], _modbus_failure(case, request, found_of)
            except Exception as error:  # noqa: BLE001 - a decoder that raises is the finding
                yield case["id"], f"raised {type(error).__name__}: {error}"

    return run


def _modbus_failure(
    case: dict[str, Any], request: ReadRequest, found_of: Callable[[ModbusAnswer | ModbusError], Found]
) -> str | None:
    for width in (4096, 1):
        # preload_hex is what waits in the port before the request: the master flushes it and never hands it over.
        exchange = Exchange(request)
        result: ModbusAnswer | ModbusError | None = None
        waited_ms = 0
        for portion in case["response"]:
            waited_ms += portion["gap_ms"]
            data = bytes.fromhex(portion["hex"])
            for index in range(0, len(data), width):
                if result is None and waited_ms <= ANSWER_TIMEOUT_S * 1000:
                    result = exchange.feed(data[index : index + width])
        found = found_of(result if result is not None else exchange.give_up())
        expected = case["expected"]
        choices = expected.get("any_of", [expected])
        if not any(_agrees(found, choice) for choice in choices):
            return f"in portions of {width}: found {found}, expected {choices}"
    return None


def _agrees(found: Found, expected: dict[str, Any]) -> bool:
    for key, want in expected.items():
        if key == "kind_any_of":
            if found.get("kind") not in want:
                return False
        elif key == "object_c" and "object_c" in found:
            if abs(found["object_c"] - want) > _FLOAT32_C:
                return False
        elif key not in ("never", "reason") and found.get(key) != want:
            return False
    return True


def _calex_found(model: str) -> Callable[[ModbusAnswer | ModbusError], Found]:
    def found_of(result: ModbusAnswer | ModbusError) -> Found:
        event = calex_registers.event_of(model, result, _AT_NS)
        if isinstance(result, ModbusError):
            return _error_found(result, event)
        flags = calex_registers.status_flags(result.registers()[3])
        if isinstance(event, DeviceFault):
            return {"result": "fault", "status_flags": flags}
        return {
            "result": "reading",
            "object_c": event.object_c,
            "object_unfiltered_c": calex_registers.unfiltered_c(result),
            "sensor_c": event.ambient_c,
            "status_flags": flags,
            "plausible_skin": event.plausible_skin,
        }

    return found_of


def _mi3_found(result: ModbusAnswer | ModbusError) -> Found:
    event = modbus_mi3.event(result, _AT_NS)
    if isinstance(result, ModbusError):
        return _error_found(result, event)
    if isinstance(event, DeviceFault):
        return {"result": "fault"}
    return {"result": "reading", "object_c": event.object_c, "plausible_skin": event.plausible_skin}


def _error_found(error: ModbusError, event: DeviceEvent) -> Found:
    # A failed exchange that came out as anything but a fault has no form that a case could expect.
    result = "error" if isinstance(event, DeviceFault) else "value out of a failed exchange"
    found: Found = {"result": result, "kind": error.fault.value}
    if error.exception_code is not None:
        found["exception_code"] = error.exception_code
    return found


RUNNERS: dict[str, Callable[[dict[str, Any]], Iterable[Outcome]]] = {
    "aa55_kiosk": stream_cases(lambda case: aa55_kiosk.Decoder(aa55_kiosk.Encoding(case["encoding"])), _point_found),
    "dyp_distance": stream_cases(lambda _case: dyp_distance.Decoder(), _point_found),
    "gy_614v3": stream_cases(lambda _case: gy_614v3.Decoder(), _point_found),
    "gy_mcu90615": stream_cases(lambda _case: gy_mcu90615.Decoder(), _point_found),
    "gy_mcu90640": stream_cases(lambda _case: gy_mcu90640.Decoder(), _array_found),
    "modbus_mi3": modbus_cases(modbus_mi3.request(), _mi3_found),
    "modbus_pyrominibus": modbus_cases(modbus_pyrominibus.request(), _calex_found(modbus_pyrominibus.MODEL)),
    "modbus_pyrousb": modbus_cases(modbus_pyrousb.request(), _calex_found(modbus_pyrousb.MODEL)),
}

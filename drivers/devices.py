"""What a device is to the floors above: frozen events and small protocols.

Every event is stamped ``at_ns``, the monotonic clock in nanoseconds (``time.monotonic_ns()``) at which its last
byte, frame or contact was seen. Events of serial decoders also carry ``offset``: where their frame began,
counted in bytes from the start of the stream. A device belongs to exactly one lane; ``drivers/rack.py`` puts the
lane and the device's name around the event (:class:`Observed`), decoders know neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class ProofKind(StrEnum):
    """How a card proved itself: NTAG 424 DNA's rolling code, or challenge and response with a card's own key."""

    SUN = "sun"
    EV2 = "ev2"


class ProofOutcome(StrEnum):
    """What came of the proof. Only ``GENUINE`` speaks for the card; every other outcome speaks against it."""

    GENUINE = "genuine"
    UNKNOWN_CARD = "unknown_card"
    """No key is held for this UID."""
    WRONG_KEY = "wrong_key"
    """The card does not hold the key that it should (forged, of another site, or not personalised)."""
    EMULATED = "emulated"
    """It shows a rolling code and cannot answer the challenge: a device that plays what it read from a card."""
    BAD_MAC = "bad_mac"
    BAD_PICC_DATA = "bad_picc_data"
    """The encrypted UID and counter decrypt to nonsense: another site's card, or a forged text."""
    MALFORMED = "malformed"
    UID_MISMATCH = "uid_mismatch"
    """The UID inside the card's signed text is not the one that it answered with on the air."""
    NOT_SUPPORTED = "not_supported"
    """The card has no such application: a legacy card where a second-generation card is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardProof:
    """The cryptographic part of a tap (``drivers/cards/ntag424.py``).

    ``read_ctr`` is the card's rolling counter, 0 to 16777215 (SUN only): the rule over it is
    ``kiosk/credentials/card_counter.py``'s. ``key_version`` is the version of the key that was used.
    """

    kind: ProofKind
    outcome: ProofOutcome
    read_ctr: int | None = None
    key_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTap:
    """One card presentation.

    ``uid`` is MSB first, 4, 7 or 10 bytes (or the number bytes of a 125 kHz or Wiegand card). ``atqa`` is MSB
    first as NXP prints it (``0344`` is an NTAG 424 DNA), ``sak`` one byte, ``ats`` without its length rules
    applied: as the reader sent it. ``random_uid`` marks a 4-byte UID beginning ``08`` (ISO/IEC 14443-3): it
    names nobody. ``unknown_first`` and ``unknown_last`` say how many bytes of a four-byte number the reader does not
    tell (26 bits of Wiegand); ``uid`` is then the rest of it. ``cards_in_field`` over 1 means the holder must present
    one card alone. ``proof`` is None where the card was asked for nothing but its UID, which anybody can copy.
    """

    uid: bytes
    at_ns: int
    offset: int = 0
    atqa: int | None = None
    sak: int | None = None
    ats: bytes = b""
    random_uid: bool = False
    unknown_first: int = 0
    unknown_last: int = 0
    cards_in_field: int = 1
    proof: CardProof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardHint:
    """A card was there but left, or failed, before it had said enough: "hold the card longer". Never a tap."""

    detail: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IdCardRead:
    """A resident ID card was read by a reader module with a security chip: for registering, never for opening.

    ``valid_from`` and ``valid_to`` are YYYYMMDD (``valid_to`` may be 长期, long-term). Nation, address, photo and
    fingerprint never come here. Nothing of it is shown by ``repr``.
    """

    card_type: str
    name: str = field(repr=False)
    id_number: str = field(repr=False)
    valid_from: str = field(repr=False)
    valid_to: str = field(repr=False)
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QrText:
    """One decoded QR symbol.

    ``data`` are the exact bytes; ``text`` is their UTF-8 form, else the reader's own reading of them (ECI, Shift-JIS),
    else Latin-1. Neither stands in the repr, so that no log can hold them. ``corners`` are
    the four corner points in pixels, ordered top-left, top-right, bottom-right, bottom-left of the symbol.
    """

    text: str = field(repr=False)
    data: bytes = field(repr=False)
    corners: tuple[tuple[float, float], ...]
    engine: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureReading:
    """One sample of an infrared thermometer, in degrees Celsius.

    ``object_c`` is the raw object temperature. ``ambient_c`` is the sensor's own temperature (chip or board, not
    the air) or None. ``body_c`` is a module's own "body" figure: a hint that no decision rests on. ``emissivity`` is
    what the module says that it reckoned with (0.01 to 1.00), None where it does not say. ``raw`` is the module's own
    frame, from which a record lets everything be computed again; it stands in no comparison and no repr.
    """

    object_c: float
    at_ns: int
    offset: int = 0
    ambient_c: float | None = None
    body_c: float | None = None
    emissivity: float | None = None
    raw: bytes = field(default=b"", repr=False, compare=False)

    @property
    def plausible_skin(self) -> bool:
        """28.0 to 43.0 degC. Outside it a reading is still a reading, but no decision may rest on it."""
        return 28.0 <= self.object_c <= 43.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyHint:
    """The "body" figure of a module that tells nothing else, in degrees Celsius: shown to a guard at most.

    A type of its own, because such a figure is bent towards normal by the maker and no decision may rest on it.
    """

    body_c: float
    at_ns: int
    offset: int = 0

    @property
    def plausible_skin(self) -> bool:
        """28.0 to 43.0 degC; anything else points to a wrong setting or a fault."""
        return 28.0 <= self.body_c <= 43.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ThermalFrame:
    """One picture of a thermal array.

    ``pixels_centi_c`` are hundredths of a degree Celsius, row by row from the top left as transmitted, ``columns``
    a row; a dead pixel carries whatever the module sends for it (-27315, for one). ``ambient_c`` is the sensor's
    own temperature, not the air's. ``raw`` is the module's own frame.
    """

    pixels_centi_c: tuple[int, ...] = field(repr=False)
    columns: int
    ambient_c: float
    at_ns: int
    offset: int = 0
    raw: bytes = field(default=b"", repr=False, compare=False)

    @property
    def rows(self) -> int:
        """How many rows the picture has."""
        return len(self.pixels_centi_c) // self.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceReading:
    """How far the nearest thing in front of a distance sensor is, in millimetres; 0 means no echo or too near."""

    distance_mm: int
    at_ns: int
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AirReading:
    """The air about the thermometer, from a shaded sensor of its own: degrees Celsius and percent relative humidity.

    The chip temperature of a thermometer is not this: it is the board's.
    """

    air_c: float
    humidity_percent: float | None
    at_ns: int


class InputName(StrEnum):
    """What a contact tells (``drivers/inputs.py``)."""

    DOOR_CONTACT = "door_contact"
    PASSAGE_BEAM = "passage_beam"
    PRESENCE = "presence"
    EXIT_BUTTON = "exit_button"
    FIRE = "fire"
    TAMPER = "tamper"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputChange:
    """A contact changed. ``active`` means: door open, beam broken, person present, button pressed, fire, tamper."""

    name: InputName
    active: bool
    at_ns: int


class FaultKind(StrEnum):
    """Why a device cannot be relied on now."""

    MISSING = "missing"
    BUSY = "busy"
    NOT_PERMITTED = "not_permitted"
    SILENT = "silent"
    GARBLED = "garbled"
    OUT_OF_RANGE = "out_of_range"
    STUCK = "stuck"
    FROZEN = "frozen"
    DARK = "dark"
    CRASHED = "crashed"
    REFUSED = "refused"
    WRONG_DEVICE = "wrong_device"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFault:
    """The device cannot be relied on until a :class:`DeviceReady` follows.

    A ``transient`` fault is one bad sample (a good checksum outside the sensor's own range): reported, but the
    device stays in service.
    """

    kind: FaultKind
    detail: str
    at_ns: int
    offset: int = 0
    transient: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReady:
    """The device proved itself (its own reply, or enough good frames) and is in service."""

    detail: str
    at_ns: int


DeviceEvent = (
    CardTap
    | CardHint
    | IdCardRead
    | QrText
    | TemperatureReading
    | BodyHint
    | ThermalFrame
    | DistanceReading
    | AirReading
    | InputChange
    | DeviceFault
    | DeviceReady
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """An event with the lane and the device (by its name in the settings) that it came from."""

    lane: str
    device: str
    event: DeviceEvent


Emit = Callable[[DeviceEvent], None]
"""What a running device calls, from its own thread, for each event. It must never block."""


class Decoder(Protocol):
    """A sans-I/O protocol core: bytes in, events out; no port, thread or clock inside."""

    @property
    def discarded(self) -> int:
        """Bytes thrown away so far because they belonged to no acceptable frame."""
        ...

    def feed(self, data: bytes, at_ns: int) -> list[DeviceEvent]:
        """Take the next bytes of the stream; the result does not depend on how they are cut."""
        ...

    def silence(self, at_ns: int) -> list[DeviceEvent]:
        """The inter-byte time-out ran out (or the stream ended): a started frame will not be finished."""
        ...


class Device(Protocol):
    """A device in service: a thread of its own between a wire and :data:`Emit`."""

    name: str

    def start(self, emit: Emit) -> None:
        """Begin; faults, the first one included, arrive as events and never as exceptions."""
        ...

    def stop(self) -> None:
        """Close the wire and end the thread within a second."""
        ...


@dataclass(frozen=True, slots=True)
class Send:
    """A conversation asks the link to write these bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Proven:
    """The other end proved to be the device we expect; only now do its events count (``detail`` for people)."""

    detail: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The conversation cannot go on over this opening of the port: the link reports, closes and reopens."""

    kind: FaultKind
    detail: str


Step = Send | Proven | Broken | DeviceEvent


class Conversation(Protocol):
    """What is said over one opened port: sans-I/O, driven by ``drivers/serial_port.py`` or by a test.

    Events returned before :class:`Proven` are withheld by the link: no reading counts before the device has
    proved itself by its own reply or by enough good frames.
    """

    baud_rates: tuple[int, ...]
    """To be tried in this order, one opening each, until one is proven."""

    proof_timeout_s: float
    """How long the proof may take after opening before the next rate is tried or silence is reported."""

    def begin(self, at_ns: int) -> list[Step]:
        """The port was opened afresh: forget everything, say the first words."""
        ...

    def receive(self, data: bytes, at_ns: int) -> list[Step]:
        """Bytes arrived."""
        ...

    def wake_at_ns(self) -> int | None:
        """When :meth:`wake` must be called unless bytes come before; None for never."""
        ...

    def wake(self, at_ns: int) -> list[Step]:
        """The time asked for has come: poll, repeat, or give up."""
        ...

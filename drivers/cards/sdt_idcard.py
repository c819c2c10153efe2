"""Reader modules of the second-generation resident ID card (SDT, SAM-V), 115200 baud, 8N1. For registering only.

    AA AA AA 96 69 | LEN (2, MSB first: all that follows) | payload | XOR of LEN and payload
    host's payload:   command, parameter, data          module's payload: SW1 SW2 SW3, data
    20 01 find   20 02 select   30 01 read text and photo   12 FF id of the security module
    00 00 9F found   90 done   80 no card   81 selecting failed   41 reading failed
    read: text length (2) | photo length (2) | text (256, UTF-16LE, fields padded with spaces) | photo

Sources: the GA/T 450 class interface as the drivers of several makers have it, GA/T 490 text layout
(wiki.nfc.im, csdn SAM-V text, BearPi; the layouts for residents from elsewhere and for foreigners from afzhan and
readinfo): tests/vectors/cards/sdt_idcard.json. The security module checks the card's chip; what it answers is
trusted because the module is, not because of anything that could be verified here.

What registering does not need is dropped at decoding: nation, address, photo, fingerprint. None of the rest appears
in a ``repr`` or a log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from drivers.devices import Broken, CardHint, FaultKind, IdCardRead, Proven, Send, Step
from drivers.errors import FrameError

PREAMBLE = bytes.fromhex("AAAAAA9669")
MAX_LENGTH = 2600  # text 256, photo 1024, fingerprint 1024, their lengths, status, checksum
TEXT_BYTES = 256
TYPE_FLAG_AT = 248

FOUND, DONE, NO_CARD = 0x9F, 0x90, 0x80
STATUS = {
    0x10: "bad checksum received",
    0x11: "bad length",
    0x21: "bad command",
    0x24: "unknown error",
    0x31: "the card rejected the reader",
    0x32: "the reader rejected the card",
    0x33: "the information check failed",
    0x40: "wrong card",
    0x41: "reading failed",
    0x47: "no random number",
    0x60: "self test failed",
    0x66: "the security module is not authorised",
    0x80: "no card",
    0x81: "selecting failed",
    0x91: "no such item on the card",
}


def command(payload: bytes) -> bytes:
    """A whole frame from the host."""
    body = (len(payload) + 1).to_bytes(2) + payload
    return PREAMBLE + body + bytes((xor_of(body),))


def xor_of(data: bytes | bytearray) -> int:
    """The checksum."""
    check = 0
    for byte in data:
        check ^= byte
    return check


FIND = command(b"\x20\x01")
SELECT = command(b"\x20\x02")
READ = command(b"\x30\x01")
SAM_ID = command(b"\x12\xff")


class Defect(StrEnum):
    """Why bytes were passed over."""

    CHECKSUM = "checksum"
    TRUNCATED = "truncated"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer: ``status`` is SW3 (SW1 and SW2 are zero but for damaged modules), ``data`` what follows."""

    status: bytes
    data: bytes = field(repr=False)
    at_ns: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFrame:
    """A preamble without an acceptable frame behind it."""

    defect: Defect
    at_ns: int
    offset: int


class Decoder:
    """Bytes of the module to answers, for any cut of the stream; a broken frame costs one byte."""

    def __init__(self) -> None:
        self.discarded = 0
        self._buffer = bytearray()
        self._offset = 0

    @property
    def pending(self) -> bool:
        """A frame has begun."""
        return bool(self._buffer)

    def feed(self, data: bytes, at_ns: int) -> list[Answer | BadFrame]:
        """Take the next bytes of the stream."""
        self._buffer += data
        return self._scan(at_ns, at_end=False)

    def silence(self, at_ns: int) -> list[Answer | BadFrame]:
        """A started frame will not be finished; look again inside it."""
        return self._scan(at_ns, at_end=True)

    def _scan(self, at_ns: int, *, at_end: bool) -> list[Answer | BadFrame]:
        events: list[Answer | BadFrame] = []
        while True:
            start = self._buffer.find(PREAMBLE)
            if start < 0:
                self._drop(len(self._buffer) - (0 if at_end else self._beginning()))
                return events
            self._drop(start)
            found = self._parse(at_ns)
            if found is None:
                if not at_end:
                    return events
                found = BadFrame(defect=Defect.TRUNCATED, at_ns=at_ns, offset=self._offset)
            events.append(found)
            if isinstance(found, BadFrame):
                self._drop(1)

    def _beginning(self) -> int:
        """How many bytes at the buffer's end may be the beginning of a preamble."""
        return next(n for n in range(len(PREAMBLE) - 1, -1, -1) if n == 0 or self._buffer.endswith(PREAMBLE[:n]))

    def _parse(self, at_ns: int) -> Answer | BadFrame | None:
        buffer = self._buffer
        if len(buffer) < 7:
            return None
        length = buffer[5] * 256 + buffer[6]
        if not 4 <= length <= MAX_LENGTH:
            return BadFrame(defect=Defect.LENGTH, at_ns=at_ns, offset=self._offset)
        end = 7 + length
        if len(buffer) < end:
            return None
        if xor_of(buffer[5:end]):
            return BadFrame(defect=Defect.CHECKSUM, at_ns=at_ns, offset=self._offset)
        answer = Answer(status=bytes(buffer[7:10]), data=bytes(buffer[10 : end - 1]), at_ns=at_ns, offset=self._offset)
        del buffer[:end]
        self._offset += end
        return answer

    def _drop(self, count: int) -> None:
        self.discarded += count
        del self._buffer[:count]
        self._offset += count


# --- the text -------------------------------------------------------------------------------------------------

RESIDENT = "resident"
_LAYOUTS: dict[str, tuple[str, tuple[tuple[str, int], ...]]] = {
    "J": (
        "hk_macau_taiwan",
        (
            *(("name", 30), ("sex", 2), ("", 4), ("birth", 16), ("address", 70), ("id_number", 36), ("issuer", 30)),
            *(("valid_from", 16), ("valid_to", 16), ("permit_number", 18), ("issue_count", 4)),
        ),
    ),
    "I": (
        "foreigner_2017",
        (
            *(("name_en", 120), ("sex", 2), ("id_number", 30), ("nationality", 6), ("name", 30), ("valid_from", 16)),
            *(("valid_to", 16), ("birth", 16), ("version", 4), ("issuer_code", 8)),
        ),
    ),
    "Y": (
        "foreigner_2023",
        (
            *(("name", 30), ("sex", 2), ("renewals", 4), ("birth", 16), ("name_en", 70), ("id_number", 36), ("", 30)),
            *(("valid_from", 16), ("valid_to", 16), ("name_en", 22), ("nationality", 6), ("", 2), ("prev", 6)),
        ),
    ),
}
_RESIDENT_LAYOUT = (
    *(("name", 30), ("sex", 2), ("nation", 4), ("birth", 16), ("address", 70), ("id_number", 36), ("issuer", 30)),
    *(("valid_from", 16), ("valid_to", 16)),
)
# GB/T 3304, codes 01 to 56.
_NATIONS_TEXT = """
汉 蒙古 回 藏 维吾尔 苗 彝 壮 布依 朝鲜 满 侗 瑶 白 土家 哈尼 哈萨克 傣 黎 傈僳 佤 畲 高山 拉祜 水 东乡 纳西 景颇
柯尔克孜 土 达斡尔 仫佬 羌 布朗 撒拉 毛南 仡佬 锡伯 阿昌 普米 塔吉克 怒 乌孜别克 俄罗斯 鄂温克 德昂 保安 裕固 京
塔塔尔 独龙 鄂伦春 赫哲 门巴 珞巴 基诺
"""
_NATIONS = tuple(_NATIONS_TEXT.split())
_SEXES = {"0": "未知", "1": "男", "2": "女", "9": "未说明"}
_DROPPED = frozenset({"nation", "address"})


def parse_identity(data: bytes, *, keep_all: bool = False) -> dict[str, str]:
    """The fields of a read answer's data, by name, with ``card_type``.

    Nation and address are dropped unless ``keep_all`` (the vectors and a site setting ask for it); photo and
    fingerprint always are. Raises FrameError for lengths that do not fit, or text that is not UTF-16.
    """
    if len(data) < 4 + TEXT_BYTES or int.from_bytes(data[:2]) != TEXT_BYTES:
        raise FrameError("ID card's answer", seen=f"{len(data)} bytes", expected="lengths and 256 bytes of text")
    parts = 3 if len(data) >= 6 and sum(int.from_bytes(data[at : at + 2]) for at in (0, 2, 4)) + 6 == len(data) else 2
    lengths = [int.from_bytes(data[at : at + 2]) for at in range(0, 2 * parts, 2)]
    if sum(lengths) + 2 * parts != len(data):
        raise FrameError("ID card's answer", seen=f"{len(data)} bytes", expected=f"the sum of {lengths}")
    text = data[2 * parts : 2 * parts + TEXT_BYTES]
    kind, layout = _LAYOUTS.get(
        chr(text[TYPE_FLAG_AT]) if not text[TYPE_FLAG_AT + 1] else "", (RESIDENT, _RESIDENT_LAYOUT)
    )
    fields: dict[str, str] = {}
    at = 0
    try:
        for name, length in layout:
            if name:
                fields[name] = fields.get(name, "") + text[at : at + length].decode("utf-16-le")
            at += length
    except UnicodeDecodeError as error:
        raise FrameError("ID card's text", seen="bytes that are no UTF-16", expected="UTF-16LE") from error
    fields = {name: value.rstrip(" \x00").strip() for name, value in fields.items()}
    if kind == RESIDENT:
        fields["sex_name"] = _SEXES.get(fields["sex"], "")
        nation = fields["nation"]
        fields["nation_name"] = _NATIONS[int(nation) - 1] if nation.isdecimal() and 1 <= int(nation) <= 56 else "其他"
    if not keep_all:
        fields = {name: value for name, value in fields.items() if name not in _DROPPED | {"nation_name"}}
    return {"card_type": kind, **fields}


# --- conversation ---------------------------------------------------------------------------------------------

POLL_NS = 350_000_000  # faster polling makes some modules miss the card
ANSWER_TIMEOUT_NS = 2_500_000_000
SHORT_TIMEOUT_NS = 800_000_000
INTER_BYTE_NS = 200_000_000
MAX_FAILURES = 3


class SdtConversation:
    """Finds, selects and reads: one :class:`IdCardRead` for each card that is laid on.

    The module gives a card out once; it must leave before it is found again.
    """

    baud_rates: tuple[int, ...] = (115200,)
    proof_timeout_s: float = 2.0

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._decoder = Decoder()
        self._said = b""
        self._deadline_ns: int | None = None
        self._last_byte_ns = 0
        self._failures = 0

    def begin(self, at_ns: int) -> list[Step]:
        """The port was opened afresh: ask for the security module's number."""
        self._reset()
        return self._say(SAM_ID, at_ns)

    def receive(self, data: bytes, at_ns: int) -> list[Step]:
        """Bytes arrived."""
        self._last_byte_ns = at_ns
        return self._take(self._decoder.feed(data, at_ns), at_ns)

    def wake_at_ns(self) -> int | None:
        """The next poll or time-out."""
        times = [] if self._deadline_ns is None else [self._deadline_ns]
        times += [self._last_byte_ns + INTER_BYTE_NS] if self._decoder.pending else []
        return min(times, default=None)

    def wake(self, at_ns: int) -> list[Step]:
        """Poll, or give an answer up."""
        steps: list[Step] = []
        if self._decoder.pending and at_ns >= self._last_byte_ns + INTER_BYTE_NS:
            steps += self._take(self._decoder.silence(at_ns), at_ns)
        if self._deadline_ns is None or at_ns < self._deadline_ns:
            return steps
        return steps + (self._failed("no answer", at_ns) if self._said else self._say(FIND, at_ns))

    def _say(self, data: bytes, at_ns: int) -> list[Step]:
        self._said = data
        self._deadline_ns = at_ns + (ANSWER_TIMEOUT_NS if data == READ else SHORT_TIMEOUT_NS)
        return [Send(data)]

    def _pause(self, at_ns: int) -> list[Step]:
        self._said = b""
        self._deadline_ns = at_ns + POLL_NS
        return []

    def _failed(self, why: str, at_ns: int) -> list[Step]:
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            kind = FaultKind.SILENT if why == "no answer" else FaultKind.GARBLED
            return [Broken(kind, f"ID-card module: {why}, {self._failures} times in a row")]
        return self._say(self._said, at_ns)

    def _take(self, events: list[Answer | BadFrame], at_ns: int) -> list[Step]:
        steps: list[Step] = []
        for event in events:
            if not self._said:
                continue
            if isinstance(event, BadFrame):
                # Half-right personal data is never shown: the same question is put again.
                steps += self._failed(event.defect.value, at_ns)
                break
            self._failures = 0
            steps += self._answered(event, at_ns)
        return steps

    def _answered(self, answer: Answer, at_ns: int) -> list[Step]:
        said, status = self._said, answer.status[2]
        why = STATUS.get(status, f"status {status:02x}")
        if said == SAM_ID:
            if status != DONE:
                return [Broken(FaultKind.REFUSED, f"ID-card module: {why}")]
            return [Proven("ID-card module"), *self._say(FIND, at_ns)]
        if said == FIND:
            return self._say(SELECT, at_ns) if status == FOUND else self._pause(at_ns)
        if status != DONE:
            return [CardHint(detail=f"the ID card could not be read: {why}", at_ns=at_ns), *self._pause(at_ns)]
        return self._say(READ, at_ns) if said == SELECT else self._read(answer.data, at_ns)

    def _read(self, data: bytes, at_ns: int) -> list[Step]:
        try:
            fields = parse_identity(data)
        except FrameError as error:
            return [CardHint(detail=str(error), at_ns=at_ns), *self._pause(at_ns)]
        event = IdCardRead(
            card_type=fields["card_type"],
            name=fields["name"] or fields.get("name_en", ""),
            id_number=fields["id_number"],
            valid_from=fields["valid_from"],
            valid_to=fields["valid_to"],
            at_ns=at_ns,
        )
        return [event, *self._pause(at_ns)]

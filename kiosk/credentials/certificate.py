"""X.509 certificates (RFC 5280) read just far enough: key, dates, names, extensions. Pure.

National signers hold certificates that ``cryptography`` refuses as a whole: an encoded default in BasicConstraints,
an ECDSA algorithm with NULL parameters, a serial number that is not positive. OpenSSL reads them all, and each
is real. So the fields are taken out of the DER here, and ``cryptography`` gets the public key alone, which is
where care is needed. Nothing is believed because a certificate says so: a DSC is trusted because it stands in the
list, a chain because its signature verifies.

    Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature BIT STRING }
    tbs ::= SEQUENCE { [0] version, serial, signature, issuer, validity, subject, spki, [3] extensions }
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

MAX_BYTES = 16 * 1024

_INTEGER, _BITS, _OCTETS, _OID, _SEQUENCE, _SET = 0x02, 0x03, 0x04, 0x06, 0x30, 0x31
_UTC_TIME, _GENERALIZED_TIME, _VERSION, _EXTENSIONS, _BOOLEAN = 0x17, 0x18, 0xA0, 0xA3, 0x01

OID_BASIC_CONSTRAINTS = "2.5.29.19"
OID_KEY_USAGE = "2.5.29.15"
OID_EXTENDED_KEY_USAGE = "2.5.29.37"
#: ICAO Doc 9303 part 12: the document types that a signer may sign.
OID_DOCUMENT_TYPES = "2.23.136.1.1.6.2"
_OID_COUNTRY = "2.5.4.6"


class CertificateError(ValueError):
    """The bytes are not a certificate, or its key is of no known kind."""


class Der:
    """A cursor over DER elements; every length is checked against the bytes at hand."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)

    @property
    def done(self) -> bool:
        """Whether every byte was read."""
        return self._at == self._end

    def peek(self) -> int | None:
        """The next element's tag, None at the end."""
        return None if self.done else self._data[self._at]

    def next(self, tag: int | None = None) -> tuple[int, bytes, bytes]:
        """The next element as (tag, content, whole element). Raises CertificateError for another ``tag``."""
        start = self._at
        if self._end - start < 2:
            raise CertificateError("DER cut short")
        found, length = self._data[start], self._data[start + 1]
        at = start + 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 3 or at + size > self._end:
                raise CertificateError("DER length")
            length = int.from_bytes(self._data[at : at + size], "big")
            at += size
        if at + length > self._end:
            raise CertificateError("DER cut short")
        if tag is not None and found != tag:
            raise CertificateError(f"DER tag {found:#04x} instead of {tag:#04x}")
        self._at = at + length
        return found, self._data[at : self._at], self._data[start : self._at]

    def content(self, tag: int) -> bytes:
        """The next element's content."""
        return self.next(tag)[1]

    def inside(self, tag: int) -> Der:
        """A cursor into the next element."""
        return Der(self.content(tag))


def read_oid(content: bytes) -> str:
    """An object identifier in dotted form."""
    if not content or content[-1] & 0x80:
        raise CertificateError("an object identifier cut short")
    numbers: list[int] = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii", "replace")
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(tag)
    if form is None:
        raise CertificateError("a date of another type")
    try:
        # RFC 5280, 4.1.2.5.1: two-digit years from 50 on are 19xx; Python's pivot is 69.
        moment = datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        raise CertificateError(f"date {text[:20]!r}") from None
    return moment.replace(year=moment.year - 100) if tag == _UTC_TIME and moment.year >= 2050 else moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What was read. ``issuer`` and ``subject`` are whole DER names, compared byte by byte; ``country`` is the
    subject's, "" where missing. ``extensions`` maps an identifier to its inner DER. ``public_key`` is whatever
    ``cryptography`` makes of the key."""

    tbs: bytes
    signature_algorithm: bytes
    signature: bytes
    serial: int
    issuer: bytes
    subject: bytes
    country: str
    not_before: datetime
    not_after: datetime
    public_key: object
    extensions: dict[str, bytes] = field(default_factory=dict)

    def covers(self, now: datetime) -> bool:
        """Whether ``now`` lies within the dates, both ends included."""
        return self.not_before <= now <= self.not_after

    def extended_key_usages(self) -> tuple[str, ...]:
        """Identifiers of the extended key usage; empty without the extension. CertificateError for an empty list,
        which RFC 5280 forbids and which could mean everything or nothing."""
        inner = self.extensions.get(OID_EXTENDED_KEY_USAGE)
        if inner is None:
            return ()
        usages = []
        cursor = Der(inner).inside(_SEQUENCE)
        while not cursor.done:
            usages.append(read_oid(cursor.content(_OID)))
        if not usages:
            raise CertificateError("an empty extended key usage")
        return tuple(usages)

    def key_usage_allows(self, bit: int) -> bool:
        """Whether key usage has ``bit`` (0 digitalSignature, 5 keyCertSign, 6 cRLSign); True without the extension."""
        inner = self.extensions.get(OID_KEY_USAGE)
        if inner is None:
            return True
        bits = Der(inner).content(_BITS)[1:]
        return bit // 8 < len(bits) and bool(bits[bit // 8] & 0x80 >> bit % 8)

    def document_types(self) -> frozenset[str] | None:
        """ICAO document types (``P`` passport, ``NV`` proof of vaccination, …); None without the extension."""
        inner = self.extensions.get(OID_DOCUMENT_TYPES)
        if inner is None:
            return None
        cursor = Der(inner).inside(_SEQUENCE)
        cursor.next(_INTEGER)
        types, found = cursor.inside(_SET), set()
        while not types.done:
            found.add(types.next()[1].decode("ascii", "replace"))
        return frozenset(found)

    def is_authority(self) -> bool:
        """Whether BasicConstraints says CA."""
        inner = self.extensions.get(OID_BASIC_CONSTRAINTS)
        if inner is None:
            return False
        cursor = Der(inner).inside(_SEQUENCE)
        return cursor.peek() == _BOOLEAN and cursor.content(_BOOLEAN) != b"\x00"


def _country(name: bytes) -> str:
    cursor = Der(name).inside(_SEQUENCE)
    while not cursor.done:
        parts = cursor.inside(_SET)
        while not parts.done:
            part = parts.inside(_SEQUENCE)
            if read_oid(part.content(_OID)) == _OID_COUNTRY:
                return part.next()[1].decode("ascii", "replace")[:3].upper()
    return ""


def _extensions(cursor: Der) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    while not cursor.done:
        tag, content, _ = cursor.next()
        if tag != _EXTENSIONS:
            continue
        each = Der(content).inside(_SEQUENCE)
        while not each.done:
            extension = each.inside(_SEQUENCE)
            oid = read_oid(extension.content(_OID))
            if extension.peek() == _BOOLEAN:
                extension.next()
            if oid in found:
                raise CertificateError(f"extension {oid} twice")
            found[oid] = extension.content(_OCTETS)
    return found


def read_certificate(der: bytes) -> Certificate:
    """The certificate in ``der``. Raises CertificateError for anything else."""
    if len(der) > MAX_BYTES:
        raise CertificateError(f"a certificate of {len(der)} bytes, more than {MAX_BYTES}")
    outer = Der(der)
    body = outer.inside(_SEQUENCE)
    if not outer.done:
        raise CertificateError("bytes after the certificate")
    _, tbs_content, tbs = body.next(_SEQUENCE)
    _, _, algorithm = body.next(_SEQUENCE)
    signature = body.content(_BITS)
    if not signature or signature[0] != 0:
        raise CertificateError("a signature that is not whole bytes")
    cursor = Der(tbs_content)
    if cursor.peek() == _VERSION:
        cursor.next()
    serial = int.from_bytes(cursor.content(_INTEGER), "big", signed=True)
    _, _, inner_algorithm = cursor.next(_SEQUENCE)
    if inner_algorithm != algorithm:
        raise CertificateError("two different signature algorithms")
    issuer = cursor.next(_SEQUENCE)[2]
    validity = cursor.inside(_SEQUENCE)
    not_before, not_after = (_time(*validity.next()[:2]) for _ in range(2))
    subject = cursor.next(_SEQUENCE)[2]
    key_info = cursor.next(_SEQUENCE)[2]
    try:
        public_key = load_der_public_key(key_info)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"public key: {str(error)[:80]}") from None
    return Certificate(
        tbs=tbs,
        signature_algorithm=algorithm,
        signature=signature[1:],
        serial=serial,
        issuer=issuer,
        subject=subject,
        country=_country(subject),
        not_before=not_before,
        not_after=not_after,
        public_key=public_key,
        extensions=_extensions(cursor),
    )

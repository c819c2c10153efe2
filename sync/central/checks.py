"""What is checked before the store sees anything: signature, form, chain. Costs processor time, may run anywhere."""

from __future__ import annotations

from dataclasses import dataclass

from sync import keys
from sync.batch_header import head_statement
from sync.batch_parse import ParsedBatch, parse
from sync.central.admission import admitted_key
from sync.central.store import Store
from sync.errors import WireError
from sync.heartbeat import Heartbeat


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBody:
    """A request as it came in: who says to have sent it, and the bytes with their signatures."""

    kiosk_id: str
    request: str
    body: bytes
    signature: bytes
    encoding: str = ""
    head_signature: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedBatch:
    """A batch whose signatures, form and chain were found right."""

    signed: SignedBody
    parsed: ParsedBatch
    public_key: bytes


class Checks:
    """The checks of signed requests. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known_keys: dict[str, bytes] = {}

    def batch(self, signed: SignedBody) -> CheckedBatch:
        """Verify signature, form and chain.

        Raises WireError: 401 unknown kiosk or bad signature, 403 not approved or revoked, 400/413/415/422 form.
        """
        return _checked(signed, self._key_that_signed(signed))

    def batch_at_once(self, signed: SignedBody) -> CheckedBatch | None:
        """As ``batch`` if a key seen before signed the body; None, without asking the store, if not."""
        known = self._known_keys.get(signed.kiosk_id)
        if known is None or not keys.verify(known, keys.BATCH_CONTEXT, signed.body, signed.signature):
            return None
        return _checked(signed, known)

    def heartbeat(self, signed: SignedBody) -> Heartbeat:
        """Verify signature and form; raises WireError as ``batch`` does."""
        public_key = self._public_key(signed.kiosk_id)
        _require_signature(public_key, keys.HEARTBEAT_CONTEXT, signed.body, signed.signature)
        found = Heartbeat.parse(signed.body)
        if found.kiosk_id != signed.kiosk_id:
            raise WireError("heartbeat kiosk_id", status=422, seen=found.kiosk_id, expected=signed.kiosk_id)
        return found

    def forget(self, kiosk_id: str) -> None:
        """A key that was known is no longer to be tried first: the store refused what it signed."""
        self._known_keys.pop(kiosk_id, None)

    def _key_that_signed(self, signed: SignedBody) -> bytes:
        """The key of the kiosk, once it verified the body; one seen before is tried before the store is asked.

        Whether that key is still admitted is looked up where it counts, in the transaction that stores the batch.
        """
        known = self._known_keys.get(signed.kiosk_id)
        if known is not None and keys.verify(known, keys.BATCH_CONTEXT, signed.body, signed.signature):
            return known
        public_key = self._public_key(signed.kiosk_id)
        _require_signature(public_key, keys.BATCH_CONTEXT, signed.body, signed.signature)
        self._known_keys[signed.kiosk_id] = public_key
        return public_key

    def _public_key(self, kiosk_id: str) -> bytes:
        with self._store.reading() as connection:
            return admitted_key(connection, kiosk_id)


def _checked(signed: SignedBody, public_key: bytes) -> CheckedBatch:
    parsed = parse(signed.body, signed.encoding)
    if parsed.header.kiosk_id != signed.kiosk_id:
        raise WireError("batch header kiosk_id", status=422, seen=parsed.header.kiosk_id, expected=signed.kiosk_id)
    _require_signature(public_key, keys.HEAD_CONTEXT, head_statement(parsed.header), signed.head_signature)
    return CheckedBatch(signed=signed, parsed=parsed, public_key=public_key)


def _require_signature(public_key: bytes, context: bytes, message: bytes, signature: bytes) -> None:
    if not keys.verify(public_key, context, message, signature):
        raise WireError("signature", status=401, seen="not by this kiosk's key")

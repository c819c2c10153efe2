"""Temporary passes (``GP1:``) that the guard issues at this kiosk, offline, with the kiosk's own certified key.

The certificate is the community's word for this kiosk's key, short-lived, kept fresh by ``gatepost-sync``; without one
nothing is issued. Every pass is in the journal before its code is shown, and so is every revocation: a pass lives seven
days at most, and the journal keeps its record longer than that, so the book is read back from it at start. The code
itself is kept nowhere.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from config.errors import GatepostError
from kiosk.board import PassWish
from kiosk.clock import Clock, utc_of
from kiosk.credentials import gp1
from kiosk.credentials.code_verdict import CodeRefusedError
from kiosk.credentials.gp1 import PassWindow, TemporaryPass
from kiosk.journal import JournalReader
from kiosk.journal_types import JournalError
from kiosk.passage_record import Payloads
from kiosk.reasons import ClockTrust
from kiosk.records import Kind, PayloadClass, Record, Stream

MAX_CERTIFICATE_BYTES = 1024
MAX_KEY_BYTES = 4096
ISSUED, REVOKED = "pass_issued", "pass_revoked"
EVERY_DAY = 127


class PassError(GatepostError):
    """A pass that cannot be issued or revoked now; ``key`` names the console's sentence."""

    def __init__(self, key: str, thing: str, *, seen: str = "", expected: str = "", hint: str = "") -> None:
        super().__init__(thing, seen=seen, expected=expected, hint=hint)
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedPass:
    """A pass as the book lists it: its id (16 hex digits), what it says, and whether it was revoked."""

    pass_id: str
    category: str
    places: tuple[str, ...]
    once: bool
    expires_at: datetime
    guard: str
    revoked: bool = False


class PassBook:
    """The passes of this kiosk, for several threads, though not for the loop's own: ``write`` waits for it.

    ``write`` writes one record durably and raises JournalError when it cannot; with true, the record tells a fact that
    stands and is written later then. ``revoke`` tells the verifier.
    """

    def __init__(
        self,
        *,
        place: str,
        key: Path,
        certificate: Path,
        clock: Clock,
        write: Callable[[Kind, Payloads, bool], None],
        revoke: Callable[[bytes], None],
        passes: dict[str, IssuedPass],
    ) -> None:
        self._place = place
        self._key = key
        self._certificate = certificate
        self._clock = clock
        self._write = write
        self._revoke = revoke
        #: Replaced whole, so that a page may list them meanwhile.
        self._passes = dict(passes)
        self._lock = threading.Lock()
        for issued in passes.values():
            if issued.revoked:
                revoke(bytes.fromhex(issued.pass_id))

    def listed(self) -> tuple[IssuedPass, ...]:
        """The passes that are still current, newest first."""
        now = self._clock.now().utc()
        return tuple(issued for issued in reversed(self._passes.values()) if issued.expires_at > now)

    def issue(self, wish: PassWish) -> tuple[IssuedPass, str]:
        """A new pass and its ``GP1:`` text, after its record is durable. Raises PassError."""
        at = self._clock.now()
        if at.clock_trust is ClockTrust.NONE:
            raise PassError("clock_untrusted", "temporary pass", seen="no trusted time", expected="a set clock")
        now = at.utc().replace(microsecond=0)
        key, certificate = self._certified_key(now)
        content = TemporaryPass(
            pass_id=secrets.token_bytes(gp1.PASS_ID_BYTES),
            category=wish.category,
            issued_at=now,
            expires_at=now + timedelta(hours=wish.hours),
            places=() if wish.every_gate and not wish.once else (self._place,),
            windows=_windows(wish),
            one_time_gate=self._place if wish.once else "",
        )
        try:
            text = gp1.issue(content, key, certificate)
        except CodeRefusedError as refused:
            raise PassError("pass_refused", "temporary pass", seen=str(refused.reason)) from None
        issued = IssuedPass(
            pass_id=content.pass_id.hex(),
            category=content.category,
            places=content.places,
            once=wish.once,
            expires_at=content.expires_at,
            guard=wish.guard,
        )
        self._put_down(issued, ISSUED, wish.guard, stands=False)
        self._keep(issued)
        return issued, text

    def revoke(self, pass_id: str, guard: str) -> None:
        """This pass opens nothing here from now on. Raises PassError for one that this kiosk did not issue."""
        issued = self._passes.get(pass_id)
        if issued is None or issued.revoked:
            raise PassError("no_such_pass", "temporary pass", seen="none of this id", expected="one of the list")
        # Refused first, written second: a journal that fails must not keep a lost pass alive, now or after a restart.
        self._revoke(bytes.fromhex(pass_id))
        self._keep(replace(issued, revoked=True))
        self._put_down(issued, REVOKED, guard, stands=True)

    def _keep(self, issued: IssuedPass) -> None:
        with self._lock:
            self._passes = {**self._passes, issued.pass_id: issued}

    def _put_down(self, issued: IssuedPass, event: str, guard: str, *, stands: bool) -> None:
        try:
            self._write(Kind.REGISTRATION, _payloads(issued, event, guard), stands)
        except JournalError as error:
            raise PassError("not_registered", "temporary pass", seen=str(error)) from error

    def _certified_key(self, now: datetime) -> tuple[Ed25519PrivateKey, bytes]:
        try:
            with self._certificate.open("rb") as file:
                certificate = file.read(MAX_CERTIFICATE_BYTES)
            with self._key.open("rb") as file:
                key = load_pem_private_key(file.read(MAX_KEY_BYTES), password=None)
            kiosk = gp1.kiosk_key_of(certificate)
        except (OSError, ValueError, TypeError, CodeRefusedError):
            raise PassError(
                "no_certificate",
                f"certificate {self._certificate}",
                seen="none that can be used",
                expected="the community's word for this kiosk's key",
                hint="gatepost code certify-kiosk, or codes.kiosk_key at the central",
            ) from None
        if not isinstance(key, Ed25519PrivateKey) or key.public_key() != kiosk.public_key:
            raise PassError("no_certificate", f"certificate {self._certificate}", seen="another kiosk's key")
        if not kiosk.not_before <= now + gp1.ISSUED_TOLERANCE or now > kiosk.not_after:
            raise PassError("no_certificate", f"certificate {self._certificate}", seen="outside its dates")
        return key, certificate


def passes_issued(journal: Path) -> dict[str, IssuedPass]:
    """Every pass that the journal tells of, by its id, oldest first. Raises JournalError."""
    reader = JournalReader(journal)
    found: dict[str, IssuedPass] = {}
    try:
        for record in reader.all_told(Stream.PASSAGE, (Kind.REGISTRATION,)):
            _read_back(record, found)
    finally:
        reader.close()
    return found


def _read_back(record: Record, found: dict[str, IssuedPass]) -> None:
    facts = record.payloads[PayloadClass.FACTS].body if PayloadClass.FACTS in record.payloads else None
    person = record.payloads[PayloadClass.PERSON].body if PayloadClass.PERSON in record.payloads else None
    if record.kind is not Kind.REGISTRATION or facts is None or person is None:
        return
    pass_id = str(person.get("subject", ""))
    if facts.get("event") == ISSUED:
        found[pass_id] = IssuedPass(
            pass_id=pass_id,
            category=str(facts["category"]),
            places=tuple(facts["places"]),
            once=bool(facts["once"]),
            expires_at=utc_of(int(facts["expires_at_us"])),
            guard=str(facts["guard"]),
        )
    elif facts.get("event") == REVOKED and pass_id in found:
        found[pass_id] = replace(found[pass_id], revoked=True)


def _payloads(issued: IssuedPass, event: str, guard: str) -> Payloads:
    facts: dict[str, Any] = {
        "event": event,
        "guard": guard,
        "category": issued.category,
        "places": list(issued.places),
        "once": issued.once,
        "expires_at_us": round(issued.expires_at.timestamp()) * 1_000_000,
    }
    return {PayloadClass.FACTS: facts, PayloadClass.PERSON: {"subject": issued.pass_id}}


def _windows(wish: PassWish) -> tuple[PassWindow, ...]:
    """One window a day; over midnight two."""
    if wish.from_minute is None or wish.until_minute is None:
        return ()
    if wish.from_minute < wish.until_minute:
        return (PassWindow(EVERY_DAY, wish.from_minute, wish.until_minute),)
    late = PassWindow(EVERY_DAY, wish.from_minute, gp1.MINUTES_A_DAY)
    return (late, PassWindow(EVERY_DAY, 0, wish.until_minute)) if wish.until_minute else (late,)

"""Puts into force what the central sent down: roster, revocations, the cards' second keys, and the policy.

``gatepost-sync`` brings signed documents into a folder (``sync/downlink.py``); a thread of its own looks there, checks
each one again against the authority's key and the version that is in force here, and applies it whole or not at all.
What was applied, and what was refused and why, is journaled. Nothing here blocks the capture loop: the stores have
connections of their own, and their readers do not wait for a writer.

The version in force is written only after the document was applied, so a crash in between applies it again, which
changes nothing. The text of a roster goes from the folder as soon as it is in force.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.errors import GatepostError
from drivers.cards.ntag424 import CardKeys
from kiosk.card_keys import CardKeysError, CardKeyStore
from kiosk.card_release import FIRST_GATE_KEY_NO, open_release
from kiosk.durable_file import replace_file
from kiosk.policy_keeper import PolicyKeeper
from kiosk.policy_shelf import SignedDocument
from kiosk.revocation_list import RevocationList
from kiosk.roster import Roster
from kiosk.roster_tables import RosterError
from kiosk.signed_document import (
    MAX_BODY_BYTES,
    MAX_MANIFEST_BYTES,
    DocumentError,
    DocumentKind,
    Manifest,
    check_document,
)

log = structlog.get_logger("gatepost.arrivals")

LOOK_EVERY_S = 2.0
MAX_DOUBLED = 4
STATE = "documents-in-force.json"
BODY = "body"
REFUSED = "document_refused"
RETIRED = "retired_gate_key"
AGAIN = "again_"
"""Before a kind: its store was begun anew, so the document in force is taken once more, though never an older one."""
#: Revocations first: they keep somebody out; the policy last, since it is held against the roster. The trust bundle has
#: a reader of its own.
KINDS = (DocumentKind.REVOCATIONS, DocumentKind.CARDS, DocumentKind.ROSTER, DocumentKind.POLICY)

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliers:
    """What documents are applied to: stores of this kiosk, opened for this thread alone.

    ``revoke_passes`` tells the gate which passes (ids of 8 bytes) were withdrawn; ``now_us`` is UTC in microseconds.
    """

    roster: Roster
    card_keys: CardKeyStore
    kiosk_id: str
    kiosk_key: Callable[[], Ed25519PrivateKey]
    revoke_passes: Callable[[frozenset[bytes]], None]
    zone: tzinfo
    now_us: Callable[[], int]

    def apply(self, kind: DocumentKind, body: bytes) -> Facts:
        """Put one document in force; what it came to, in numbers. Raises GatepostError, and then nothing changed."""
        match kind:
            case DocumentKind.ROSTER:
                return self._roster(body)
            case DocumentKind.REVOCATIONS:
                return self._revocations(RevocationList.parse(body))
            case DocumentKind.CARDS:
                return self._cards(body)
            case _:
                raise DocumentError(f"{kind} document", seen="no reader here")

    def _roster(self, body: bytes) -> Facts:
        report = self.roster.import_csv(
            body.splitlines(keepends=True), at_us=self.now_us(), zone=self.zone, replace=True
        )
        if report.bad_lines:
            first = report.bad[0].line if report.bad else 0
            raise DocumentError(
                "roster document", seen=f"{report.bad_lines} bad lines, the first is line {first}", expected="none"
            )
        return {"people": report.people, "cards": report.cards}

    def _revocations(self, revoked: RevocationList) -> Facts:
        changed = self.roster.revoke_all(revoked.cards, revoked.reinstated, at_us=self.now_us())
        self.revoke_passes(frozenset(revoked.passes))
        return {"cards": len(revoked.cards), "reinstated": changed, "passes": len(revoked.passes)}

    def _cards(self, body: bytes) -> Facts:
        release = open_release(body, self.kiosk_id, self.kiosk_key())
        keys = (
            (
                card.uid,
                CardKeys(
                    gate_key=card.gate_key,
                    file_key=card.file_key,
                    gate_key_no=card.gate_key_no,
                    key_version=card.key_version,
                ),
            )
            for card in release.cards
        )
        retired = None if release.keep_others else FIRST_GATE_KEY_NO
        return {"cards": self.card_keys.take(keys, retired_no=retired), "keep_others": release.keep_others}


@dataclass(slots=True)
class _Failed:
    """What could not be done ``times`` in a row, and how many looks to let it be."""

    why: str
    times: int
    pause: int


@dataclass(slots=True)
class Arrivals:
    """Looks for documents in ``folder``; believes those of ``authority`` (32 raw bytes).

    ``state`` is the kiosk's own folder; ``policy`` takes policies, None where they are left alone.
    ``note`` journals facts; ``alarm`` raises an alarm with its facts. Both may be called from this thread.
    """

    folder: Path
    state: Path
    authority: bytes
    appliers: Appliers
    note: Callable[[Facts], None]
    alarm: Callable[[str, Facts], None]
    policy: PolicyKeeper | None = None
    _held: dict[str, int] = field(default_factory=dict)
    _policy_up_to: int | None = None
    _refused: dict[DocumentKind, bytes] = field(default_factory=dict)
    _failed: dict[str, _Failed] = field(default_factory=dict)
    _unsaved: bool = False
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._held = versions_in_force(self.state)
        if self.policy is not None:
            known = max(self._held.get(str(DocumentKind.POLICY), 0), self.policy.in_force.document)
            self._held[str(DocumentKind.POLICY)] = known
            self._policy_up_to = self.policy.taken_up_to(known)

    @property
    def alarms(self) -> tuple[str, ...]:
        """``document_refused`` while a document lies there that was not taken, or could not be yet."""
        return (REFUSED,) if self._refused or self._failed else ()

    def start(self) -> None:
        """Look every two seconds from now on; withdrawn passes of before are told at once."""
        self._thread = threading.Thread(target=self._run, name="arrivals", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the looking; a document in hand is finished."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def _run(self) -> None:
        self._recall()
        while not self._stopping.is_set():
            self.look()
            self._stopping.wait(LOOK_EVERY_S)

    def look(self) -> None:
        """Apply what is new. One that cannot be applied now holds up no other, and is tried again: at the next look,
        and after each further failure twice as many looks later, up to half a minute."""
        for kind in KINDS:
            self._try(str(kind), partial(self._look_at, kind))
        if self._unsaved:
            self._try(STATE, self._save)

    def _try(self, what: str, act: Callable[[], None]) -> None:
        failed = self._failed.get(what)
        if failed is not None and failed.pause > 0:
            failed.pause -= 1
            return
        try:
            act()
        except Exception as error:  # noqa: BLE001 - the thread's top loop: it is told, and looks again
            times = 1 if failed is None else failed.times + 1
            self._failed[what] = _Failed(str(error), times, pause=(1 << min(times - 1, MAX_DOUBLED)) - 1)
            if failed is None or failed.why != str(error):  # told once, not every two seconds
                log.error("arrivals_failed", what=what, error=str(error))
        else:
            self._failed.pop(what, None)

    def _look_at(self, kind: DocumentKind) -> None:
        if self._is_settled(kind) or (kind is DocumentKind.POLICY and self.policy is None):
            if kind is DocumentKind.ROSTER and not self._unsaved:
                self._erase_text(kind)
            return
        found = self._read(kind)
        if found is not None:
            self._take(kind, found)
        elif kind is DocumentKind.ROSTER:
            self._ask_again(kind)

    def _erase_text(self, kind: DocumentKind) -> None:
        """Of what is in force: names and birth dates stand there in the clear, in the store sealed or not at all."""
        place = self._place(kind)
        if place is not None and _version_at(place) == self._held.get(str(kind)):
            (place / BODY).unlink(missing_ok=True)

    def _ask_again(self, kind: DocumentKind) -> None:
        """A document whose text is needed and was erased counts as not held, and the central sends it again."""
        place = self._place(kind)
        if place is not None and _version_at(place) and not (place / BODY).exists():
            (self.folder / kind).unlink()

    def _place(self, kind: DocumentKind) -> Path | None:
        """The folder of the version that lies there now, whatever comes into its place meanwhile; None for none."""
        try:
            return (self.folder / kind).resolve(strict=True)
        except OSError:
            return None

    def _take(self, kind: DocumentKind, found: SignedDocument) -> None:
        held = self._up_to(kind)
        # A roster that cannot be read now says nothing against a policy: the error goes up, and it is tried again.
        people = self.appliers.roster.categories() if kind is DocumentKind.POLICY else {}
        try:
            manifest = check_document(
                found.manifest, found.signature, found.body, authority=self.authority, wanted=kind, held=held
            )
            facts = self._apply(manifest, found, people)
        except (RosterError, CardKeysError):
            raise  # a store that is busy, or on a full disk, says nothing against the document: it is tried again
        except GatepostError as error:
            self._refused[kind] = found.manifest
            if kind is DocumentKind.POLICY and self.policy is not None:
                self.policy.refused(str(error))
            log.error("document_refused", kind=str(kind), error=str(error))
            self.alarm(
                REFUSED, {"document": str(kind), "version": _version_of(found.manifest), "why": str(error)[:200]}
            )
            return
        self._held[str(kind)] = manifest.version
        self._held.pop(AGAIN + kind, None)
        if kind is DocumentKind.POLICY:
            self._policy_up_to = None
        if facts.get("keep_others") is False:
            self._held[RETIRED] = FIRST_GATE_KEY_NO
        self._refused.pop(kind, None)
        if kind is DocumentKind.ROSTER:
            self._refused.pop(DocumentKind.POLICY, None)  # it may fit the people of today
        log.info("document_in_force", kind=str(kind), version=manifest.version)
        self.note({"document": str(kind), "version": manifest.version, "held": held} | facts)
        self._unsaved = True

    def _save(self) -> None:
        _write_state(self.state / STATE, self._held)
        self._unsaved = False

    def _apply(self, manifest: Manifest, found: SignedDocument, people: dict[str, int]) -> Facts:
        if manifest.kind is DocumentKind.POLICY and self.policy is not None:
            return self.policy.take(manifest, found, people)
        return self.appliers.apply(manifest.kind, found.body)

    def _up_to(self, kind: DocumentKind) -> int:
        """Up to which version nothing is taken any more."""
        if kind is DocumentKind.POLICY and self._policy_up_to is not None:
            return self._policy_up_to
        held = self._held.get(str(kind), 0)
        return held - 1 if AGAIN + kind in self._held else held

    def _is_settled(self, kind: DocumentKind) -> bool:
        """Cheaply, by the manifest alone: nothing is there, or the version in force, or one that was refused."""
        try:
            manifest = _bounded(self.folder / str(kind) / "manifest", MAX_MANIFEST_BYTES)
            if self._refused.get(kind) == manifest:
                return True
            return Manifest.parse(manifest).version == self._up_to(kind)
        except OSError:
            return True
        except DocumentError:
            return False  # read whole, and refused by name

    def _recall(self) -> None:
        """After a start: the passes that the list in force withdrew (cards and keys are in their stores)."""
        found = self._read(DocumentKind.REVOCATIONS)
        if found is None:
            return
        try:
            check_document(
                found.manifest,
                found.signature,
                found.body,
                authority=self.authority,
                wanted=DocumentKind.REVOCATIONS,
                held=0,
            )
            self.appliers.revoke_passes(frozenset(RevocationList.parse(found.body).passes))
        except GatepostError as error:
            log.error("revocations_not_recalled", error=str(error))

    def _read(self, kind: DocumentKind) -> SignedDocument | None:
        """What lies there, bounded; None for nothing (whole)."""
        try:
            place = (self.folder / str(kind)).resolve(strict=True)
            parts = [
                _bounded(place / name, limit)
                for name, limit in (("manifest", MAX_MANIFEST_BYTES), ("signature", 200), (BODY, MAX_BODY_BYTES))
            ]
            return SignedDocument(parts[0], base64.b64decode(parts[1]), parts[2])
        except (OSError, ValueError):
            return None


def take_once_more(state: Path, kinds: Iterable[DocumentKind]) -> None:
    """Have the documents of these kinds that are in force taken once more. Raises DocumentError, OSError."""
    held = versions_in_force(state)
    again = {AGAIN + kind: 1 for kind in kinds if held.get(str(kind))}
    if again:
        _write_state(state / STATE, held | again)


def retired_key_no(state: Path) -> int | None:
    """The card key slot that this kiosk was told to answer to no more; None for none. Raises DocumentError."""
    return versions_in_force(state).get(RETIRED)


def _version_at(place: Path) -> int:
    """The version that the folder of a document claims; 0 for one that cannot be read."""
    try:
        return _version_of(_bounded(place / "manifest", MAX_MANIFEST_BYTES))
    except OSError:
        return 0


def _version_of(manifest: bytes) -> int:
    """The version that a manifest claims; 0 for one that cannot be read."""
    try:
        return Manifest.parse(manifest).version
    except DocumentError:
        return 0


def _bounded(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit + 1)


def versions_in_force(state: Path) -> dict[str, int]:
    """By kind. Raises DocumentError for a file that is none: a kiosk must not forget its versions."""
    path = state / STATE
    try:
        stored = json.loads(path.read_bytes())
        if not isinstance(stored, dict) or not all(type(value) is int for value in stored.values()):
            raise ValueError("other content")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DocumentError(
            str(path), seen=str(error)[:80], expected="the versions in force", hint="remove it to take them anew"
        ) from error
    return {str(kind): int(version) for kind, version in stored.items()}


def _write_state(path: Path, held: dict[str, int]) -> None:
    replace_file(path, json.dumps(held).encode())

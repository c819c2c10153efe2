"""Keeps the trust store fresh while the gate runs: bundles from the network or a USB stick, checked, swapped in whole.

A thread of its own looks every ten seconds at the document that ``gatepost-sync`` brought and at the folder where a
stick is mounted. What is newer and genuine becomes the store in use (``bundle_folder.py`` says what genuine means: a
trusted root's signature, a rising version, no list a fifth shorter); what is not changes nothing. Both are journaled.
A shorter list waits until a guard confirms it on the console.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import structlog

from config.errors import GatepostError
from kiosk.board import TrustAge
from kiosk.credentials.bundle import (
    MAX_BUNDLE_BYTES,
    BundleError,
    ShrinkError,
    TrustState,
    age_light,
    claimed_version,
)
from kiosk.credentials.bundle_folder import BundleFolder
from kiosk.credentials.trust import TrustStore, describe_skipped

log = structlog.get_logger("gatepost.trust")

LOOK_EVERY_S = 10.0
STICK_PATTERN = "*.trust"
MAX_STICK_FILES = 20
SHRUNK, REFUSED, DAMAGED = "trust_shrunk", "trust_refused", "trust_damaged"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where bundles come from: the document of ``gatepost-sync``, and the folder of a USB stick; None for neither."""

    document: Path | None = None
    stick: Path | None = None

    def files(self) -> tuple[list[tuple[str, Path]], str]:
        """What is there now, with the name of its way; and why the stick cannot be looked at, "" for no trouble."""
        found = [("network", self.document)] if self.document is not None and self.document.is_file() else []
        if self.stick is None:
            return found, ""
        try:
            names = sorted(name for name in os.listdir(self.stick) if fnmatch(name, STICK_PATTERN))
        except (FileNotFoundError, NotADirectoryError):
            return found, ""
        except OSError as error:
            return found, f"{self.stick}: {error.strerror or error}"
        return found + [("stick", self.stick / name) for name in names[:MAX_STICK_FILES]], ""


@dataclass(frozen=True, slots=True)
class TrustStatus:
    """What the console's page says: what is in force, and the last bundle that was not taken (None: none)."""

    state: TrustState
    keys: int
    skipped: int
    refused: str
    waiting: str


class TrustKeeper:
    """``put`` takes a new store into use; ``note`` writes facts to the journal (both from this thread).

    ``red_after`` is how long after the announced next update the light turns red. Where the kiosk's own copy is damaged
    it takes nothing, since it would take an old bundle too, and trusts no code: cards still open, and an alarm says so.
    """

    def __init__(
        self,
        bundles: BundleFolder,
        sources: Sources,
        *,
        match_key: bytes,
        red_after: timedelta,
        put: Callable[[TrustStore], None],
        note: Callable[[dict[str, Any]], None],
    ) -> None:
        self._bundles = bundles
        self._sources = sources
        self._match_key = match_key
        self._red_after = red_after
        self._put = put
        self._note = note
        self._lock = threading.Lock()
        self._looked: dict[Path, tuple[int, int]] = {}
        self._state = TrustState(version=0, roots=())
        self._store = TrustStore(match_key=match_key)
        self._damaged = False
        self._refused = ""
        self._failed = ""
        self._waiting: tuple[str, Path, str] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trust", daemon=True)
        try:
            self._state = bundles.state()
            if self._state.version:
                self._store = bundles.load(match_key=match_key)
                self._warn_of_skipped()
        except GatepostError as error:
            self._damaged, self._refused = True, str(error)
            log.error("trust_damaged", error=str(error))

    @property
    def store(self) -> TrustStore:
        """The store in use; empty before the first bundle."""
        return self._store

    @property
    def alarms(self) -> tuple[str, ...]:
        """``trust_shrunk`` while a shorter list waits for a word, ``trust_refused`` while a bundle lies there that is
        not genuine or the stick cannot be looked at, ``trust_damaged`` while the kiosk's own copy cannot be read."""
        if self._damaged:
            return (DAMAGED,)
        return ((SHRUNK,) if self._waiting else ()) + ((REFUSED,) if self._refused or self._failed else ())

    def start(self) -> None:
        """Look every ten seconds from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the looking; a bundle in hand is finished."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def age(self, now: datetime) -> TrustAge:
        """The age light at ``now`` (aware), with whole days to the announced next update (negative once past)."""
        following = self._state.next_update
        days = 0 if following is None else (following - now) // timedelta(days=1)
        return TrustAge(
            light=age_light(self._state, now, red_after=self._red_after), version=self._state.version, days=days
        )

    def status(self) -> TrustStatus:
        """For the console's page."""
        waiting = self._waiting
        return TrustStatus(
            state=self._state,
            keys=self._store.key_count(),
            skipped=len(self._store.skipped),
            refused=self._refused or self._failed,
            waiting=waiting[2] if waiting is not None else "",
        )

    def confirm(self, guard: str) -> bool:
        """Take the shorter list that waits, in this guard's name; False when none waits or it is no longer there."""
        with self._lock:
            waiting = self._waiting
            if waiting is None:
                return False
            source, path, _ = waiting
            self._waiting = None
            return self._try(source, path, confirmed_by=guard)

    def look(self) -> None:
        """One look at every source; takes what is newer and genuine. Never raises for what lies there."""
        if self._damaged:
            return
        with self._lock:
            files, trouble = self._sources.files()
            if trouble and trouble != self._failed:  # told once, not every ten seconds
                log.error("trust_stick_unreadable", error=trouble)
            self._failed = trouble
            if not trouble:
                self._forget_what_is_gone({path for _, path in files})
            for source, path in files:
                try:
                    stat = path.stat()
                except OSError:
                    continue
                mark = (stat.st_mtime_ns, stat.st_size)
                if self._looked.get(path) != mark:
                    self._looked[path] = mark
                    self._try(source, path)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except Exception:
                log.exception("trust_look_failed")
            self._stopping.wait(LOOK_EVERY_S)

    def _forget_what_is_gone(self, there: set[Path]) -> None:
        if not self._looked.keys() <= there:
            self._looked = {path: mark for path, mark in self._looked.items() if path in there}
            self._refused = ""
            self._waiting = None if self._waiting is None or self._waiting[1] not in there else self._waiting

    def _try(self, source: str, path: Path, *, confirmed_by: str = "") -> bool:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BUNDLE_BYTES + 1)
            version = claimed_version(data)
            if version is not None and version <= self._state.version:
                return False  # what is in force already, or an old stick: no news, whoever signed it
            state = self._bundles.take(data, confirm_shrink=bool(confirmed_by))
            store = self._bundles.load(match_key=self._match_key)
        except ShrinkError as error:
            self._waiting = (source, path, str(error))
            self._note({"event": "trust_waits", "source": source, "why": str(error)[:200]})
            log.warning("trust_waits", source=source, error=str(error))
            return False
        except (BundleError, GatepostError, OSError) as error:
            self._refused = str(error)
            self._note({"event": "trust_refused", "source": source, "why": str(error)[:200]})
            log.error("trust_refused", source=source, error=str(error))
            return False
        self._state, self._store = state, store
        self._refused, self._waiting = "", None
        self._put(store)
        self._warn_of_skipped()
        self._note(
            {
                "event": "trust_in_force",
                "source": source,
                "version": state.version,
                "keys": store.key_count(),
                "skipped": len(store.skipped),
                "next_update_us": 0 if state.next_update is None else round(state.next_update.timestamp()) * 1_000_000,
                "guard": confirmed_by,
            }
        )
        log.info("trust_in_force", source=source, version=state.version, keys=store.key_count())
        return True

    def _warn_of_skipped(self) -> None:
        if self._store.skipped:
            log.warning("trust_anchors_skipped", detail=describe_skipped(self._store.skipped)[:2000])

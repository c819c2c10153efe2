"""A kiosk's own copy of the trust bundle: one folder a version, switched whole, state beside it.

    DIR/state.json     version, roots, dates, counts; written last
    DIR/v17.0/…        the files of version 17, with every revocation that earlier versions had
    DIR/current        a symbolic link to the folder in use

A power cut at any moment leaves the old version or the new one in use, never a mixture.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Any

from config.errors import ConfigError
from kiosk.credentials.bundle import FILES, TrustState, keep_revocations, open_bundle
from kiosk.credentials.trust import TrustStore
from kiosk.durable_file import new_file, replace_file, sync_folder

CURRENT = "current"
STATE = "state.json"


class BundleFolder:
    """The folder. Only one process writes it (the gate); anyone may read it."""

    def __init__(self, folder: Path, roots: tuple[bytes, ...]) -> None:
        self._folder = folder
        self._roots = roots

    def state(self) -> TrustState:
        """What was accepted so far; version 0 with the installed roots before the first bundle. Raises ConfigError
        when the state cannot be read: a kiosk that forgot its version would take an old bundle."""
        path = self._folder / STATE
        if not path.exists():
            return TrustState(version=0, roots=self._roots)
        try:
            stored: dict[str, Any] = json.loads(path.read_bytes())
            created, following = (
                datetime.fromtimestamp(stored[name] / 1_000_000, tz=UTC) for name in ("created_us", "next_update_us")
            )
            return TrustState(
                version=int(stored["version"]),
                roots=tuple(base64.b64decode(root) for root in stored["roots"]),
                created_at=created,
                next_update=following,
                counts={str(name): int(count) for name, count in stored["counts"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                str(path), seen=str(error)[:80], expected="the state of an accepted bundle", hint="apply a bundle anew"
            ) from error

    def take(self, data: bytes, *, confirm_shrink: bool = False) -> TrustState:
        """Checks a bundle, writes its files, switches to them. Raises BundleError (``bundle.py``), and then
        nothing has changed; ConfigError when a file of it cannot be loaded."""
        opened = open_bundle(data, self.state(), confirm_shrink=confirm_shrink)
        kept = keep_revocations(self._current_files(), opened.files, opened.reinstated)
        target = self._new_folder(opened.state.version)
        for name, content in kept.items():
            new_file(target / name, content)
        TrustStore.load(target)
        beside = self._folder / f"{CURRENT}.new"
        beside.unlink(missing_ok=True)
        beside.symlink_to(target.name)
        beside.replace(self._folder / CURRENT)
        sync_folder(self._folder)
        self._write_state(opened.state)
        for old in self._folder.glob("v*"):
            if old.is_dir() and old.name != target.name:
                rmtree(old)
        return opened.state

    def load(self, *, match_key: bytes = b"") -> TrustStore:
        """The store in use. Raises ConfigError before the first bundle."""
        current = self._folder / CURRENT
        if not current.is_dir():
            raise ConfigError(f"trust folder {current}", seen="no bundle yet", expected="an accepted trust bundle")
        return TrustStore.load(current.resolve(), match_key=match_key, created_at=self.state().created_at)

    def _current_files(self) -> dict[str, bytes]:
        current = self._folder / CURRENT
        return {name: (current / name).read_bytes() for name in FILES if (current / name).is_file()}

    def _write_state(self, state: TrustState) -> None:
        document = {
            "version": state.version,
            "roots": [base64.b64encode(root).decode() for root in state.roots],
            "created_us": round(state.created_at.timestamp() * 1_000_000) if state.created_at else 0,
            "next_update_us": round(state.next_update.timestamp() * 1_000_000) if state.next_update else 0,
            "counts": dict(state.counts),
        }
        replace_file(self._folder / STATE, json.dumps(document, indent=1).encode())

    def _new_folder(self, version: int) -> Path:
        # Never one that is there: after a power cut between switch and state, it is the one in use.
        for attempt in range(1000):
            target = self._folder / f"v{version}.{attempt}"
            if not target.exists():
                target.mkdir(parents=True)
                return target
        raise ConfigError(str(self._folder), seen="a thousand attempts", expected="room for a bundle", hint="empty it")

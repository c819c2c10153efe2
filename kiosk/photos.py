"""Photographs of card holders, for the guard alone: sealed, in a file of their own, gone with the person.

Named by the roster's keyed pseudonym and sealed with AES-256-GCM bound to it, so that neither a stolen file nor a moved
row shows anybody. What comes in is laid bare first (``kiosk/jpeg.py``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlmodel import Field

from config.errors import GatepostError
from kiosk.database import (
    Database,
    DatabaseError,
    KioskTable,
    OpenDatabase,
    Row,
    SqliteDatabase,
    transaction,
)
from kiosk.jpeg import bare_jpeg
from kiosk.store_file import StoreFile

APPLICATION_ID = 0x47504831
"""``GPH1`` in the file's header: photographs of a gate."""

SCHEMA_VERSION = 1


class PhotosError(GatepostError):
    """The file of photographs cannot be opened, read or written."""


class HolderPhoto(KioskTable, table=True):
    """One photograph, sealed."""

    __tablename__ = "holder_photo"

    subject: str = Field(primary_key=True)
    jpeg_sealed: bytes


STORE = StoreFile("photographs", APPLICATION_ID, SCHEMA_VERSION, (HolderPhoto,), PhotosError)

_PUT = """
    INSERT INTO holder_photo (subject, jpeg_sealed) VALUES (?, ?)
    ON CONFLICT (subject) DO UPDATE SET jpeg_sealed = excluded.jpeg_sealed"""


class Photos:
    """Thread-safe. Make one with :meth:`open`."""

    def __init__(self, path: Path, key: bytes, database: Database) -> None:
        self._path = path
        self._seal = AESGCM(key)
        self._database = database
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, key: bytes, *, open_database: OpenDatabase = SqliteDatabase) -> Photos:
        """Open the file, making it (mode 0600) when there is none. ``key`` is 32 bytes. Raises PhotosError."""
        return cls(path, key, STORE.open(path, open_database))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, subject: str, jpeg: bytes) -> None:
        """Keep this photograph of a holder, in place of an earlier one. Raises ValueError for one that will not do."""
        bare, nonce = bare_jpeg(jpeg), os.urandom(12)
        sealed = nonce + self._seal.encrypt(nonce, bare, subject.encode())
        with self._lock:
            try:
                with transaction(self._database):
                    self._database.run(_PUT, (subject, sealed))
            except DatabaseError as error:
                raise STORE.translated(error) from error

    def has(self, subject: str) -> bool:
        """Whether there is one. Raises PhotosError."""
        return bool(self._rows("SELECT 1 FROM holder_photo WHERE subject = ?", (subject,)))

    def of(self, subject: str) -> bytes | None:
        """The photograph; None where there is none. Raises PhotosError."""
        rows = self._rows("SELECT jpeg_sealed FROM holder_photo WHERE subject = ?", (subject,))
        if not rows:
            return None
        sealed = bytes(rows[0][0])
        try:
            return self._seal.decrypt(sealed[:12], sealed[12:], subject.encode())
        except (InvalidTag, ValueError) as error:
            raise PhotosError(
                f"{self._path}: a photograph", seen="bytes that this key does not open", hint="take it in again"
            ) from error

    def keep_only(self, subjects: Collection[str]) -> int:
        """Erase the photographs of everybody else; how many. Raises PhotosError."""
        gone = [(name,) for (name,) in self._rows("SELECT subject FROM holder_photo") if name not in subjects]
        with self._lock:
            try:
                with transaction(self._database):
                    self._database.run_many("DELETE FROM holder_photo WHERE subject = ?", gone)
                self._database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
            except DatabaseError as error:
                raise STORE.translated(error) from error
        return len(gone)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    def _rows(self, sql: str, parameters: tuple[object, ...] = ()) -> list[Row]:
        with self._lock:
            try:
                return self._database.rows(sql, parameters)
            except DatabaseError as error:
                raise STORE.translated(error) from error

"""Photographs of card holders, for the guard alone: sealed, in a file of their own, gone with the person.

Named by the roster's keyed pseudonym and sealed with AES-256-GCM bound to it, so that neither a stolen file nor a moved
row shows anybody. What comes in is laid bare first (``kiosk/jpeg.py``).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sqlmodel import Field

from config.errors import GatepostError
from kiosk.database import Database, KioskTable, OpenDatabase, SqliteDatabase
from kiosk.jpeg import bare_jpeg
from kiosk.sealing import Seal, SealError
from kiosk.store_file import Store, StoreFile

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


class Photos(Store):
    """Thread-safe. Make one with :meth:`open`."""

    def __init__(self, path: Path, key: bytes, database: Database) -> None:
        super().__init__(STORE, path, database)
        self._seal = Seal(key)

    @classmethod
    def open(cls, path: Path, key: bytes, *, open_database: OpenDatabase = SqliteDatabase) -> Photos:
        """Open the file, making it (mode 0600) when there is none. ``key`` is 32 bytes. Raises PhotosError."""
        return cls(path, key, STORE.open(path, open_database))

    def put(self, subject: str, jpeg: bytes) -> None:
        """Keep this photograph of a holder, in place of an earlier one. Raises ValueError for one that will not do."""
        self._run(_PUT, (subject, self._seal.sealed(bare_jpeg(jpeg), subject.encode())))

    def has(self, subject: str) -> bool:
        """Whether there is one. Raises PhotosError."""
        return bool(self._rows("SELECT 1 FROM holder_photo WHERE subject = ?", (subject,)))

    def of(self, subject: str) -> bytes | None:
        """The photograph; None where there is none. Raises PhotosError."""
        rows = self._rows("SELECT jpeg_sealed FROM holder_photo WHERE subject = ?", (subject,))
        if not rows:
            return None
        try:
            return self._seal.opened(rows[0][0], subject.encode())
        except SealError as error:
            raise PhotosError(f"{self._path}: a photograph", seen=error.seen, hint="take it in again") from error

    def keep_only(self, subjects: Collection[str]) -> int:
        """Erase the photographs of everybody else; how many. Raises PhotosError."""
        gone = [(name,) for (name,) in self._rows("SELECT subject FROM holder_photo") if name not in subjects]
        with self._changing() as database:
            database.run_many("DELETE FROM holder_photo WHERE subject = ?", gone)
        self._empty_log()
        return len(gone)

"""docs/data-map.md and the tables of the programs hold each other: every column has a purpose and a retention."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from sqlmodel import SQLModel

import kiosk.card_keys
import kiosk.journal_tables
import kiosk.photos
import kiosk.register
import kiosk.roster_tables
from kiosk.database import KioskTable
from sync.ackstore import AckStore
from sync.central.tables import CentralTable
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "data-map.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?P<column>[a-z_0-9]+\.[a-z_0-9]+) \|(?P<purpose>[^|]*)\|(?P<retention>[^|]*)\|$", re.MULTILINE)


def stored_columns(folder: Path) -> set[str]:
    """``table.column`` of every table of the kiosk, the sync process and the central."""
    metadatas = [KioskTable.metadata, CentralTable.metadata, SQLModel.metadata]
    declared = {
        f"{table.name}.{column.name}"
        for metadata in metadatas
        for table in metadata.tables.values()
        for column in table.columns
    }
    AckStore(folder / "sync.db").close()
    raw = sqlite3.connect(folder / "sync.db")
    tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    made = {f"{table}.{row[1]}" for table in tables for row in raw.execute(f"PRAGMA table_info({table})")}
    raw.close()
    return declared | made


def test_every_stored_column_has_a_purpose_and_a_retention(tmp_path: Path) -> None:
    """No column is missing from the page, none on the page is missing from the programs, no cell is empty."""
    rows = {match["column"]: (match["purpose"].strip(), match["retention"].strip()) for match in ROW.finditer(PAGE)}
    assert {name for name, cells in rows.items() if not all(cells)} == set()
    assert rows.keys() == stored_columns(tmp_path)


def test_the_kiosk_tables_are_seen(tmp_path: Path) -> None:
    """Guards the test above against comparing nothing with nothing."""
    names = {name.partition(".")[0] for name in stored_columns(tmp_path)}
    assert {
        model.__tablename__
        for model in kiosk.journal_tables.JOURNAL_TABLES
        + kiosk.roster_tables.ROSTER_TABLES
        + kiosk.card_keys.CARD_KEY_TABLES
    } | {kiosk.register.RegisterVisit.__tablename__, kiosk.photos.HolderPhoto.__tablename__} <= names

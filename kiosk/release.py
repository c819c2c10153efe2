"""When this release was made: a time that has certainly passed, for kiosks that know none."""

from __future__ import annotations

from datetime import UTC, datetime

RELEASED = datetime(2026, 11, 22, tzinfo=UTC)
"""Moved on with each release; the clock's floor is never below it."""

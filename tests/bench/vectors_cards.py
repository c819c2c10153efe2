"""The card half of the vector runner: each file's cases against the shipped decoders and cryptography."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

RUNNERS: dict[str, Callable[[dict[str, Any]], Iterable[tuple[str, str | None]]]] = {}

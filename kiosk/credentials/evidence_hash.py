"""What a refused code leaves behind: the SHA-256 of its text, enough to recognise it and no more. Pure."""

from __future__ import annotations

import hashlib


def evidence_hash(text: str) -> str:
    """SHA-256 of ``text`` as UTF-8, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""What binds a community code to a pass: a hash of the holder's pseudonym. Pure, standard library only."""

from __future__ import annotations

import hashlib

_PURPOSE = b"gatepost pass 1\x00"
PASS_HASH_BYTES = 8


def pass_hash(subject: str) -> bytes:
    """8 bytes of SHA-256 of a pass holder's pseudonym (``PassFinding.subject``).

    The pseudonym itself never stands in a code: whoever photographs one cannot find its owner in the records.
    """
    return hashlib.sha256(_PURPOSE + subject.encode("utf-8")).digest()[:PASS_HASH_BYTES]

"""Issues the community's ``GC1:`` codes at the central, with a key that may sign nothing but codes. Pure.

The key's public half stands in the kiosks' trust folder for the use ``code`` alone: whoever breaks into the central
can give out green codes until that key is revoked, but no passes, no cards and no trust lists; and a code opens
nothing without the pass that it is bound to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.central import Codes
from config.errors import ConfigError
from config.settings import secret_file
from kiosk.credentials import gc1
from kiosk.credentials.pass_binding import pass_hash
from kiosk.credentials.pseudonym import SUBJECT_KEY_BYTES, subject_of
from kiosk.evidence import CodeStatus
from sync import keys


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeIssuer:
    """The community's code key, the key of pseudonyms, and how long a code is good for (1 to 24 hours)."""

    private_key: Ed25519PrivateKey = field(repr=False)
    subject_key: bytes = field(repr=False)
    lifetime: timedelta

    def subject_of(self, person_id: str) -> str:
        """The pseudonym of a person of the roster: 16 hexadecimal digits."""
        return subject_of(self.subject_key, person_id)

    def issue(
        self, subject: str, holder_key: bytes, now_us: int, *, order: gc1.StatusOrder | None, status: CodeStatus
    ) -> str:
        """The code for one phone. Yellow and red rest on ``order`` and end with it; raises CodeRefusedError without."""
        issued_at = datetime.fromtimestamp(now_us // 1_000_000, tz=UTC)
        expires_at = issued_at + self.lifetime
        code = gc1.CommunityCode(
            pass_hash=pass_hash(subject),
            status=status,
            issued_at=issued_at,
            expires_at=expires_at if order is None else min(expires_at, order.until),
            holder_key=holder_key,
            order=order,
        )
        return gc1.issue(code, self.private_key)


def load_issuer(codes: Codes) -> CodeIssuer | None:
    """The issuer of the settings; None when the central issues no codes. Raises ConfigError for half of one, and for
    a key file that others may read or that holds something else."""
    if codes.key is None and codes.subject_key is None:
        return None
    if codes.key is None or codes.subject_key is None:
        raise ConfigError("codes.key, codes.subject_key", seen="one of them", expected="both or neither")
    subject_key = secret_file(codes.subject_key).read_bytes()
    if len(subject_key) != SUBJECT_KEY_BYTES:
        raise ConfigError(
            f"codes.subject_key {codes.subject_key}",
            seen=f"{len(subject_key)} bytes",
            expected=f"{SUBJECT_KEY_BYTES}, as gatepost code subject-key writes them",
        )
    return CodeIssuer(
        private_key=keys.load_private_key(secret_file(codes.key)),
        subject_key=subject_key,
        lifetime=timedelta(hours=codes.hours),
    )

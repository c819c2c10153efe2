"""The community's key that certifies kiosks' keys, for a few weeks each; it may sign nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from config.central import Codes
from config.settings import secret_file
from kiosk.credentials import gp1
from sync import keys


@dataclass(frozen=True, slots=True, kw_only=True)
class KioskAuthority:
    """The community's key for kiosks' keys, and how long a certificate is good for (1 to 92 days)."""

    private_key: Ed25519PrivateKey = field(repr=False)
    lifetime: timedelta

    def certify(self, kiosk_id: str, public_key: bytes, now_us: int) -> bytes:
        """The certificate of one kiosk's key from now on."""
        now = datetime.fromtimestamp(now_us // 1_000_000, tz=UTC)
        return gp1.certify_kiosk(
            kiosk_id,
            Ed25519PublicKey.from_public_bytes(public_key),
            self.private_key,
            not_before=now,
            not_after=now + self.lifetime,
        )


def load_authority(codes: Codes) -> KioskAuthority | None:
    """The authority of the settings; None where the central certifies no kiosk. Raises KeyFileError, ConfigError."""
    if codes.kiosk_key is None:
        return None
    return KioskAuthority(
        private_key=keys.load_private_key(secret_file(codes.kiosk_key)), lifetime=timedelta(days=codes.kiosk_days)
    )

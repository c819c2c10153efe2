"""Ends a policy that was published for some kiosks by name: they go by what is for more of them again.

A kiosk never takes a lower document number than it holds. So where what comes instead is the older document, the
authority signs it once more, the same bytes under the next number; kiosks that go by it already take it again, which
changes nothing there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, select

from config.errors import ConfigError
from config.policy import Policy, parse_policy
from kiosk.policy_fit import check_homes, told
from kiosk.signed_document import DocumentKind
from sync.central import policy_offers
from sync.central.audit import note
from sync.central.documents import sign_and_publish
from sync.central.policies import people_of_the_roster
from sync.central.tables import Document, table

documents = table(Document)

KEY_MISSING = "--authority-key"
"""What the error names when the authority must sign."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Document ``version`` is offered no more; ``instead`` is what the kiosks that went by it are offered now."""

    version: int
    instead: Mapping[str, int]


def withdraw(
    connection: Connection, now_us: int, version: int, *, authority_key: Ed25519PrivateKey | None, by: str
) -> Withdrawn:
    """Withdraw a policy document from the kiosks that it names.

    Raises ConfigError, and then nothing may be committed: when it is offered to no kiosk by name, when one of them
    would have no policy then, when people who live here would not get home, and when ``authority_key`` is needed and
    missing.
    """
    before = policy_offers.read_offers(connection)
    named = policy_offers.end_offer(connection, version)
    if not named:
        raise ConfigError(
            f"policy document {version}",
            seen="not offered to any kiosk by name",
            expected="one that is",
            hint="gatepost-central documents",
        )
    # One that has a policy for itself alone goes on with that.
    kiosks = [kiosk for kiosk in named if before.best[kiosk].version == version]
    left = policy_offers.read_offers(connection, kiosks)
    bare = [kiosk for kiosk in kiosks if left.to(kiosk) is None]
    if bare:
        raise ConfigError(
            f"policy document {version}",
            seen=f"nothing else is offered to {told(bare)}",
            expected="a policy for every kiosk",
            hint="publish one first",
        )
    next_ones = sorted({offered.version for kiosk in kiosks if (offered := left.to(kiosk)) is not None})
    ended, people = _policy(connection, version), people_of_the_roster(connection)
    for other in next_ones:
        check_homes(_policy(connection, other), ended, people)
        if other < version:
            _sign_again(connection, now_us, other, authority_key, by)
    now = policy_offers.read_offers(connection, kiosks)
    instead = {kiosk: offered.version for kiosk in kiosks if (offered := now.to(kiosk)) is not None}
    note(connection, now_us, by, "withdraw", f"policy {version} from {told(named)}")
    return Withdrawn(version, instead)


def _sign_again(connection: Connection, now_us: int, version: int, key: Ed25519PrivateKey | None, by: str) -> None:
    if key is None:
        raise ConfigError(
            KEY_MISSING,
            seen="nothing",
            expected=f"the authority's private key: document {version} comes instead, and needs a higher number",
        )
    sign_and_publish(
        connection,
        now_us,
        kind=DocumentKind.POLICY,
        body=_body(connection, version),
        authority_key=key,
        by=by,
        instead_of=version,
    )


def _policy(connection: Connection, version: int) -> Policy:
    return parse_policy(_body(connection, version), f"policy document {version}")


def _body(connection: Connection, version: int) -> bytes:
    wanted = (documents.c.kind == str(DocumentKind.POLICY), documents.c.version == version)
    return bytes(connection.execute(select(documents.c.body).where(*wanted)).scalar_one())

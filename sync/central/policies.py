"""A policy is looked at before the authority signs it: what its gates would refuse, or nobody can mean, is not signed.

What the central knows of the gates is their names, the roster it offered them and the policies before this one. What
hangs on one gate's wiring (an anti-passback without contacts) that gate says itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, tzinfo

from sqlalchemy import Connection, select

from config.errors import ConfigError
from config.policy import Policy, parse_policy
from kiosk.policy_fit import check_homes, told, unnamed
from kiosk.roster_csv import ImportReport, read_lines
from kiosk.signed_document import DocumentKind
from sync.central.enrolment import approved_keys
from sync.central.policy_offers import EVERY_KIOSK, Reach, read_offers
from sync.central.tables import Document, table

documents = table(Document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A policy that may be signed. ``before`` are the names of those that its kiosks are offered now; ``unnamed`` are
    categories of the roster that it says nothing of: their people would not be let in; ``others`` are approved kiosks
    that it does not name although it names some; ``keeping`` are kiosks that it is for, and that a policy for fewer is
    offered to: they keep that one."""

    policy: Policy
    before: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    keeping: tuple[str, ...] = ()

    def lines(self, zone: tzinfo = UTC) -> list[str]:
        """What an admin should read before and after it is offered."""
        policy = self.policy
        told_of = [
            f"policy {policy.version} ({policy.title or 'no title'}), before: {', '.join(self.before) or 'none'}"
        ]
        told_of.append(f"for {told(policy.kiosks) if policy.kiosks else 'every kiosk'}")
        if policy.order is not None:
            until = policy.order.until.astimezone(zone)
            told_of.append(f"order {policy.order.number} of {policy.order.issuer}, until {until:%Y-%m-%d %H:%M %Z}")
        told_of.append("lets in: " + ", ".join(each.name for each in policy.category if each.entry is not None))
        shut = [each.name for each in policy.category if each.entry is None]
        if shut:
            told_of.append("does not let in: " + ", ".join(shut))
        if self.others:
            told_of.append(f"not for {told(self.others)}: what they have stays in force there")
        if self.keeping:
            told_of.append(
                f"LOOK: {told(self.keeping)} will not get it: a policy for fewer kiosks is offered there"
                " (gatepost-central policy withdraw)"
            )
        if self.unnamed:
            told_of.append(f"LOOK: the roster has people of {', '.join(self.unnamed)}, of whom it says nothing")
        return told_of


def propose(connection: Connection, body: bytes, now_us: int) -> Proposal:
    """What the policy in ``body`` would change. Raises ConfigError naming what is wrong with it.

    Refused are: what does not parse; an example's order, or one that has ended; a name that another policy had before;
    kiosks that are not approved here; and a category of the roster that would lose its way home.
    """
    policy = check_alone(body, now_us)
    known = _known_policies(connection)
    for version, other in known.items():
        if other.version == policy.version:
            raise ConfigError(
                f"policy {policy.version}",
                seen=f"this name was offered before, as document {version}",
                expected="a name of its own, since it stands in every verdict",
            )
    approved = set(approved_keys(connection))
    strangers = sorted(set(policy.kiosks) - approved)
    if strangers:
        raise ConfigError(
            f"policy {policy.version}: kiosks",
            seen=told(strangers),
            expected="approved kiosks",
            hint="gatepost-central kiosks",
        )
    people = people_of_the_roster(connection)
    reach, offers = Reach.of(policy.kiosks), read_offers(connection)
    now = {kiosk: offers.to(kiosk) for kiosk in policy.kiosks or approved or {EVERY_KIOSK}}
    keeping = {kiosk for kiosk, offered in now.items() if offered is not None and offered.reach > reach}
    versions = {offered.version for kiosk, offered in now.items() if offered is not None and kiosk not in keeping}
    before = [known[version] for version in sorted(versions) if version in known]
    for other in before:
        check_homes(policy, other, people)
    return Proposal(
        policy=policy,
        before=tuple(dict.fromkeys(other.version for other in before)),
        unnamed=unnamed(policy, people),
        others=tuple(sorted(approved - set(policy.kiosks))) if policy.kiosks else (),
        keeping=tuple(sorted(keeping)),
    )


def addressed(body: bytes, kind: DocumentKind, kiosks: Sequence[str]) -> bytes:
    """The policy in ``body``, made out to these kiosks. Raises ConfigError for another kind of document, and for a
    policy that names its kiosks itself."""
    if kind is not DocumentKind.POLICY:
        raise ConfigError("--for", seen=str(kind), expected="policy: every other document is for every kiosk")
    if named := parse_policy(body, "policy").kiosks:
        raise ConfigError("--for", seen=f"a policy that names {told(named)} itself", expected="one that names none")
    line = f"kiosks = {json.dumps(list(dict.fromkeys(kiosks)), ensure_ascii=False)}\n"
    return line.encode("utf-8") + body


def check_alone(body: bytes, now_us: int) -> Policy:
    """What can be said of a policy without knowing any gate: it parses, and its order is one to act on."""
    policy = parse_policy(body, "policy")
    _check_order(policy, now_us)
    return policy


def _check_order(policy: Policy, now_us: int) -> None:
    order = policy.order
    if order is None:
        return
    if order.example:
        raise ConfigError(
            f"policy {policy.version}: order",
            seen=f"the example {order.number}",
            expected="number, issuer, scope and end of the order you act on, without example = true",
        )
    if policy.lapsed(now_us):
        raise ConfigError(
            f"policy {policy.version}: order.until",
            seen=order.until.isoformat(),
            expected="an order that has not ended: every health check would be waived",
        )


def _known_policies(connection: Connection) -> dict[int, Policy]:
    """Every policy that was ever offered, by document; without those of a program that wrote them differently."""
    rows = connection.execute(
        select(documents.c.version, documents.c.body)
        .where(documents.c.kind == str(DocumentKind.POLICY))
        .order_by(documents.c.version.desc())
    )
    found = {}
    for version, body in rows:
        with suppress(ConfigError):
            found[version] = parse_policy(bytes(body), "policy")
    return found


def people_of_the_roster(connection: Connection) -> dict[str, int]:
    """How many people of each category the newest roster that was offered has."""
    body = connection.execute(
        select(documents.c.body)
        .where(documents.c.kind == str(DocumentKind.ROSTER))
        .order_by(documents.c.version.desc())
        .limit(1)
    ).scalar_one_or_none()
    if body is None:
        return {}
    lines = read_lines(bytes(body).splitlines(keepends=True), ImportReport(), zone=UTC)
    category_of = {line.person_id: line.category for line in lines}
    found: dict[str, int] = {}
    for category in category_of.values():
        found[category] = found.get(category, 0) + 1
    return found

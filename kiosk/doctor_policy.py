"""What `gatepost doctor` says of the policy: which is in force, where it came from, what it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from config.errors import GatepostError
from config.policy import Policy, load_policy
from config.settings import DOCUMENTS, Settings
from kiosk.clock import SystemClock
from kiosk.decision import lapsed_order
from kiosk.policy_fit import check_fit, unnamed
from kiosk.policy_keeper import PolicyInForce, policy_at_start
from kiosk.signed_document import MAX_MANIFEST_BYTES, DocumentError, DocumentKind, Manifest
from kiosk.site_stores import open_roster


def policy_lines(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """(good, look or bad; what; detail). The same that the gate will start with, found by the same code."""
    try:
        start = policy_at_start(settings)
    except GatepostError as error:
        yield "bad", "policy", str(error)
        return
    found = start.in_force
    where = (
        f"document {found.document} of the central" if found.document else f"this gate's own ({settings.policy.file})"
    )
    yield _level(found), "policy", f"{found.policy.version}, {where}{_order(found)}"
    if start.trouble:
        yield "look", "central's policy", f"not in force: {start.trouble}"
    waiting = _brought(settings)
    if waiting > found.document:
        detail = f"document {waiting} was brought and is not in force: the gate takes it when it runs, or says why not"
        yield "look", "central's policy", f"{detail} (alarm document_refused in the journal)"
    forgotten = _forgotten(settings, found.policy)
    if forgotten:
        detail = f"the roster has people of {', '.join(forgotten)}, of whom it says nothing: they are not let in"
        yield "look", "policy's categories", detail
    if found.document:
        try:
            check_fit(load_policy(settings.policy.file), settings)
        except GatepostError as error:
            yield "look", "own policy", f"could not stand in for the central's: {error}"


def borderline_in_force(settings: Settings) -> float | None:
    """The threshold for a second measurement in the policy in force; None where it sets none, or there is no policy."""
    try:
        return policy_at_start(settings).in_force.policy.temperature.borderline_from_c
    except GatepostError:
        return None


def _level(found: PolicyInForce) -> str:
    order = found.policy.order
    return "look" if order is not None and (order.example or _ended(found)) else "good"


def _order(found: PolicyInForce) -> str:
    order = found.policy.order
    if order is None:
        return ""
    if order.example:
        return "; it rests on an example order: put your own order's number, issuer and end in its place"
    if _ended(found):
        return f"; its order {order.number} ended on {order.until.isoformat()}: no health check is asked any more"
    return f"; order {order.number}, until {order.until.isoformat()}"


def _ended(found: PolicyInForce) -> bool:
    return bool(lapsed_order(found.policy, SystemClock(None).now()))


def _forgotten(settings: Settings, policy: Policy) -> tuple[str, ...]:
    """Categories of the roster that the policy does not know; none where there is no roster to be read."""
    try:
        with open_roster(settings) as roster:
            return unnamed(policy, roster.categories())
    except GatepostError:
        return ()


def _brought(settings: Settings) -> int:
    """The version of the policy that sync brought last; 0 for none."""
    place = settings.state.folder / DOCUMENTS / str(DocumentKind.POLICY) / "manifest"
    try:
        with place.open("rb") as file:
            return Manifest.parse(file.read(MAX_MANIFEST_BYTES + 1)).version if settings.sync.authority else 0
    except (OSError, DocumentError):
        return 0

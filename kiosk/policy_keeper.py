"""Which policy is in force and where it came from: the central's newest that was accepted, else the site's own file.

At start the kiosk takes the copy that it kept (``kiosk/policy_shelf.py``); the file that ``policy.file`` names is what
it falls back to. While it runs, a policy that the central sent is taken whole or not at all: it must parse, be for this
kiosk, be something that the lanes can carry out, and leave everybody of the roster who lives here the way home
(``kiosk/policy_fit.py``). It is kept before it comes into force, so a restart never goes back behind it. The lanes
follow one by one, each between two persons (``kiosk/lane_change.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from config.errors import GatepostError
from config.policy import Policy, load_policy, parse_policy
from config.settings import Settings
from kiosk.identity import load_authority
from kiosk.lane_sensor import with_borderline
from kiosk.passage_events import LaneSetup
from kiosk.policy_fit import check_fit, check_homes, unnamed
from kiosk.policy_shelf import SignedDocument, document_name, keep_policy, read_policy
from kiosk.signed_document import Manifest

log = structlog.get_logger("gatepost.policy")

FALLBACK = "policy_fallback"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInForce:
    """``document`` is the version under which the central sent it; 0: it is the file that the settings name.

    ``unnamed`` are categories of the roster that it says nothing of, as far as that was looked at.
    """

    policy: Policy
    document: int = 0
    unnamed: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """``central`` or ``file``."""
        return "central" if self.document else "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class AtStart:
    """What a start finds. ``trouble`` says why the central's policy is not the one in force, "" for nothing wrong;
    ``unfit`` is whether its copy is whole, but is nothing that this kiosk can carry out."""

    in_force: PolicyInForce
    trouble: str = ""
    unfit: bool = False


def policy_at_start(settings: Settings) -> AtStart:
    """The kept policy of the central, else the site's own file. Raises ConfigError when neither can be used, or when
    the authority's key cannot be read."""
    trouble, unfit = "", False
    if settings.sync.authority is not None:
        authority = load_authority(settings.sync.authority)
        try:
            kept = read_policy(settings.state.folder, authority)
        except GatepostError as error:
            kept, trouble = None, str(error)
        if kept is not None:
            manifest, policy = kept
            try:
                check_fit(policy, settings)
            except GatepostError as error:
                trouble, unfit = str(error), True
            else:
                return AtStart(in_force=PolicyInForce(policy=policy, document=manifest.version))
    own = load_policy(settings.policy.file)
    check_fit(own, settings)
    return AtStart(in_force=PolicyInForce(policy=own), trouble=trouble, unfit=unfit)


class PolicyKeeper:
    """``setups`` are the lanes as they were built at start; ``put`` hands the running gate those of a new policy.

    :meth:`take` and :meth:`refused` belong to the thread that looks for documents; the rest may be read by any.
    """

    def __init__(
        self,
        settings: Settings,
        start: AtStart,
        *,
        setups: Mapping[str, LaneSetup],
        put: Callable[[Mapping[str, LaneSetup]], None],
    ) -> None:
        self._settings = settings
        self._setups = setups
        self._put = put
        self._in_force = start.in_force
        self._trouble = start.trouble
        self._why_refused = ""
        self._unfit = start.unfit
        if start.trouble:
            log.error(FALLBACK, why=start.trouble)

    @property
    def in_force(self) -> PolicyInForce:
        """What the gate goes by, or will with the next person in each lane."""
        return self._in_force

    @property
    def why_refused(self) -> str:
        """Why the newest policy that came was not taken; "" when it was, or none came."""
        return self._why_refused or self._trouble

    @property
    def alarms(self) -> tuple[str, ...]:
        """``policy_fallback`` while the site's file stands in for a policy of the central that could not be used."""
        return (FALLBACK,) if self._trouble else ()

    def taken_up_to(self, known: int) -> int:
        """Up to which version nothing is to be taken, where ``known`` is the highest that was ever accepted.

        A kept copy that is gone or cannot be read may be taken once more, though never an older one.
        """
        if not known or self._in_force.document or self._unfit:
            return known
        self._trouble = self._trouble or f"the copy of policy document {known} is gone"
        return known - 1

    def at_start(self) -> dict[str, Any]:
        """For the journal: what this start found."""
        found = self._in_force
        return {
            "event": "policy_at_start",
            "policy": found.policy.version,
            "source": found.source,
            "version": found.document,
            "why": self._trouble[:200],
        }

    def take(self, manifest: Manifest, document: SignedDocument, people: Mapping[str, int]) -> dict[str, Any]:
        """Put a document in force whose signature and version were checked; ``people`` counts the roster's people by
        category. What it came to, for the journal. Raises GatepostError, and then nothing changed; OSError when the
        disk does not take it, which may heal."""
        policy, before = parse_policy(document.body, document_name(manifest.version)), self._in_force.policy
        check_fit(policy, self._settings)
        check_homes(policy, before, people)
        setups = {lane: under(setup, policy) for lane, setup in self._setups.items()}
        forgotten = unnamed(policy, people)
        keep_policy(self._settings.state.folder, document)
        self._in_force = PolicyInForce(policy=policy, document=manifest.version, unnamed=forgotten)
        self._why_refused = self._trouble = ""
        self._put(setups)
        if forgotten:
            log.warning("policy_says_nothing_of", categories=list(forgotten))
        return {"policy": policy.version, "before": before.version, "unnamed": list(forgotten)}

    def refused(self, why: str) -> None:
        """The newest that came was not taken."""
        self._why_refused = why


def under(setup: LaneSetup, policy: Policy) -> LaneSetup:
    """The lane under another policy: the same devices and calibration, another threshold where the policy has one."""
    sensor = setup.sensor
    if sensor is not None:
        sensor = with_borderline(sensor, policy.temperature.borderline_from_c)
    return replace(setup, policy=policy, sensor=sensor)

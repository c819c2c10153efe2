"""Whether a policy can be carried out: by this kiosk's lanes, and for the people whom its roster names. Pure.

Asked before a policy comes into force, at the kiosk of the one that the central sent down or the settings name, and at
the central before one is signed. What is refused here leaves the policy before in force.
"""

from __future__ import annotations

from collections.abc import Mapping

from config.errors import ConfigError
from config.lane import Contact, LaneDirection
from config.policy import Passback, Policy
from config.settings import Settings

MAX_TOLD = 8
"""So many names of categories or kiosks stand in a message."""


def check_fit(policy: Policy, settings: Settings) -> None:
    """What the kiosk itself must be able to do. Raises ConfigError naming what it lacks."""
    check_addressed(policy, settings.site.kiosk_id)
    check_passback(settings, policy)


def check_addressed(policy: Policy, kiosk_id: str) -> None:
    """A policy that names its kiosks is for those alone; else ConfigError."""
    if policy.kiosks and kiosk_id not in policy.kiosks:
        raise ConfigError(
            f"policy {policy.version}: kiosks", seen=told(policy.kiosks), expected=f"{kiosk_id}, or no names at all"
        )


def check_passback(settings: Settings, policy: Policy) -> None:
    """A hard anti-passback needs to see everybody go in and to read everybody out, at this kiosk; else ConfigError."""
    hard = [category.name for category in policy.category if category.passback is Passback.HARD]
    if not hard:
        return
    passing = {Contact.PASSAGE_BEAM, Contact.DOOR_CONTACT}
    blind = [
        lane.name
        for lane in settings.lane
        if lane.reader is not None and not (lane.contacts and passing & set(lane.contacts.inputs.values()))
    ]
    read_out = any(lane.direction is LaneDirection.OUT and lane.reader is not None for lane in settings.lane)
    if blind or not read_out:
        seen = f"no passage beam or door contact at {', '.join(blind)}" if blind else "no way out with a reader"
        raise ConfigError(
            f'policy {policy.version}: passback = "hard" for {", ".join(hard)}',
            seen=seen,
            expected="a reader on a way out, and a beam or door contact at every lane with a reader",
            hint='passback = "soft" tells the guard instead',
        )


def check_homes(policy: Policy, before: Policy, people: Mapping[str, int]) -> None:
    """Nobody loses the way home: a category of the roster (``people`` counts them) that lives here under the policy
    ``before`` lives here under the new one. Raises ConfigError naming the categories."""
    locked_out = [name for name in sorted(people) if before.lives_here(name) and not policy.lives_here(name)]
    if locked_out:
        raise ConfigError(
            f"policy {policy.version}: category {told(locked_out)}",
            seen=f"{sum(people[name] for name in locked_out)} people of the roster who would not get home",
            expected="lives_here = true, as before",
            hint="give them another category in the roster first",
        )


def unnamed(policy: Policy, people: Mapping[str, int]) -> tuple[str, ...]:
    """The roster's categories that the policy says nothing of: their people are not let in, and somebody should know.

    At most eight names of at most 32 characters, in order."""
    return tuple(sorted(name for name in people if policy.category_named(name) is None))[:MAX_TOLD]


def told(names: tuple[str, ...] | list[str]) -> str:
    """Some names, and how many more."""
    more = len(names) - MAX_TOLD
    return ", ".join(names[:MAX_TOLD]) + (f" and {more} more" if more > 0 else "")

"""What the state machine of a lane is told of it, by the settings and the policy in force."""

from __future__ import annotations

from datetime import datetime

from config.lane import Lane, LaneDirection
from config.policy import Policy
from config.settings import Settings
from kiosk.clock import utc_of
from kiosk.lane_sensor import sensor_of
from kiosk.passage_events import LaneSetup, LocalTime
from kiosk.reasons import Direction

#: How a lane's roles are called by the state machine.
MACHINE_ROLES = {
    "reader": "card",
    "id_reader": "id_card",
    "camera": "camera",
    "thermometer": "thermometer",
    "relay": "relay",
    "contacts": "inputs",
    "scanner": "camera",
    "air": "air",
    "distance": "distance",
}


def lane_setup(settings: Settings, lane: Lane, policy: Policy) -> LaneSetup:
    """What the lane's state machine is told of its lane."""
    zone = settings.site.zone

    def local_time(at_us: int) -> LocalTime:
        local: datetime = utc_of(at_us).astimezone(zone)
        return LocalTime(minute=local.hour * 60 + local.minute, weekday=local.weekday())

    wired = {str(contact) for contact in lane.contacts.inputs.values()} if lane.contacts else set()
    return LaneSetup(
        lane=lane.name,
        direction=Direction.OUT if lane.direction is LaneDirection.OUT else Direction.IN,
        place=settings.site.place,
        policy=policy,
        devices={role: name for role, name in MACHINE_ROLES.items() if getattr(lane, role) is not None},
        local_time=local_time,
        sensor=sensor_of(lane, settings.state.folder, borderline_from_c=policy.temperature.borderline_from_c),
        distance_mm=(lane.distance.from_mm, lane.distance.to_mm) if lane.distance is not None else None,
        presence_contact="presence" in wired,
        passage_contact=bool({"passage_beam", "door_contact"} & wired),
    )

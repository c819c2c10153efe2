"""Roster and photographs as the console asks for them. A failure of either is nobody known, told in the log."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from kiosk.photos import Photos, PhotosError
from kiosk.roster import Roster
from kiosk.roster_tables import RosterError
from kiosk.screens.holder_pages import Holder

log = structlog.get_logger("gatepost.people")


@dataclass(frozen=True, slots=True)
class RosterPeople:
    """The people of the roster, with the photographs of those who still stand in it."""

    roster: Roster
    photos: Photos

    def holder(self, subject: str) -> Holder | None:
        """The person behind a pseudonym; None for nobody known."""
        try:
            contact = self.roster.contact_of(subject)
        except RosterError as error:
            log.error("holder_not_looked_up", error=str(error))
            return None
        return None if contact is None else Holder(contact.name, contact.phone)

    def has_photo(self, subject: str) -> bool:
        """Whether there is a photograph."""
        try:
            return self.photos.has(subject)
        except PhotosError as error:
            log.error("photo_not_looked_up", error=str(error))
            return False

    def photo(self, subject: str) -> bytes | None:
        """The photograph as JPEG; None also for somebody whom the roster knows no longer."""
        if self.holder(subject) is None:
            return None
        try:
            return self.photos.of(subject)
        except PhotosError as error:
            log.error("photo_not_looked_up", error=str(error))
            return None

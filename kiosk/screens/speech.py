"""What a resident's screen is told to play: the recordings of its sentence, and how loud, by the hour."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from fastapi.responses import Response
from starlette.exceptions import HTTPException

from config.voice import AtNight, Voice
from kiosk.board import KioskView
from kiosk.clock import utc_of
from kiosk.reasons import ClockTrust
from kiosk.screens.faces import Face, ResidentScreen
from kiosk.screens.page_tools import Route
from kiosk.screens.security import Role, role
from kiosk.screens.spoken import name_of, spoken
from kiosk.screens.texts import Language
from kiosk.screens.voices import Voices


class Speech:
    """The voice of a kiosk's screens. ``zone`` is where its quiet hours are read."""

    def __init__(self, voice: Voice, voices: Voices, zone: tzinfo) -> None:
        self._voice = voice
        self._voices = voices
        self._zone = zone

    def routes(self) -> list[Route]:
        """Path, method and endpoint."""
        return [("/voices/{language}/{name}", "GET", self.recording)]

    @role(Role.OPEN)
    async def recording(self, language: str, name: str) -> Response:
        """One recording; its address changes with its content."""
        found = self._voices.find(language, name)
        if found is None:
            raise HTTPException(404, "no such recording")
        headers = {"cache-control": "private, max-age=31536000, immutable"}
        return Response(found.body, media_type=found.media_type, headers=headers)

    def addresses(self) -> list[str]:
        """Every recording that a page may have to play, for it to fetch before they are needed."""
        return [recording.address for recording in self._voices.recordings.values()]

    def says(self, screen: ResidentScreen) -> str:
        """The name of what a screen says; "" for nothing. It is the same for every private reason."""
        key = spoken(screen)
        return "" if key is None else name_of(key)

    def told(self, screen: ResidentScreen, view: KioskView) -> dict[str, Any]:
        """For the page: ``says``, the ``files`` in their order, and the ``volume`` of tones and files (0 to 1)."""
        says, voice = self.says(screen), self._voice
        quiet = screen.face is not Face.EMERGENCY and self._is_quiet(view)
        files: list[str] = []
        if says and not (quiet and voice.quiet is AtNight.TONES):
            found = (self._voices.find(Language(language), says) for language in voice.languages)
            files = [recording.address for recording in found if recording is not None]
        percent = 100 if screen.face is Face.EMERGENCY else voice.quiet_percent if quiet else voice.volume_percent
        return {"says": says, "files": files, "volume": percent / 100}

    def _is_quiet(self, view: KioskView) -> bool:
        # A clock that knows no time knows no night either: then it is day.
        if view.clock_trust is ClockTrust.NONE:
            return False
        local = utc_of(view.at_us).astimezone(self._zone)
        return self._voice.is_quiet(local.hour * 60 + local.minute)

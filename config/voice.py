"""How loud and in which languages a resident's screen speaks; quiet hours. Behaviour: ``kiosk/screens/speech.py``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.loader import Section

TimeOfDay = Annotated[str, Field(pattern=r"^(|([01][0-9]|2[0-3]):[0-5][0-9])$")]
Percent = Annotated[int, Field(ge=0, le=100)]


class AtNight(StrEnum):
    """What the quiet hours change."""

    QUIETER = "quieter"
    TONES = "tones"


class Voice(Section):
    """What a resident's screen says aloud after its tones."""

    folder: Path | None = Field(
        default=None, description="folder of recordings (gatepost voice make); without it the tones alone sound"
    )
    languages: tuple[Literal["zh-CN", "en"], ...] = Field(
        default=("zh-CN", "en"), description="languages in which a sentence is said, in this order"
    )
    volume_percent: Percent = Field(default=100, description="loudness of tones and sentences by day")
    quiet_from: TimeOfDay = Field(default="22:00", description="begin of the quiet hours, HH:MM; both empty: none")
    quiet_until: TimeOfDay = Field(default="07:00", description="end of the quiet hours, HH:MM")
    quiet: AtNight = Field(
        default=AtNight.QUIETER, description="in the quiet hours: quieter (tones and sentences), tones (no sentences)"
    )
    quiet_percent: Percent = Field(default=40, description="loudness in the quiet hours; an emergency is always full")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(set(self.languages)) != len(self.languages):
            raise ValueError("a language stands twice")
        begin, end = self.quiet_from, self.quiet_until
        if (begin == end and begin) or bool(begin) is not bool(end):
            raise ValueError("quiet_from and quiet_until are two different times, or both empty")
        return self

    def is_quiet(self, minute_of_day: int) -> bool:
        """Whether a local minute of the day (0 to 1439) lies in the quiet hours, which may run over midnight."""
        if not self.quiet_from:
            return False
        begin, end = _minute(self.quiet_from), _minute(self.quiet_until)
        if begin < end:
            return begin <= minute_of_day < end
        return minute_of_day >= begin or minute_of_day < end


def _minute(time_of_day: str) -> int:
    hour, minute = time_of_day.split(":")
    return int(hour) * 60 + int(minute)

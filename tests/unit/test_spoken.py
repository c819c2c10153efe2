"""What residents' screens say aloud: a sentence for every answer, the same for every private one, no word on health."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from config.voice import AtNight, Voice
from kiosk.board import Hint, LaneView, Phase
from kiosk.reasons import PRIVATE_REASONS, ClockTrust, Direction, NextStep, Reason
from kiosk.screens.faces import Face, ResidentScreen, TextKey, resident_screen
from kiosk.screens.preview import kiosk_view
from kiosk.screens.speech import Speech
from kiosk.screens.spoken import SENTENCES, name_of, sentence, spoken
from kiosk.screens.texts import Language, texts
from kiosk.screens.voices import Recording, Voices
from kiosk.verdict import Verdict

IDLE = LaneView(lane="in", direction=Direction.IN, phase=Phase.IDLE)
ZONE = ZoneInfo("Asia/Shanghai")
EMERGENCY = ResidentScreen(face=Face.EMERGENCY, text=TextKey("resident", "emergency"))
GO_IN = ResidentScreen(face=Face.ADMIT, text=TextKey("next_step", NextStep.GO_IN))


def decided(admit: bool, reason: Reason, step: NextStep) -> LaneView:
    verdict = Verdict(
        admit=admit, reasons=(reason,), next_step=step, checks=(), policy_version="1", category="resident"
    )
    return replace(IDLE, phase=Phase.DECIDED, verdict=verdict, passage="p1")


def full_set() -> Voices:
    """A recording of every sentence in both languages."""
    names = [(language, name_of(key)) for language in Language for key in SENTENCES]
    return Voices({(lang, n): Recording(lang, n, b"RIFF", "audio/wav", f"{lang}{n}") for lang, n in names})


def told(voice: Voice, screen: ResidentScreen, local: str, trust: ClockTrust = ClockTrust.SYNCED) -> dict[str, object]:
    at = datetime.fromisoformat(f"2026-03-02T{local}").replace(tzinfo=ZONE).astimezone(UTC)
    view = replace(kiosk_view(IDLE), at_us=round(at.timestamp() * 1e6), clock_trust=trust)
    return Speech(voice, full_set(), ZONE).told(screen, view)


def test_every_verdict_has_a_sentence_in_both_languages() -> None:
    """Whatever reason and next step, what is said is one of the listed sentences, and both languages have words."""
    for admit, reason, step in itertools.product((True, False), Reason, NextStep):
        assert spoken(resident_screen(decided(admit, reason, step))) in SENTENCES, (admit, reason, step)
    for language in Language:
        for key in SENTENCES:
            assert sentence(texts(language), key).strip(), key


def test_a_fault_and_an_emergency_are_said_and_waiting_is_not() -> None:
    """Somebody before a broken lane hears where to go; nobody is talked to while waiting or measuring."""
    fault = spoken(resident_screen(replace(IDLE, phase=Phase.FAULT)))
    emergency = spoken(resident_screen(replace(IDLE, emergency_since_us=1)))
    assert {fault, emergency} <= set(SENTENCES)
    for phase in (Phase.IDLE, Phase.IDENTIFYING, Phase.MEASURING):
        for hint in Hint:
            assert spoken(resident_screen(replace(IDLE, phase=phase, hint=hint))) is None


@pytest.mark.parametrize("step", list(NextStep))
def test_a_fever_and_a_revoked_card_are_told_the_same_to_the_ear(step: NextStep) -> None:
    """One recording for every private reason: nothing that the page is sent differs, the passage apart."""
    speech = Speech(Voice(), full_set(), ZONE)
    lanes = [decided(False, reason, step) for reason in sorted(PRIVATE_REASONS)]
    sent = [speech.told(resident_screen(lane), kiosk_view(lane)) for lane in lanes]
    assert all(one == sent[0] for one in sent)
    assert sent[0]["says"] == "next_step.see_guard"
    assert len(sent[0]["files"]) == 2


def test_whom_a_guard_measures_is_sent_to_the_guard_and_no_more_is_said() -> None:
    """A reading that could not be had sounds like a lost card: the screen tells more, to the person in front."""
    lane = decided(False, Reason.TEMPERATURE_NOT_MEASURED, NextStep.CONTACT_THERMOMETER)
    assert spoken(resident_screen(lane)) == TextKey("next_step", NextStep.SEE_GUARD)
    assert resident_screen(lane).text.key == NextStep.CONTACT_THERMOMETER


def test_no_sentence_names_health_or_a_figure() -> None:
    """No temperature, skin, fever, colour, card number or digit is said aloud."""
    private = re.compile(
        r"\d|体温|温度|度数|皮肤|发热|发烧|凉|红码|黄码|卡号|skin|fever|cold|temperature|\bred\b|yellow", re.I
    )
    for language in Language:
        for key in SENTENCES:
            assert not private.search(sentence(texts(language), key)), key


def test_languages_follow_the_settings() -> None:
    """Chinese first, then English; one alone, or none, where the site says so."""
    at = "12:00"
    assert [f.split("/")[2] for f in told(Voice(), GO_IN, at)["files"]] == ["zh-CN", "en"]
    assert [f.split("/")[2] for f in told(Voice(languages=("en",)), GO_IN, at)["files"]] == ["en"]
    assert told(Voice(languages=()), GO_IN, at) == {"says": "next_step.go_in", "files": [], "volume": 1.0}


@pytest.mark.parametrize(
    ("local", "quiet"), [("21:59", False), ("22:00", True), ("00:00", True), ("06:59", True), ("07:00", False)]
)
def test_the_quiet_hours_run_over_midnight(local: str, quiet: bool) -> None:
    """From 22:00 to 07:00 of the site's zone: quieter, or tones without sentences."""
    assert told(Voice(), GO_IN, local)["volume"] == (0.4 if quiet else 1.0)
    tones = told(Voice(quiet=AtNight.TONES), GO_IN, local)
    assert len(tones["files"]) == (0 if quiet else 2)
    day_nap = Voice(quiet_from="12:30", quiet_until="14:00")
    assert [told(day_nap, GO_IN, at)["volume"] for at in ("12:29", "12:30", "13:59", "14:00")] == [1.0, 0.4, 0.4, 1.0]


def test_an_emergency_is_loud_at_night_and_an_unknown_hour_is_day() -> None:
    """Nobody sleeps through an opened gate, and a clock that knows nothing does not silence it."""
    voice = Voice(quiet=AtNight.TONES, quiet_percent=0, volume_percent=60)
    assert told(voice, EMERGENCY, "03:00")["volume"] == 1.0
    assert len(told(voice, EMERGENCY, "03:00")["files"]) == 2
    assert told(voice, GO_IN, "03:00", ClockTrust.NONE)["volume"] == 0.6


@pytest.mark.parametrize(
    "wrong",
    [
        {"quiet_from": "", "quiet_until": "07:00"},
        {"quiet_from": "07:00", "quiet_until": "07:00"},
        {"quiet_from": "24:00"},
        {"languages": ("en", "en")},
        {"languages": ("fr",)},
        {"volume_percent": 101},
    ],
)
def test_what_the_settings_cannot_mean_is_refused(wrong: dict[str, object]) -> None:
    """Half a night, a night of no length, an hour that does not exist, a language twice or unknown, too loud."""
    with pytest.raises(ValidationError):
        Voice(**wrong)  # type: ignore[arg-type]

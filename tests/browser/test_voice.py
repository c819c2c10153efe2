"""The resident's screen aloud, in a real browser: a chime, then its verdict's sentence, once, from this machine."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from config.voice import Voice
from kiosk.board import LaneView
from kiosk.reasons import NextStep, Reason
from kiosk.screens.preview import kiosk_view, scenes
from kiosk.screens.speech import Speech
from kiosk.screens.spoken import SENTENCES, name_of
from kiosk.screens.texts import Language
from kiosk.screens.voices import Recording, Voices
from tests.browser.conftest import Stage
from tests.chromium import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

ZONE = ZoneInfo("Asia/Shanghai")
FIRST_MS, STEP_MS = 400, 10
#: Tells what is really handed to the loudspeaker: length of each recording, when it was asked to begin and to stop.
EAR = """
window.ear = [];
const start = AudioBufferSourceNode.prototype.start, stop = AudioScheduledSourceNode.prototype.stop;
AudioBufferSourceNode.prototype.start = function (when) {
  this.heard = { ms: Math.round(this.buffer.duration * 1000), when, stopped: false };
  window.ear.push(this.heard);
  return start.call(this, when);
};
AudioScheduledSourceNode.prototype.stop = function (when) {
  if (this.heard) this.heard.stopped = true;
  return stop.call(this, when);
};
const tone = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (when) {
  window.ear.push({ tone: this.frequency.value });
  return tone.call(this, when);
};
const gain = window.GainNode;
window.gains = [];
window.GainNode = function (context, options) { window.gains.push(options.gain); return new gain(context, options); };
window.played = [];
window.Audio = function () { window.played.push("audio element"); };
"""


def recordings(leave_out: tuple[str, ...] = ()) -> Voices:
    """A recording of every sentence, each of a length of its own, so that what sounds can be told by its length."""
    found: dict[tuple[Language, str], Recording] = {}
    names = [(language, name_of(key)) for language in Language for key in SENTENCES]
    for index, (language, name) in enumerate(names):
        out = io.BytesIO()
        with wave.open(out, "wb") as target:
            target.setnchannels(1)
            target.setsampwidth(2)
            target.setframerate(8000)
            length = 8 * (FIRST_MS + STEP_MS * index)
            target.writeframes((np.sin(np.arange(length) / 5) * 5000).astype("<i2").tobytes())
        if f"{language}/{name}" not in leave_out:
            found[language, name] = Recording(language, name, out.getvalue(), "audio/wav", f"{index:016d}")
    return Voices(found)


def length_ms(language: Language, step: str) -> int:
    names = [(language, name_of(key)) for language in Language for key in SENTENCES]
    return FIRST_MS + STEP_MS * names.index((language, f"next_step.{step}"))


def both(step: str) -> list[int]:
    return [length_ms(Language.ZH, step), length_ms(Language.EN, step)]


def speech(voice: Voice | None = None, leave_out: tuple[str, ...] = ()) -> Speech:
    return Speech(voice or Voice(quiet_from="", quiet_until=""), recordings(leave_out), ZONE)


def listener(stage: Stage) -> tuple[Page, list[str]]:
    """The idle resident's screen with the ear put on, and every request that it makes."""
    stage.show(kiosk_view(scenes()["idle"]))
    page = stage.context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script(EAR)
    stage.open("/lane/east-in", page=page)
    with_voices = page.evaluate("JSON.parse(document.body.dataset.voices).length")
    wait_until(
        page,
        f"performance.getEntriesByType('resource').filter((e) => e.name.includes('/voices/')).length >= {with_voices}",
    )
    return page, asked


def spoken(page: Page) -> list[dict[str, Any]]:
    return [sound for sound in page.evaluate("window.ear") if "ms" in sound]


def say(stage: Stage, page: Page, lane: LaneView, count: int = 2) -> list[int]:
    """Show a verdict; the lengths of what is handed over for it, in order."""
    before = len(spoken(page))
    stage.show(kiosk_view(lane))
    wait_until(page, f"window.ear.filter((sound) => 'ms' in sound).length >= {before + count}")
    page.wait_for_timeout(200)
    return [sound["ms"] for sound in spoken(page)[before:]]


def test_a_verdict_is_said_once_after_its_chime_chinese_first(make_stage: Callable[..., Stage]) -> None:
    """Tones, then exactly the two recordings of this sentence in their order; new digits beside it say nothing."""
    stage = make_stage(speech=speech())
    page, _ = listener(stage)
    refused = replace(scenes()["code_expired"], challenge="417")
    assert say(stage, page, refused) == both("refresh_code")
    sounds = page.evaluate("window.ear")
    assert [sound.get("tone") for sound in sounds[:2]] == [196, 196]
    first, second = spoken(page)
    assert second["when"] >= first["when"] + first["ms"] / 1000
    assert not page.evaluate("window.played.length")
    stage.show(kiosk_view(replace(refused, challenge="418")))
    expect(page.locator("#face .digits b")).to_have_text("418")
    page.wait_for_timeout(400)
    assert len(spoken(page)) == 2


def test_a_fever_a_red_code_and_a_revoked_card_sound_the_same(make_stage: Callable[..., Stage]) -> None:
    """The same file in the same order, whatever the finding: nobody in the queue can hear which it was."""
    stage = make_stage(speech=speech())
    page, asked = listener(stage)
    fetched = len(asked)
    heard = []
    for number, (reason, step) in enumerate(
        [
            (Reason.TEMPERATURE_RAISED, NextStep.CONTACT_THERMOMETER),
            (Reason.CODE_RED, NextStep.SEE_GUARD),
            (Reason.CARD_REVOKED, NextStep.SEE_GUARD),
        ]
    ):
        fever = scenes()["fever"]
        assert fever.verdict is not None
        verdict = replace(fever.verdict, reasons=(reason,), next_step=step)
        heard.append(say(stage, page, replace(fever, verdict=verdict, passage=f"p{number}")))
    assert heard == [both("see_guard")] * 3
    # Nothing is fetched at that moment either: whoever watches the wire learns nothing.
    assert not [url for url in asked[fetched:] if "/voices/" in url]


def test_a_new_event_cuts_the_old_sentence_off_and_walking_through_does_not(make_stage: Callable[..., Stage]) -> None:
    """Idle lets it end; the next person's measuring or verdict stops it."""
    stage = make_stage(speech=speech())
    page, _ = listener(stage)
    say(stage, page, scenes()["admit"])
    stage.show(kiosk_view(scenes()["idle"]))
    expect(page.locator("#face [data-face]")).to_have_attribute("data-face", "idle")
    assert [sound["stopped"] for sound in spoken(page)] == [False, False]
    say(stage, page, replace(scenes()["code_expired"], passage="p2"))
    stage.show(kiosk_view(replace(scenes()["measuring"], passage="p3")))
    expect(page.locator("#face [data-face]")).to_have_attribute("data-face", "pending")
    wait_until(page, "window.ear.filter((sound) => 'ms' in sound).slice(2).every((sound) => sound.stopped)")


def test_a_missing_file_leaves_the_tones_and_the_other_language(make_stage: Callable[..., Stage]) -> None:
    """Nothing breaks: no error, no request for what is not there."""
    stage = make_stage(
        speech=speech(leave_out=("zh-CN/next_step.go_in", "en/next_step.see_guard", "zh-CN/next_step.see_guard"))
    )
    page, asked = listener(stage)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    assert say(stage, page, scenes()["admit"], 1) == [length_ms(Language.EN, "go_in")]
    stage.show(kiosk_view(replace(scenes()["fever"], passage="p9")))
    wait_until(page, "window.ear.filter((sound) => sound.tone === 523).length === 3")
    page.wait_for_timeout(300)
    assert len(spoken(page)) == 1
    assert errors == []
    assert not [url for url in asked if "/voices/zh-CN/next_step.go_in" in url]


def test_a_file_that_cannot_be_decoded_is_left_out(make_stage: Callable[..., Stage]) -> None:
    """Bytes that no browser takes for sound: the other language is said."""
    voices = recordings()
    broken = replace(voices.recordings[Language.ZH, "next_step.go_in"], body=b"RIFF0000WAVEjunk")
    voices = Voices({**voices.recordings, (Language.ZH, "next_step.go_in"): broken})
    stage = make_stage(speech=Speech(Voice(quiet_from="", quiet_until=""), voices, ZONE))
    page, _ = listener(stage)
    assert say(stage, page, scenes()["admit"], 1) == [length_ms(Language.EN, "go_in")]


def test_at_night_it_is_quieter(make_stage: Callable[..., Stage]) -> None:
    """Tones and sentence by the quiet hours' loudness; the preview's morning is put into them."""
    stage = make_stage(speech=speech(Voice(quiet_from="00:00", quiet_until="23:59", quiet_percent=30)))
    page, _ = listener(stage)
    assert say(stage, page, scenes()["admit"]) == both("go_in")
    assert set(page.evaluate("window.gains.filter((gain) => gain > 0)")) == {0.3}


def test_nothing_is_asked_of_anybody_else(make_stage: Callable[..., Stage]) -> None:
    """Every request goes to this kiosk; every recording was there before it was needed; the policy holds."""
    stage = make_stage(speech=speech())
    page, asked = listener(stage)
    blocked: list[str] = []
    page.on("console", lambda m: blocked.append(m.text) if m.type in ("error", "warning") else None)
    say(stage, page, scenes()["admit"])
    assert [url for url in asked if not re.match(re.escape(stage.server.address) + "/", url)] == []
    assert len([url for url in asked if "/voices/" in url]) == 2 * len(SENTENCES)
    assert blocked == []


def test_the_console_says_nothing(make_stage: Callable[..., Stage]) -> None:
    """The guard hears tones for what is to do; sentences are for residents."""
    stage = make_stage(speech=speech())
    console = stage.context.new_page()
    console.add_init_script(EAR)
    stage.log_in(page=console)
    stage.show(kiosk_view(replace(scenes()["code_expired"], passage="p2")))
    wait_until(console, "window.ear.filter((sound) => sound.tone === 196).length === 2")
    console.wait_for_timeout(300)
    assert spoken(console) == []

"""Recordings on disk: only what says today's words is played; espeak-ng makes the rest."""

from __future__ import annotations

import io
import os
import shutil
import stat
import wave
from datetime import UTC
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from config.errors import ConfigError
from config.settings import load_settings
from config.voice import Voice
from kiosk import cli, voice_maker
from kiosk.doctor import Level, examine
from kiosk.screens import spoken
from kiosk.screens.app import create_app
from kiosk.screens.guards import GuardBook
from kiosk.screens.hub import Hub
from kiosk.screens.preview import PreviewGate, busy_view
from kiosk.screens.speech import Speech
from kiosk.screens.spoken import SENTENCES, name_of
from kiosk.screens.texts import Language, texts
from kiosk.screens.voices import (
    MAX_FILE_BYTES,
    FileState,
    Recording,
    Voices,
    files_of,
    open_voices,
    read_manifest,
    read_voices,
)
from kiosk.voice_maker import Made, Outcome, make_voices, note_voices
from tests.integration.test_doctor import settings_in
from tests.integration.test_screens_app import CHEAP

GO_IN = SENTENCES[0]
COUNT = len(SENTENCES)
NAME = "zh-CN/next_step.go_in"


def wav(length_s: float = 0.2, rate: int = 8000) -> bytes:
    """A tone as a 16-bit mono WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(rate)
        tone = np.sin(np.arange(int(length_s * rate)) / 5) * 9000
        target.writeframes(tone.astype("<i2").tobytes())
    return out.getvalue()


def speaker(folder: Path, body: str = "") -> str:
    """A program that says nothing but obeys espeak-ng's options: phonemes with -x, a WAV file with -w."""
    sound = folder / "sound.wav"
    sound.write_bytes(wav())
    program = folder / "espeak-ng"
    obey = f'cat >/dev/null\nfor last; do :; done\n[ "$2" = -x ] && echo "tSi@n" || cp {sound} "$last"\n'
    program.write_text(f"#!/bin/sh\n{body}\n{obey}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def make(folder: Path, program: str, languages: tuple[Language, ...] = (Language.ZH,)) -> list[Made]:
    return list(make_voices(folder, languages, program=program))


def played(voices: Voices) -> Recording:
    found = voices.find("zh-CN", name_of(GO_IN))
    assert found is not None
    return found


def outcomes(made: list[Made]) -> dict[Outcome, int]:
    return {outcome: sum(one.outcome is outcome for one in made) for outcome in Outcome}


def test_a_whole_set_is_made_once(tmp_path: Path) -> None:
    """Every sentence has its file and may be played; the second time nothing is made."""
    folder, program = tmp_path / "voices", speaker(tmp_path)
    assert outcomes(make(folder, program))[Outcome.MADE] == COUNT
    voices = read_voices(folder, [Language.ZH])
    assert (len(voices.recordings), voices.problems) == (COUNT, ())
    assert outcomes(make(folder, program)) == {Outcome.MADE: 0, Outcome.KEPT: COUNT, Outcome.WAITS: 0}


def test_a_changed_sentence_is_not_played_with_its_old_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stays where it is, but says other words than the screen shows: silence until it is made anew."""
    folder, program = tmp_path / "voices", speaker(tmp_path)
    make(folder, program)
    before = spoken.sentence
    monkeypatch.setattr(spoken, "sentence", lambda w, k: "别的话" if k == GO_IN else before(w, k))
    voices = read_voices(folder, [Language.ZH])
    assert voices.find("zh-CN", name_of(GO_IN)) is None
    assert len(voices.recordings) == COUNT - 1
    assert voices.problems == (f"{NAME}.wav: says an older sentence; try: gatepost voice make, or record it anew",)
    assert outcomes(make(folder, program))[Outcome.MADE] == 1
    assert read_voices(folder, [Language.ZH]).problems == ()


def test_a_real_voice_goes_before_a_made_one_once_it_is_noted(tmp_path: Path) -> None:
    """Put beside a made file, it is named until somebody says that it says today's words; then it is the one played."""
    folder, program = tmp_path / "voices", speaker(tmp_path)
    make(folder, program)
    own = folder / f"{NAME}.mp3"
    own.write_bytes(b"ID3" + bytes(40))
    voices = read_voices(folder, [Language.ZH])
    assert voices.problems == (f"{NAME}.mp3: not noted for today's words; try: gatepost voice note {NAME}.mp3",)
    assert played(voices).media_type == "audio/wav"
    note_voices(folder, [f"{NAME}.mp3"])
    voices = read_voices(folder, [Language.ZH])
    assert voices.problems == ()
    assert (played(voices).media_type, played(voices).body) == ("audio/mpeg", own.read_bytes())


def test_a_real_voice_of_older_words_is_set_aside_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of a made file, noted, then the sentence changes: it falls silent, and making keeps it as .old."""
    folder, program = tmp_path / "voices", speaker(tmp_path)
    make(folder, program)
    (folder / f"{NAME}.wav").write_bytes(wav(0.7))
    assert read_voices(folder, [Language.ZH]).find("zh-CN", name_of(GO_IN)) is None
    note_voices(folder, [f"{NAME}.wav"])
    assert played(read_voices(folder, [Language.ZH])).body == wav(0.7)
    before = spoken.sentence
    monkeypatch.setattr(spoken, "sentence", lambda w, k: "别的话" if k == GO_IN else before(w, k))
    assert outcomes(make(folder, program))[Outcome.MADE] == 1
    assert (folder / f"{NAME}.wav.old").read_bytes() == wav(0.7)
    assert played(read_voices(folder, [Language.ZH])).body != wav(0.7)


def test_what_is_not_noted_is_never_overwritten(tmp_path: Path) -> None:
    """A recording of the site's own, put there before anything was made, waits for its note."""
    folder, program = tmp_path / "voices", speaker(tmp_path)
    (folder / "zh-CN").mkdir(parents=True)
    (folder / f"{NAME}.wav").write_bytes(wav(0.7))
    assert outcomes(make(folder, program)) == {Outcome.MADE: COUNT - 1, Outcome.KEPT: 0, Outcome.WAITS: 1}
    assert (folder / f"{NAME}.wav").read_bytes() == wav(0.7)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [(b"RIFF" + bytes(MAX_FILE_BYTES), "at most"), (b"MZ\x90\x00", "first bytes of a .wav"), (b"", "first bytes")],
)
def test_what_is_no_recording_is_left_out_and_named(tmp_path: Path, body: bytes, complaint: str) -> None:
    """Too large, another kind of file, empty: the other sentences are said all the same."""
    folder, program = tmp_path / "voices", speaker(tmp_path)
    make(folder, program)
    (folder / f"{NAME}.wav").write_bytes(body)
    voices = read_voices(folder, [Language.ZH])
    assert len(voices.recordings) == COUNT - 1
    assert complaint in voices.problems[0]
    (state,) = files_of(folder, Language.ZH, GO_IN, read_manifest(folder))
    assert state.state is FileState.UNUSABLE


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"a": {"made": 1}}', b"[" * 100_000])
def test_a_broken_manifest_plays_nothing_and_says_so(tmp_path: Path, body: bytes) -> None:
    """What cannot be matched with its words is not said; the gate starts."""
    make(tmp_path / "voices", speaker(tmp_path))
    (tmp_path / "voices/manifest.json").write_bytes(body)
    voices = read_voices(tmp_path / "voices", [Language.ZH])
    assert not voices.recordings
    assert "manifest.json" in voices.problems[0]
    assert open_voices(Voice(folder=tmp_path / "nowhere")).problems[0].endswith("gatepost voice make")
    assert open_voices(Voice()) == Voices()


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("exec sleep 30", "no answer within"),
        ("echo broken >&2; exit 3", "exit status 3: broken"),
        ('[ "$2" = -x ] && echo "(en)kIN" && exit 0', "Chinese read as English"),
        ('[ "$2" = -x ] || { for last; do :; done; : > "$last"; exit 0; }', "no usable sound"),
    ],
)
def test_a_program_that_fails_is_told_and_leaves_nothing_half_made(tmp_path: Path, body: str, complaint: str) -> None:
    """Hanging, failing, reading Mandarin as English letters, no sound: an error, and no file that would be played."""
    program = speaker(tmp_path, body)
    with pytest.raises(ConfigError, match=complaint.replace("(", r"\(")):
        list(make_voices(tmp_path / "voices", [Language.ZH], program=program, deadline_s=0.5))
    assert not read_voices(tmp_path / "voices", [Language.ZH]).recordings


def test_without_the_program_the_command_says_which_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 2's sentence names what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(cli.app, ["voice", "make", "--folder", str(tmp_path / "voices")])
    assert isinstance(result.exception, ConfigError)
    assert "apt install espeak-ng" in str(result.exception)


def test_the_commands_make_note_and_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a site does: make a set, put one voice of its own in, note it, look."""
    speaker(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    folder = tmp_path / "voices"
    run = CliRunner().invoke
    assert f"{2 * COUNT} made" in run(cli.app, ["voice", "make", "--folder", str(folder)]).output
    (folder / f"{NAME}.ogg").write_bytes(b"OggS" + bytes(30))
    assert "not_noted" in run(cli.app, ["voice", "list", "--folder", str(folder)]).output
    assert "1 noted" in run(cli.app, ["voice", "note", "--folder", str(folder)]).output
    listed = run(cli.app, ["voice", "list", "--folder", str(folder)]).output.splitlines()
    assert len(listed) == 2 * COUNT
    assert listed[0].endswith("[.wav good, .ogg good]")
    wrong = run(cli.app, ["voice", "note", "zh-CN/../../etc/passwd", "--folder", str(folder)])
    assert "no such sentence" in str(wrong.exception)


def test_recordings_are_served_by_name_alone(tmp_path: Path) -> None:
    """The right type, kept by the browser under an address of its own; nothing else of the disk can be asked for."""
    make(tmp_path / "voices", speaker(tmp_path))
    speech = Speech(Voice(), read_voices(tmp_path / "voices", [Language.ZH]), UTC)
    hub = Hub()
    hub.publish(busy_view(1))
    gate = PreviewGate(hub)
    app = create_app(hub, gate, guards=GuardBook(hasher=CHEAP), speech=speech, allowed_hosts=("testserver",))
    client = TestClient(app)
    page = client.get("/lane/east-in").text
    for address in speech.addresses():
        assert address in page
        answer = client.get(address)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
        assert "immutable" in answer.headers["cache-control"]
    for path in ("/voices/en/next_step.go_in", "/voices/zh-CN/manifest.json", "/voices/zh-CN/..%2fmanifest.json"):
        assert client.get(path).status_code == 404


@pytest.mark.skipif(shutil.which(voice_maker.PROGRAM) is None, reason="no espeak-ng: make env installs it")
def test_espeak_says_every_sentence_at_one_loudness(tmp_path: Path) -> None:
    """16-bit mono WAV files of half a second to six; Mandarin as Mandarin; all within 2 dB of each other."""
    made = list(make_voices(tmp_path, list(Language)))
    assert len(made) == 2 * COUNT
    levels = []
    for one in made:
        with wave.open(str(tmp_path / one.entry)) as sound:
            assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
            assert 0.5 < sound.getnframes() / sound.getframerate() < 6
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32768
        levels.append(float(np.sqrt(np.mean(samples**2))))
    assert 20 * np.log10(max(levels) / min(levels)) < 2
    assert {one.words for one in made} == {
        spoken.sentence(texts(language), key) for language in Language for key in SENTENCES
    }


def test_the_doctor_names_every_sentence_that_is_missing(tmp_path: Path) -> None:
    """No folder; a folder with all but one; nothing of it keeps a gate from its work."""
    settings = settings_in(tmp_path)
    found = [f for f in examine(settings, devices=False) if f.what == "voice"]
    assert [(f.level, "tones alone" in f.detail) for f in found] == [(Level.LOOK, True)]
    make(tmp_path / "voices", speaker(tmp_path))
    (tmp_path / f"voices/{NAME}.wav").unlink()
    path = tmp_path / "gate.toml"
    path.write_text(path.read_text() + f'[web.voice]\nfolder = "{tmp_path}/voices"\nlanguages = ["zh-CN"]\n')
    found = [f for f in examine(load_settings(path, {}).settings, devices=False) if f.what == "voice"]
    assert [f.level for f in found] == [Level.GOOD, Level.LOOK]
    assert f"{COUNT - 1} sentences" in found[0].detail
    assert found[1].detail == f"{NAME}: no recording; try: gatepost voice make"

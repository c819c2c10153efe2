"""Makes the recordings of a resident's screen with espeak-ng (Debian package ``espeak-ng``), and notes what says what.

A made set is a beginning: any file may be replaced by a real voice, which is then noted for the words it says.

espeak-ng(1): ``-b 1`` takes UTF-8 whatever the locale (in the C locale Chinese becomes noise otherwise). The voice of
Mandarin must be ``cmn-latn-pinyin``: the plain ``cmn`` spells the syllables out as English ("qing three"; seen with
1.51 of Debian 12). So the phonemes are looked at before a sentence is kept.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import wave
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from config.errors import ConfigError
from kiosk.durable_file import owned_folder
from kiosk.screens.faces import TextKey
from kiosk.screens.spoken import SENTENCES, name_of, sentence, text_sha256
from kiosk.screens.texts import Language, texts
from kiosk.screens.voices import (
    MEDIA_TYPES,
    FileState,
    Noted,
    files_of,
    read_manifest,
    read_recording,
    write_manifest,
)

PROGRAM = "espeak-ng"
DEADLINE_S = 20.0
VOICES = {Language.ZH: "cmn-latn-pinyin", Language.EN: "en-gb"}
WORDS_PER_MINUTE = {Language.ZH: 185, Language.EN: 160}
LEVEL = 0.12
"""Root mean square of every recording, of full scale: sentences of one loudness."""
PEAK = 0.95
SILENT = 0.003
"""Samples below this at both ends are cut off: a sentence begins with its chime's end, not after a breath."""


class Outcome(StrEnum):
    """What became of one sentence."""

    MADE = "made"
    KEPT = "kept"
    WAITS = "waits to be noted"


@dataclass(frozen=True, slots=True)
class Made:
    """One sentence after :func:`make_voices`: its file's name below the folder, and its words."""

    entry: str
    outcome: Outcome
    words: str


def make_voices(
    folder: Path, languages: Iterable[Language], *, program: str = PROGRAM, deadline_s: float = DEADLINE_S
) -> Iterator[Made]:
    """Make what is missing or says an older sentence; tell of each as it is done. Recordings of the site's own stay:
    one that says an older sentence is set aside as ``NAME.old``.

    Raises ConfigError when the program is missing, fails, hangs, or the folder cannot be written.
    """
    manifest = read_manifest(folder) if folder.is_dir() else {}
    for language in languages:
        for key in SENTENCES:
            words = sentence(texts(language), key)
            files = files_of(folder, language, key, manifest)
            standing = next((file for file in files if file.state in (FileState.GOOD, FileState.NOT_NOTED)), None)
            if standing is not None:
                outcome = Outcome.KEPT if standing.state is FileState.GOOD else Outcome.WAITS
                yield Made(standing.entry, outcome, words)
                continue
            entry = f"{language}/{name_of(key)}.wav"
            try:
                owned_folder(folder / language, 0o755)
                if any(file.entry == entry and not file.made for file in files):
                    (folder / entry).replace(folder / f"{entry}.old")
                body = speak(words, language, folder / f"{entry}.new", program=program, deadline_s=deadline_s)
                (folder / f"{entry}.new").replace(folder / entry)
                manifest[entry] = Noted(hashlib.sha256(body).hexdigest(), text_sha256(texts(language), key), made=True)
                write_manifest(folder, manifest)
            except OSError as error:
                raise _not_written(folder, error) from error
            yield Made(entry, Outcome.MADE, words)


def note_voices(folder: Path, entries: Iterable[str]) -> None:
    """Note that recordings such as ``zh-CN/next_step.go_in.ogg`` say today's words. Raises ConfigError."""
    manifest = read_manifest(folder)
    for entry in entries:
        language, key = _of_entry(entry)
        try:
            body = read_recording(folder / entry)
        except FileNotFoundError:
            raise ConfigError(f"recording {folder / entry}", seen="no such file") from None
        manifest[entry] = Noted(hashlib.sha256(body).hexdigest(), text_sha256(texts(language), key), made=False)
    try:
        write_manifest(folder, manifest)
    except OSError as error:
        raise _not_written(folder, error) from error


def not_noted(folder: Path, languages: Iterable[Language]) -> list[str]:
    """The names of recordings that wait to be noted. Raises ConfigError for an unusable manifest."""
    manifest = read_manifest(folder)
    return [
        file.entry
        for language in languages
        for key in SENTENCES
        for file in files_of(folder, language, key, manifest)
        if file.state is FileState.NOT_NOTED
    ]


def _of_entry(entry: str) -> tuple[Language, TextKey]:
    for language in Language:
        for key in SENTENCES:
            if entry in {f"{language}/{name_of(key)}{suffix}" for suffix in MEDIA_TYPES}:
                return language, key
    raise ConfigError(
        f"recording {entry[:80]!r}",
        seen="no such sentence",
        expected="LANGUAGE/NAME.wav, .ogg or .mp3, such as zh-CN/next_step.go_in.ogg",
        hint="gatepost voice list",
    )


def speak(words: str, language: Language, into: Path, *, program: str, deadline_s: float) -> bytes:
    """Have the words said into a WAV file, at the level of all others; returns its content. Raises ConfigError."""
    if shutil.which(program) is None:
        raise ConfigError(program, seen="not installed", hint="apt install espeak-ng")
    voice = ("-b", "1", "-v", VOICES[language], "-s", str(WORDS_PER_MINUTE[language]), "--stdin")
    phonemes = _run((program, "-q", "-x", *voice), words, deadline_s) if language is Language.ZH else ""
    if "(en)" in phonemes:
        raise ConfigError(
            f"{program} voice {VOICES[language]}", seen=f"Chinese read as English: {phonemes.split()[0][:40]}",
            expected="Mandarin syllables", hint="another version of espeak-ng, or recordings of your own",
        )  # fmt: skip
    _run((program, *voice, "-w", str(into)), words, deadline_s)
    try:
        body = levelled(into.read_bytes())
    except (OSError, ValueError, EOFError, wave.Error) as error:
        raise ConfigError(program, seen=f"no usable sound: {error}", expected="a WAV file, 16 bit mono") from error
    with into.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    return body


def _run(command: tuple[str, ...], words: str, deadline_s: float) -> str:
    try:
        ended = subprocess.run(command, input=words.encode(), capture_output=True, timeout=deadline_s, check=False)
    except subprocess.TimeoutExpired:
        raise ConfigError(command[0], seen=f"no answer within {deadline_s:g} s", expected="a sentence in 1 s") from None
    if ended.returncode != 0:
        said = ended.stderr.decode("utf-8", "replace").strip()[:200]
        raise ConfigError(command[0], seen=f"exit status {ended.returncode}: {said}")
    return ended.stdout.decode("utf-8", "replace")


def levelled(wav: bytes) -> bytes:
    """A 16-bit mono WAV file without silent ends at LEVEL, its peaks at PEAK at most.

    Raises ValueError, EOFError or wave.Error for what is no such file.
    """
    with wave.open(io.BytesIO(wav)) as source:
        if (source.getnchannels(), source.getsampwidth()) != (1, 2):
            raise ValueError(f"{source.getnchannels()} channels of {source.getsampwidth()} bytes")
        rate = source.getframerate()
        samples = np.frombuffer(source.readframes(source.getnframes()), "<i2").astype(np.float64) / 32768
    heard = np.flatnonzero(np.abs(samples) > SILENT)
    if heard.size:
        samples = samples[heard[0] : heard[-1] + 1]
    power = float(np.sqrt(np.mean(samples**2))) if samples.size else 0.0
    if not power:
        raise ValueError("silence")
    gain = min(LEVEL / power, PEAK / float(np.abs(samples).max()))
    out = io.BytesIO()
    with wave.open(out, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(rate)
        target.writeframes((samples * gain * 32767).round().astype("<i2").tobytes())
    return out.getvalue()


def _not_written(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"voice folder {folder}", seen=error.strerror or str(error), expected="a folder to write in")

"""The folder of recordings: one file a language and sentence, and a manifest that knows which words each one says.

    voices/
      manifest.json
      zh-CN/next_step.go_in.wav      .wav, .ogg or .mp3
      en/next_step.go_in.wav

A recording is played only while the manifest notes this very file (by SHA-256) for today's words (by SHA-256): a
sentence that was changed is never played with its old recording. The site's own recording goes before a made one.
Files are read once, bounded, at the start; what cannot be used is named and left out, since a gate opens without
a voice as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from config.errors import ConfigError
from config.voice import Voice
from kiosk.durable_file import replace_file
from kiosk.screens.faces import TextKey
from kiosk.screens.spoken import SENTENCES, name_of, text_sha256
from kiosk.screens.texts import Language, texts

MANIFEST = "manifest.json"
MAX_FILE_BYTES = 1_000_000
"""Ten seconds of 48 kHz mono; the whole set of two languages stays below 34 MB."""
MAX_MANIFEST_BYTES = 256 * 1024
MEDIA_TYPES = {".wav": "audio/wav", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}


@dataclass(frozen=True, slots=True)
class Noted:
    """What the manifest says of a file: its content, the words that it says, and whether a program made it."""

    file_sha256: str
    text_sha256: str
    made: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """One sentence in one language, ready to be sent."""

    language: Language
    name: str
    body: bytes = field(repr=False)
    media_type: str
    sha256: str

    @property
    def address(self) -> str:
        """Where a page finds it; another content has another address, so that a browser may keep it."""
        return f"/voices/{self.language}/{self.name}?v={self.sha256[:16]}"


@dataclass(frozen=True, slots=True)
class Voices:
    """What a gate can say, and one line for each sentence that it cannot."""

    recordings: Mapping[tuple[Language, str], Recording] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def find(self, language: str, name: str) -> Recording | None:
        """The recording of a sentence, or None."""
        return next((r for (of, what), r in self.recordings.items() if (of, what) == (language, name)), None)


def open_voices(voice: Voice) -> Voices:
    """What the settings name; nothing where they name no folder."""
    if voice.folder is None:
        return Voices()
    if not voice.folder.is_dir():
        return Voices(problems=(f"{voice.folder}: no such folder; try: gatepost voice make",))
    return read_voices(voice.folder, [Language(language) for language in voice.languages])


def read_voices(folder: Path, languages: Iterable[Language]) -> Voices:
    """Everything in the folder that may be played. Never raises: what is wrong becomes a line of ``problems``."""
    try:
        manifest = read_manifest(folder)
    except ConfigError as error:
        return Voices(problems=(str(error),))
    recordings: dict[tuple[Language, str], Recording] = {}
    problems: list[str] = []
    for language in languages:
        for key in SENTENCES:
            files = files_of(folder, language, key, manifest)
            good = [file for file in files if file.state is FileState.GOOD]
            if good:
                # The site's own voice goes before a made one.
                found = min(good, key=lambda file: file.made)
                recordings[language, name_of(key)] = Recording(
                    language, name_of(key), found.body, MEDIA_TYPES[Path(found.entry).suffix], found.sha256
                )
            problems += [file.problem for file in files if file.problem]
            if not files:
                problems.append(f"{language}/{name_of(key)}: no recording; try: gatepost voice make")
    return Voices(recordings, tuple(problems))


class FileState(StrEnum):
    """Whether a recording may be played, and why not."""

    GOOD = "good"
    OLDER = "older"
    NOT_NOTED = "not_noted"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class SentenceFile:
    """One file of a sentence: ``entry`` is its name below the folder, ``problem`` what to do where it is not good."""

    entry: str
    state: FileState
    made: bool = False
    body: bytes = field(default=b"", repr=False)
    sha256: str = ""
    problem: str = ""


def files_of(folder: Path, language: Language, key: TextKey, manifest: Mapping[str, Noted]) -> list[SentenceFile]:
    """The files there are of one sentence, each judged by itself."""
    words = text_sha256(texts(language), key)
    found: list[SentenceFile] = []
    for suffix in MEDIA_TYPES:
        entry = f"{language}/{name_of(key)}{suffix}"
        noted = manifest.get(entry)
        made = noted is not None and noted.made
        try:
            body = read_recording(folder / entry)
        except FileNotFoundError:
            continue
        except ConfigError as error:
            found.append(SentenceFile(entry, FileState.UNUSABLE, problem=str(error)))
            continue
        sha256 = hashlib.sha256(body).hexdigest()
        if noted is None or noted.file_sha256 != sha256:
            problem = f"{entry}: not noted for today's words; try: gatepost voice note {entry}"
            found.append(SentenceFile(entry, FileState.NOT_NOTED, problem=problem))
        elif noted.text_sha256 != words:
            problem = f"{entry}: says an older sentence; try: gatepost voice make, or record it anew"
            found.append(SentenceFile(entry, FileState.OLDER, made, problem=problem))
        else:
            found.append(SentenceFile(entry, FileState.GOOD, made, body, sha256))
    return found


def read_recording(path: Path) -> bytes:
    """The content of a recording. Raises FileNotFoundError, or ConfigError for what is too large or no such sound."""
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"recording {path}", seen=error.strerror or str(error), expected="a readable file") from error
    if len(body) > MAX_FILE_BYTES:
        raise ConfigError(f"recording {path}", seen="more bytes", expected=f"at most {MAX_FILE_BYTES}")
    if sound_suffix(body) != path.suffix:
        raise ConfigError(
            f"recording {path}", seen=body[:4].hex() or "nothing", expected=f"the first bytes of a {path.suffix} file"
        )
    return body


def sound_suffix(body: bytes) -> str:
    """What a file is by its first bytes: ``.wav`` (RIFF), ``.ogg`` (RFC 3533), ``.mp3`` (ID3 or a frame), or ""."""
    if body[:4] == b"RIFF" and body[8:12] == b"WAVE":
        return ".wav"
    if body[:4] == b"OggS":
        return ".ogg"
    # ISO/IEC 11172-3: eleven bits of sync, then version and layer; ID3v2 tags may stand before.
    if body[:3] == b"ID3" or (body[:1] == b"\xff" and body[1:2] and body[1] & 0xE0 == 0xE0):
        return ".mp3"
    return ""


def read_manifest(folder: Path) -> dict[str, Noted]:
    """What is noted of each file; empty where there is no manifest. Raises ConfigError for one that is none."""
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            body = file.read(MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(str(path), seen=error.strerror or str(error), expected="a readable file") from error
    try:
        if len(body) > MAX_MANIFEST_BYTES:
            raise ValueError("too large")
        found = {entry: Noted(**noted) for entry, noted in json.loads(body).items()}
        if not all(type(n.made) is bool and type(n.file_sha256) is type(n.text_sha256) is str for n in found.values()):
            raise ValueError("another form")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            str(path),
            seen=str(error)[:120],
            expected="the manifest of gatepost voice make",
            hint="remove it, make anew",
        ) from error
    return found


def write_manifest(folder: Path, manifest: Mapping[str, Noted]) -> None:
    """Put the manifest in place, whole or not at all. Raises OSError."""
    listed = {entry: asdict(noted) for entry, noted in sorted(manifest.items())}
    replace_file(folder / MANIFEST, json.dumps(listed, indent=1).encode(), mode=0o644)

"""``gatepost voice``: the recordings that residents' screens play."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kiosk.config_cli import DEFAULT_FILE, ConfigOption

if TYPE_CHECKING:
    from kiosk.screens.texts import Language

app = typer.Typer(help="What residents' screens say aloud: make, note and list the recordings.", no_args_is_help=True)

FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="this folder and both languages, instead of the settings' web.voice")
]


@app.command()
def make(config: ConfigOption = DEFAULT_FILE, folder: FolderOption = None) -> None:
    """Make every sentence that is missing or was changed, with espeak-ng. Takes effect when the gate starts again."""
    from kiosk.voice_maker import Outcome, make_voices

    place, languages = _where(config, folder)
    counts = dict.fromkeys(Outcome, 0)
    for made in make_voices(place, languages):
        counts[made.outcome] += 1
        if made.outcome is not Outcome.KEPT:
            typer.echo(f"{made.entry}: {made.outcome}: {made.words}")
    typer.echo(f"{place}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))


@app.command()
def note(
    recordings: Annotated[
        list[str] | None, typer.Argument(help="such as zh-CN/next_step.go_in.ogg; none: all that wait to be noted")
    ] = None,
    config: ConfigOption = DEFAULT_FILE,
    folder: FolderOption = None,
) -> None:
    """Note that recordings of your own say today's sentences: only what is noted is played."""
    from kiosk.voice_maker import not_noted, note_voices

    place, languages = _where(config, folder)
    noted = recordings or not_noted(place, languages)
    note_voices(place, noted)
    typer.echo(f"{place}: {len(noted)} noted")


@app.command("list")
def list_all(config: ConfigOption = DEFAULT_FILE, folder: FolderOption = None) -> None:
    """Every sentence with its words: what a speaker has to read, and what is there of it."""
    from kiosk.screens.spoken import SENTENCES, name_of, sentence
    from kiosk.screens.texts import texts
    from kiosk.screens.voices import files_of, read_manifest

    place, languages = _where(config, folder)
    manifest = read_manifest(place)
    for language in languages:
        for key in SENTENCES:
            files = files_of(place, language, key, manifest)
            there = ", ".join(f"{Path(file.entry).suffix} {file.state}" for file in files) or "missing"
            typer.echo(f"{language}/{name_of(key):<34} {sentence(texts(language), key)}    [{there}]")


def _where(config: Path, folder: Path | None) -> tuple[Path, list[Language]]:
    from config.errors import ConfigError
    from config.settings import load_settings
    from kiosk.screens.texts import Language

    if folder is not None:
        return folder, list(Language)
    voice = load_settings(config).settings.web.voice
    if voice.folder is None:
        raise ConfigError("web.voice.folder", seen="nothing", expected="a folder for the recordings", hint="--folder")
    return voice.folder, [Language(language) for language in voice.languages]

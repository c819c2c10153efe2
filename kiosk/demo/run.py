"""``gatepost demo``: the whole gate on simulated hardware, and a scripted day that checks itself."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console as Terminal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from config.errors import ConfigError
from kiosk.demo.console import Console
from kiosk.demo.day import DayHouse
from kiosk.demo.house import GUARD_LOGIN, VOICES
from kiosk.demo.pictures import PicturesHouse, PicturesSummary, run_pictures
from kiosk.demo.player import Outcome, Player
from kiosk.demo.summary import Summary, summarise
from kiosk.demo.sync_state import backlog
from kiosk.scenario import Scenario, load_scenario, passages
from kiosk.screens.texts import Language
from kiosk.voice_maker import make_voices

ENDLESS = 1_000_000
"""A demo with a screen goes on until it is stopped."""


def run_demo(
    scenario_name: str,
    *,
    passages: int | None = None,
    seed: int | None = None,
    folder: Path | None = None,
    port: int = 0,
) -> int:
    """Play; the exit status is 0 when every verdict was as scripted and no record was lost."""
    scenario = load_scenario(scenario_name)
    terminal = Terminal(highlight=False, soft_wrap=True)
    with _place(folder) as place:
        house = DayHouse(place.folder, scenario, now=datetime.now(UTC), gate_port=port)
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            terminal.print(f"Making keys, cards, codes and a roster in {place.folder} …")
            if passages is None:
                _make_voices(terminal, place.folder / VOICES)
            house.prepare()
            house.start()
            _say_where(terminal, house)
            summary = _play(terminal, house, scenario, passages, seed)
        except KeyboardInterrupt:
            terminal.print("\nstopped")
            return 0
        finally:
            house.stop()
        if summary is None:
            return 0
        _print_summary(terminal, summary)
        return _status(terminal, place, good=summary.good)


def demo_pictures(pictures: Path, trust: Path, *, starts_at: datetime | None, folder: Path | None) -> int:
    """Show a folder of pictures to the gate; exit status 0 when every verdict is at the central once."""
    terminal = Terminal(highlight=False, soft_wrap=True)
    with _place(folder) as place:
        house = PicturesHouse(place.folder, pictures.resolve(), trust.resolve(), starts_at=starts_at)
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            terminal.print(f"Showing {house.count()} pictures to a gate in {place.folder} …")
            summary = run_pictures(house)
        finally:
            house.stop()
        _print_pictures(terminal, summary)
        return _status(terminal, place, good=summary.good)


def _print_pictures(terminal: Terminal, summary: PicturesSummary) -> None:
    table = Table(title="The pictures in figures", show_header=False, title_justify="left")
    for name, value in (
        ("pictures", summary.pictures),
        ("decided and journaled", summary.decided),
        *((f"  {reason}", count) for reason, count in summary.by_reason.most_common()),
        ("stored at the central", summary.stored),
        ("lost", summary.lost),
        ("chain verified", "yes" if summary.chain_ok else "NO"),
    ):
        table.add_row(name, str(value))
    terminal.print(table)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@dataclass(slots=True)
class _Place:
    """Where a demo lives, and whether its folder stays afterwards."""

    folder: Path
    stays: bool


@contextmanager
def _place(folder: Path | None) -> Iterator[_Place]:
    """The folder asked for (which must be new or empty), or a temporary one that goes afterwards."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield _Place(folder.resolve(), stays=True)
        return
    place = _Place(Path(tempfile.mkdtemp(prefix="gatepost-demo-")), stays=False)
    try:
        yield place
    finally:
        if not place.stays:
            shutil.rmtree(place.folder, ignore_errors=True)


def _status(terminal: Terminal, place: _Place, *, good: bool) -> int:
    """The exit status; where a promise was broken, what the programs wrote stays to be looked at."""
    if good:
        return 0
    place.stays = True
    terminal.print(f"[red]Not as promised.[/red] Logs and files are kept: {place.folder}")
    return 1


def _make_voices(terminal: Terminal, folder: Path) -> None:
    """What the resident's screen says, where espeak-ng is installed; otherwise its tones alone sound."""
    try:
        for _ in make_voices(folder, Language):
            pass
    except ConfigError as error:
        shutil.rmtree(folder, ignore_errors=True)
        terminal.print(f"No spoken sentences: {error}")


def _say_where(terminal: Terminal, house: DayHouse) -> None:
    gate, central = house.addresses.gate, house.addresses.central
    terminal.print(
        f"\n[bold]Gatepost demo[/bold]: simulated hardware, {house.starts_at:%H:%M} on the gate's clock\n"
        f"  resident's screen  {gate}/lane/in\n"
        f"  guard's console    {gate}/guard   (login {GUARD_LOGIN}, secret {house.guard_secret})\n"
        f"  central            {central}/   (login admin, passphrase {house.admin_secret})\n"
        f"  logs and files     {house.folder}\n"
    )


def _play(
    terminal: Terminal, house: DayHouse, scenario: Scenario, count: int | None, seed: int | None
) -> Summary | None:
    console = Console(house.addresses.gate, GUARD_LOGIN, house.guard_secret)
    player = Player(house, console)
    day = passages(scenario, count or ENDLESS, seed)
    outcomes: list[Outcome] = []
    began_s = time.monotonic()
    if count is None:
        terminal.print("Press Ctrl-C to stop.\n")
        for passage in day:
            _say_outcome(terminal, player.play(passage))
        return None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=terminal, disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("passages", total=count)
        for passage in day:
            outcomes.append(player.play(passage))
            progress.advance(task)
            if not sys.stdout.isatty() or not outcomes[-1].as_scripted:
                _say_outcome(terminal, outcomes[-1])
    elapsed_s = time.monotonic() - began_s
    console.close()
    _wait_for_sync(house)
    return summarise(house, outcomes, elapsed_s)


def _wait_for_sync(house: DayHouse, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while backlog(house) and time.monotonic() < deadline:
        time.sleep(0.1)


def _say_outcome(terminal: Terminal, outcome: Outcome) -> None:
    word = "[green]ADMIT[/green]" if outcome.admit else "[red]DENY [/red]"
    ms = outcome.verdict.get("credential_to_verdict_ms") if outcome.verdict else None
    time_text = f"{ms:>5} ms" if ms is not None else "        "
    number, title = outcome.passage.index, outcome.passage.situation.title
    differs = "" if outcome.as_scripted else "   [bold red]not as scripted[/bold red]"
    terminal.print(f"{number:>4}  {word}  {time_text}  {outcome.reason:<26} {title}{differs}")


def _print_summary(terminal: Terminal, summary: Summary) -> None:
    table = Table(title="The day in figures", show_header=False, title_justify="left")
    rows: list[tuple[str, str]] = [
        ("passages", str(summary.passages)),
        ("admits", str(summary.admits)),
        *((f"denies: {reason}", str(count)) for reason, count in summary.denies.most_common()),
        ("credential to verdict, median", f"{summary.median_ms:.0f} ms"),
        ("credential to verdict, p95", f"{summary.p95_ms:.0f} ms"),
        ("people an hour, one lane", f"{summary.people_per_hour:.0f}"),
        ("passage records journaled", str(summary.journaled)),
        ("  sent and acknowledged", str(summary.sent)),
        ("  stored at the central", str(summary.stored)),
        ("  duplicate", str(summary.duplicates)),
        ("  lost", str(summary.lost)),
        ("chain verified", "yes" if summary.chain_ok else "NO"),
        ("relay pulses in order", "yes" if not summary.relay else "NO"),
        ("verdicts as scripted", "yes" if not summary.unscripted else f"NO, {len(summary.unscripted)} differ"),
    ]
    for name, value in rows:
        table.add_row(name, value)
    terminal.print(table)
    for fault in summary.relay:
        terminal.print(f"[red]{fault}[/red]")
    for outcome in summary.unscripted:
        expect = outcome.passage.situation.expect
        terminal.print(
            f"[red]passage {outcome.passage.index} ({outcome.passage.situation.key}): expected "
            f"{'ADMIT' if expect.admit else 'DENY'} {expect.reason}, got "
            f"{'ADMIT' if outcome.admit else 'DENY'} {outcome.reason}[/red]"
        )

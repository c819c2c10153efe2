"""``gatepost journal``: walk its chains, look at its end, take it along, compute its temperatures again.

All of them only read, also while the gate is running.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigError
from config.sensor_model import models_low_c
from config.settings import load_settings
from kiosk.acks import read_acknowledged
from kiosk.clock import utc_of
from kiosk.config_cli import DEFAULT_FILE, ConfigOption
from kiosk.journal import JournalReader, verify
from kiosk.journal_export import export_lines, verify_export
from kiosk.journal_types import Acknowledged, BadRecord, Head, StreamKey, VerifyReport
from kiosk.records import Kind, PayloadClass, Record, Stream
from kiosk.replay import replay_temperature

app = typer.Typer(help="The gate's log: verify, tail, export, replay.", no_args_is_help=True)

JournalFile = Annotated[
    Path | None, typer.Argument(help="the journal (default: journal.db in the settings' state folder)")
]
FOLLOW_EVERY_S = 0.5


def _file(file: Path | None, config: Path) -> Path:
    return file if file is not None else load_settings(config).settings.state.folder / "journal.db"


@app.command("verify")
def verify_journal(
    file: JournalFile = None,
    config: ConfigOption = DEFAULT_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
) -> None:
    """Walk every chain of a journal, or of an export (*.ndjson); exit status 1 when something is wrong.

    Acknowledgements in a sync.db beside the journal are held against it: a file that was rolled back is found too.
    """
    path = _file(file, config)
    begun = time.monotonic()
    if path.suffix == ".ndjson":
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                report = verify_export(lines)
        except OSError as error:
            raise ConfigError(str(path), seen=error.strerror or str(error), expected="an export") from error
    else:
        report = verify(path, known=_known(path))
    took_s = time.monotonic() - begun
    if as_json:
        typer.echo(json.dumps(_as_json(report), ensure_ascii=False))
    else:
        for line in _told(report):
            typer.echo(line)
        typer.echo(f"{report.records} records in {took_s:.2f} s: {'all chains hold' if report.ok else 'NOT SOUND'}")
    if not report.ok:
        raise typer.Exit(1)


def _known(path: Path) -> list[Acknowledged]:
    return read_acknowledged(path.with_name("sync.db"))


def _told(report: VerifyReport) -> Iterator[str]:
    for chain in report.chains:
        notes = "".join(
            f", {count} {what}" for what, count in (("erased", chain.erased), ("lost", chain.lost)) if count
        )
        span = f"{chain.first_seq}..{chain.last_seq}" if chain.records else "none"
        yield f"{chain.incarnation[:8]} {chain.stream:10} {span}{notes}, head {chain.head.hex()[:16]}"
    for bad in report.bad:
        yield f"BAD {_where(bad)}: {bad.what}"


def _where(bad: BadRecord) -> str:
    if bad.stream is None:
        return "file"
    return f"{bad.incarnation[:8]} {bad.stream} {f'record {bad.seq}' if bad.seq else 'chain'}"


def _as_json(report: VerifyReport) -> dict[str, object]:
    return {
        "ok": report.ok,
        "records": report.records,
        "chains": [
            {
                "incarnation": chain.incarnation,
                "stream": str(chain.stream),
                "first_seq": chain.first_seq,
                "last_seq": chain.last_seq,
                "records": chain.records,
                "erased": chain.erased,
                "lost": chain.lost,
                "head": chain.head.hex(),
            }
            for chain in report.chains
        ],
        "bad": [
            {"incarnation": bad.incarnation, "stream": str(bad.stream or ""), "seq": bad.seq, "what": bad.what}
            for bad in report.bad
        ],
    }


@app.command()
def tail(
    file: JournalFile = None,
    config: ConfigOption = DEFAULT_FILE,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=10_000, help="how many records of each stream")
    ] = 20,
    stream: Annotated[Stream | None, typer.Option(help="only this stream")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on as records come, until Ctrl-C")] = False,
) -> None:
    """The newest records of the running incarnation, one a line, in the order in which they were made."""
    reader = JournalReader(_file(file, config))
    seen: dict[StreamKey, Head] = {}
    while True:
        fresh: list[Record] = []
        for key, head in _newest_chains(reader, stream).items():
            after = seen[key].seq if key in seen else max(0, head.seq - lines)
            fresh += _records_after(reader, key, after)
            seen[key] = head
        for record in _in_order(fresh):
            typer.echo(_shown(record))
        if not follow:
            return
        time.sleep(FOLLOW_EVERY_S)


def _in_order(records: list[Record]) -> list[Record]:
    """By boot, then by that boot's monotonic clock; only boots are told apart by wall time, for show."""
    began: dict[str, int] = {}
    for record in records:
        began[record.boot_id] = min(began.get(record.boot_id, record.at_us), record.at_us)
    return sorted(records, key=lambda r: (began[r.boot_id], r.mono_ns, r.seq))


def _newest_chains(reader: JournalReader, stream: Stream | None) -> dict[StreamKey, Head]:
    positions = reader.positions()
    newest = next(reversed(positions))[0]
    return {key: head for key, head in positions.items() if key[0] == newest and stream in (None, key[1])}


def _records_after(reader: JournalReader, key: StreamKey, after_seq: int) -> Iterator[Record]:
    while True:
        piece = reader.slice(*key, after_seq)
        if not piece.records:
            return
        yield from piece.records
        after_seq = piece.records[-1].seq


def _shown(record: Record) -> str:
    facts = record.payloads.get(PayloadClass.FACTS)
    body = facts.body if facts is not None and facts.body is not None else {}
    if record.kind is Kind.PASSAGE:
        told = f"{'ADMIT' if body.get('admit') else 'DENY'} {', '.join(map(str, body.get('reasons', [])))}"
    else:
        told = json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True)[:160] if body else ""
    at = utc_of(record.at_us).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    clock = "" if record.clock_trust == "synced" else f" ({record.clock_trust})"
    return f"{at}{clock} {record.stream:10} {record.seq:6} {record.kind:12} {record.lane:6} {told}".rstrip()


@app.command("export")
def export_journal(
    file: JournalFile = None,
    config: ConfigOption = DEFAULT_FILE,
    out: Annotated[Path | None, typer.Option(help="file to write (default: standard output); must not exist")] = None,
    facts_only: Annotated[
        bool, typer.Option(help="leave payloads about health and persons out; the chains verify all the same")
    ] = False,
) -> None:
    """Every record as JSON, one a line; ``gatepost journal verify FILE.ndjson`` walks it again."""
    reader = JournalReader(_file(file, config))
    lines = export_lines(reader, facts_only=facts_only)
    if out is None:
        _write(lines)
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(
            str(out), seen=error.strerror or str(error), expected="a new file in a folder of yours"
        ) from error
    count = 0
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        for line in lines:
            target.write(line + "\n")
            count += 1
    typer.echo(f"{out}: {count} lines")


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")


@app.command()
def replay(file: JournalFile = None, config: ConfigOption = DEFAULT_FILE) -> None:
    """Compute the temperature of every passage again from its record alone; exit status 1 when one differs.

    A normal one keeps no value: its band is held against its versions.
    Also holds each verdict against its own checks: an admission with a failed or unknown check is told.
    """
    reader = JournalReader(_file(file, config))
    passages = again = erased = 0
    differing: list[str] = []
    known = models_low_c()
    for key in reader.positions():
        if key[1] is not Stream.PASSAGE:
            continue
        for record in _records_after(reader, key, 0):
            if record.kind is not Kind.PASSAGE:
                continue
            passages += 1
            health = record.payloads.get(PayloadClass.HEALTH)
            erased += health is not None and health.erased
            found = _unlike_its_checks(record)
            if health is not None and health.body is not None and "temperature" in health.body:
                again += 1
                found = found or replay_temperature(health.body["temperature"], known)
            if found:
                differing.append(f"{key[0][:8]} passage {record.seq} ({record.ref}): {found}")
    for line in differing:
        typer.echo(line)
    typer.echo(f"{passages} passages, {again} temperatures computed again, {erased} erased, {len(differing)} differ")
    if differing:
        raise typer.Exit(1)


def _unlike_its_checks(record: Record) -> str:
    facts = record.payloads.get(PayloadClass.FACTS)
    if facts is None or facts.body is None or not facts.body.get("admit"):
        return ""
    wrong = [check["name"] for check in facts.body.get("checks", []) if check.get("state") in ("fail", "unknown")]
    return f"admitted although {', '.join(wrong)} did not pass" if wrong else ""

"""``gatepost-sync``: sends the journal to the central; enrols this kiosk; says how things stand."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import structlog
import typer

from config.errors import ConfigError, GatepostError
from config.settings import DOCUMENTS, PASS_CERTIFICATE

if TYPE_CHECKING:
    from sync.line import LineThread

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
log = structlog.get_logger("gatepost.sync")

KioskId = Annotated[str, typer.Option("--kiosk-id", help="this kiosk's name at the central")]
Key = Annotated[Path, typer.Option("--key", help="this kiosk's Ed25519 key (PKCS#8 PEM, mode 0600)")]
Central = Annotated[str, typer.Option("--central", help="address of the central; https, or http on loopback")]
CaFile = Annotated[Path | None, typer.Option("--ca-file", help="pin this authority instead of the system's")]
State = Annotated[Path, typer.Option("--state", help="sync's own database, sync.db")]


@app.command()
def run(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", help="the gate's settings file; the options below go before it")
    ] = None,
    journal: Annotated[Path | None, typer.Option("--journal", help="the kiosk's journal (read only)")] = None,
    state: Annotated[Path | None, typer.Option("--state", help="sync's own database, sync.db")] = None,
    central: Annotated[str, typer.Option("--central", help="address of the central")] = "",
    key: Annotated[Path | None, typer.Option("--key", help="this kiosk's Ed25519 key (PKCS#8 PEM)")] = None,
    kiosk_id: Annotated[str, typer.Option("--kiosk-id", help="this kiosk's name at the central")] = "",
    ca_file: CaFile = None,
    documents: Annotated[Path | None, typer.Option(help="folder for roster, policy, … that come down")] = None,
    authority: Annotated[Path | None, typer.Option(help="public key (PEM) that signs them")] = None,
    encoding: Annotated[str, typer.Option(help="zstd-gatepost-1, zstd or gzip")] = "zstd-gatepost-1",
    bulk_interval_s: Annotated[
        float | None, typer.Option(min=0.0, max=3600.0, help="mean wait of what is no alarm")
    ] = None,
    heartbeat_interval_s: Annotated[float | None, typer.Option(min=0.5, max=3600.0, help="longest silence")] = None,
    poll_interval_s: Annotated[float, typer.Option(min=0.02, max=60.0, help="how often the journal is asked")] = 0.25,
    retry_cap_s: Annotated[float, typer.Option(min=0.5, max=3600.0, help="longest wait after failures")] = 300.0,
) -> None:
    """Send until told to stop (SIGTERM, SIGINT)."""
    from config.settings import load_settings, secret_file
    from kiosk.program_log import set_up_logging
    from sync.agent_options import AgentOptions
    from sync.line import LineThread, line_options
    from sync.run import run_agent

    set_up_logging()
    settings = load_settings(config).settings if config is not None else None
    certificate: Path | None = None
    if settings is not None:
        journal = journal or settings.state.folder / "journal.db"
        state = state or settings.state.folder / "sync.db"
        central = central or settings.sync.central_url
        key = key or (secret_file(settings.keys.kiosk) if central else None)
        kiosk_id = kiosk_id or settings.site.kiosk_id
        ca_file = ca_file or settings.sync.ca_file
        authority = authority or settings.sync.authority
        certificate = settings.keys.pass_certificate or settings.state.folder / PASS_CERTIFICATE
        if authority is not None:
            documents = documents or settings.state.folder / DOCUMENTS
        bulk_interval_s = settings.sync.interval_s if bulk_interval_s is None else bulk_interval_s
        heartbeat_interval_s = settings.sync.heartbeat_s if heartbeat_interval_s is None else heartbeat_interval_s
    beside = line_options(settings) if settings is not None else None
    if beside is not None and not central:
        _hold_line(LineThread(beside))
        return
    if journal is None or state is None or key is None or not central or not kiosk_id:
        raise ConfigError(
            "gatepost-sync run",
            seen="no --config, and not all of --journal, --state, --central, --key, --kiosk-id"
            if settings is None
            else f"no sync.central_url in {config}",
            expected="where the central is",
            hint="gatepost config explain",
        )
    if (documents is None) != (authority is None):
        raise ConfigError("--documents, --authority", seen="one of them", expected="both or neither")
    stop = _stopped_by_signal()
    options = AgentOptions(
        journal=journal,
        state=state,
        central_url=central,
        key=key,
        kiosk_id=kiosk_id,
        ca_file=ca_file,
        documents=documents,
        authority=authority,
        pass_certificate=certificate,
        encoding=encoding,
        bulk_interval_s=5.0 if bulk_interval_s is None else bulk_interval_s,
        heartbeat_interval_s=60.0 if heartbeat_interval_s is None else heartbeat_interval_s,
        poll_interval_s=poll_interval_s,
        retry_cap_s=retry_cap_s,
        software=software(),
    )
    line = LineThread(beside) if beside is not None else None
    if line is not None:
        line.start()
    try:
        counters = run_agent(options, stop)
    finally:
        if line is not None:
            line.stop()
    log.info("sync stopped", batches=counters.batches, acknowledged=counters.records_acked)


def _stopped_by_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _hold_line(line: LineThread) -> None:
    """A site without a central still looks codes up and hears its neighbours."""
    stop = _stopped_by_signal()
    line.start()
    stop.wait()
    line.stop()


def software() -> str:
    """``gatepost 0.1.0``, as told to the central."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"gatepost {version('gatepost')}"
    except PackageNotFoundError:
        return "gatepost"


@app.command()
def enrol(
    *,
    central: Central,
    key: Key,
    kiosk_id: KioskId,
    code: Annotated[str, typer.Option("--code", help="the one-time code that the admin gave")],
    ca_file: CaFile = None,
) -> None:
    """Make this kiosk's key if it has none, and ask the central to take it."""
    from sync import keys
    from sync.enrol import EnrolRequest, enrol_body
    from sync.errors import SyncError
    from sync.uplink import ENROL_PATH, Uplink

    private_key = keys.load_private_key(key) if key.exists() else keys.generate_key(key)
    request = EnrolRequest(kiosk_id=kiosk_id, code=code, public_key=keys.public_bytes(private_key))
    body = enrol_body(request, keys.sign(private_key, keys.ENROL_CONTEXT, request.statement()))
    with Uplink(central, ca_file=ca_file) as link:
        reply = link.post(ENROL_PATH, body)
    if reply.status != 202:
        raise SyncError(
            f"enrolment of {kiosk_id}",
            seen=f"HTTP {reply.status} {reply.body[:200].decode('utf-8', 'replace')}",
            expected="202",
            hint="ask the admin for a new code",
        )
    typer.echo(f"kiosk        {kiosk_id}")
    typer.echo(f"fingerprint  {keys.fingerprint(request.public_key)}")
    typer.echo("The admin now compares this fingerprint with the central's and approves it.")


@app.command()
def status(state: State) -> None:
    """What is acknowledged, and the last trouble, as JSON. Changes nothing."""
    from sync.errors import SyncError

    try:
        with closing(sqlite3.connect(f"file:{quote(str(state))}?mode=ro", uri=True, timeout=2.0)) as db:
            facts = dict(db.execute("SELECT name, value FROM facts"))
            rows = db.execute(
                "SELECT incarnation, stream, max(seq), at_us FROM acknowledged GROUP BY incarnation, stream"
            ).fetchall()
    except sqlite3.Error as error:
        raise SyncError(
            f"sync state {state}", seen=str(error), expected="a file that gatepost-sync run wrote"
        ) from error
    acked = [{"incarnation": row[0], "stream": row[1], "acked": row[2], "at_us": row[3]} for row in rows]
    typer.echo(json.dumps({"facts": facts, "acknowledged": acked}, indent=2, sort_keys=True))


def main() -> None:
    """Entry point: a GatepostError is a message and exit status 1, not a traceback."""
    try:
        app()
    except GatepostError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

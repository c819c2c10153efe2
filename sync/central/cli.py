"""``gatepost-central``: takes in what the kiosks send, shows it, gives it out."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.central import Alerts, Codes, is_loopback, load_central
from config.errors import ConfigError, GatepostError
from sync.central import alerts_cli, database_cli, policy_cli, trust_cli

if TYPE_CHECKING:
    from sync.central.access import Role
    from sync.central.store import Store

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
app.add_typer(trust_cli.app, name="trust")
app.add_typer(database_cli.app, name="database")
app.add_typer(alerts_cli.app, name="alerts")
app.add_typer(policy_cli.app, name="policy")

Database = Annotated[str, typer.Option("--database", help="path of a SQLite file, or an SQLAlchemy URL")]
By = Annotated[str, typer.Option("--by", help="who does this, for the audit log")]


def _open(database: str) -> Store:
    from sync.central.store import Store

    return Store(database)


def _now_us() -> int:
    from sync.central.context import system_now_us

    return system_now_us()


def _read_secret(path: Path) -> str:
    """The first line of a secret's file; ConfigError when others may read it."""
    try:
        mode = path.stat().st_mode & 0o777
        secret = path.read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise ConfigError(f"passphrase file {path}", seen=str(error), expected="one line of text") from error
    if mode & 0o077:
        raise ConfigError(
            f"passphrase file {path}",
            seen=f"mode {mode:04o}",
            expected="no permission bit for group or others",
            hint=f"chmod 600 {path}",
        )
    return secret


@app.command()
def init(
    database: Database,
    admin_passphrase_file: Annotated[Path, typer.Option(help="first line: 15 characters or more; mode 0600")],
    admin: Annotated[str, typer.Option(help="name of the first admin")] = "admin",
) -> None:
    """Make the database and its first admin. Repeating it gives that admin the passphrase in the file."""
    set_user(database=database, name=admin, role="admin", passphrase_file=admin_passphrase_file)


@app.command("user")
def set_user(
    database: Database,
    name: Annotated[str, typer.Option(help="login name")],
    role: Annotated[str, typer.Option(help="admin, operator or auditor")],
    passphrase_file: Annotated[Path, typer.Option(help="first line: 15 characters or more; mode 0600")],
) -> None:
    """Make a user, or give one a new role and passphrase."""
    from sync.central import access, audit

    store, now_us = _open(database), _now_us()
    with store.writing() as connection:
        access.set_user(connection, now_us, name, _role(role), _read_secret(passphrase_file))
        audit.note(connection, now_us, "cli", "user", f"{name} {role}")
    typer.echo(f"user {name} ({role}) is set")


@app.command()
def token(
    database: Database,
    name: Annotated[str, typer.Option(help="what the program is called in the audit log")],
    role: Annotated[str, typer.Option(help="admin, operator or auditor")] = "auditor",
) -> None:
    """A bearer token for a program that pulls exports; printed once, valid for a year."""
    from sync.central import access, audit

    store, now_us = _open(database), _now_us()
    with store.writing() as connection:
        made = access.make_token(connection, now_us, name, _role(role))
        audit.note(connection, now_us, "cli", "token", f"{name} {role}")
    typer.echo(made)


@app.command("remove-user")
def remove_user(
    database: Database,
    name: Annotated[str, typer.Option(help="login name, or what a program's token was made for")],
    by: By = "cli",
) -> None:
    """Somebody left, or a token got into other hands: user, log-ins and tokens of this name end at once."""
    from sync.central import access, audit

    with _open(database).writing() as connection:
        gone, ended = access.remove(connection, name)
        if not gone and not ended:
            raise ConfigError("--name", seen=name, expected="a user, or the name of a token")
        audit.note(connection, _now_us(), by, "remove_user", f"{name}, {ended} log-ins and tokens")
    typer.echo(f"{name} is gone; {ended} log-ins and tokens ended")


def _role(role: str) -> Role:
    from sync.central.access import Role

    try:
        return Role(role)
    except ValueError:
        raise ConfigError("role", seen=role, expected=", ".join(Role)) from None


@app.command()
def serve(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", help="settings file; without one, the options below")
    ] = None,
    database: Annotated[str, typer.Option("--database", help="path of a SQLite file, or an SQLAlchemy URL")] = "",
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8443,
    tls_cert: Annotated[Path | None, typer.Option(help="certificate chain, PEM")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="its key, PEM, mode 0600")] = None,
    behind_proxy: Annotated[bool, typer.Option(help="a TLS proxy stands before this address")] = False,
    site_name: Annotated[str, typer.Option(help="shown on every page")] = "Gatepost",
    timezone: Annotated[str, typer.Option(help="of the times on pages")] = "UTC",
) -> None:
    """Serve kiosks, pages and exports. Plain HTTP is for loopback, or behind a TLS proxy that says so."""
    codes, alerts = Codes(), Alerts()
    if config is not None:
        loaded = load_central(config).settings
        settings, codes, alerts = loaded.central, loaded.codes, loaded.alerts
        database, host, port = settings.database, settings.host, settings.port
        tls_cert, tls_key, behind_proxy = settings.tls_cert, settings.tls_key, settings.behind_proxy
        site_name, timezone = settings.site_name, settings.time_zone
    if not database:
        raise ConfigError("gatepost-central serve", seen="neither --config nor --database", expected="one of them")
    import uvicorn

    from kiosk.program_log import set_up_logging
    from sync.central.alert_channels import load_telling
    from sync.central.app import create_app
    from sync.central.code_issuer import load_issuer
    from sync.central.context import CentralOptions, zone_of
    from sync.central.kiosk_authority import load_authority

    if not (is_loopback(host) or tls_cert or behind_proxy):
        raise ConfigError(
            "--host",
            seen=host,
            expected="loopback, or --tls-cert and --tls-key, or --behind-proxy",
            hint="kiosks refuse plain HTTP that is not loopback",
        )
    if tls_key is not None and tls_key.stat().st_mode & 0o077:
        raise ConfigError(f"TLS key {tls_key}", seen="readable by others", expected="mode 0600")
    set_up_logging()
    zone = zone_of(timezone)
    store = _open(database)
    options = CentralOptions(
        site_name=site_name,
        zone=zone,
        secure_cookies=tls_cert is not None or behind_proxy,
        issuer=load_issuer(codes),
        kiosk_authority=load_authority(codes),
        telling=load_telling(alerts),
    )
    config_of_server = uvicorn.Config(
        create_app(store, options=options, stopping=lambda: server.should_exit),
        host=host,
        port=port,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
        log_config=None,
        log_level="info",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=1000,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(config_of_server)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise typer.Exit(3)


@app.command("enrol-code")
def enrol_code(
    database: Database,
    kiosk_id: Annotated[str, typer.Option("--kiosk-id", help="the kiosk's name")],
    by: By = "cli",
) -> None:
    """Print a one-time enrolment code for a kiosk, valid for 15 minutes."""
    from sync.central import enrolment

    with _open(database).writing() as connection:
        code = enrolment.make_code(connection, _now_us(), kiosk_id, by)
    typer.echo(code)


@app.command()
def approve(
    database: Database,
    kiosk_id: Annotated[str, typer.Option("--kiosk-id")],
    fingerprint: Annotated[str, typer.Option(help="as the kiosk shows it")],
    by: By = "cli",
) -> None:
    """Admit a kiosk whose fingerprint was compared."""
    _decide(database, kiosk_id, fingerprint, "approved", by)


@app.command()
def revoke(
    database: Database,
    kiosk_id: Annotated[str, typer.Option("--kiosk-id")],
    fingerprint: Annotated[str, typer.Option(help="as the kiosks page shows it")],
    by: By = "cli",
) -> None:
    """Refuse a kiosk from its next request on."""
    _decide(database, kiosk_id, fingerprint, "revoked", by)


def _decide(database: str, kiosk_id: str, fingerprint: str, state: str, by: str) -> None:
    from sync.central import enrolment
    from sync.errors import SyncError

    with _open(database).writing() as connection:
        done = enrolment.decide(connection, _now_us(), kiosk_id=kiosk_id, fingerprint=fingerprint, state=state, by=by)
    if not done:
        raise SyncError(
            f"kiosk {kiosk_id}", seen="none with this fingerprint", expected=fingerprint, hint="gatepost-central kiosks"
        )
    typer.echo(f"{kiosk_id} is {state}")


@app.command()
def kiosks(database: Database) -> None:
    """Every kiosk with its state, fingerprint and chains, as JSON."""
    import json
    from dataclasses import asdict

    from sync.central import lists

    with _open(database).reading() as connection:
        found = lists.kiosk_statuses(connection, _now_us())
    typer.echo(json.dumps([asdict(status) for status in found], indent=2, ensure_ascii=False))


@app.command()
def export(
    database: Database,
    format: Annotated[str, typer.Option(help="csv or ndjson")] = "csv",
    cursor: Annotated[int, typer.Option(min=0, help="go on after this row")] = 0,
    output: Annotated[Path | None, typer.Option(help="a file instead of standard output")] = None,
) -> None:
    """Write the passages out."""
    from sync.central import exports

    if format not in ("csv", "ndjson"):
        raise ConfigError("--format", seen=format, expected="csv or ndjson")
    found = exports.pages(_open(database), cursor, None)
    body = exports.as_csv(found) if format == "csv" else exports.as_ndjson(found)
    if output is None:
        for part in body:
            sys.stdout.buffer.write(part)
        return
    with output.open("wb") as file:
        file.writelines(body)


@app.command()
def verify(database: Database) -> None:
    """Walk every chain again; exit status 1 and the first wrong record of each chain when one does not hold."""
    from sync.central.verify import verify_store

    report = verify_store(_open(database))
    for finding in report.findings:
        typer.echo(f"BAD {finding.kiosk_id} {finding.stream} of {finding.incarnation} at {finding.seq}: {finding.what}")
    typer.echo(
        f"{report.chains} chains, {report.records} records, {report.heads_proved} signed heads,"
        f" {report.gone} declared gone: {'every chain holds' if report.ok else 'NOT in order'}"
    )
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def publish(
    *,
    database: Database,
    kind: Annotated[str, typer.Option(help="roster, revocations, policy or trust; cards has ship-card-keys")],
    kiosks: Annotated[
        list[str] | None, typer.Option("--for", help="a policy for this kiosk alone; repeat for a few; else for all")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, max=10**15 - 1, help="higher than the last one; the next when left out")
    ] = None,
    file: Annotated[Path, typer.Option(help="the document")],
    authority_key: Annotated[
        Path | None, typer.Option(help="the authority's private key (PKCS#8 PEM, mode 0600); not kept")
    ] = None,
    only_check: Annotated[bool, typer.Option("--only-check", help="say what would be offered, and offer nothing")] = (
        False
    ),
    by: By = "cli",
) -> None:
    """Check a document, sign it with the authority's key and offer it to the kiosks.

    A policy that is refused here changes nothing anywhere; one that is offered is in force at the gates within
    seconds, each lane from its next person on. One for a single kiosk goes before one for several, and that before one
    for every kiosk, whichever was published last.
    """
    from kiosk.revocation_list import RevocationList
    from sync import keys
    from sync.central import policies
    from sync.central.documents import sign_and_publish
    from sync.document import DocumentKind, kind_of

    body, wanted = file.read_bytes(), kind_of(kind)
    if wanted is DocumentKind.REVOCATIONS:
        RevocationList.parse(body)  # what a gate would refuse is not offered
    if kiosks:
        body = policies.addressed(body, wanted, kiosks)
    with _open(database).writing() as connection:
        if wanted is DocumentKind.POLICY:
            for line in policies.propose(connection, body, _now_us()).lines():
                typer.echo(line)
        if only_check:
            return
        if authority_key is None:
            raise ConfigError("--authority-key", seen="nothing", expected="the authority's private key")
        key = keys.load_private_key(authority_key)
        manifest = sign_and_publish(
            connection, _now_us(), kind=wanted, version=version, body=body, authority_key=key, by=by
        )
    typer.echo(f"{kind} version {manifest.version}: {len(body)} bytes are offered")


@app.command("ship-card-keys")
def ship_card_keys(
    *,
    database: Database,
    escrow: Annotated[Path, typer.Option(help="the sealed second gate keys, as gatepost card escrow made them")],
    release_key: Annotated[Path, typer.Option(help="the key that opens them (mode 0600); not kept")],
    authority_key: Annotated[Path, typer.Option(help="the authority's private key (PKCS#8 PEM, mode 0600); not kept")],
    stolen: Annotated[list[str], typer.Option(help="the kiosk that was stolen; repeat for several")],
    keep_others: Annotated[
        bool, typer.Option(help="cards that are not in the escrow keep their first key instead of opening nothing")
    ] = False,
    by: By = "cli",
) -> None:
    """After a kiosk was stolen and revoked: ship every card's second gate key to the kiosks that are approved.

    Each gets the keys sealed to its own key; a gate that takes them answers to the first keys no more.
    """
    from kiosk.card_release import make_release, open_escrow
    from sync import keys
    from sync.central.documents import sign_and_publish
    from sync.central.enrolment import approved_keys
    from sync.document import DocumentKind

    cards = open_escrow(escrow.read_bytes(), _secret_bytes(release_key))
    authority = keys.load_private_key(authority_key)
    with _open(database).writing() as connection:
        kiosks = approved_keys(connection)
        if admitted := sorted(set(stolen) & set(kiosks)):
            raise ConfigError(
                f"kiosk {', '.join(admitted)}",
                seen="still approved",
                expected="revoked before the keys are shipped",
                hint="gatepost-central revoke",
            )
        if not kiosks:
            raise ConfigError(
                "kiosks", seen="none is approved", expected="at least one", hint="gatepost-central kiosks"
            )
        body = make_release(cards, kiosks, keep_others=keep_others)
        manifest = sign_and_publish(
            connection, _now_us(), kind=DocumentKind.CARDS, body=body, authority_key=authority, by=by
        )
    typer.echo(
        f"second keys of {len(cards)} cards, version {manifest.version}, sealed for: {', '.join(sorted(kiosks))}"
    )


def _secret_bytes(path: Path) -> bytes:
    from config.settings import secret_file

    return secret_file(path).read_bytes()


@app.command()
def restored(database: Database, by: By = "cli") -> None:
    """Say that this database was restored from a backup: the kiosks send again what it lost."""
    from sync.central import audit

    store, now_us = _open(database), _now_us()
    with store.writing() as connection:
        epoch = store.raise_epoch(connection)
        audit.note(connection, now_us, by, "restored", f"epoch {epoch}")
    typer.echo(f"store epoch is now {epoch}")


def main() -> None:
    """Entry point: a GatepostError is a message and exit status 1, not a traceback."""
    try:
        app()
    except GatepostError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

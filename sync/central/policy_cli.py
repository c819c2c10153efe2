"""``gatepost-central policy``: which policy each kiosk is offered, signing one apart, ending one for some alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Policies: which one each kiosk is offered.", no_args_is_help=True)

WHOM = ("every kiosk", "several kiosks", "this kiosk alone")
Database = Annotated[str, typer.Option("--database", help="path of a SQLite file, or an SQLAlchemy URL")]


@app.command()
def offers(database: Database) -> None:
    """Each approved kiosk with the policy document that it is offered, for whom that is, and the one it holds."""
    from sync.central.held_documents import look_at_documents
    from sync.central.store import Store

    with Store(database).reading() as connection:
        found = look_at_documents(connection)
    for kiosk in found.kiosks:
        policy = kiosk.policy
        told = "none" if policy is None else f"{policy.version} {policy.name} (for {WHOM[policy.reach]})"
        typer.echo(f"{kiosk.kiosk_id}: offered {told}, holds {kiosk.of('policy').held or 'none'}")


@app.command()
def sign(
    *,
    file: Annotated[Path, typer.Option(help="the policy")],
    document: Annotated[int, typer.Option(min=1, max=10**15 - 1, help="its number, as the page Documents says it")],
    authority_key: Annotated[Path, typer.Option(help="the authority's private key (PKCS#8 PEM, mode 0600)")],
    kiosks: Annotated[
        list[str] | None, typer.Option("--for", help="for this kiosk alone; repeat for a few; else for all")
    ] = None,
) -> None:
    """Sign a policy where the authority's key is kept, away from any central; the text is for the page Documents."""
    from sync import keys
    from sync.central.context import system_now_us
    from sync.central.policies import addressed, check_alone
    from sync.central.signed_text import SignedText
    from sync.document import DocumentKind

    body = file.read_bytes()
    if kiosks:
        body = addressed(body, DocumentKind.POLICY, kiosks)
    check_alone(body, system_now_us())
    key = keys.load_private_key(authority_key)
    typer.echo(str(SignedText.sign(DocumentKind.POLICY, document, body, system_now_us(), key)))


@app.command()
def withdraw(
    *,
    database: Database,
    document: Annotated[int, typer.Option(min=1, help="the policy's document number, as `policy offers` shows it")],
    authority_key: Annotated[
        Path | None,
        typer.Option(help="the authority's private key (PKCS#8 PEM, mode 0600), where an older document comes instead"),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="who does this, for the audit log")] = "cli",
) -> None:
    """End a policy that was published for some kiosks by name: they go by what is for more of them again."""
    from sync import keys
    from sync.central.context import system_now_us
    from sync.central.policy_withdrawal import withdraw as end
    from sync.central.store import Store

    key = None if authority_key is None else keys.load_private_key(authority_key)
    with Store(database).writing() as connection:
        done = end(connection, system_now_us(), document, authority_key=key, by=by)
    for kiosk, version in sorted(done.instead.items()):
        typer.echo(f"{kiosk}: document {document} is withdrawn, document {version} comes instead")

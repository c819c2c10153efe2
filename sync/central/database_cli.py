"""``gatepost-central database``: where the central's schema stands, and bringing it up."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="The central's database: its schema's revision.", no_args_is_help=True)

Database = Annotated[str, typer.Option("--database", help="path of a SQLite file, or an SQLAlchemy URL")]


@app.command()
def status(database: Database) -> None:
    """Say which revision the schema has and what is missing; changes nothing, exit status 1 while it is not current."""
    from sync.central.migrate import State
    from sync.central.store import Store

    found = Store.as_it_stands(database).standing()
    typer.echo(f"{found.state}: revision {found.seen or 'none'}, this program works with {found.expected}")
    for revision in found.missing:
        when = "at the next start" if revision.additive else "by gatepost-central database upgrade, after a backup"
        typer.echo(f"missing {revision.name}, run {when}: {revision.what}")
    if found.state is not State.CURRENT:
        raise typer.Exit(1)


@app.command()
def upgrade(database: Database) -> None:
    """Run every revision that is missing, all or none. Stop every gatepost-central and back up before."""
    from sync.central.store import Store

    found = Store.as_it_stands(database).upgrade()
    done = ", ".join(revision.name for revision in found.missing)
    typer.echo(f"revision {found.expected}: {f'ran {done}' if done else 'nothing to do'}")

"""``gatepost guard``: who may log in at the console. Secrets are typed, never given on a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Guards of the console: add one, give a new secret, list.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(help="the guards' file, as in keys.guards")]


@app.command("set")
def set_one(
    file: FileArgument,
    login: Annotated[str, typer.Argument(help="what the guard types and records name: a-z, 0-9, - and _")],
    name: Annotated[str, typer.Option(help="the name shown on the console; without it the login")] = "",
) -> None:
    """Add a guard, or give a known one a new name and secret. Takes effect when the gate starts again."""
    from kiosk.screens.guards import set_guard

    secret = typer.prompt("secret, at least 8 characters", hide_input=True, confirmation_prompt="the same again")
    set_guard(file, login, name or login, secret)
    typer.echo(f"{file}: {login} written, mode 0600")


@app.command("list")
def list_all(file: FileArgument) -> None:
    """The logins and names in the file."""
    from kiosk.screens.guards import read_guards

    for guard in read_guards(file).values():
        typer.echo(f"{guard.login:32} {guard.name}")

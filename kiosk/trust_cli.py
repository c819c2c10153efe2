"""``gatepost trust``: take a trust bundle from a stick or a file, by hand, while the gate does not run."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigError

app = typer.Typer(help="Trust bundles: take one by hand.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    """Trust bundles: take one by hand. They are made with gatepost-central trust."""


@app.command()
def take(
    bundle: Annotated[Path, typer.Argument(help="the bundle, from a stick or fetched")],
    folder: Annotated[Path, typer.Option(help="the kiosk's bundle folder")],
    root: Annotated[list[str], typer.Option(help="root trusted at installation, base64; counts for the first bundle")],
    confirm_shrink: Annotated[bool, typer.Option("--confirm-shrink", help="take it with far fewer keys")] = False,
) -> None:
    """Check a bundle and switch this kiosk's trust store to it. A running gate takes bundles by itself."""
    from kiosk.credentials.bundle_folder import BundleFolder

    try:
        roots = tuple(base64.b64decode(text, validate=True) for text in root)
    except ValueError:
        raise ConfigError("--root", seen=", ".join(root)[:80], expected="base64 of 32 bytes") from None
    state = BundleFolder(folder, roots).take(_content(bundle), confirm_shrink=confirm_shrink)
    until = "" if state.next_update is None else f", next due {state.next_update.isoformat(timespec='minutes')}"
    typer.echo(f"{folder}: version {state.version}{until}, {dict(state.counts)}")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), seen=error.strerror or str(error), expected="a readable file") from error

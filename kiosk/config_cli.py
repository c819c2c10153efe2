"""``gatepost config``: check, explain and prepare what a kiosk is told."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import ConfigError
from config.loader import known_keys
from config.settings import Settings, load_settings, secret_file

app = typer.Typer(help="Check, explain and prepare the settings.", no_args_is_help=True)

ConfigOption = Annotated[
    Path, typer.Option("--config", envvar="GATEPOST_CONFIG", help="the settings file", show_default=True)
]
DEFAULT_FILE = Path("/etc/gatepost/gate.toml")


@app.command()
def check(config: ConfigOption = DEFAULT_FILE, secrets_too: bool = False) -> None:
    """Read the settings and the policy they name; say what is wrong, or that nothing is."""
    from config.policy import load_policy

    settings = load_settings(config).settings
    policy = load_policy(settings.policy.file)
    if settings.trust.folder is not None and not settings.trust.folder.is_dir():
        raise ConfigError(f"trust.folder {settings.trust.folder}", seen="no such folder", expected="trust anchors")
    if secrets_too:
        for path in (settings.keys.community, settings.keys.kiosk):
            secret_file(path)
    lanes = ", ".join(f"{lane.name} ({lane.direction})" for lane in settings.lane)
    typer.echo(f"{config}: good. Kiosk {settings.site.kiosk_id}, lanes {lanes}, policy {policy.version}.")


@app.command()
def explain(config: ConfigOption = DEFAULT_FILE, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Every key with its value, where the value came from, and what it means."""
    loaded = load_settings(config)
    rows = list(_rows(loaded.settings, dict(loaded.sources)))
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        typer.echo(f"{row['key']} = {row['value']}    [{row['source']}]\n    {row['meaning']}")


def _rows(settings: Settings, sources: dict[str, str]) -> list[dict[str, str]]:
    rows = []
    for key, field in known_keys(Settings):
        for dotted, value in _values(settings, key):
            rows.append(
                {
                    "key": dotted,
                    "value": str(value),
                    "source": sources.get(dotted, "default"),
                    "meaning": field.description or "",
                }
            )
    return rows


def _values(settings: Settings, key: str) -> list[tuple[str, Any]]:
    """The value of a dotted key, or one a list element: ``lane[].reader.port`` gives every lane's."""
    places: list[tuple[str, Any]] = [("", settings)]
    for part in key.split("."):
        name, is_list = part.removesuffix("[]"), part.endswith("[]")
        following: list[tuple[str, Any]] = []
        for dotted, place in places:
            value = getattr(place, name, None)
            here = f"{dotted}.{name}" if dotted else name
            if is_list:
                following += [(f"{here}[{index}]", item) for index, item in enumerate(value or ())]
            elif place is not None:
                following.append((here, value))
        places = following
    return [(dotted, value) for dotted, value in places if dotted]


@app.command()
def keys(folder: Annotated[Path, typer.Argument(help="folder to write community.key and kiosk.pem to")]) -> None:
    """Make this kiosk's own key and a community key, readable by you alone; an existing file is never replaced."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for name, content in (("community.key", secrets.token_bytes(32)), ("kiosk.pem", pem)):
        path = folder / name
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            typer.echo(f"{path}: kept, it was there already")
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        typer.echo(f"{path}: written, mode 0600")

"""``gatepost-central trust``: make trust bundles from published national lists and the community's own files."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigError
from config.settings import secret_file

app = typer.Typer(help="Trust bundles: convert national lists, sign, build.", no_args_is_help=True)


@app.command("new-root")
def new_root(
    key: Annotated[Path, typer.Argument(help="the private root key to write; keep it off every network")],
) -> None:
    """Make an offline root key; its public half goes to each kiosk at installation."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from kiosk.credentials.bundle import root_id

    private_key = Ed25519PrivateKey.generate()
    pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        handle = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(str(key), seen=error.strerror or str(error), expected="a new file") from error
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
    raw = private_key.public_key().public_bytes_raw()
    typer.echo(f"{key}: written, mode 0600\nroot {base64.b64encode(raw).decode()} ({root_id(raw)})")


@app.command("convert-dsc")
def convert_dsc(
    source: Annotated[Path, typer.Argument(help="the signed DSC list (German form), plain or .gz")],
    key: Annotated[Path, typer.Option(help="the publisher's key, PEM")],
    folder: Annotated[Path, typer.Option(help="trust folder to write hcert_dsc.json to")],
) -> None:
    """Check a published HCERT list's own signature and write it into a trust folder."""
    from kiosk.credentials.national_lists import german_dsc_list

    _write(folder / "hcert_dsc.json", german_dsc_list(_content(source), _content(key)))


@app.command("convert-vci")
def convert_vci(
    source: Annotated[Path, typer.Argument(help="the VCI snapshot, plain or .gz")],
    signature: Annotated[Path, typer.Option(help="its detached signature")],
    certificate: Annotated[Path, typer.Option(help="the publisher's certificate, PEM")],
    folder: Annotated[Path, typer.Option(help="trust folder to write shc_issuers.json to")],
) -> None:
    """Check a SMART Health Card directory's signature and write it into a trust folder."""
    from cryptography import x509

    from kiosk.credentials.national_lists import vci_snapshot

    public_key = x509.load_pem_x509_certificate(_content(certificate)).public_key()
    _write(folder / "shc_issuers.json", vci_snapshot(_content(source), _content(signature), public_key))


@app.command()
def build(
    *,
    folder: Annotated[Path, typer.Argument(help="trust folder; made when it is not there")],
    out: Annotated[Path, typer.Option(help="the bundle to write; a stick's file ends in .trust")],
    root_key: Annotated[list[Path], typer.Option(help="root key, PEM; repeat to sign with several")],
    version: Annotated[int, typer.Option(min=1, help="above the last one's")],
    next_days: Annotated[int, typer.Option(min=1, max=366, help="days until the next bundle is due")] = 7,
    dsc: Annotated[Path | None, typer.Option(help="also take this signed DSC list (German form), plain or .gz")] = None,
    dsc_key: Annotated[Path | None, typer.Option(help="its publisher's key, PEM")] = None,
    vci: Annotated[Path | None, typer.Option(help="also take this VCI snapshot, plain or .gz")] = None,
    vci_signature: Annotated[Path | None, typer.Option(help="its detached signature")] = None,
    vci_certificate: Annotated[Path | None, typer.Option(help="its publisher's certificate, PEM")] = None,
) -> None:
    """Sign a trust folder as one bundle, after taking in national lists whose own signatures verify.

    The roots that sign are the roots trusted from then on. The bundle goes to the kiosks on a stick, or with
    gatepost-central publish --kind trust.
    """
    if dsc is not None:
        convert_dsc(dsc, _needed(dsc_key, "--dsc-key"), folder)
    if vci is not None:
        signature, certificate = (
            _needed(vci_signature, "--vci-signature"),
            _needed(vci_certificate, "--vci-certificate"),
        )
        convert_vci(vci, signature, certificate, folder)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from kiosk.credentials.bundle import FILES, make_bundle
    from kiosk.credentials.trust import TrustStore, describe_skipped

    store = TrustStore.load(folder)
    if store.skipped:
        typer.echo(describe_skipped(store.skipped), err=True)
    keys = []
    for path in root_key:
        try:
            key = load_pem_private_key(_content(secret_file(path)), password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(str(path), seen="another file", expected="an Ed25519 key as PKCS#8 PEM")
        keys.append(key)
    files = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
    now = datetime.now(UTC)
    data = make_bundle(
        files, version=version, created_at=now, next_update=now + timedelta(days=next_days), root_keys=keys
    )
    out.write_bytes(data)
    typer.echo(f"{out}: version {version}, {store.key_count()} keys, {len(store.skipped)} skipped, {len(data)} bytes")


def _needed(path: Path | None, option: str) -> Path:
    if path is None:
        raise ConfigError(option, seen="nothing", expected="what the list's own signature is checked with")
    return path


def _content(path: Path) -> bytes:
    import gzip

    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except OSError as error:
        raise ConfigError(str(path), seen=error.strerror or str(error), expected="a readable file") from error


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    typer.echo(f"{path}: written, {len(content)} bytes")

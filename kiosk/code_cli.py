"""``gatepost code``: make the community's keys, issue health codes and temporary passes, check any code."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import ConfigError, GatepostError
from config.settings import secret_file
from kiosk.durable_file import replace_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from kiosk.credentials.gc1 import StatusOrder
    from kiosk.credentials.gp1 import PassWindow

app = typer.Typer(help="Issue the community's health codes and passes; check any code.", no_args_is_help=True)

KeyOption = Annotated[Path, typer.Option("--key", help="Ed25519 private key, PKCS#8 PEM, readable by you alone")]
QrOption = Annotated[Path | None, typer.Option("--qr", help="also write the QR code, by suffix: .svg or .png")]
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
KEYS_FILE = "community_keys.json"
COMMUNITY_KEY_BYTES = 32


class CodeError(GatepostError):
    """A code or pass that cannot be issued as asked."""


@app.command("new-key")
def new_key(
    key: Annotated[Path, typer.Argument(help="the private key file to write; never overwritten")],
    name: Annotated[str, typer.Option(help="the issuer's short name, shown on the console")],
    use: Annotated[list[str], typer.Option(help="code, pass or kiosk; repeat for several")],
    trust: Annotated[Path, typer.Option(help="trust folder whose community_keys.json takes the public key")],
    days: Annotated[int, typer.Option(min=1, max=3660, help="how long the key may sign")] = 365,
) -> None:
    """Make a key of the community and enter its public half into a trust folder."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from kiosk.credentials.anchors import CommunityUse
    from kiosk.credentials.community import key_id_of

    unknown = set(use) - {member.value for member in CommunityUse}
    if unknown:
        raise CodeError("--use", seen=", ".join(sorted(unknown)), expected="code, pass, kiosk")
    private_key = Ed25519PrivateKey.generate()
    _write_new(key, private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    now = _now()
    entry = {
        "name": name,
        "use": sorted(use),
        "public_key": base64.b64encode(private_key.public_key().public_bytes_raw()).decode(),
        "not_before": now.isoformat(),
        "not_after": (now + timedelta(days=days)).isoformat(),
    }
    _add_key(trust / KEYS_FILE, entry)
    typer.echo(f"{key}: written, mode 0600; key id {key_id_of(private_key.public_key()).hex()} in {trust / KEYS_FILE}")


@app.command()
def issue(
    *,
    key: KeyOption,
    subject: Annotated[str, typer.Option("--pass", help="pseudonym of the pass holder, 16 hex digits")],
    status: Annotated[str, typer.Option(help="green, yellow or red")] = "green",
    hours: Annotated[int, typer.Option(min=1, max=24, help="how long it is good for")] = 12,
    holder_key: Annotated[
        str, typer.Option(help="the phone's public key, 33 bytes as hex (compressed P-256); none for print")
    ] = "",
    region: Annotated[list[str] | None, typer.Option(help="region travelled to; repeat for several")] = None,
    no_travel: Annotated[bool, typer.Option("--no-travel", help="the code says: no travel")] = False,
    order_number: Annotated[str, typer.Option(help="yellow and red need an order: its number")] = "",
    order_issuer: Annotated[str, typer.Option(help="who ordered it")] = "",
    order_approver: Annotated[str, typer.Option(help="who approved it: somebody else")] = "",
    order_until: Annotated[str, typer.Option(help="when it ends, ISO 8601 with time zone")] = "",
    order_appeal: Annotated[str, typer.Option(help="whom to appeal to")] = "",
    qr: QrOption = None,
) -> None:
    """Issue a GC1 health code for one pass holder."""
    from kiosk.credentials import gc1
    from kiosk.credentials.code_verdict import CodeRefusedError
    from kiosk.credentials.gc1 import StatusOrder
    from kiosk.credentials.pass_binding import pass_hash
    from kiosk.evidence import CodeStatus

    if status not in {member.value for member in CodeStatus}:
        raise CodeError("--status", seen=status, expected="green, yellow or red")
    order: StatusOrder | None = None
    if any((order_number, order_issuer, order_approver, order_until, order_appeal)):
        order = StatusOrder(
            number=order_number,
            issuer=order_issuer,
            approver=order_approver,
            until=_instant("--order-until", order_until),
            appeal=order_appeal,
        )
    now = _now()
    expires_at = now + timedelta(hours=hours)
    if order is not None:
        expires_at = min(expires_at, order.until)
    try:
        text = gc1.issue(
            gc1.CommunityCode(
                pass_hash=pass_hash(_subject(subject)),
                status=CodeStatus(status),
                issued_at=now,
                expires_at=expires_at,
                holder_key=_hex("--holder-key", holder_key) if holder_key else None,
                order=order,
                regions=tuple(region) if region else (() if no_travel else None),
            ),
            _private_key(key),
        )
    except CodeRefusedError:
        raise CodeError(
            "health code",
            seen=f"status {status}, order {order_number or 'none'}",
            expected="yellow and red under an order with number, issuer, another approver, a later end and an appeal; "
            "a holder key of 33 bytes; texts of 60 characters at most",
        ) from None
    _print_code(text, qr)


@app.command("certify-kiosk")
def certify_kiosk(
    key: KeyOption,
    kiosk: Annotated[str, typer.Option(help="the kiosk's id")],
    kiosk_key: Annotated[Path, typer.Option(help="the kiosk's key, PEM (private or public)")],
    out: Annotated[Path, typer.Option(help="the certificate file to write")],
    days: Annotated[int, typer.Option(min=1, max=92)] = 31,
) -> None:
    """Let one kiosk issue temporary passes with its own key while the network is down."""
    from kiosk.credentials import gp1

    now = _now()
    certificate = gp1.certify_kiosk(
        kiosk,
        _public_key(kiosk_key),
        _private_key(key),
        not_before=now,
        not_after=now + timedelta(days=days),
    )
    _write_new(out, certificate, 0o644)
    typer.echo(f"{out}: certificate of {kiosk}, good for {days} days")


@app.command("subject-key")
def subject_key(
    community_key: Annotated[Path, typer.Argument(help="the community's 32 bytes (gatepost config keys)")],
    out: Annotated[Path, typer.Argument(help="the key file to write, for the central's setting codes.subject_key")],
) -> None:
    """Write the key that turns a person's number into the pseudonym of records; it opens nothing else."""
    from kiosk.credentials.pseudonym import subject_key_of

    content = _read(secret_file(community_key))
    if len(content) != COMMUNITY_KEY_BYTES:
        raise ConfigError(str(community_key), seen=f"{len(content)} bytes", expected=f"{COMMUNITY_KEY_BYTES}")
    _write_new(out, subject_key_of(content), 0o600)
    typer.echo(f"{out}: written, mode 0600")


@app.command("pass")
def issue_pass(
    *,
    key: KeyOption,
    category: Annotated[str, typer.Option(help="visitor, courier, service_worker, …")],
    hours: Annotated[int, typer.Option(min=1, max=366 * 24, help="how long it is good for")] = 24,
    gate: Annotated[str, typer.Option(help="makes it a one-time pass for this gate")] = "",
    place: Annotated[list[str] | None, typer.Option(help="a gate it is good at; none means every gate")] = None,
    window: Annotated[
        list[str] | None, typer.Option(help='local hours, such as "mon,tue,fri 08:00-18:00"; none means always')
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="of certify-kiosk, when the key is a kiosk's")] = None,
    qr: QrOption = None,
) -> None:
    """Issue a GP1 temporary pass."""
    from kiosk.credentials import gp1
    from kiosk.credentials.code_verdict import CodeRefusedError

    now = _now()
    try:
        text = gp1.issue(
            gp1.TemporaryPass(
                pass_id=secrets.token_bytes(gp1.PASS_ID_BYTES),
                category=category,
                issued_at=now,
                expires_at=now + timedelta(hours=hours),
                places=tuple(place or ()),
                windows=tuple(map(_window, window or ())),
                one_time_gate=gate,
            ),
            _private_key(key),
            None if certificate is None else _read(certificate),
        )
    except CodeRefusedError:
        raise CodeError(
            "temporary pass",
            expected=f"at most {gp1.MAX_LIFETIME.days} days ({gp1.MAX_KIOSK_LIFETIME.days} with a kiosk's key), "
            f"{gp1.MAX_PLACES} places, {gp1.MAX_WINDOWS} windows, names of {gp1.MAX_NAME} characters",
        ) from None
    _print_code(text, qr)


@app.command()
def check(
    trust: Annotated[Path, typer.Option(help="trust folder")],
    text: Annotated[str, typer.Argument(help='the code\'s text; "-" reads it from the standard input')] = "-",
) -> None:
    """Judge one health code or temporary pass now, and say why. Ends with 0 when it is valid, else with 1."""
    from kiosk.credentials import CodeState, TrustStore, verify_health_code
    from kiosk.credentials.code_verdict import CodeRefusedError
    from kiosk.credentials.gp1 import PREFIX
    from kiosk.credentials.gp1 import verify as verify_pass

    if text == "-":
        text = sys.stdin.read(200_000).rstrip("\n")
    store = TrustStore.load(trust)
    if text.startswith(PREFIX):
        try:
            content = verify_pass(text, store, _now())
        except CodeRefusedError as refused:
            typer.echo(f"invalid: {refused.reason}")
            raise typer.Exit(1) from None
        typer.echo(f"valid: pass {content.pass_id.hex()}, {content.category}, until {content.expires_at.isoformat()}")
        return
    verdict = verify_health_code(text, store, _now())
    if verdict.state is not CodeState.VALID or verdict.claims is None:
        typer.echo(f"{verdict.state}: {verdict.reason}{f' ({verdict.kind})' if verdict.kind else ''}")
        raise typer.Exit(1)
    claims = verdict.claims
    until = "no end" if claims.expires_at is None else f"until {claims.expires_at.isoformat()}"
    typer.echo(f"valid: {claims.kind}, {claims.content}, {claims.status}, {claims.issuer}, {until}")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), seen=error.strerror or str(error), expected="a file") from error


def _private_key(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(secret_file(path)), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(str(path), seen="another file", expected="an Ed25519 key as PKCS#8 PEM")
    return key


def _public_key(path: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _read(path)
    if b"PRIVATE" in content:
        return _private_key(path).public_key()
    try:
        key = load_pem_public_key(content)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(str(path), seen="another file", expected="an Ed25519 key as PEM")
    return key


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise ConfigError(str(path), seen=error.strerror or str(error), expected="a new file") from error
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _add_key(path: Path, entry: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {"keys": []}
    if path.exists():
        try:
            document = json.loads(_read(path))
            document["keys"].append(entry)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(str(path), seen=str(error)[:80], expected='{"keys": [...]}') from error
    else:
        document["keys"].append(entry)
    replace_file(path, (json.dumps(document, indent=1) + "\n").encode(), mode=0o644)


def _subject(text: str) -> str:
    if len(_hex("--pass", text)) != 8:
        raise CodeError("--pass", seen=text[:40], expected="the holder's pseudonym, 16 hex digits")
    return text.lower()


def _hex(option: str, text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise CodeError(option, seen=text[:40], expected="hex digits") from None


def _instant(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CodeError(option, seen=text[:40] or "nothing", expected="such as 2026-03-31T23:59:59+08:00")
    return moment


def _window(text: str) -> PassWindow:
    from kiosk.credentials.gp1 import PassWindow

    try:
        days, _, hours = text.strip().partition(" ")
        start, _, end = hours.partition("-")
        minutes = [int(part[:2]) * 60 + int(part[3:]) for part in (start, end) if part[2] == ":" and len(part) == 5]
        weekdays = sum(1 << _DAYS.index(day) for day in set(days.split(",")))
        return PassWindow(weekdays, minutes[0], minutes[1])
    except (ValueError, IndexError):
        raise CodeError("--window", seen=text[:60], expected='such as "mon,tue,fri 08:00-18:00"') from None


def _print_code(text: str, qr: Path | None) -> None:
    typer.echo(text)
    if qr is None:
        return
    import segno

    if qr.suffix not in (".svg", ".png"):
        raise CodeError("--qr", seen=qr.suffix or "no suffix", expected=".svg or .png")
    segno.make(text, error="m", micro=False).save(str(qr), scale=6, border=4)
    typer.echo(f"{qr}: written")

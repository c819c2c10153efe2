"""The certificate of the tablets' console: one of the site's own, or one made here under a small authority.

``gatepost console certificate`` makes, in ``tablet`` below the state folder, an authority to be installed on tablets
and a certificate for the addresses and names of ``web.tablet``. The authority may sign for nothing else (RFC 5280,
section 4.2.1.10, critical), so that its key, which stays here for the next certificate, is worth nothing elsewhere.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.errors import ConfigError
from config.settings import Settings, secret_file
from config.tablet import Tablet, is_address
from kiosk.durable_file import owned_folder, replace_file

FOLDER = "tablet"
AUTHORITY, AUTHORITY_KEY = "authority.pem", "authority-key.pem"
CERTIFICATE, KEY = "certificate.pem", "key.pem"
AUTHORITY_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=800)
"""Below the 825 days that Apple's devices allow under an authority that a person installed (support page HT210176)."""
BACKDATED = timedelta(days=1)
MAX_PEM_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where certificate (with its chain) and key lie."""

    certificate: Path
    key: Path


def certificate_files(settings: Settings) -> CertificateFiles:
    """Those of the settings, or those made here. Raises ConfigError when one is missing or others may read the key."""
    tablet, folder = settings.web.tablet, settings.state.folder / FOLDER
    made = tablet.certificate is None or tablet.key is None
    certificate, key = (folder / CERTIFICATE, folder / KEY) if made else (tablet.certificate, tablet.key)
    assert certificate is not None  # noqa: S101 - for the type checker: both are set or both are made
    assert key is not None  # noqa: S101
    for path in (certificate, key):
        if made and not path.is_file():
            raise ConfigError(
                f"web.tablet: {path}", seen="no such file", expected="a certificate: tablets are served by TLS alone",
                hint="gatepost console certificate, or set web.tablet.certificate and key",
            )  # fmt: skip
    return CertificateFiles(certificate, secret_file(key))


def tls_context(files: CertificateFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer with this certificate. Raises ConfigError for files that do not belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"web.tablet.certificate {files.certificate}", seen=str(error)[:160], expected=f"PEM that fits {files.key}"
        ) from error
    return context


def _no_password() -> str:
    # Otherwise OpenSSL would ask on the terminal and the gate would wait.
    raise ValueError("the key is encrypted, expected one without a passphrase")


def valid_until(files: CertificateFiles) -> datetime:
    """The end of the certificate. Raises ConfigError."""
    return _certificate(files.certificate).not_valid_after_utc


def fingerprint(authority: Path) -> str:
    """SHA-256 of an authority's certificate in hex, in groups of four. Raises ConfigError."""
    digest = _certificate(authority).fingerprint(hashes.SHA256()).hex()
    return " ".join(digest[i : i + 4] for i in range(0, len(digest), 4))


def make_certificate(folder: Path, tablet: Tablet, *, now: datetime) -> bool:
    """Make a certificate in ``folder``; True when the authority is new, too, and must be installed on the tablets.

    The authority stays while it may sign for every name. Raises ConfigError.
    """
    names = tablet.known_as
    if not names:
        raise ConfigError("web.tablet", seen="no host", expected="the address of this kiosk in the tablets' network")
    try:
        owned_folder(folder)
        authority = _kept_authority(folder, names, now)
        new = authority is None
        key, certificate = authority or _new_authority(names, now)
        if new:
            replace_file(folder / AUTHORITY_KEY, _pem(key))
            replace_file(folder / AUTHORITY, certificate.public_bytes(serialization.Encoding.PEM))
        own_key = ec.generate_private_key(ec.SECP256R1())
        own = _signed(own_key, names, key, certificate, now)
        replace_file(folder / KEY, _pem(own_key))
        replace_file(folder / CERTIFICATE, own.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise ConfigError(str(folder), seen=error.strerror or str(error), expected="a folder to write in") from error
    return new


def _kept_authority(
    folder: Path, names: tuple[str, ...], now: datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None:
    if not (folder / AUTHORITY).is_file() or not (folder / AUTHORITY_KEY).is_file():
        return None
    certificate = _certificate(folder / AUTHORITY)
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    ends = certificate.not_valid_after_utc < now + CERTIFICATE_LIFE
    if ends or not {_constraint(name) for name in names} <= set(constraints.permitted_subtrees or ()):
        return None
    key = serialization.load_pem_private_key(secret_file(folder / AUTHORITY_KEY).read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(str(folder / AUTHORITY_KEY), seen=type(key).__name__, expected="a P-256 key")
    return key, certificate


def _new_authority(names: tuple[str, ...], now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Gatepost tablets at {names[0]}"[:64])])
    # A kind of name that is not mentioned is not bounded: what is not permitted is excluded whole.
    excluded: list[x509.GeneralName] = []
    if all(is_address(name) for name in names):
        excluded.append(x509.DNSName(""))
    for every in ("0.0.0.0/0", "::/0"):
        network = ipaddress.ip_network(every)
        if not any(is_address(name) and ipaddress.ip_address(name).version == network.version for name in names):
            excluded.append(x509.IPAddress(network))
    certificate = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.NameConstraints([_constraint(name) for name in names], excluded or None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _signed(
    key: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    now: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Gatepost console")])
    alternative = [
        x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name) for name in names
    ]
    return (
        _builder(subject, authority.subject, key.public_key(), now, CERTIFICATE_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    begin = now.astimezone(UTC).replace(microsecond=0) - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + life)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _constraint(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_network(name)) if is_address(name) else x509.DNSName(name)


def _certificate(path: Path) -> x509.Certificate:
    try:
        with path.open("rb") as file:
            return x509.load_pem_x509_certificate(file.read(MAX_PEM_BYTES))
    except (OSError, ValueError) as error:
        raise ConfigError(f"certificate {path}", seen=str(error)[:120], expected="a certificate in PEM") from error


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

"""Keys, command lines and TLS of sync: what is refused, and what it says then."""

from __future__ import annotations

import json
import re
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from config.errors import GatepostError
from kiosk.records import Stream
from sync import cli as sync_cli
from sync import keys
from sync.ackstore import AckPoint, AckStore
from sync.central import cli as central_cli
from sync.errors import KeyFileError, LinkError, SyncError
from sync.uplink import SignedRequest, Uplink
from tests.sync_kit import INCARNATION

PASSPHRASE = "correct horse battery staple"


def test_a_new_key_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, PKCS#8 PEM, and never written over."""
    path = tmp_path / "keys" / "kiosk.pem"
    made = keys.generate_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert keys.public_bytes(keys.load_private_key(path)) == keys.public_bytes(made)
    with pytest.raises(KeyFileError):
        keys.generate_key(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777])
def test_any_bit_for_others_is_refused(tmp_path: Path, mode: int) -> None:
    """The message names the mode and the command that mends it."""
    path = tmp_path / "kiosk.pem"
    keys.generate_key(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600"):
        keys.load_private_key(path)


def test_other_files_are_no_keys(tmp_path: Path) -> None:
    """Missing, empty, text, and a key of another kind."""
    path = tmp_path / "kiosk.pem"
    with pytest.raises(KeyFileError):
        keys.load_private_key(path)
    elliptic = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in (b"", b"nonsense", elliptic, b"-" * 100_000):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(KeyFileError):
            keys.load_private_key(path)


def test_the_central_from_its_command_line(tmp_path: Path) -> None:
    """init, enrol-code, kiosks, verify, export, token, restored: each does its one thing and says so."""
    run = CliRunner()
    database = str(tmp_path / "central.db")
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE + "\n")
    secret.chmod(0o644)
    refused = run.invoke(central_cli.app, ["init", "--database", database, "--admin-passphrase-file", str(secret)])
    assert isinstance(refused.exception, GatepostError)
    assert "chmod 600" in str(refused.exception)
    secret.chmod(0o600)

    def central(*arguments: str) -> str:
        result = run.invoke(central_cli.app, [arguments[0], "--database", database, *arguments[1:]])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    central("init", "--admin-passphrase-file", str(secret))
    assert stat.S_IMODE((tmp_path / "central.db").stat().st_mode) == 0o600
    assert len(central("enrol-code", "--kiosk-id", "gate-east").strip()) == 11
    assert json.loads(central("kiosks")) == []
    assert "every chain holds" in central("verify")
    assert central("export").startswith("cursor,kiosk_id,")
    assert len(central("token", "--name", "robot").strip()) >= 40
    assert central("remove-user", "--name", "robot") == "robot is gone; 1 log-ins and tokens ended\n"
    nobody = run.invoke(central_cli.app, ["remove-user", "--database", database, "--name", "robot"])
    assert "a user, or the name of a token" in str(nobody.exception)
    assert "epoch is now 2" in central("restored")
    wrong = run.invoke(
        central_cli.app, ["approve", "--database", database, "--kiosk-id", "gate-east", "--fingerprint", "x"]
    )
    assert isinstance(wrong.exception, SyncError)


def test_a_central_is_not_served_in_the_clear(tmp_path: Path) -> None:
    """An address that others reach needs TLS, or the word that a TLS proxy stands before it."""
    result = CliRunner().invoke(
        central_cli.app, ["serve", "--database", str(tmp_path / "central.db"), "--host", "192.0.2.1"]
    )
    assert isinstance(result.exception, GatepostError)
    assert "loopback" in str(result.exception)


def test_the_kiosk_side_says_what_is_wrong(tmp_path: Path) -> None:
    """No central there, no state file yet."""
    run = CliRunner()
    arguments = ["--key", str(tmp_path / "kiosk.pem"), "--kiosk-id", "gate-east", "--code", "AAAAA-AAAAA"]
    result = run.invoke(sync_cli.app, ["enrol", "--central", "http://127.0.0.1:1", *arguments])
    assert isinstance(result.exception, LinkError)
    plain = run.invoke(sync_cli.app, ["enrol", "--central", "http://192.0.2.1", *arguments])
    assert "expected: https" in str(plain.exception)
    missing = run.invoke(sync_cli.app, ["status", "--state", str(tmp_path / "sync.db")])
    assert isinstance(missing.exception, SyncError)
    store = AckStore(tmp_path / "sync.db")
    store.advance(INCARNATION, Stream.ALARM, AckPoint(7, bytes(32), 5, 6))
    store.close()
    found = json.loads(run.invoke(sync_cli.app, ["status", "--state", str(tmp_path / "sync.db")]).stdout)
    assert found["acknowledged"] == [{"incarnation": INCARNATION, "stream": "alarm", "acked": 7, "at_us": 5}]


def test_acknowledgements_of_one_minute_share_a_point_and_go_back_together(tmp_path: Path) -> None:
    """Points stay few; going back forgets what lies above; a later version of the file is refused."""
    store = AckStore(tmp_path / "sync.db")
    minute = 60_000_000
    for seq, at_us in ((1, minute), (2, minute + 5), (3, 2 * minute), (4, 3 * minute)):
        store.advance(INCARNATION, Stream.PASSAGE, AckPoint(seq, bytes([seq]) * 32, at_us, at_us))
    rows = store._db.execute("SELECT seq, confirmed_us FROM acknowledged ORDER BY seq").fetchall()
    assert rows == [(2, 3 * minute), (3, 3 * minute), (4, 3 * minute)]
    store.advance(INCARNATION, Stream.PASSAGE, AckPoint(4, bytes([4]) * 32, 9 * minute, 9 * minute))
    assert store._db.execute("SELECT max(confirmed_us) FROM acknowledged").fetchone() == (9 * minute,)
    store.go_back(INCARNATION, Stream.PASSAGE, AckPoint(3, bytes([3]) * 32, 10 * minute, 10 * minute))
    assert store.acked(INCARNATION, Stream.PASSAGE).seq == 3
    assert store.newest_point_below(INCARNATION, Stream.PASSAGE, 3).seq == 2
    store._db.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(SyncError, match="version 99"):
        AckStore(tmp_path / "sync.db")


class TlsListener:
    """A TLS server that notes what it is sent and answers nothing useful."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.received = b""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._context = context
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(plain, server_side=True) as secured:
                    self._take_request(secured)
                    secured.sendall(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                plain.close()

    def _take_request(self, secured: ssl.SSLSocket) -> None:
        """Read the whole request: closing with unread bytes would reset the connection and lose the answer."""
        request = b""
        while data := secured.recv(65536):
            request += data
            self.received += data
            head, found, body = request.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            if found and len(body) >= int(length[1] if length else 0):
                return

    def close(self) -> None:
        self._socket.close()
        self._thread.join(timeout=5)


def certificate(folder: Path, name: str, *, days: int) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 that ends in ``days``."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
    cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_path, key_path


REQUEST = SignedRequest(path="/x", kiosk_id="gate-east", request="r", body=b"records", signature=bytes(64))


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, tuple[Path, Path]]:
    return {
        "good": certificate(tmp_path, "good", days=10),
        "other": certificate(tmp_path, "other", days=10),
        "expired": certificate(tmp_path, "expired", days=-1),
    }


def test_nothing_is_sent_to_a_central_that_is_not_the_pinned_one(
    certificates: dict[str, tuple[Path, Path]],
) -> None:
    """Another authority, an expired certificate: not one byte of a record leaves. The pinned one is spoken to."""
    for name, pinned in (("other", "good"), ("expired", "expired")):
        listener = TlsListener(*certificates[name])
        with (
            Uplink(f"https://127.0.0.1:{listener.port}", ca_file=certificates[pinned][0]) as link,
            pytest.raises(LinkError),
        ):
            link.exchange(REQUEST)
        listener.close()
        assert listener.received == b""
    listener = TlsListener(*certificates["good"])
    with Uplink(f"https://127.0.0.1:{listener.port}", ca_file=certificates["good"][0]) as link:
        assert link.exchange(REQUEST).status == 418
    listener.close()
    assert b"POST /x" in listener.received

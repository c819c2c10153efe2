"""Bundles on disk, national lists as published, and the commands around them."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from config.errors import ConfigError, GatepostError
from kiosk import code_cli, trust_cli
from kiosk.credentials import CodeReason, CodeState, bundle_folder, verify_health_code
from kiosk.credentials.bundle import BundleError, make_bundle
from kiosk.credentials.bundle_folder import BundleFolder
from kiosk.credentials.national_lists import ListError, german_dsc_list, vci_snapshot
from kiosk.credentials.trust import TrustStore
from kiosk.demo.codes import DemoIssuer, DemoPerson
from sync.central import cli as central

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ROOT = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = ROOT.public_key().public_bytes_raw()
PERSON = DemoPerson(surname="Li", given="Wei", birth_date="1980-01-01")


def a_bundle(folder: Path, version: int) -> bytes:
    """The folder as a bundle of that version."""
    files = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    dates = {"created_at": NOW + timedelta(hours=version), "next_update": NOW + timedelta(days=7)}
    return make_bundle(files, version=version, root_keys=[ROOT], **dates)


def test_a_kiosk_takes_bundles_switches_whole_and_keeps_what_was_revoked(tmp_path: Path) -> None:
    """A revoked code stays refused after an update that forgot it, and after a restart."""
    issuer = DemoIssuer.create(NOW)
    text = issuer.hcert(PERSON, issued_at=NOW, expires_at=NOW + timedelta(days=30))
    lists = tmp_path / "lists"
    issuer.write_trust_folder(lists, revoked=[text])
    kiosk = BundleFolder(tmp_path / "trust", (PUBLIC,))
    with pytest.raises(ConfigError, match="no bundle yet"):
        kiosk.load()
    kiosk.take(a_bundle(lists, 1))
    issuer.write_trust_folder(lists)
    kiosk.take(a_bundle(lists, 2))
    restarted = BundleFolder(tmp_path / "trust", (PUBLIC,))
    assert restarted.state().version == 2
    later = NOW + timedelta(hours=3)
    assert verify_health_code(text, restarted.load(), later).reason is CodeReason.REVOKED
    assert [path.name for path in (tmp_path / "trust").glob("v*")] == ["v2.0"]
    assert verify_health_code(text, restarted.load(), NOW - timedelta(days=1)).reason is CodeReason.CLOCK
    with pytest.raises(BundleError, match="version"):
        restarted.take(a_bundle(lists, 2))


def test_a_bundle_that_cannot_be_loaded_changes_nothing(tmp_path: Path) -> None:
    """A signed bundle with a broken file leaves the old store in use."""
    lists = tmp_path / "lists"
    DemoIssuer.create(NOW).write_trust_folder(lists)
    kiosk = BundleFolder(tmp_path / "trust", (PUBLIC,))
    kiosk.take(a_bundle(lists, 1))
    (lists / "hcert_revoked.json").write_text('{"entries": 7}')
    with pytest.raises(GatepostError):
        kiosk.take(a_bundle(lists, 2))
    assert kiosk.state().version == 1
    assert kiosk.load().key_count() == 1


@pytest.mark.parametrize(
    "step", ["new_file", "sync_folder", "replace_file", "symlink_to", "replace", "_write_state", "rmtree"]
)
def test_a_power_cut_at_any_step_leaves_a_whole_store_and_a_way_on(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at each call of each step in turn: the kiosk always has a store, and the same bundle is taken afterwards."""
    issuer = DemoIssuer.create(NOW)
    text = issuer.hcert(PERSON, issued_at=NOW, expires_at=NOW + timedelta(days=30))
    lists = tmp_path / "lists"
    issuer.write_trust_folder(lists)
    where: dict[str, object] = {"symlink_to": Path, "replace": Path, "_write_state": BundleFolder}
    for cut_at in range(8):
        kiosk = BundleFolder(tmp_path / f"trust{cut_at}", (PUBLIC,))
        kiosk.take(a_bundle(lists, 1))
        calls = 0
        owner = where.get(step, bundle_folder)
        real = getattr(owner, step)

        def cut(*arguments: object, real: Callable[..., object] = real, cut_at: int = cut_at, **more: object) -> object:
            nonlocal calls
            calls += 1
            if calls > cut_at:
                raise OSError("power cut")
            return real(*arguments, **more)

        with monkeypatch.context() as patch:
            patch.setattr(owner, step, cut)
            with contextlib.suppress(OSError):
                kiosk.take(a_bundle(lists, 2))
        after = BundleFolder(tmp_path / f"trust{cut_at}", (PUBLIC,))
        assert verify_health_code(text, after.load(), NOW + timedelta(hours=3)).state is CodeState.VALID
        if after.state().version == 1:
            after.take(a_bundle(lists, 2))
        assert after.state().version == 2
        assert verify_health_code(text, after.load(), NOW + timedelta(hours=3)).state is CodeState.VALID


def test_a_kiosk_that_lost_its_state_takes_nothing_unasked(tmp_path: Path) -> None:
    """Without its version it would take an old bundle; so it says what is wrong."""
    lists = tmp_path / "lists"
    DemoIssuer.create(NOW).write_trust_folder(lists)
    kiosk = BundleFolder(tmp_path / "trust", (PUBLIC,))
    kiosk.take(a_bundle(lists, 1))
    (tmp_path / "trust" / "state.json").write_text("{")
    with pytest.raises(ConfigError, match=r"state\.json"):
        kiosk.take(a_bundle(lists, 2))


@pytest.mark.data
def test_the_two_real_lists_convert_after_their_own_signatures_verify(test_data: Path, tmp_path: Path) -> None:
    """The EU list in the German form and the VCI snapshot; a changed byte of either is refused."""
    folder = test_data / "healthcodes" / "trustlists"
    dsc = gzip.decompress((folder / "eu-dsc-list-signed.json.gz").read_bytes())
    key = (folder / "eu-dsc-list-signing-key.pem").read_bytes()
    vci = gzip.decompress((folder / "vci_snapshot.json.gz").read_bytes())
    signature = (folder / "vci_snapshot.sig").read_bytes()
    publisher = x509.load_pem_x509_certificate((folder / "vci_snapshot.crt").read_bytes()).public_key()
    (tmp_path / "hcert_dsc.json").write_bytes(german_dsc_list(dsc, key))
    (tmp_path / "shc_issuers.json").write_bytes(vci_snapshot(vci, signature, publisher))
    store = TrustStore.load(tmp_path)
    assert sum(map(len, store.hcert_signers.values())) > 500
    assert sum(map(len, store.shc_keys.values())) > 800
    with pytest.raises(ListError):
        german_dsc_list(dsc.replace(b"DSC", b"CSC", 1), key)
    with pytest.raises(ListError):
        vci_snapshot(vci.replace(b"California", b"Californib", 1), signature, publisher)


def run(app: object, *arguments: str) -> str:
    """One command's output; a command that failed shows why."""
    result = CliRunner().invoke(app, list(arguments))  # type: ignore[arg-type]
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_a_community_makes_keys_and_issues_codes_and_passes_by_command(tmp_path: Path) -> None:
    """From nothing to a valid printed code and a kiosk's own pass, as the documentation shows it."""
    key, kiosk_key, trust = tmp_path / "community.pem", tmp_path / "kiosk.pem", tmp_path / "trust"
    uses = ("--use", "code", "--use", "pass", "--use", "kiosk")
    run(code_cli.app, "new-key", str(key), "--name", "Sunny Gardens", *uses, "--trust", str(trust))
    assert key.stat().st_mode & 0o077 == 0
    picture = tmp_path / "code.svg"
    out = run(code_cli.app, "issue", "--key", str(key), "--pass", "0123456789abcdef", "--qr", str(picture))
    text = out.splitlines()[0]
    assert picture.read_text().startswith("<?xml")
    assert "valid: gc1, status, green, Sunny Gardens" in run(code_cli.app, "check", "--trust", str(trust), text)
    run(code_cli.app, "new-key", str(kiosk_key), "--name", "k", "--use", "code", "--trust", str(tmp_path / "other"))
    certificate = tmp_path / "kiosk.cert"
    ids = ("--kiosk", "kiosk-1", "--kiosk-key", str(kiosk_key))
    run(code_cli.app, "certify-kiosk", "--key", str(key), *ids, "--out", str(certificate))
    limits = ("--category", "courier", "--gate", "north", "--window", "mon,tue,wed,thu,fri,sat,sun 00:00-24:00")
    out = run(code_cli.app, "pass", "--key", str(kiosk_key), "--certificate", str(certificate), *limits)
    assert "valid: pass" in run(code_cli.app, "check", "--trust", str(trust), out.splitlines()[0])
    refused = CliRunner().invoke(code_cli.app, ["check", "--trust", str(trust), text[:-3] + "AAA"])
    assert refused.exit_code == 1
    assert refused.output.startswith("invalid: ")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["issue", "--pass", "xyz"], "--pass"),
        (["issue", "--pass", "0123456789abcdef", "--status", "red"], "order"),
        (["issue", "--pass", "0123456789abcdef", "--status", "blue"], "--status"),
        (["issue", "--pass", "0123456789abcdef", "--order-number", "1"], "--order-until"),
        (["pass", "--category", "courier", "--window", "someday"], "--window"),
        (["pass", "--category", "x" * 41], "temporary pass"),
    ],
)
def test_what_cannot_be_issued_is_refused_with_the_option_to_change(
    tmp_path: Path, arguments: list[str], names: str
) -> None:
    """The error names the option, never a stack trace of our own making."""
    key = tmp_path / "community.pem"
    run(code_cli.app, "new-key", str(key), "--name", "x", "--use", "code", "--trust", str(tmp_path))
    result = CliRunner().invoke(code_cli.app, [*arguments, "--key", str(key)])
    assert isinstance(result.exception, GatepostError)
    assert names in str(result.exception)


def test_a_bundle_is_built_and_taken_by_command(tmp_path: Path) -> None:
    """Root made, folder signed, kiosk switched; a second time the same version is refused."""
    lists, root, out = tmp_path / "lists", tmp_path / "root.pem", tmp_path / "trust.bundle"
    DemoIssuer.create(datetime.now(UTC)).write_trust_folder(lists)
    public = run(central.app, "trust", "new-root", str(root)).split("root ")[-1].split()[0]
    assert len(base64.b64decode(public)) == 32
    run(central.app, "trust", "build", str(lists), "--out", str(out), "--root-key", str(root), "--version", "1")
    take = ("take", str(out), "--folder", str(tmp_path / "kiosk"), "--root", public)
    assert "version 1" in run(trust_cli.app, *take)
    assert json.loads((tmp_path / "kiosk" / "state.json").read_text())["version"] == 1
    assert isinstance(CliRunner().invoke(trust_cli.app, list(take)).exception, BundleError)


@pytest.mark.data
def test_one_command_builds_a_bundle_from_the_two_real_national_lists(test_data: Path, tmp_path: Path) -> None:
    """Both lists as published, checked by their own signatures, signed by an offline root, taken by a kiosk."""
    lists, root, out = test_data / "healthcodes/trustlists", tmp_path / "root.pem", tmp_path / "7.trust"
    public = run(central.app, "trust", "new-root", str(root)).split("root ")[-1].split()[0]
    dsc = ("--dsc", str(lists / "eu-dsc-list-signed.json.gz"), "--dsc-key", str(lists / "eu-dsc-list-signing-key.pem"))
    vci = ("--vci", str(lists / "vci_snapshot.json.gz"), "--vci-signature", str(lists / "vci_snapshot.sig"))
    publisher = ("--vci-certificate", str(lists / "vci_snapshot.crt"))
    sign = ("--out", str(out), "--root-key", str(root), "--version", "7")
    said = run(central.app, "trust", "build", str(tmp_path / "folder"), *dsc, *vci, *publisher, *sign)
    assert "version 7" in said
    kiosk = BundleFolder(tmp_path / "kiosk", (base64.b64decode(public),))
    kiosk.take(out.read_bytes())
    assert kiosk.load().key_count() > 1300
    half = CliRunner().invoke(central.app, ["trust", "build", str(tmp_path / "folder"), *dsc[:2], *sign])
    assert isinstance(half.exception, ConfigError)
    assert "--dsc-key" in str(half.exception)


def test_the_demos_codes_are_valid_through_a_bundle(tmp_path: Path) -> None:
    """Issuer, lists, bundle, kiosk, verifier: the whole way of a key."""
    issuer = DemoIssuer.create(NOW)
    issuer.write_trust_folder(tmp_path / "lists")
    kiosk = BundleFolder(tmp_path / "trust", (PUBLIC,))
    kiosk.take(a_bundle(tmp_path / "lists", 1))
    text = issuer.hcert(PERSON, issued_at=NOW, expires_at=NOW + timedelta(days=30))
    assert verify_health_code(text, kiosk.load(), NOW + timedelta(hours=2)).state is CodeState.VALID

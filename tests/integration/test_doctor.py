"""The doctor names each thing that is wrong, and opens devices for real."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.settings import Settings, load_settings
from drivers.cards.ntag424 import CardKeys
from drivers.simulators import gy_mcu90615
from drivers.simulators.registry import Spec
from drivers.simulators.wire import Wire
from kiosk.credentials.bundle_folder import BundleFolder
from kiosk.doctor import Finding, Level, examine
from kiosk.site_stores import open_card_keys, open_roster
from tests.integration.test_left_out import write_authority
from tests.integration.test_trust_keeper import PUBLIC, TEN_KEYS, bundle

GATE = """
[site]
kiosk_id = "north-1"
[state]
folder = "{folder}/state"
[keys]
community = "{folder}/community.key"
kiosk = "{folder}/kiosk.pem"
[[lane]]
name = "in"
  [lane.reader]
  port = "{folder}/dev/reader-in"
  [lane.thermometer]
  port = "{folder}/dev/thermometer-in"
"""


def settings_in(folder: Path) -> Settings:
    for name, content in (("community.key", bytes(32)), ("kiosk.pem", b"key")):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    path = folder / "gate.toml"
    path.write_text(GATE.format(folder=folder))
    return load_settings(path, {}).settings


def by_what(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings}


def test_each_thing_is_named_with_what_to_do(tmp_path: Path) -> None:
    """An example order, nobody who can log in, no trust folder, an uncalibrated sensor: worth a look, not bad."""
    found = by_what(list(examine(settings_in(tmp_path), devices=False)))
    assert found["policy"].level is Level.LOOK
    assert "example order" in found["policy"].detail
    assert found["keys"].level is Level.GOOD
    assert "gatepost guard set" in found["guards"].detail
    assert found["trust store"].level is Level.LOOK
    assert "unknown" in found["in/fevers"].detail


def test_the_trust_stores_age_and_a_rule_set_that_is_not_there_are_told(tmp_path: Path) -> None:
    """Before the first bundle, with a fresh one, and with one that is long overdue; a misspelt rule set is bad."""
    settings_in(tmp_path)
    root = base64.b64encode(PUBLIC).decode()
    path = tmp_path / "gate.toml"
    path.write_text(path.read_text() + f'[trust]\nroots = ["{root}"]\nrule_set = "entri"\n')
    settings = load_settings(path, {}).settings
    found = by_what(list(examine(settings, devices=False)))
    assert (found["trust store"].level, "no bundle" in found["trust store"].detail) == (Level.LOOK, True)
    bundles = BundleFolder(tmp_path / "state/trust", (PUBLIC,))
    for version, days, level, light in ((1, -30, Level.LOOK, "red"), (2, 0, Level.GOOD, "green")):
        bundles.take(bundle(version, TEN_KEYS, at=datetime.now(UTC) + timedelta(days=days, hours=-3)))
        found = by_what(list(examine(settings, devices=False)))
        assert found["trust age"].level is level
        assert f"version {version}: {light}, next due" in found["trust age"].detail
    assert found["trust store"].detail.startswith("10 keys")
    assert found["rule set"].level is Level.BAD


def test_a_key_that_others_can_read_is_bad(tmp_path: Path) -> None:
    """The finding holds the command that mends it."""
    settings = settings_in(tmp_path)
    (tmp_path / "kiosk.pem").chmod(0o644)
    keys = by_what(list(examine(settings, devices=False)))["keys"]
    assert keys.level is Level.BAD
    assert "chmod 600" in keys.detail


def test_guards_are_counted_and_a_missing_file_is_bad(tmp_path: Path) -> None:
    """A file that is named and not there is a fault; an empty one is only worth a look. Both keep guards out."""
    settings_in(tmp_path)
    path, guards = tmp_path / "gate.toml", tmp_path / "guards.toml"
    path.write_text(path.read_text().replace("[keys]", f'[keys]\nguards = "{guards}"'))
    settings = load_settings(path, {}).settings
    secret = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaA"
    for body, level, word in (
        (None, Level.BAD, "nobody can log in"),
        ("[guards]\n", Level.LOOK, "nobody can log in"),
        (f'[guards.wang]\nname = "王"\nsecret = "{secret}"\n', Level.GOOD, "1 may log in"),
    ):
        if body is not None:
            guards.write_text(body)
            guards.chmod(0o600)
        found = by_what(list(examine(settings, devices=False)))["guards"]
        assert (found.level, word in found.detail) == (level, True), found.detail


def test_what_was_damaged_is_named(tmp_path: Path) -> None:
    """Each file that was set aside, once; and the note of documents, without which none is taken."""
    settings_in(tmp_path)
    state = tmp_path / "state"
    state.mkdir(exist_ok=True)
    for suffix in ("", "-wal", "-shm"):
        (state / f"roster.db.damaged-20261121T080000Z{suffix}").write_bytes(b"x")
    write_authority(tmp_path / "authority.pub")
    (state / "documents-in-force.json").write_text("{")
    path = tmp_path / "gate.toml"
    path.write_text(path.read_text() + f'[sync]\nauthority = "{tmp_path}/authority.pub"\n')
    found = list(examine(load_settings(path, {}).settings, devices=False))
    (damage,) = [finding for finding in found if finding.what == "damage"]
    assert damage.level is Level.LOOK
    assert damage.detail.startswith("roster.db.damaged-20261121T080000Z was set aside")
    assert by_what(found)["authority"].level is Level.BAD
    assert "documents-in-force.json" in by_what(found)["authority"].detail


def test_a_device_that_proves_itself_is_good_and_a_missing_one_is_bad(tmp_path: Path) -> None:
    """The thermometer is simulated at the other end of its wire; there is no reader."""
    settings = settings_in(tmp_path)
    spec = Spec(name="thermometer-in", kind="gy_mcu90615", baud=115200, seed=1, folder=tmp_path)
    wire = Wire(tmp_path / "dev/thermometer-in", gy_mcu90615.player(spec), baud=115200, seed=1)
    wire.start()
    try:
        found = by_what(list(examine(settings)))
    finally:
        wire.stop()
    assert found["in/thermometer"].level is Level.GOOD
    assert "GY-MCU90615" in found["in/thermometer"].detail
    assert found["in/reader"].level is Level.BAD
    assert "missing" in found["in/reader"].detail


def test_what_sync_does_for_the_gate_is_looked_at(tmp_path: Path) -> None:
    """A missing secret and authority are bad; a sync that does not run, and answers without an echo, worth a look."""
    settings_in(tmp_path)
    path = tmp_path / "gate.toml"
    path.write_text(
        path.read_text()
        + f'''
[sync]
authority = "{tmp_path}/authority.pub"
[lookup]
url = "https://hc.example/decode"
prefixes = ["https://hc.example/c/"]
secret = "{tmp_path}/lookup.secret"
[lookup.reply]
token = ""
'''
    )
    settings = load_settings(path, {}).settings
    found = by_what(list(examine(settings, devices=False)))
    assert found["authority"].level is Level.BAD
    assert found["lookup secret"].level is Level.BAD
    assert found["lookup answers"].level is Level.LOOK
    assert "gatepost-sync" in found["line to sync"].detail
    (tmp_path / "lookup.secret").write_text("a secret of this site")
    (tmp_path / "lookup.secret").chmod(0o600)
    (tmp_path / "state" / "sync.sock").touch()
    found = by_what(list(examine(settings, devices=False)))
    assert "lookup secret" not in found
    assert found["line to sync"].level is Level.GOOD


def test_the_doctor_counts_cards_and_the_keys_that_they_need(tmp_path: Path) -> None:
    """Nobody known; then two cards that must prove themselves and the keys of one; then the keys of both."""
    settings = settings_in(tmp_path)

    def told(what: str) -> tuple[Level, str]:
        found = by_what(list(examine(settings, devices=False)))[what]
        return found.level, found.detail

    level, detail = told("roster")
    assert (level, "gatepost roster import" in detail) == (Level.LOOK, True)
    uids = [bytes.fromhex("04a1b2c3d4e501"), bytes.fromhex("04a1b2c3d4e502")]
    lines = ["person_id,category,card_uid,card_strength", *(f"R-{uid.hex()},resident,{uid.hex()},ev2" for uid in uids)]
    with open_roster(settings) as roster:
        roster.import_csv([line.encode() + b"\n" for line in [*lines, "C-1,courier,11223344,uid"]], at_us=0)
    keys = CardKeys(gate_key=bytes(16), file_key=bytes(16))
    with open_card_keys(settings) as store:
        store.take([(uids[0], keys)])
    assert told("roster") == (Level.GOOD, "3 people, 3 cards (2 ev2, 1 uid), 0 revocations")
    level, detail = told("card keys")
    assert (level, detail.startswith("for 1 of 2 cards")) == (Level.LOOK, True)
    with open_card_keys(settings) as store:
        store.take([(uids[1], keys)])
    assert told("card keys") == (Level.GOOD, "for 2 cards")
    path = tmp_path / "gate.toml"
    path.write_text(path.read_text().replace("[lane.reader]", '[lane.reader]\n  strength = "uid"'))
    settings = load_settings(path, {}).settings
    level, detail = told("card keys")
    assert (level, "no reader asks them" in detail) == (Level.LOOK, True)

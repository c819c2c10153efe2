"""A policy that the central sent comes into force at this kiosk whole or not at all, and stays over restarts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.errors import ConfigError
from config.policy import POLICIES, load_policy
from config.settings import DOCUMENTS, Settings, load_settings
from kiosk.arrivals import REFUSED, STATE, Appliers, Arrivals
from kiosk.card_keys import CardKeyStore
from kiosk.doctor_policy import policy_lines
from kiosk.lane_setup import lane_setup
from kiosk.passage_events import LaneSetup
from kiosk.policy_keeper import FALLBACK, PolicyKeeper, policy_at_start
from kiosk.policy_shelf import FILE, SignedDocument, keep_policy
from kiosk.roster import Roster
from kiosk.roster_tables import RosterError
from kiosk.signed_document import SNAPSHOT_CONTEXT, DocumentKind, Manifest
from sync import keys
from sync.downlink import Downlink
from sync.uplink import FetchedDocument
from tests.fakes import MORNING_US
from tests.gate_settings import COMMUNITY_KEY, lane_text, write_gate
from tests.integration.test_sync_documents import Shelf
from tests.sync_kit import KEY

AUTHORITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))
ROSTER = b"person_id,category,card_uid\nR-1,resident,04a1b2c3d4e501\nC-1,courier,11223344\n"


def rules(version: str, shipped: str = "building_door", **changes: str) -> bytes:
    """A shipped policy under another version; ``changes`` put one text in another's place (`old` and `new`)."""
    text = (POLICIES / f"{shipped}.toml").read_text("utf-8")
    text = text.replace(f'version = "{load_policy(shipped).version}"', f'version = "{version}"')
    if changes:
        assert changes["old"] in text
        text = text.replace(changes["old"], changes["new"])
    return text.encode()


OWN = load_policy("building_door").version


@dataclass
class Kiosk:
    """What of a gate has to do with policies; :meth:`start` is a (re)start."""

    folder: Path
    put: list[Mapping[str, LaneSetup]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    alarms: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        sync = '[sync]\nauthority = "{folder}/authority.pub"\n'
        write_gate(self.folder, sync + lane_text("in", "reader", "thermometer"), kiosk_id="north-1")
        (self.folder / "authority.pub").write_bytes(
            AUTHORITY.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        self.state = self.folder / "state"
        self.state.mkdir()
        self.roster = Roster.open(self.state / "roster.db", COMMUNITY_KEY)
        self.roster.import_csv(ROSTER.splitlines(keepends=True), at_us=MORNING_US)
        self.card_keys = CardKeyStore.open(self.state / "cards.db", COMMUNITY_KEY)
        self.start()

    @property
    def settings(self) -> Settings:
        return load_settings(self.folder / "gate.toml", {}).settings

    def start(self) -> None:
        settings = self.settings
        start = policy_at_start(settings)
        setups = {lane.name: lane_setup(settings, lane, start.in_force.policy) for lane in settings.lane}
        self.keeper = PolicyKeeper(settings, start, setups=setups, put=self.put.append)
        self.arrivals = Arrivals(
            folder=self.state / DOCUMENTS,
            state=self.state,
            authority=keys.public_bytes(AUTHORITY),
            appliers=Appliers(
                roster=self.roster,
                card_keys=self.card_keys,
                kiosk_id="north-1",
                kiosk_key=lambda: KEY,
                revoke_passes=lambda ids: None,
                zone=settings.site.zone,
                now_us=lambda: MORNING_US,
            ),
            note=self.notes.append,
            alarm=lambda code, facts: self.alarms.append({"code": code} | facts),
            policy=self.keeper,
        )

    def lay(self, version: int, body: bytes, *, signer: Ed25519PrivateKey = AUTHORITY) -> None:
        """A document as this kiosk's sync puts it down; one of a stranger as a broken-in sync would."""
        manifest = Manifest.of(DocumentKind.POLICY, version, body, MORNING_US).to_bytes()
        shelf = Shelf()
        shelf.document = FetchedDocument(
            manifest=manifest, signature=keys.sign(signer, SNAPSHOT_CONTEXT, manifest), body=body
        )
        down = Downlink(
            self.state / DOCUMENTS, kiosk_id="north-1", private_key=KEY, authority=keys.public_bytes(signer), link=shelf
        )
        down._held[DocumentKind.POLICY] = 0
        assert down.fetch(DocumentKind.POLICY, "r") == version

    def send(self, version: int, body: bytes, *, signer: Ed25519PrivateKey = AUTHORITY) -> None:
        """It arrives, and is looked at."""
        self.lay(version, body, signer=signer)
        self.arrivals.look()

    def send_roster(self, version: int, body: bytes = ROSTER) -> None:
        """The whole roster arrives anew, whatever lies there."""
        manifest = Manifest.of(DocumentKind.ROSTER, version, body, MORNING_US).to_bytes()
        shelf = Shelf()
        signature = keys.sign(AUTHORITY, SNAPSHOT_CONTEXT, manifest)
        shelf.document = FetchedDocument(manifest=manifest, signature=signature, body=body)
        public = keys.public_bytes(AUTHORITY)
        down = Downlink(self.state / DOCUMENTS, kiosk_id="north-1", private_key=KEY, authority=public, link=shelf)
        down._held[DocumentKind.ROSTER] = 0
        assert down.fetch(DocumentKind.ROSTER, "r") == version
        self.arrivals.look()

    @property
    def in_force(self) -> tuple[str, int]:
        return self.keeper.in_force.policy.version, self.keeper.in_force.document


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    made = Kiosk(tmp_path)
    yield made
    made.roster.close()
    made.card_keys.close()


def test_a_policy_comes_into_force_in_every_lane(kiosk: Kiosk) -> None:
    """Set-ups with the policy and its threshold go to the gate; the journal has both versions and the document's."""
    assert kiosk.in_force == (OWN, 0)
    kiosk.send(7, rules("case-7", "case", old="[temperature]", new="[temperature]\nborderline_from_c = 37.2"))
    assert kiosk.in_force == ("case-7", 7)
    [setups] = kiosk.put
    assert setups["in"].policy.version == "case-7"
    assert setups["in"].sensor is not None
    assert setups["in"].sensor.model.low_c == 37.2
    assert kiosk.notes == [
        {
            "document": "policy",
            "version": 7,
            "held": 0,
            "policy": "case-7",
            "before": OWN,
            "unnamed": [],
        }
    ]
    assert not kiosk.alarms
    assert not kiosk.arrivals.alarms
    assert not kiosk.keeper.why_refused


def test_the_text_of_a_roster_goes_once_it_is_in_force(kiosk: Kiosk) -> None:
    """Names and birth dates in the clear; after a restart it is still in force, and the next one is taken."""
    text = kiosk.state / DOCUMENTS / "roster" / "body"
    kiosk.send_roster(5)
    assert text.read_bytes() == ROSTER
    kiosk.arrivals.look()
    assert not text.exists()
    kiosk.start()
    kiosk.arrivals.look()
    assert len(kiosk.notes) == 1
    assert kiosk.roster.categories() == {"resident": 1, "courier": 1}
    kiosk.send_roster(6, ROSTER.replace(b"C-1,courier,11223344\n", b""))
    assert kiosk.roster.categories() == {"resident": 1}
    assert not kiosk.alarms


def test_a_text_stays_until_it_is_noted_which_one_is_in_force(kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: after a restart it would be needed once more. One that was refused stays, too."""
    text = kiosk.state / DOCUMENTS / "roster" / "body"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("kiosk.arrivals.replace_file", full)
        kiosk.send_roster(5)
        kiosk.arrivals.look()
        assert text.exists()
    for _ in range(4):
        kiosk.arrivals.look()
    assert not text.exists()
    kiosk.send_roster(6, b"no roster\n")
    kiosk.arrivals.look()
    assert text.exists()


def test_a_restart_begins_with_the_newest_that_was_accepted(kiosk: Kiosk) -> None:
    """Also without sync's folder, and when the site's own file was changed or broken meanwhile."""
    kiosk.send(7, rules("case-7", "case"))
    kiosk.send(8, rules("case-8", "case"))
    kiosk.state.joinpath(DOCUMENTS).rename(kiosk.state / "gone")
    text = (kiosk.folder / "gate.toml").read_text().replace('"building_door"', f'"{kiosk.folder}/missing.toml"')
    (kiosk.folder / "gate.toml").write_text(text)
    kiosk.start()
    assert kiosk.in_force == ("case-8", 8)
    assert kiosk.keeper.at_start() == {
        "event": "policy_at_start",
        "policy": "case-8",
        "source": "central",
        "version": 8,
        "why": "",
    }
    kiosk.arrivals.look()
    assert len(kiosk.put) == 2


BAD = {
    "forged": (STRANGER, 9, rules("case-9", "case"), "a signature that is not the authority's"),
    "older": (AUTHORITY, 7, rules("case-6", "case"), "above 8"),
    "no policy": (AUTHORITY, 9, b"version = 9\n", "version"),
    "not TOML": (AUTHORITY, 9, b"{}", "TOML"),
    "sorts people": (AUTHORITY, 9, rules("c-9", old='name = "courier"', new='name = "origin_west"'), "refused"),
    "another kiosk's": (AUTHORITY, 9, b'kiosks = ["south-1"]\n' + rules("case-9"), "north-1"),
    "hard passback": (
        AUTHORITY,
        9,
        rules("case-9", old='name = "courier"', new='name = "courier"\npassback = "hard"'),
        "no passage beam or door contact at in",
    ),
    "locks residents out": (
        AUTHORITY,
        9,
        rules("case-9", old='name = "resident"\nlives_here = true', new='name = "resident"'),
        "1 people of the roster who would not get home",
    ),
}


@pytest.mark.parametrize(("signer", "version", "body", "why"), BAD.values(), ids=BAD.keys())
def test_what_is_bad_is_refused_with_a_reason_and_the_old_stays(
    kiosk: Kiosk, signer: Ed25519PrivateKey, version: int, body: bytes, why: str
) -> None:
    """One alarm in the journal, a light and the reason on the console; nothing of it is in force after a restart."""
    kiosk.send(8, rules("case-8"))
    kiosk.notes.clear()
    kiosk.send(version, body, signer=signer)
    kiosk.arrivals.look()
    assert kiosk.in_force == ("case-8", 8)
    [alarm] = kiosk.alarms
    assert (alarm["code"], alarm["document"], alarm["version"]) == (REFUSED, "policy", version)
    assert why in str(alarm["why"])
    assert why in kiosk.keeper.why_refused
    assert kiosk.arrivals.alarms == (REFUSED,)
    assert (len(kiosk.put), kiosk.notes) == (1, [])
    kiosk.start()
    assert kiosk.in_force == ("case-8", 8)
    kiosk.send(10, rules("case-10"))
    assert kiosk.in_force == ("case-10", 10)
    assert not kiosk.arrivals.alarms
    assert not kiosk.keeper.why_refused


def test_forgotten_categories_are_told_and_taken(kiosk: Kiosk) -> None:
    """The policy may mean not to let couriers in; that the roster has some is written down and shown."""
    text = rules("door-2").decode()
    start = text.index('[[category]]\nname = "courier"')
    end = text.find("[[category]]", start + 5)
    kiosk.send(7, (text[:start] + (text[end:] if end > 0 else "")).encode())
    assert kiosk.in_force == ("door-2", 7)
    assert kiosk.notes[0]["unnamed"] == ["courier"]
    assert kiosk.keeper.in_force.unnamed == ("courier",)


def test_a_policy_that_did_not_fit_the_roster_is_tried_again_with_the_next_roster(kiosk: Kiosk) -> None:
    """The people were given another category first, as the refusal asks for."""
    kiosk.send(7, rules("door-7", old='name = "resident"\n', new='name = "inhabitant"\n'))
    assert kiosk.in_force == (OWN, 0)
    kiosk.send_roster(3, b"person_id,category\nR-1,inhabitant\n")
    assert kiosk.in_force == ("door-7", 7)


def test_a_disk_that_refuses_leaves_the_old_in_force_until_it_heals(
    kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be kept is not in force, or a restart would go back behind it."""
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name == FILE:
            raise OSError(28, "No space left on device")
        return real(self, target)

    kiosk.lay(7, rules("case-7"))
    monkeypatch.setattr(Path, "replace", full)
    kiosk.arrivals.look()
    assert (kiosk.in_force, kiosk.put, kiosk.arrivals.alarms) == ((OWN, 0), [], ("document_refused",))
    monkeypatch.undo()
    kiosk.arrivals.look()
    assert kiosk.in_force == ("case-7", 7)


def test_a_roster_that_cannot_be_read_says_nothing_against_a_policy(
    kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again with the next look, and no alarm is raised for what nobody looked at."""

    def locked(self: Roster) -> dict[str, int]:
        raise RosterError("roster", seen="database is locked")

    kiosk.lay(7, rules("case-7"))
    monkeypatch.setattr(Roster, "categories", locked)
    kiosk.arrivals.look()
    assert (kiosk.in_force, kiosk.alarms) == ((OWN, 0), [])
    monkeypatch.undo()
    kiosk.arrivals.look()
    assert (kiosk.in_force, kiosk.arrivals.alarms) == (("case-7", 7), ())


def test_a_roster_that_breaks_the_reader_holds_up_no_policy(kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong with one document, the others come into force, and the console says that one did not."""

    def broken(self: Roster, *_: object, **__: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Roster, "import_csv", broken)
    kiosk.lay(7, rules("case-7"))
    kiosk.send_roster(3)
    assert (kiosk.in_force, kiosk.arrivals.alarms) == (("case-7", 7), ("document_refused",))
    monkeypatch.undo()
    kiosk.arrivals.look()
    assert not kiosk.arrivals.alarms


def test_a_roster_that_met_a_busy_store_is_tried_again_ever_more_rarely(
    kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that holds the file for a while is no fault of the document, and 8 MB are not read every two seconds."""
    tries = 0

    def busy(self: Roster, *_: object, **__: object) -> None:
        nonlocal tries
        tries += 1
        raise RosterError("roster.db", seen="SQLITE_BUSY: database is locked")

    monkeypatch.setattr(Roster, "import_csv", busy)
    kiosk.send_roster(3)
    for _ in range(60):
        kiosk.arrivals.look()
    assert (tries, kiosk.alarms, kiosk.arrivals.alarms) == (7, [], ("document_refused",))
    monkeypatch.undo()
    for _ in range(16):
        kiosk.arrivals.look()
    assert [note["document"] for note in kiosk.notes] == ["roster"]
    assert not kiosk.arrivals.alarms


def test_versions_that_could_not_be_written_down_are_written_later(
    kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document is in force and in the journal; the next look puts down its version."""
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name == STATE:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    kiosk.send(7, rules("case-7"))
    assert (kiosk.in_force, [note["version"] for note in kiosk.notes]) == (("case-7", 7), [7])
    assert not (kiosk.state / STATE).exists()
    monkeypatch.undo()
    kiosk.arrivals.look()
    assert '"policy": 7' in (kiosk.state / STATE).read_text()
    assert not kiosk.arrivals.alarms


@pytest.mark.parametrize("damage", ["cut", "gone", "altered", "forged"])
def test_a_damaged_copy_falls_back_says_so_and_is_taken_anew_but_never_an_older(kiosk: Kiosk, damage: str) -> None:
    """The gate starts with the site's file and an alarm; the same version from the central heals it, a lower does not,
    however often the gate is started meanwhile."""
    kiosk.send(8, rules("case-8"))
    kept = kiosk.state / FILE
    if damage == "gone":
        kept.unlink()
    elif damage == "forged":
        body = rules("case-99")
        manifest = Manifest.of(DocumentKind.POLICY, 99, body, MORNING_US).to_bytes()
        keep_policy(kiosk.state, SignedDocument(manifest, keys.sign(STRANGER, SNAPSHOT_CONTEXT, manifest), body))
    else:
        whole = kept.read_bytes()
        kept.write_bytes(whole[:-40] if damage == "cut" else whole.replace(b'"body": "', b'"body": "AAAA'))
    for restart in range(3):
        kiosk.start()
        assert kiosk.in_force == (OWN, 0)
        assert kiosk.keeper.alarms == (FALLBACK,)
        kiosk.send(7, rules("case-7"))
        assert kiosk.in_force == (OWN, 0)
        kiosk.send_roster(restart + 1)  # which writes all versions in force: this one's must not sink
        assert json.loads((kiosk.state / STATE).read_text()) == {"policy": 8, "roster": restart + 1}
    kiosk.send(8, rules("case-8"))
    assert (kiosk.in_force, kiosk.keeper.alarms) == (("case-8", 8), ())
    kiosk.start()
    assert kiosk.in_force == ("case-8", 8)


def test_a_kept_policy_that_the_lanes_can_no_longer_carry_out_is_not_used(kiosk: Kiosk) -> None:
    """The installer took the contacts away: the site's file is in force, an alarm says why, and nothing loops."""
    config = kiosk.folder / "gate.toml"
    whole = config.read_text()
    contacts = '  [lane.contacts]\n  port = "/dev/gatepost/contacts-{0}"\n  inputs = {{ 1 = "passage_beam" }}\n'
    out = '[[lane]]\nname = "out"\ndirection = "out"\n  [lane.reader]\n  port = "/dev/gatepost/reader-out"\n'
    config.write_text(whole + contacts.format("in") + out + contacts.format("out"))
    kiosk.start()
    kiosk.send(7, rules("case-7", old='name = "courier"', new='name = "courier"\npassback = "hard"'))
    assert kiosk.in_force == ("case-7", 7)
    config.write_text(whole)
    kiosk.start()
    kiosk.arrivals.look()
    assert kiosk.in_force == (OWN, 0)
    assert kiosk.keeper.alarms == (FALLBACK,)
    assert "no passage beam" in kiosk.keeper.why_refused
    config.write_text(whole + contacts.format("in") + out + contacts.format("out"))
    kiosk.start()
    assert kiosk.in_force == ("case-7", 7)


def test_a_crash_between_keeping_and_remembering_the_version_loses_nothing(kiosk: Kiosk) -> None:
    """The copy itself knows its version: it is in force after the start, and not taken twice."""
    kiosk.send(7, rules("case-7"))
    state = json.loads((kiosk.state / STATE).read_text())
    (kiosk.state / STATE).write_text(json.dumps({kind: version for kind, version in state.items() if kind != "policy"}))
    kiosk.start()
    kiosk.arrivals.look()
    assert kiosk.in_force == ("case-7", 7)
    assert len(kiosk.put) == 1
    kiosk.send(6, rules("case-6"))
    assert kiosk.in_force == ("case-7", 7)


def test_without_an_authority_the_sites_file_is_in_force(kiosk: Kiosk) -> None:
    """Who takes the key out of the settings takes the kiosk away from the central, without an alarm."""
    kiosk.send(7, rules("case-7"))
    config = kiosk.folder / "gate.toml"
    config.write_text(
        config.read_text().replace("[sync]", "").replace(f'authority = "{kiosk.folder}/authority.pub"', "")
    )
    start = policy_at_start(kiosk.settings)
    assert (start.in_force.document, start.trouble) == (0, "")


def test_a_sites_own_file_must_fit_too(kiosk: Kiosk) -> None:
    """A file for another kiosk stops the start with an error that names both."""
    (kiosk.folder / "own.toml").write_bytes(b'kiosks = ["south-1"]\n' + rules("own"))
    config = kiosk.folder / "gate.toml"
    config.write_text(config.read_text().replace('"building_door"', f'"{kiosk.folder}/own.toml"'))
    with pytest.raises(ConfigError, match="south-1; expected: north-1"):
        policy_at_start(kiosk.settings)


def test_the_doctor_says_what_is_in_force_and_where_it_came_from(kiosk: Kiosk) -> None:
    """The site's own; the central's with its document; one that waits or was refused; a fallback that is broken."""
    assert list(policy_lines(kiosk.settings)) == [("good", "policy", f"{OWN}, this gate's own (building_door)")]
    kiosk.send(7, rules("case-7"))
    assert list(policy_lines(kiosk.settings)) == [("good", "policy", "case-7, document 7 of the central")]
    kiosk.send(8, b'kiosks = ["south-1"]\n' + rules("case-8"))
    config = kiosk.folder / "gate.toml"
    config.write_text(config.read_text().replace('"building_door"', f'"{kiosk.folder}/missing.toml"'))
    kiosk.roster.import_csv([b"person_id,category\n", b"A-1,acrobat\n"], at_us=MORNING_US)
    lines = list(policy_lines(kiosk.settings))
    assert lines[0] == ("good", "policy", "case-7, document 7 of the central")
    assert [(level, what) for level, what, _ in lines[1:]] == [
        ("look", "central's policy"),
        ("look", "policy's categories"),
        ("look", "own policy"),
    ]
    assert "document 8 was brought and is not in force" in lines[1][2]
    assert "acrobat" in lines[2][2]
    assert "missing.toml" in lines[3][2]
    (kiosk.state / FILE).write_text("{}")
    [(level, what, detail)] = policy_lines(kiosk.settings)
    assert (level, what) == ("bad", "policy")
    assert "missing.toml" in detail

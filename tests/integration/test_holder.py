"""The holder's photograph: taken in by command, sealed on the disk, shown to the guard for this passage alone, gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.settings import load_settings
from kiosk.jpeg import bare_jpeg
from kiosk.people import RosterPeople
from kiosk.photos import Photos, PhotosError
from kiosk.roster_cli import app
from kiosk.screens.holder_pages import Holder
from kiosk.site_stores import open_photos, open_roster
from tests.integration.test_screens_app import LANE, Gate
from tests.unit.test_jpeg import picture, with_note

ROSTER = (
    "person_id,name,phone,category,card_uid\nR-1,张伟,138 0000 0001,resident,04a1b2c3d4e501\nR-2,Li Na,,resident,\n"
)
KEY = bytes(range(32))


@pytest.fixture
def kiosk(tmp_path: Path) -> Path:
    """A gate's folder with a roster of two, and one person's photograph beside two files that will not do."""
    (tmp_path / "community.key").write_bytes(KEY)
    (tmp_path / "community.key").chmod(0o600)
    config = tmp_path / "gate.toml"
    config.write_text(
        f'[[lane]]\nname = "in"\n[site]\nkiosk_id = "k1"\n[state]\nfolder = "{tmp_path}"\n'
        f'[keys]\ncommunity = "{tmp_path}/community.key"\n'
    )
    (tmp_path / "roster.csv").write_text(ROSTER, "utf-8")
    assert CliRunner().invoke(app, ["import", str(tmp_path / "roster.csv"), "--config", str(config)]).exit_code == 0
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/R-1.jpg").write_bytes(with_note(picture()))
    (tmp_path / "photos/R-9.jpg").write_bytes(picture())
    (tmp_path / "photos/R-2.jpeg").write_bytes(b"\x89PNG")
    return tmp_path


def test_photographs_are_taken_in_sealed_and_go_with_the_person(kiosk: Path) -> None:
    """Good ones are taken, bad ones told; the file shows no picture; a new roster without R-1 leaves none."""
    run, config = CliRunner().invoke, ["--config", str(kiosk / "gate.toml")]
    result = run(app, ["photos", str(kiosk / "photos"), *config])
    assert result.exit_code == 1
    assert "1 photographs taken; 2 not" in result.output
    assert "R-9.jpg: nobody of this person_id" in result.output
    assert "R-2.jpeg: no whole JPEG" in result.output
    settings = load_settings(kiosk / "gate.toml", {}).settings
    with open_roster(settings) as roster, open_photos(settings) as photos:
        people = RosterPeople(roster, photos)
        subject = roster.subject_of("R-1")
        assert people.photo(subject) == bare_jpeg(picture())
        assert people.holder(subject) == Holder("张伟", "138 0000 0001")
        assert people.photo(roster.subject_of("R-2")) is None
        assert people.holder("0" * 16) is None
    assert b"JFIF" not in b"".join(path.read_bytes() for path in kiosk.glob("photos.db*"))
    (kiosk / "roster.csv").write_text("person_id,category\nR-2,resident\n", "utf-8")
    assert run(app, ["import", str(kiosk / "roster.csv"), "--replace", *config]).exit_code == 0
    with open_photos(settings) as photos:
        assert not photos.has(subject)


def test_a_photograph_moved_to_another_person_does_not_open(tmp_path: Path) -> None:
    """Sealed to its holder: whoever can write the file cannot give somebody another face."""
    with Photos.open(tmp_path / "photos.db", KEY) as photos:
        photos.put("a" * 16, picture())
        photos._database.run("UPDATE holder_photo SET subject = ?", ("b" * 16,))
        with pytest.raises(PhotosError, match="does not open"):
            photos.of("b" * 16)


def test_the_guard_sees_holder_and_lender_of_this_passage_and_nobody_else_does(kiosk: Path) -> None:
    """Photograph and name with the passage's own name only, never without a login, never kept by a browser."""
    settings = load_settings(kiosk / "gate.toml", {}).settings
    CliRunner().invoke(app, ["photos", str(kiosk / "photos"), "--config", str(kiosk / "gate.toml")])
    with open_roster(settings) as roster, open_photos(settings) as photos:
        gate = Gate(people=RosterPeople(roster, photos))
        holder, lender = roster.subject_of("R-1"), roster.subject_of("R-2")
        view = gate.hub.current()
        assert view is not None
        lane = replace(view.lanes[0], holder=holder, lent_by=lender)
        gate.hub.publish(replace(view, lanes=(lane, *view.lanes[1:])))
        where = f"/guard/lane/{lane.lane}/holder"
        assert LANE.endswith(lane.lane)
        asked = {"passage": lane.passage}
        assert gate.client.get(f"{where}/photo", params=asked).status_code in (303, 401)
        assert gate.log_in() == 303
        photo = gate.client.get(f"{where}/photo", params=asked)
        assert (photo.status_code, photo.headers["cache-control"]) == (200, "no-store")
        assert photo.content == bare_jpeg(picture())
        page = gate.client.get(where, params=asked).text
        assert "张伟" in page
        assert "Li Na" in page
        console = gate.client.get("/guard").text
        assert f"{where}/photo?passage=" in console
        assert "张伟" not in console
        for path in (where, f"{where}/photo"):
            assert gate.client.get(path, params={"passage": "another"}).status_code == 404
        assert gate.client.get(f"{where}/photo").status_code == 404
        assert "张伟" in gate.client.get(where).text
        gate.hub.publish(replace(view, lanes=(replace(lane, holder="", lent_by=""), *view.lanes[1:])))
        assert "没有名册中的持卡人" in gate.client.get(where).text
        assert "张伟" not in gate.client.get(f"/lane/{lane.lane}").text

"""A gate's settings file and its secret, as tests of whole gates write them: alike but for what each is about."""

from __future__ import annotations

from pathlib import Path

COMMUNITY_KEY = bytes(range(32))
#: No web port of a fixed number, and devices for which the test speaks.
SIMULATED = "[web]\nport = 0\n[simulation]\ndevices = true\n"


def write_gate(folder: Path, more: str, *, kiosk_id: str, policy: str = "building_door", keys: str = "") -> Path:
    """``gate.toml`` and ``community.key`` in ``folder``; where the settings are.

    ``more`` are its lanes and other sections, ``keys`` further lines of ``[keys]``; in all three ``{folder}`` is the
    folder. ``policy`` is a shipped one's name or a file.
    """
    head = (
        f'[site]\nkiosk_id = "{kiosk_id}"\n[state]\nfolder = "{folder}/state"\n'
        f'[policy]\nfile = "{policy}"\n[keys]\ncommunity = "{folder}/community.key"\n{keys}'
    )
    path = folder / "gate.toml"
    path.write_text((head + more).replace("{folder}", str(folder)))
    key = folder / "community.key"
    key.write_bytes(COMMUNITY_KEY)
    key.chmod(0o600)
    return path


def lane_text(name: str, *devices: str, direction: str = "in", strength: str = "") -> str:
    """A lane whose devices have its name behind theirs; ``contacts`` are wired to a passage beam."""
    text = f'[[lane]]\nname = "{name}"\ndirection = "{direction}"\n'
    for device in devices:
        text += f'  [lane.{device}]\n  port = "/dev/gatepost/{device}-{name}"\n'
        if device == "reader" and strength:
            text += f'  strength = "{strength}"\n'
        if device == "contacts":
            text += '  inputs = { 1 = "passage_beam" }\n'
    return text

"""docs/camera.md tells the installer every sentence and every fault that a camera can show."""

from __future__ import annotations

import tomllib

import pytest

from config.lane import Camera
from drivers.devices import FaultKind
from kiosk.camera_report import Advice
from kiosk.screens.texts import Language, texts
from tests.conftest import ROOT

PAGE = (ROOT / "docs/camera.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("advice", Advice)
def test_every_advice_stands_in_the_page_with_its_meaning(advice: Advice) -> None:
    """Word for word as the doctor and the console say it."""
    assert f"| {texts(Language.EN).get('aim', advice)} | " in PAGE


def test_every_fault_of_a_camera_is_explained() -> None:
    """What happened, what the gate does about it, what to do."""
    others = {FaultKind.OUT_OF_RANGE, FaultKind.STUCK, FaultKind.REFUSED, FaultKind.WRONG_DEVICE}
    for kind in set(FaultKind) - others:
        assert f"\n| `{kind}` | " in PAGE


def test_the_settings_in_the_page_are_settings() -> None:
    """The example can be copied as it stands."""
    text = PAGE.split("```toml\n")[1].split("```")[0]
    Camera.model_validate(tomllib.loads(text)["lane"]["camera"])

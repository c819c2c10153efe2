"""Every third-party and constructed health code of the shared data, judged as its source says."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kiosk.credentials import CodeState, TrustStore, verify_health_code

pytestmark = pytest.mark.data


@cache
def _store(folder: Path) -> TrustStore:
    return TrustStore.load(folder)


def _cases(data: Path, code_format: str) -> list[dict[str, Any]]:
    with (data / "healthcodes" / "manifest.jsonl").open("rb") as lines:  # only a line feed ends a line here
        return [case for case in map(json.loads, lines) if case["format"] == code_format]


def _text(case: dict[str, Any]) -> str:
    if "qr_text" in case:
        return str(case["qr_text"])
    return gzip.decompress(base64.b64decode(case["qr_text_gz"])).decode("latin-1")


def _wrong(data: Path, code_format: str) -> list[str]:
    wrong = []
    for case in _cases(data, code_format):
        store = _store(data / "healthcodes" / case["trust"])
        verdict = verify_health_code(_text(case), store, datetime.fromisoformat(case["now"]))
        if (verdict.state is CodeState.VALID) != (case["expected"] == "valid"):
            wrong.append(
                f"{case['id']}: expected {case['expected']} ({case['category']}, {case['note']}), "
                f"got {verdict.state} ({verdict.reason})"
            )
    return wrong


def test_every_hcert_is_judged_as_expected(test_data: Path) -> None:
    """456 cases of 30 countries and of attackers: no false accept, no false refusal, no exception."""
    assert len(_cases(test_data, "hcert")) == 456
    assert _wrong(test_data, "hcert") == []


def test_odd_anchors_of_the_real_list_are_skipped_and_named(test_data: Path) -> None:
    """Of the 610 certificates of the acceptance list only the one with an RSA key of 1024 bits is left out."""
    store = _store(test_data / "healthcodes" / "trust" / "eu-acc")
    assert store.key_count() == 609
    assert [anchor.why for anchor in store.skipped] == ["RSA of 1024 bits"]

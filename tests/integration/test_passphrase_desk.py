"""Passphrases are compared two at a time, and nobody can make the desk's queue grow without end."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from sync.central import access
from sync.central.committer import Overloaded
from sync.central.passphrase_desk import AT_ONCE, MAX_WAITING, PassphraseDesk
from sync.central.store import Store


def test_the_fifty_first_who_tries_at_once_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty wait, two of them being compared; when they have their answer there is room again."""
    go_on, comparing = threading.Event(), []

    def slow(secret: str, passphrase: str) -> bool:
        comparing.append(passphrase)
        assert go_on.wait(30)
        return False

    monkeypatch.setattr(access, "_verifies", slow)
    desk = PassphraseDesk(Store(tmp_path / "central.db"))

    async def crowd() -> list[access.Compared]:
        tries = [asyncio.create_task(desk.compare("admin", f"try {number}")) for number in range(MAX_WAITING)]
        while len(comparing) < AT_ONCE:
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await desk.compare("admin", "one too many")
        assert len(comparing) == AT_ONCE
        go_on.set()
        answers = await asyncio.gather(*tries)
        return [*answers, await desk.compare("admin", "afterwards")]

    answers = asyncio.run(crowd())
    assert [answer.good for answer in answers] == [False] * (MAX_WAITING + 1)
    assert "one too many" not in comparing

"""Compares passphrases two at a time, beside the writer: whoever tries many keeps no kiosk's records waiting.

argon2id takes 64 MiB and some tens of milliseconds on purpose. In the writer's transaction every try at the login would
hold up every kiosk for so long; in as many threads as there are tries it would take the memory.
"""

from __future__ import annotations

import asyncio

from starlette.concurrency import run_in_threadpool

from sync.central import access
from sync.central.committer import Overloaded
from sync.central.store import Store

AT_ONCE = 2
MAX_WAITING = 50


class PassphraseDesk:
    """The comparing of one central process; belongs to one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._here = 0

    async def compare(self, name: str, passphrase: str) -> access.Compared:
        """Whether this is the passphrase of ``name``; raises Overloaded when many wait for the same already."""
        if self._here >= MAX_WAITING:
            raise Overloaded
        self._here += 1
        try:
            async with self._turns:
                return await run_in_threadpool(self._compare, name, passphrase)
        finally:
            self._here -= 1

    def _compare(self, name: str, passphrase: str) -> access.Compared:
        with self._store.reading() as connection:
            secret = access.secret_of(connection, name)
        return access.compare(secret, passphrase)

"""Opens one new file from several processes at the same moment, round after round: ``python -m … KIND FOLDER``.

Prints what each opening that failed said; nothing for a good end. The processes are forked from one that has loaded
everything, and meet at a barrier, so that they open within microseconds of each other.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

from kiosk.roster import Roster
from sync.ackstore import AckStore

KEY = bytes(range(32))
ROUNDS, PROCESSES = 8, 4
OPENERS: dict[str, Callable[[Path], object]] = {
    "roster": lambda path: Roster.open(path, KEY).close(),
    "acks": lambda path: AckStore(path).close(),
}


def open_each(kind: str, folder: Path, together: Barrier) -> None:
    """One process: every round's file, each opened when all are ready."""
    for number in range(ROUNDS):
        together.wait(30)
        try:
            OPENERS[kind](folder / f"{number}.db")
        except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
            print(f"{type(error).__name__}: {error}", flush=True)


def main(kind: str, folder: Path) -> None:
    """All processes, to their end."""
    context = multiprocessing.get_context("fork")
    together = context.Barrier(PROCESSES)
    processes = [context.Process(target=open_each, args=(kind, folder, together)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

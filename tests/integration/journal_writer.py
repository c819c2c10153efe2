"""A process that writes passages until it is stopped or told to fail; run by the tests of crashes.

``python -m tests.integration.journal_writer FOLDER [--bytes N] [--count N] [--forget]``: after each durable commit it
prints one line ``incarnation stream seq hash``. With ``--forget`` it also purges and erases all the time. ``--bytes``
limits the size of any file it writes (RLIMIT_FSIZE): past it every write fails as on a failing disk, and the refusal is
printed as ``refused KIND``.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from pathlib import Path

from kiosk.clock import SystemClock
from kiosk.journal import Acknowledged, Entry, Journal, JournalError
from kiosk.records import Kind, PayloadClass, Stream
from tests.integration.journal_cases import FACTS, KIOSK


def main() -> None:
    """Write until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bytes", type=int, default=0)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--forget", action="store_true")
    arguments = parser.parse_args()
    clock = SystemClock(None)
    journal = Journal.open(arguments.folder / "journal.db", kiosk_id=KIOSK, clock=clock)
    if arguments.bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (arguments.bytes, arguments.bytes))
    for number in range(arguments.count):
        payloads = {PayloadClass.FACTS: {**FACTS, "number": number}, PayloadClass.PERSON: {"subject": "ab" * 8}}
        passage = Entry(stream=Stream.PASSAGE, kind=Kind.PASSAGE, at=clock.now(), lane="in-1", payloads=payloads)
        alarm = Entry(stream=Stream.ALARM, kind=Kind.ALARM, at=clock.now(), payloads={PayloadClass.FACTS: FACTS})
        try:
            journal.append_many([passage, alarm] if number % 7 == 0 else [passage])
        except JournalError as error:
            print("refused", error.failure, flush=True)
            continue
        for stream, head in journal.heads().items():
            print(journal.incarnation, stream, head.seq, head.hash.hex(), flush=False)
        sys.stdout.flush()
        if arguments.forget and number % 5 == 4:
            now, head = clock.now(), journal.heads()[Stream.PASSAGE]
            journal.erase(PayloadClass.PERSON, now.at_us)
            mark = Acknowledged(journal.incarnation, Stream.PASSAGE, head.seq, head.hash, 0)
            journal.purge([mark], now=now, retention_us=0)
    journal.close()


if __name__ == "__main__":
    main()

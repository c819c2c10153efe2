"""A central on an ordinary day, for looking at its pages: four kiosks, passages of every sort, alerts, phones, orders.

What kiosks send goes in as batches through the real ingest; phones and orders through the functions that the pages use.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, update

from config.policy import POLICIES
from kiosk.credentials.pseudonym import subject_key_of
from kiosk.evidence import CodeStatus
from kiosk.records import Kind, Record, Stream
from kiosk.signed_document import DocumentKind
from sync.central import access, alert_outbox, enrolment, phones, status_orders
from sync.central.access import Role
from sync.central.alerts import raise_alert
from sync.central.app import create_app
from sync.central.chores import watch
from sync.central.code_issuer import CodeIssuer
from sync.central.context import CentralOptions
from sync.central.document_watch import watch_documents
from sync.central.documents import sign_and_publish
from sync.central.ingest import Ingest
from sync.central.store import Store
from sync.central.tables import Kiosk, Phone, table
from tests.fakes import FakeClock
from tests.sync_kit import ChainJournal, MemoryCentral, batch_of, make_record

PASSPHRASE = "correct horse battery staple"
SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 21, 10, 40, tzinfo=UTC)  # 18:40 in Beijing
ISSUER = CodeIssuer(
    private_key=Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
    subject_key=subject_key_of(bytes(range(32))),
    lifetime=timedelta(hours=12),
)
DOOR = (POLICIES / "building_door.toml").read_text("utf-8")
ROSTER = "person_id,category,card_uid\n" + "".join(f"R-{number},resident,\n" for number in range(7000))
KIOSKS = ("gate-east", "gate-north", "gate-west")
DENIED = ("card_unknown", "out_of_hours", "code_expired", "pass_used", "temperature_raised", "code_missing")


class Office:
    """The database, its clock, and the application over it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.clock = FakeClock(at_us=round(NOW.timestamp()) * 1_000_000)
        self.store = Store(folder / "central.db")
        chosen: dict[str, Any] = {"site_name": "向阳街道", "zone": SHANGHAI, "issuer": ISSUER, **options}
        self.app = create_app(self.store, options=CentralOptions(**chosen), now_us=lambda: self.clock.at_us)
        self.central = MemoryCentral.__new__(MemoryCentral)
        self.central._now, self.central.store = self.clock.now, self.store
        self.central.ingest = Ingest(self.store, now_us=lambda: self.clock.at_us)
        with self.store.writing() as connection:
            for name, role in (("李主任", Role.ADMIN), ("王敏", Role.ADMIN), ("赵静", Role.AUDITOR)):
                access.set_user(connection, self.clock.at_us, name, role, PASSPHRASE)

    def furnish(self) -> Office:
        """Fill it with a day."""
        for name in (*KIOSKS, "gate-south"):
            self.central.admit(name, state="approved" if name in KIOSKS else enrolment.PENDING)
        draw = random.Random(7)
        for number, name in enumerate(KIOSKS):
            self._send_day(ChainJournal(name, f"{number + 1:02x}" * 16), draw, 90 if number == 0 else 40)
        self._send_fork()
        self._alarms()
        with self.store.writing() as connection:
            self._desk(connection)
        return self

    def _send_day(self, journal: ChainJournal, draw: random.Random, count: int) -> None:
        key = (journal.incarnation, Stream.PASSAGE)
        start_us = self.clock.at_us - 12 * 3600 * 1_000_000
        times = sorted(start_us + draw.randrange(12 * 3600) * 1_000_000 for _ in range(count))
        for at_us in times:
            head = journal.head(key)
            plain = make_record(head.seq + 1, kiosk_id=journal.kiosk_id, incarnation=journal.incarnation)
            facts = _passage(draw, journal.kiosk_id)
            made = make_record(
                head.seq + 1, kiosk_id=journal.kiosk_id, incarnation=journal.incarnation, facts=facts, ref=plain.ref
            )
            record = Record(**{**{name: getattr(made, name) for name in Record.__slots__}, "at_us": at_us})
            journal.chains.setdefault(key, []).append((record, record.hash(head.hash)))
        self.central.exchange(batch_of(journal, Stream.PASSAGE, 1, count // 2))
        self.central.exchange(batch_of(journal, Stream.PASSAGE, count // 2 + 1, count))
        self.central.exchange(batch_of(journal, Stream.PASSAGE, count // 2 + 1, count))

    def _send_fork(self) -> None:
        one, other = (ChainJournal("gate-west", "0f" * 16) for _ in range(2))
        for number in range(6):
            one.append(Stream.DIAGNOSTIC, kind=Kind.DEVICE, facts={"up": True})
            other.append(Stream.DIAGNOSTIC, kind=Kind.DEVICE, facts={"up": number < 3})
        self.central.exchange(batch_of(one, Stream.DIAGNOSTIC, 1, 6))
        self.central.exchange(batch_of(other, Stream.DIAGNOSTIC, 1, 6))

    def _alarms(self) -> None:
        journal = ChainJournal("gate-east", "0d" * 16)
        for kind, facts in (
            (Kind.ALARM, {"code": "stranded", "detail": "p1"}),
            (Kind.REFERRAL, {"state": "open", "passage": "p2"}),
            (Kind.DEVICE, {"device": "thermometer-in", "role": "thermometer", "up": False}),
        ):
            journal.append(Stream.ALARM, kind=kind, facts=facts)
        self.central.exchange(batch_of(journal, Stream.ALARM, 1, 3))

    def _desk(self, connection: Any) -> None:
        now_us = self.clock.at_us
        self._documents(connection)
        held = '{"policy": "4", "revocations": "13", "roster": "31", "trust": "2"}'
        of_before = '{"policy": "4", "revocations": "12", "roster": "31"}'
        for number, name in enumerate(KIOSKS):
            connection.execute(
                update(table(Kiosk))
                .where(table(Kiosk).c.kiosk_id == name)
                .values(
                    last_seen_us=now_us - (20_000_000, 41_000_000, 3 * 3_600_000_000)[number],
                    clock_trust=("synced", "synced", "holdover")[number],
                    offset_us=(3_000, 12_000, 41_500_000)[number],
                    software="gatepost 0.1.0",
                    held=of_before if number == 2 else held,
                    backlog=(0, 2, 0)[number],
                    alarms="document_refused" if number == 2 else "",
                )
            )
        watch(connection, now_us)
        watch_documents(connection, now_us)
        raise_alert(
            connection, now_us, "kiosk_waits_for_approval", "gate-south", "b9d8-b7f0-36af-72d6-bd9e-933f-3d48-a97b"
        )
        raise_alert(connection, now_us - 60_000_000, "clock_offset", "gate-west", "-41 s", times=3)
        for number in range(3):
            subject = ISSUER.subject_of(f"R-{number}")
            gone = {"revoked_us": now_us - 3_600_000_000, "revoked_by": "王敏"} if number == 2 else {}
            connection.execute(
                insert(table(Phone)).values(
                    **{
                        "phone_id": phones.phone_id_of(bytes([number]) * 33),
                        "subject": subject,
                        "holder_key": bytes([number]) * 33,
                        "enrolled_us": now_us - (number + 1) * 86_400_000_000,
                        "last_code_us": now_us - number * 600_000_000,
                        "revoked_us": None,
                        "revoked_by": "",
                        **gone,
                    }
                )
            )
        for number, status in (("京防〔2026〕17号", CodeStatus.YELLOW), ("京防〔2026〕18号", CodeStatus.RED)):
            wish = status_orders.Wish(
                subject=ISSUER.subject_of(number),
                status=status,
                number=number,
                issuer="区疾控中心",
                appeal="12345 热线",
                until_us=now_us + 7 * 86_400_000_000,
            )
            status_orders.propose(connection, now_us - 3_600_000_000, wish, "王敏")
        status_orders.approve(connection, now_us - 1_800_000_000, 1, "李主任")

    def _documents(self, connection: Any) -> None:
        """A policy for all and one for gate-west alone; revocations that came while gate-west was silent."""
        for kind, version, hours_ago, body in (
            (DocumentKind.POLICY, 4, 200, DOOR.replace("building-door-1", "xiangyang-2026-11")),
            (DocumentKind.POLICY, 5, 2.5, 'kiosks = ["gate-west"]\n' + DOOR.replace("building-door-1", "west-2026-11")),
            (DocumentKind.ROSTER, 31, 50, ROSTER),
            (DocumentKind.REVOCATIONS, 12, 30, "{}"),
            (DocumentKind.REVOCATIONS, 13, 2.6, "{}"),
            (DocumentKind.TRUST, 2, 700, "{}" * 900),
        ):
            sign_and_publish(
                connection,
                self.clock.at_us - round(hours_ago * 3600) * 1_000_000,
                kind=kind,
                version=version,
                body=body.encode(),
                authority_key=ISSUER.private_key,
                by="王敏",
            )

    def mail_fails(self) -> None:
        """The mail server refused the last message."""
        with self.store.writing() as connection:
            claim = alert_outbox.claim(connection, "email", self.clock.at_us, "here")
            assert claim is not None
            alert_outbox.settle_failed(connection, claim, self.clock.at_us, "535 authentication failed")


def _passage(draw: random.Random, kiosk_id: str) -> dict[str, Any]:
    admit = draw.random() < 0.85
    category = draw.choices(
        ("resident", "courier", "visitor", "service_worker", "staff", "resident_under_observation"),
        (70, 12, 8, 4, 4, 2),
    )[0]
    waived = category == "resident" and draw.random() < 0.3
    reasons = [draw.choice(DENIED)] if not admit else ["admitted_with_waiver" if waived else "all_checks_passed"]
    if not admit and draw.random() < 0.2:
        reasons.append("not_registered")
    states = [("pass", "pass"), ("temperature", "waived" if waived else "pass"), ("health_code", "pass")]
    if not admit:
        states[2] = ("health_code", "unknown")
    return {
        "admit": admit,
        "category": category,
        "checks": [{"by": "", "name": name, "reason": "", "state": state} for name, state in states],
        "credential": draw.choice(("uid", "sun", "ev2")),
        "credential_to_verdict_ms": draw.randrange(600, 2400),
        "direction": "in",
        "place": kiosk_id,
        "policy": "clear-4",
        "reasons": reasons,
    }


@contextmanager
def served(office: Office) -> Iterator[str]:
    """The application behind a real web server on a port of its own; gives its address."""
    server = uvicorn.Server(
        uvicorn.Config(office.app, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)

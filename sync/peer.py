"""Neighbouring gates tell each other whom they let in: a small protocol over single datagrams. No I/O, no clock.

Every kiosk numbers its facts from 1 within a *session* (8 random bytes, new with each start of the program) and says
in every datagram which numbers it can still give (``first`` to ``newest``) and up to where it holds the other's
(``have``). What a neighbour does not hold is sent until it does, ten facts a datagram, the next ten with its answer,
again after a second of silence; without news a datagram goes every five seconds (every second to a neighbour that was
never heard). So a lost, doubled or reordered
datagram changes nothing, and after a cut both sides catch up.

Against replay, without trusting anybody's time of day: facts count only in a datagram that

- opens under the site's key and comes from an address of the settings,
- echoes *our* session and our own clock's stamp of at most two seconds ago (``stamp_ms`` is given back as
  ``echo_stamp_ms`` with the time it was held), so that nothing recorded or held back is believed,
- has a higher running ``number`` than the one before, in a session that was not left already.

A fact travels as an age and becomes a moment of the receiver's own clock. What is kept is bounded, and a neighbour that
is silent costs nothing: what was last heard stands.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import structlog

from kiosk.neighbours import Fact, HeardFact
from sync.errors import WireError
from sync.peer_wire import MAX_AGE_MS, MAX_FACTS, Datagram, SentFact, open_sealed, seal

log = structlog.get_logger("gatepost.neighbours")

Address = tuple[str, int]

KEEP_FACTS = 5000
RESEND_MS = 1000
QUIET_MS = 5000
FRESH_MS = 2000
#: The two clocks are read a moment apart, so an echo may seem to come a little too early.
EARLY_MS = 20
SILENT_MS = 60_000
MAX_RETIRED = 256
NO_SESSION = bytes(8)


@dataclass(slots=True)
class _Neighbour:
    """What is known of the kiosk at one address. Numbers of facts; times in ms of our own clock."""

    session: bytes = NO_SESSION
    retired: deque[bytes] = field(default_factory=lambda: deque(maxlen=MAX_RETIRED))
    last_number: int = 0
    have: int = 0
    acked: int = 0
    sent_up_to: int = 0
    sent_ms: int = -QUIET_MS
    owes_answer: bool = False
    echo: bytes = NO_SESSION
    echo_stamp_ms: int = 0
    echo_arrived_ms: int = 0
    heard_ms: int | None = None


class PeerDesk:
    """One kiosk among its neighbours. ``key`` is the site's (32 bytes); ``addresses`` are those of the neighbours.

    ``mono_ns`` arguments are the machine's monotonic clock, the one that facts are stamped with.
    """

    def __init__(
        self,
        key: bytes,
        kiosk_id: str,
        addresses: Iterable[Address],
        *,
        started_ns: int,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._key = key
        self._kiosk_id = kiosk_id
        self._random_bytes = random_bytes
        self._started_ms = started_ns // 1_000_000
        self._session = random_bytes(8)
        self._neighbours = {address: _Neighbour() for address in addresses}
        self._facts: deque[tuple[int, Fact]] = deque(maxlen=KEEP_FACTS)
        self._known: set[Fact] = set()
        self._newest = 0
        self._number = 0
        self._warned: set[Address] = set()

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Our own facts, as many as are kept, oldest first."""
        return tuple(fact for _, fact in self._facts)

    def tell(self, facts: Iterable[Fact]) -> None:
        """Facts of this kiosk; one that was told before is passed over."""
        for fact in facts:
            if fact in self._known:
                continue
            if len(self._facts) == KEEP_FACTS:
                self._known.discard(self._facts[0][1])
            self._newest += 1
            self._facts.append((self._newest, fact))
            self._known.add(fact)

    def due(self, mono_ns: int) -> list[tuple[Address, bytes]]:
        """What is to be sent now, and to whom."""
        now_ms = mono_ns // 1_000_000
        return [
            (address, self._datagram(neighbour, mono_ns))
            for address, neighbour in self._neighbours.items()
            if self._is_due(neighbour, now_ms)
        ]

    def receive(self, data: bytes, address: Address, mono_ns: int) -> list[HeardFact]:
        """The new facts in a datagram; none in anything that is not a fresh one of a neighbour."""
        neighbour = self._neighbours.get(address)
        if neighbour is None:
            return []
        try:
            datagram = open_sealed(self._key, data)
        except WireError as error:
            self._warn(address, str(error))
            return []
        if datagram.kiosk == self._kiosk_id:
            self._warn(address, "it calls itself as this kiosk does")
            return []
        if datagram.session in neighbour.retired:
            return []
        now_ms = mono_ns // 1_000_000
        if not self._is_fresh(datagram, now_ms):
            self._greet(neighbour, datagram, now_ms)
            return []
        if datagram.session != neighbour.session:
            self._adopt(neighbour, datagram.session)
        if datagram.number <= neighbour.last_number:
            return []
        return self._take(neighbour, datagram, mono_ns)

    def silent(self, mono_ns: int) -> int:
        """How many neighbours have not been heard for a minute."""
        now_ms = mono_ns // 1_000_000
        return sum(
            1
            for neighbour in self._neighbours.values()
            if now_ms - (self._started_ms if neighbour.heard_ms is None else neighbour.heard_ms) >= SILENT_MS
        )

    # -- receiving -------------------------------------------------------------------------------------------------

    def _is_fresh(self, datagram: Datagram, now_ms: int) -> bool:
        under_way_ms = now_ms - datagram.echo_stamp_ms - datagram.held_ms
        return datagram.echo == self._session and -EARLY_MS <= under_way_ms <= FRESH_MS

    def _greet(self, neighbour: _Neighbour, datagram: Datagram, now_ms: int) -> None:
        """Not (yet) proved to be of now: our next datagram gives it what it needs for that. A neighbour that is heard
        well is not interrupted by it, since anybody can send an old datagram again."""
        if neighbour.heard_ms is not None and now_ms - neighbour.heard_ms < 2 * QUIET_MS:
            if datagram.session == neighbour.session:
                return
            if neighbour.echo == datagram.session:
                return
        neighbour.owes_answer = neighbour.owes_answer or neighbour.echo != datagram.session
        neighbour.echo, neighbour.echo_stamp_ms, neighbour.echo_arrived_ms = (
            datagram.session,
            datagram.stamp_ms,
            now_ms,
        )

    def _adopt(self, neighbour: _Neighbour, session: bytes) -> None:
        if neighbour.session != NO_SESSION:
            neighbour.retired.append(neighbour.session)
        neighbour.session = session
        neighbour.last_number, neighbour.have, neighbour.acked, neighbour.sent_up_to = 0, 0, 0, 0

    def _take(self, neighbour: _Neighbour, datagram: Datagram, mono_ns: int) -> list[HeardFact]:
        now_ms = mono_ns // 1_000_000
        neighbour.last_number = datagram.number
        neighbour.heard_ms = now_ms
        neighbour.echo, neighbour.echo_stamp_ms, neighbour.echo_arrived_ms = (
            datagram.session,
            datagram.stamp_ms,
            now_ms,
        )
        neighbour.acked = min(datagram.have, self._newest)
        neighbour.sent_up_to = max(neighbour.sent_up_to, neighbour.acked)
        if neighbour.acked == neighbour.sent_up_to < self._newest:
            neighbour.owes_answer = True
        news = []
        for sent in datagram.facts:
            next_number = max(neighbour.have + 1, datagram.first)
            if sent.number == next_number:
                neighbour.have = sent.number
                fact = replace(sent.fact, mono_ns=mono_ns - sent.age_ms * 1_000_000)
                news.append(HeardFact(datagram.kiosk, fact))
        neighbour.owes_answer = neighbour.owes_answer or bool(datagram.facts)
        return news

    def _warn(self, address: Address, why: str) -> None:
        if address not in self._warned:
            self._warned.add(address)
            log.warning("neighbour_not_understood", address=address[0], why=why)

    # -- sending ---------------------------------------------------------------------------------------------------

    def _is_due(self, neighbour: _Neighbour, now_ms: int) -> bool:
        waited_ms = now_ms - neighbour.sent_ms
        if neighbour.owes_answer or waited_ms >= QUIET_MS:
            return True
        if neighbour.session == NO_SESSION:
            return waited_ms >= RESEND_MS
        if neighbour.acked == self._newest:
            return False
        return neighbour.acked == neighbour.sent_up_to or waited_ms >= RESEND_MS

    def _datagram(self, neighbour: _Neighbour, mono_ns: int) -> bytes:
        now_ms = mono_ns // 1_000_000
        first = self._facts[0][0] if self._facts else self._newest + 1
        facts: list[SentFact] = []
        if neighbour.session != NO_SESSION and neighbour.echo == neighbour.session:
            start = max(neighbour.acked + 1, first) - first
            for index in range(start, min(start + MAX_FACTS, len(self._facts))):
                number, fact = self._facts[index]
                age_ms = min(max((mono_ns - fact.mono_ns) // 1_000_000, 0), MAX_AGE_MS)
                facts.append(SentFact(number, fact, age_ms))
        neighbour.sent_ms, neighbour.owes_answer = now_ms, False
        if facts:
            neighbour.sent_up_to = facts[-1].number
        self._number += 1
        return seal(
            self._key,
            Datagram(
                kiosk=self._kiosk_id,
                session=self._session,
                echo=neighbour.echo,
                number=self._number,
                stamp_ms=now_ms,
                echo_stamp_ms=neighbour.echo_stamp_ms,
                held_ms=min(now_ms - neighbour.echo_arrived_ms, 2**32 - 1),
                first=first,
                newest=self._newest,
                have=neighbour.have if neighbour.echo == neighbour.session else 0,
                facts=tuple(facts),
            ),
            self._random_bytes,
        )

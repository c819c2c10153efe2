"""What cards and codes turn out to be: roster, card keys, trust store and code desks behind one face.

What only a server knows, and what neighbouring gates know, comes by the line to sync (``kiosk/sync_line.py``): asked
for here, and taken here when it has come.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog

from config.policy import Policy
from drivers.devices import CardTap, QrText
from kiosk.board import RegisterVisitor
from kiosk.card_keys import CardKeysError, CardKeyStore
from kiosk.clock import Instant, utc_of
from kiosk.credentials import online
from kiosk.credentials.card_counter import AcceptedCode, CounterConflict
from kiosk.credentials.card_pass import pass_of_card
from kiosk.credentials.challenge import accepted_challenges, shown_challenge
from kiosk.credentials.code_verdict import CodeVerdict, GateContext
from kiosk.credentials.desk import CodeDesk
from kiosk.credentials.reuse import REMEMBER, ReuseMemory, Use
from kiosk.credentials.shc_chunks import ChunksMissing
from kiosk.credentials.trust import TrustStore
from kiosk.decision import lapsed_order
from kiosk.evidence import CardStrength, CodeFinding, PassFinding
from kiosk.line_wire import Answered
from kiosk.neighbours import NO_SHOWING, Fact, FactKind, HeardFact, UsedPasses, keyed
from kiosk.reasons import Reason
from kiosk.register import Register
from kiosk.roster import Roster
from kiosk.roster_tables import RosterError

log = structlog.get_logger("gatepost.verifier")

MAX_ASKED = 32
"""Texts kept while their servers are asked; a lane asks about one at a time, and stops waiting after 1.5 s."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A server is being asked under ``number``; until ``until_ns`` (monotonic) ``finding`` is all that is known."""

    finding: CodeFinding
    number: int
    until_ns: int


class Line(Protocol):
    """What is needed of the line to sync (``kiosk/sync_line.py``)."""

    def ask(self, token: str, within_ms: int) -> int | None:
        """Ask about a token; the number of the question, None when nobody is there to ask."""
        ...

    def tell(self, facts: Iterable[Fact]) -> None:
        """Facts for the neighbours."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What lies beyond this kiosk, reached by the line: the server of opaque codes, and the neighbouring gates."""

    line: Line
    peer_key: bytes = field(repr=False)
    online_prefixes: tuple[str, ...] = ()
    issuer: str = online.KIND
    lookup_limit_s: float = 1.5
    remember: timedelta = REMEMBER

    def hash_id(self, text: str) -> str:
        """The keyed name of a credential or showing among the gates of the site, as hex digits."""
        return keyed(self.peer_key, "code", text).hex()


@dataclass(slots=True, kw_only=True)
class GateVerifier:
    """For one kiosk. ``store`` may be replaced whole at any time; a verification uses the one it began with.

    ``rule_set`` names the rules of the store that codes have to meet at this gate, "" for none.
    ``challenge_secret`` (16 bytes or more) draws the digits that a phone signs into its code, in lanes whose policy
    asks for them. What hangs on a lane's policy comes by :meth:`follow`; before that nothing is asked.
    ``used_passes`` are the ids of passes let in before, so that a one-time pass counts once also over a restart.
    ``outside`` is what the site's settings say of lookup and neighbours; None for neither.
    """

    roster: Roster
    card_keys: CardKeyStore
    register_book: Register
    store: TrustStore
    place: str
    zone: ZoneInfo
    rule_set: str = ""
    challenge_secret: bytes = field(default=b"", repr=False)
    used_passes: UsedPasses = field(default_factory=UsedPasses)
    outside: Outside | None = None
    _policies: dict[str, Policy] = field(default_factory=dict)
    _desks: dict[str, CodeDesk] = field(default_factory=dict)
    _asked: OrderedDict[int, str] = field(default_factory=OrderedDict)
    _revoked: frozenset[bytes] = frozenset()
    _swapping: threading.Lock = field(default_factory=threading.Lock)
    _memory: ReuseMemory = field(init=False)

    def __post_init__(self) -> None:
        remember = self.outside.remember if self.outside is not None else REMEMBER
        self._memory = ReuseMemory(remember=remember)

    def card(self, tap: CardTap, lane: str, at: Instant) -> PassFinding:
        """The finding for one tap in a lane. A rolling code that is accepted is spent before this returns.

        Where roster or card keys cannot be read nobody is known, and the verdict says why: the guard decides.
        """
        local = at.utc().astimezone(self.zone)
        try:
            finding = pass_of_card(
                tap, self.roster, self.card_keys, lane=lane, place=self.place, at=local, clock_trust=at.clock_trust
            )
        except (RosterError, CardKeysError) as error:
            log.error("card_not_looked_up", error=str(error))
            return PassFinding(refusal=Reason.ROSTER_FAILED)
        read_ctr = None if tap.proof is None else tap.proof.read_ctr
        if finding.refusal is None and finding.strength is CardStrength.SUN and read_ctr:
            self._tell(FactKind.CARD, self.card_keys.card_hash(tap.uid), at, read_ctr=read_ctr)
        return finding

    def code(self, code: QrText, lane: str, at: Instant) -> PassFinding | CodeFinding | ChunksMissing | Asking:
        """The finding for one text in a lane: a temporary pass, a health code, that more codes are needed, or that its
        server is being asked (then :meth:`looked_up` has the finding)."""
        found = self._desk(lane).read(code.text, self.store, at.utc(), self._context(lane, at))
        if not isinstance(found, CodeFinding) or found.refusal is not Reason.CODE_NEEDS_ONLINE or self.outside is None:
            return found
        number = self.outside.line.ask(code.text, round(self.outside.lookup_limit_s * 1000))
        if number is None:
            return found
        self._asked[number] = code.text
        while len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)
        return Asking(found, number, at.mono_ns + round(self.outside.lookup_limit_s * 1e9))

    def looked_up(self, answered: Answered, lane: str, at: Instant) -> CodeFinding | None:
        """The finding for the code that was asked about in ``lane``, as the server's answer makes it."""
        text, outside = self._asked.pop(answered.number, None), self.outside
        if text is None or outside is None:
            return None
        return self._desk(lane).judge(_verdict_of(answered, text, outside.issuer, at.utc()), text, at.utc())

    def heard(self, facts: Iterable[HeardFact], at: Instant) -> list[CounterConflict]:
        """Neighbours let these in: remembered like what was let in here. Cards whose codes must exist twice."""
        conflicts = []
        for heard in facts:
            fact = heard.fact
            let_in_us = at.at_us - (at.mono_ns - fact.mono_ns) // 1000
            if fact.kind is FactKind.CODE:
                showing = "" if fact.showing == NO_SHOWING else fact.showing.hex()
                self._memory.remember(Use(fact.what.hex(), showing, fact.place, utc_of(let_in_us)), at.utc())
            elif fact.kind is FactKind.PASS:
                self.used_passes.heard(fact.what, fact.place)
            elif fact.kind is FactKind.CARD:
                code = AcceptedCode(card=fact.what, kiosk=heard.kiosk, read_ctr=fact.read_ctr, at_us=let_in_us)
                try:
                    conflict = self.card_keys.hear(code)
                except CardKeysError as error:
                    log.error("counter_not_taken", error=str(error))
                    continue
                conflicts += [conflict] if conflict is not None else []
        return conflicts

    def follow(self, lane: str, policy: Policy) -> None:
        """The lane goes by this policy from its next person on: regions of risk, and digits that phones sign."""
        self._policies[lane] = policy
        self._desk(lane).risk_regions = risk_regions_of(policy)

    def digits(self, lane: str, at: Instant) -> str:
        """What the lane's screen shows for phones to sign in; "" where none is asked, or the order has ended."""
        policy = self._policies.get(lane)
        if not self._asks_digits(lane) or policy is None or lapsed_order(policy, at):
            return ""
        return shown_challenge(self.challenge_secret, at.utc())

    def _asks_digits(self, lane: str) -> bool:
        policy = self._policies.get(lane)
        return bool(self.challenge_secret) and policy is not None and policy.health_code.challenge

    def use(self, store: TrustStore) -> None:
        """Judge by this store from the next text on; one in hand is judged by the store that it began with."""
        with self._swapping:
            self.store = replace(store, community_revoked_passes=store.community_revoked_passes | self._revoked)

    def revoke_pass(self, pass_id: bytes) -> None:
        """A temporary pass of 8 bytes' id opens nothing any more, whatever store is in use."""
        with self._swapping:
            self._revoked |= {pass_id}
            self.store = replace(
                self.store, community_revoked_passes=self.store.community_revoked_passes | self._revoked
            )

    def admitted(self, lane: str, at: Instant) -> None:
        """The person of the lane was let in: code and one-time pass count as used, here and next door."""
        done = self._desk(lane).admitted(self.place, at.utc())
        if done.use is not None and self.outside is not None:
            showing = bytes.fromhex(done.use.showing) if done.use.showing else NO_SHOWING
            self._tell(FactKind.CODE, bytes.fromhex(done.use.credential_id), at, showing=showing)
        if done.one_time_pass:
            self._tell(FactKind.PASS, self.used_passes.hash_of(done.one_time_pass), at)

    def _tell(
        self, kind: FactKind, what: bytes, at: Instant, *, showing: bytes = NO_SHOWING, read_ctr: int = 0
    ) -> None:
        self.tell(Fact(kind=kind, what=what, place=self.place, mono_ns=at.mono_ns, showing=showing, read_ctr=read_ctr))

    def tell(self, fact: Fact) -> None:
        """Let the neighbouring gates hear it, where there are any."""
        if self.outside is not None:
            self.outside.line.tell((fact,))

    def next_person(self, lane: str) -> None:
        """The lane is free: nothing of this person is joined to the next one's."""
        self._desk(lane).next_person()

    def register(self, visitor: RegisterVisitor, at: Instant) -> PassFinding:
        """Write a visitor into the register; the finding is their one-visit pass. Raises RegisterError."""
        return self.register_book.enter(visitor, at)

    def _desk(self, lane: str) -> CodeDesk:
        if lane not in self._desks:
            hash_id = self.outside.hash_id if self.outside is not None else str
            self._desks[lane] = CodeDesk(memory=self._memory, used_passes=self.used_passes, hash_id=hash_id)
        return self._desks[lane]

    def _context(self, lane: str, at: Instant) -> GateContext:
        local: datetime = at.utc().astimezone(self.zone)
        secret = self.challenge_secret if self._asks_digits(lane) else b""
        return GateContext(
            rule_set=self.rule_set,
            gate=self.place,
            challenges=accepted_challenges(secret, at.utc()) if secret else frozenset(),
            local_minute=local.hour * 60 + local.minute,
            weekday=local.weekday(),
            online_prefixes=self.outside.online_prefixes if self.outside is not None else (),
        )


def risk_regions_of(policy: Policy) -> frozenset[str] | None:
    """The regions that the policy's order names; None where there is no order or it names none: codes then say nothing
    of the trip."""
    if policy.order is None or policy.order.risk_regions is None:
        return None
    return frozenset(policy.order.risk_regions)


def _verdict_of(answered: Answered, text: str, issuer: str, now: datetime) -> CodeVerdict:
    if answered.no_answer is not None:
        return online.need_online()
    answered_at = now - timedelta(milliseconds=answered.age_ms)
    answer = online.LookupAnswer(
        token_hash=online.token_hash(text),
        status=answered.status,
        issuer=issuer,
        answered_at=answered_at,
        valid_until=answered_at + timedelta(milliseconds=answered.valid_ms),
        subject_match=answered.subject_match,
    )
    return online.verdict_of(answer, text, now)

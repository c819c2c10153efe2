"""Neighbouring gates over a network that loses, doubles, reorders, delays, records and plays back. No sockets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.neighbours import COUNTER_MAX, NO_SHOWING, Fact, FactKind, HeardFact, UsedPasses, keyed
from sync.errors import WireError
from sync.peer import FRESH_MS, KEEP_FACTS, SILENT_MS, Address, PeerDesk
from sync.peer_wire import MAX_DATAGRAM_BYTES, MAX_FACTS, Datagram, SentFact, open_sealed, seal

KEY = bytes(range(32))
NORTH, SOUTH = ("10.0.0.1", 8475), ("10.0.0.2", 8475)
MS = 1_000_000
S = 1000 * MS

facts = st.builds(
    Fact,
    kind=st.just(FactKind.CARD),
    what=st.binary(min_size=16, max_size=16),
    showing=st.binary(min_size=16, max_size=16),
    place=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=32),
    read_ctr=st.integers(1, COUNTER_MAX),
    mono_ns=st.just(0),
)
datagrams = st.builds(
    Datagram,
    kiosk=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=32),
    session=st.binary(min_size=8, max_size=8),
    echo=st.binary(min_size=8, max_size=8),
    number=st.integers(0, 2**64 - 1),
    stamp_ms=st.integers(0, 2**64 - 1),
    echo_stamp_ms=st.integers(0, 2**64 - 1),
    held_ms=st.integers(0, 2**32 - 1),
    first=st.integers(0, 2**32 - 1),
    newest=st.integers(0, 2**32 - 1),
    have=st.integers(0, 2**32 - 1),
    facts=st.lists(
        st.builds(SentFact, st.integers(0, 2**32 - 1), facts, st.integers(0, 10**9)), max_size=MAX_FACTS
    ).map(tuple),
)


def fact(number: int, *, kind: FactKind = FactKind.CODE, at_ns: int = 0) -> Fact:
    """The so-manieth fact."""
    ctr = number if kind is FactKind.CARD else 0
    return Fact(kind=kind, what=number.to_bytes(16, "big"), place="north", mono_ns=at_ns, read_ctr=ctr)


@given(datagrams)
def test_a_datagram_comes_out_as_it_went_in_and_fits(datagram: Datagram) -> None:
    """Also with every field as long as it can be."""
    sealed = seal(KEY, datagram)
    assert len(sealed) <= MAX_DATAGRAM_BYTES
    assert open_sealed(KEY, sealed) == datagram


@given(datagrams, st.data())
def test_no_changed_byte_is_believed(datagram: Datagram, data: st.DataObject) -> None:
    """One byte changed, cut, or added; another key: refused, and nothing but WireError is raised."""
    sealed = bytearray(seal(KEY, datagram))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    for wrong in (bytes(sealed), bytes(sealed[:at]), bytes(sealed) + b"\0"):
        with pytest.raises(WireError):
            open_sealed(KEY, wrong)
    with pytest.raises(WireError):
        open_sealed(bytes(32), seal(KEY, datagram))


@given(st.binary(max_size=1300))
def test_noise_is_refused(noise: bytes) -> None:
    """Whatever comes in on the port."""
    for data in (noise, b"GPN1" + noise):
        with pytest.raises(WireError):
            open_sealed(KEY, data)


@given(st.binary(min_size=1, max_size=900))
def test_a_body_of_another_form_under_the_right_key_is_refused(body: bytes) -> None:
    """A kiosk of a later version, or one that is broken into: no exception but WireError."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    header = b"GPN1" + bytes(12)
    sealed = header + ChaCha20Poly1305(KEY).encrypt(bytes(12), body, header)
    try:
        open_sealed(KEY, sealed)
    except WireError:
        return


@dataclass
class World:
    """Two desks and the wire between them; each has a monotonic clock of its own origin."""

    seed: int = 0
    loss: float = 0.0
    now_ns: int = 0
    heard: dict[Address, list[tuple[int, HeardFact]]] = field(default_factory=lambda: {NORTH: [], SOUTH: []})
    recorded: list[tuple[Address, Address, bytes]] = field(default_factory=list)
    cut: bool = False

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.origin = {NORTH: 5 * S, SOUTH: 90_000 * S}
        self.desks = {NORTH: self.fresh(NORTH), SOUTH: self.fresh(SOUTH)}
        self.under_way: list[tuple[int, int, Address, Address, bytes]] = []
        self.order = count()

    def fresh(self, address: Address) -> PeerDesk:
        """The desk of a program that has just been started."""
        return PeerDesk(
            KEY,
            "north-1" if address == NORTH else "south-1",
            [SOUTH if address == NORTH else NORTH],
            started_ns=self.clock(address),
            random_bytes=self.rng.randbytes,
        )

    def clock(self, address: Address) -> int:
        return self.origin[address] + self.now_ns

    def restart(self, address: Address) -> None:
        self.desks[address] = self.fresh(address)

    def tell(self, address: Address, *numbers: int, kind: FactKind = FactKind.CODE) -> None:
        self.desks[address].tell(fact(number, kind=kind, at_ns=self.clock(address)) for number in numbers)

    def deliver(self, source: Address, target: Address, data: bytes) -> None:
        news = self.desks[target].receive(data, source, self.clock(target))
        self.heard[target] += [(self.now_ns, heard) for heard in news]

    def run(self, seconds: float, step_ms: int = 50) -> None:
        end = self.now_ns + round(seconds * S)
        while self.now_ns < end:
            self.now_ns += step_ms * MS
            for source, desk in self.desks.items():
                for target, data in desk.due(self.clock(source)):
                    self.recorded.append((source, target, data))
                    self._send(source, target, data)
            self.under_way.sort()
            while self.under_way and self.under_way[0][0] <= self.now_ns:
                _, _, source, target, data = self.under_way.pop(0)
                self.deliver(source, target, data)

    def _send(self, source: Address, target: Address, data: bytes) -> None:
        copies = 2 if self.rng.random() < self.loss / 2 else 1
        for _ in range(copies):
            if not self.cut and self.rng.random() >= self.loss:
                delay_ms = self.rng.randrange(1, 300) if self.loss else 1
                self.under_way.append((self.now_ns + delay_ms * MS, next(self.order), source, target, data))

    def numbers(self, address: Address) -> list[int]:
        return [int.from_bytes(heard.fact.what, "big") for _, heard in self.heard[address]]


def test_two_gates_hear_each_other_within_a_moment() -> None:
    """Nothing is set up but key and addresses; the moment of a fact is right on the other's clock."""
    world = World()
    world.run(1)
    world.tell(NORTH, 1)
    told_ns = world.now_ns
    world.run(0.2)
    assert world.numbers(SOUTH) == [1]
    ((at_ns, heard),) = world.heard[SOUTH]
    assert heard.kiosk == "north-1"
    assert at_ns - told_ns <= 100 * MS
    assert abs(heard.fact.mono_ns - world.origin[SOUTH] - told_ns) <= 100 * MS
    assert world.numbers(NORTH) == []


def test_after_a_cut_both_catch_up_in_order_and_with_the_right_ages() -> None:
    """Facts of an hour without network come as an hour old."""
    world = World()
    world.run(2)
    world.cut = True
    world.tell(NORTH, *range(1, 101), kind=FactKind.CARD)
    told_ns = world.now_ns
    world.run(3600, step_ms=1000)
    assert world.desks[SOUTH].silent(world.clock(SOUTH)) == 1
    world.cut = False
    world.run(20)
    assert world.numbers(SOUTH) == list(range(1, 101))
    assert all(abs(heard.fact.mono_ns - world.origin[SOUTH] - told_ns) < 2 * S for _, heard in world.heard[SOUTH])
    assert world.desks[SOUTH].silent(world.clock(SOUTH)) == 0


def test_a_restart_on_either_side_is_noticed() -> None:
    """A fresh program is told everything that is kept; its own facts of before are not doubled at the other."""
    world = World()
    world.tell(NORTH, 1, 2)
    world.run(3)
    world.restart(SOUTH)
    world.run(12)
    assert world.numbers(SOUTH) == [1, 2, 1, 2]
    world.restart(NORTH)
    world.tell(NORTH, 3)
    world.run(12)
    assert world.numbers(SOUTH) == [1, 2, 1, 2, 3]
    world.tell(SOUTH, 9)
    world.run(1)
    assert world.numbers(NORTH) == [9]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.3, 0.6]))
def test_every_fact_arrives_once_and_in_order_over_a_bad_network(seed: int, loss: float) -> None:
    """Lost, doubled, late and overtaken datagrams change nothing but the time it takes."""
    world = World(seed=seed, loss=loss)
    for number in range(1, 31):
        world.tell(NORTH, number)
        world.run(world.rng.random())
    world.tell(SOUTH, 100)
    world.loss = min(loss, 0.3)
    world.run(240, step_ms=100)
    assert world.numbers(SOUTH) == list(range(1, 31))
    assert world.numbers(NORTH) == [100]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_what_was_recorded_is_worth_nothing(seed: int) -> None:
    """Every datagram of an hour played back, shuffled, while the gates talk, and after restarts: no fact twice."""
    world = World(seed=seed)
    world.tell(NORTH, 1, 2, 3)
    world.run(5)
    world.restart(NORTH)
    world.tell(NORTH, 4)
    world.run(12)
    assert world.numbers(SOUTH) == [1, 2, 3, 4]
    world.run(60)
    recorded = list(world.recorded)
    for _ in range(3):
        world.rng.shuffle(recorded)
        for source, target, data in recorded:
            world.deliver(source, target, data)
        world.run(1)
    world.tell(NORTH, 5)
    world.run(12)
    assert world.numbers(SOUTH) == [1, 2, 3, 4, 5]
    world.restart(SOUTH)
    for source, target, data in recorded:
        world.deliver(source, target, data)
    assert world.numbers(SOUTH) == [1, 2, 3, 4, 5]
    assert world.numbers(NORTH) == []


def test_a_datagram_of_a_moment_ago_counts_once_whatever_restarts() -> None:
    """Played back while its stamps still are fresh: after the sender's restart, after the receiver's, and at once."""
    world = World()
    world.run(2)
    world.tell(NORTH, 1)
    ((_, data),) = world.desks[NORTH].due(world.clock(NORTH))
    world.deliver(NORTH, SOUTH, data)
    world.restart(NORTH)
    world.run(0.5, step_ms=10)
    assert world.desks[SOUTH].receive(data, NORTH, world.clock(SOUTH)) == []
    world.tell(NORTH, 2)
    world.run(0.1, step_ms=10)
    assert world.numbers(SOUTH) == [1, 2]
    world = World()
    world.run(2)
    world.tell(NORTH, 3)
    ((_, data),) = world.desks[NORTH].due(world.clock(NORTH))
    world.restart(SOUTH)
    assert world.desks[SOUTH].receive(data, NORTH, world.clock(SOUTH)) == []


def test_an_old_acknowledgement_does_not_make_a_gate_say_everything_again() -> None:
    """A fresh datagram of before the facts, played back: nothing is taken as lost."""
    world = World()
    world.run(2)
    world.tell(SOUTH, 9)
    ((_, old),) = world.desks[SOUTH].due(world.clock(SOUTH))
    world.deliver(SOUTH, NORTH, old)
    world.tell(NORTH, 1, 2)
    world.run(0.3, step_ms=10)
    assert world.numbers(SOUTH) == [1, 2]
    world.desks[NORTH].receive(old, SOUTH, world.clock(NORTH))
    assert all(not open_sealed(KEY, data).facts for _, data in world.desks[NORTH].due(world.clock(NORTH)))


def test_a_datagram_that_was_held_back_is_not_believed() -> None:
    """Somebody keeps a fresh one for three seconds: it would make a fact younger than it is."""
    world = World()
    world.run(2)
    world.tell(NORTH, 1)
    ((target, data),) = world.desks[NORTH].due(world.clock(NORTH))
    world.now_ns += (FRESH_MS + 1000) * MS
    assert world.desks[target].receive(data, NORTH, world.clock(target)) == []


def test_strangers_are_not_heard() -> None:
    """Another address, another key, and a kiosk that bears our own name."""
    world = World()
    world.run(2)
    world.tell(NORTH, 1)
    ((_, data),) = world.desks[NORTH].due(world.clock(NORTH))
    south = world.desks[SOUTH]
    assert south.receive(data, ("10.0.0.3", 8475), world.clock(SOUTH)) == []
    assert south.receive(data[:-1] + b"\0", NORTH, world.clock(SOUTH)) == []
    twin = seal(KEY, replace(open_sealed(KEY, data), kiosk="south-1"))
    assert south.receive(twin, NORTH, world.clock(SOUTH)) == []
    assert len(south.receive(data, NORTH, world.clock(SOUTH))) == 1


def test_what_is_kept_is_bounded() -> None:
    """More facts than are kept: the newest arrive, the receiver does not wait for those that are gone."""
    world = World()
    world.run(2)
    world.cut = True
    world.tell(NORTH, *range(1, KEEP_FACTS + 201))
    world.tell(NORTH, KEEP_FACTS + 200)
    assert len(world.desks[NORTH].facts) == KEEP_FACTS
    world.cut = False
    world.run(120)
    assert world.numbers(SOUTH)[0] == 201
    assert world.numbers(SOUTH)[-1] == KEEP_FACTS + 200


def test_silence_is_told_after_a_minute() -> None:
    """A neighbour that was never there counts like one that went away."""
    world = World(cut=True)
    assert world.desks[NORTH].silent(world.clock(NORTH) + (SILENT_MS - 1) * MS) == 0
    assert world.desks[NORTH].silent(world.clock(NORTH) + SILENT_MS * MS) == 1


def test_a_fact_out_of_bounds_is_none() -> None:
    """Hashes of another length, no place, a card without a counter."""
    good = {"kind": FactKind.CODE, "what": bytes(16), "place": "north", "mono_ns": 0}
    for wrong in ({"what": b""}, {"place": ""}, {"place": "x" * 33}, {"place": "北"}, {"kind": FactKind.CARD}):
        with pytest.raises(ValueError, match="fact"):
            Fact(**(good | wrong))  # type: ignore[arg-type]
    assert Fact(**good).showing == NO_SHOWING  # type: ignore[arg-type]


def test_passes_used_next_door_are_known_by_their_keyed_hash() -> None:
    """The id itself never travels; another site's key makes another hash."""
    here, there = UsedPasses(KEY, {"aa"}), UsedPasses(KEY)
    assert "aa" in here
    assert there.heard(here.hash_of("bb"), "north")
    assert not there.heard(here.hash_of("bb"), "north")
    assert "bb" in there
    assert there.let_in_at("bb") == "north"
    assert there.let_in_at("aa") == here.let_in_at("aa") == ""
    assert "aa" not in there
    assert list(there) == []
    assert keyed(bytes(32), "pass", "bb") != here.hash_of("bb")

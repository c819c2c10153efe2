"""The timing of relay channels, without a port or a process."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from drivers.relay_supervisor import Board, frame

MS = 1_000_000
SECOND = 1_000 * MS


def told(board: Board, now_ns: int) -> list[tuple[int, bool]]:
    """What goes to the board now."""
    out = []
    for channel in board.due(now_ns):
        on = channel.wanted(now_ns)
        board.told(channel, on, now_ns)
        out.append((channel.number, on))
    return out


def pulse(nonce: str, channel: int = 1, duration_ms: int = 500, issued_ns: int = 0) -> dict[str, Any]:
    return {
        "do": "pulse", "nonce": nonce, "channel": channel, "duration_ns": duration_ms * MS, "issued_ns": issued_ns
    }  # fmt: skip


def test_frames_are_the_published_bytes() -> None:
    """A0 01 01 A2 switches on, A0 01 00 A1 off."""
    assert frame(1, True) == bytes.fromhex("A00101A2")
    assert frame(1, False) == bytes.fromhex("A00100A1")
    assert frame(8, True) == bytes.fromhex("A00801A9")


def test_a_board_begins_with_all_channels_off() -> None:
    """Before anything else every channel is told off."""
    assert told(Board(2, SECOND), 0) == [(1, False), (2, False)]


def test_a_pulse_ends_and_its_off_is_said_twice() -> None:
    """On at once, off at its end, and off again 50 ms later, because the board cannot confirm."""
    board = Board(1, SECOND)
    told(board, 0)
    told(board, 60 * MS)
    assert board.obey(pulse("a", issued_ns=100 * MS), 100 * MS) is None
    assert told(board, 100 * MS) == [(1, True)]
    assert board.next_ns(100 * MS) == 600 * MS
    assert told(board, 599 * MS) == []
    assert told(board, 600 * MS) == [(1, False)]
    assert told(board, 650 * MS) == [(1, False)]
    assert board.next_ns(650 * MS) is None


def test_a_pulse_is_cut_to_the_longest_allowed() -> None:
    """Asking for an hour gives max_pulse_ns."""
    board = Board(1, SECOND)
    board.obey(pulse("a", duration_ms=3_600_000), 0)
    told(board, 0)
    assert told(board, SECOND) == [(1, False)]


def test_stale_future_and_repeated_pulses_are_refused() -> None:
    """Older than a second, from the future, or a nonce seen before: not carried out."""
    board = Board(1, SECOND)
    assert "old" in (board.obey(pulse("a", issued_ns=0), 1_001 * MS) or "")
    assert board.obey(pulse("b", issued_ns=5 * SECOND), 1 * SECOND) is not None
    assert board.obey(pulse("c"), 0) is None
    assert board.obey(pulse("c"), 0) == "repeated"
    assert board.obey(pulse("d", channel=2), 0) == "no channel 2; the board has 1 to 1"


def test_a_hold_outlives_pulses_and_unplugging() -> None:
    """Emergency: on until told otherwise; after the port came back, off first and then on again."""
    board = Board(1, SECOND)
    told(board, 0)
    board.obey({"do": "hold", "channel": 1, "on": True}, 0)
    assert told(board, 0) == [(1, True)]
    board.obey(pulse("a", issued_ns=0), 0)
    assert told(board, 10 * SECOND) == []
    board.forget()
    assert told(board, 10 * SECOND) == [(1, True)]
    board.obey({"do": "hold", "channel": 1, "on": False}, 0)
    assert told(board, 11 * SECOND) == [(1, False)]


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 2), st.integers(0, 5000), st.booleans()), max_size=30),
)
def test_no_channel_is_on_past_the_last_pulse_asked_for(orders: list[tuple[int, int, int, bool]]) -> None:
    """Whatever is asked, when and with whatever losses of the port, no channel is on outside its pulses."""
    board, now_ns = Board(2, SECOND), 0
    ends = {1: 0, 2: 0}
    for index, (pause_ms, channel, duration_ms, lost) in enumerate(orders):
        now_ns += pause_ms * MS
        if lost:
            board.forget()
        board.obey(pulse(str(index), channel, duration_ms, now_ns), now_ns)
        ends[channel] = max(ends[channel], now_ns + min(duration_ms * MS, SECOND))
        for number, on in told(board, now_ns):
            assert not on or now_ns < ends[number]
        due_ns = board.next_ns(now_ns)
        assert due_ns is None or due_ns <= now_ns + SECOND
    now_ns = max(now_ns, *ends.values())
    told(board, now_ns)
    assert all(not channel.wanted(now_ns) and channel.told is False for channel in board._all.values())

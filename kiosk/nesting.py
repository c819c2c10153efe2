"""How deep a JSON text nests: asked explicitly, since how deep Python's own reader goes differs by version. Pure.

Python 3.11 gives up at about a thousand levels, 3.13 at several thousand; nothing of ours nests beyond a few.
"""

from __future__ import annotations

from typing import Any

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ALIKE = bytes.maketrans(b"[]{}", b"()()")


def deeper_than(limit: int, body: bytes, value: Any) -> bool:
    """Whether ``value``, read from the JSON ``body``, nests lists and objects more than ``limit`` deep.

    Peels empty pairs off the text's brackets, ``limit`` times, at a tenth of what reading it cost; only brackets
    inside strings, or a text that is too deep indeed, make it walk the value.
    """
    brackets = body.translate(_ALIKE, _NO_BRACKETS)
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace(b"()", b"")
    return bool(brackets) and _walked_beyond(limit, value)


def _walked_beyond(limit: int, value: Any) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return False
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return True

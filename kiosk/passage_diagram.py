"""Draws ``docs/passage-states.md`` from the state machine's table: ``python -m kiosk.passage_diagram FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from kiosk.board import Phase
from kiosk.passage import ROWS, TABLE

HEAD = """# One lane's state machine

Drawn from the table in `kiosk/passage.py` by `python -m kiosk.passage_diagram docs/passage-states.md`; a test fails
when the two differ. An arrow names the events that *can* lead from one phase to the next; whether one does is decided
by what is known by then. Events that cannot change the phase are left out of the picture and stand in the table.

"""


def diagram() -> str:
    """The page: a mermaid state diagram and the whole table."""
    lines = [HEAD + "```mermaid", "stateDiagram-v2", "    [*] --> fault", "    [*] --> idle"]
    for start in Phase:
        for end in Phase:
            events = sorted(
                event.__name__ for (phase, event), rule in TABLE.items() if phase is start and end in rule.to
            )
            if events and start is not end:
                lines.append(f"    {start} --> {end}: {'<br/>'.join(events)}")
    lines += ["```", "", "| in phase | event | handled by | can lead to |", "| --- | --- | --- | --- |"]
    for phases, events_, handler, to in ROWS:
        names = ", ".join(event.__name__ for event in events_)
        inside = "any" if len(phases) == len(Phase) else ", ".join(phases)
        leads = ", ".join(phase for phase in Phase if phase in to) or "stays"
        lines.append(f"| {inside} | {names} | `{handler.__name__.lstrip('_')}` | {leads} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/passage-states.md").write_text(diagram(), encoding="utf-8")

"""What sync found to be wrong: said once, kept until the central has heard of it."""

from __future__ import annotations

from structlog.testing import capture_logs

from sync.ackstore import AckStore
from sync.trouble import Trouble, Troubles


def test_a_trouble_is_logged_once_a_detail_and_stays_until_it_was_told() -> None:
    """The file keeps the codes for ``status`` and the heartbeat; another detail of the same is news again."""
    state = AckStore(":memory:")
    troubles = Troubles(state)
    with capture_logs() as logged:
        for detail in ("passage 1 to 5", "passage 1 to 5", "passage 6 to 7"):
            troubles.note(Trouble.FORKED, detail)
        troubles.note(Trouble.OLD_CENTRAL, "epoch 1, seen before 2")
    assert [line["detail"] for line in logged] == ["passage 1 to 5", "passage 6 to 7", "epoch 1, seen before 2"]
    assert troubles.codes == ("forked", "old_central")
    assert state.fact("troubles") == "forked,old_central"
    assert state.fact("last_trouble") == "old_central: epoch 1, seen before 2"
    troubles.told()
    assert troubles.codes == ()

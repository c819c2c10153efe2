"""Everything that the sender is told before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sync import batch_dictionary
from sync.batch_header import MAX_RECORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """Everything the agent is told. Times in seconds.

    ``documents`` is the folder for what comes down, believed when signed by the public key in file ``authority``;
    both or neither. ``pass_certificate`` is the file in which the community's word for this kiosk's key is kept fresh,
    None for none. ``bulk_interval_s`` is the mean wait before records that are no alarms go (jittered to 0.5..1.5
    of it), ``poll_interval_s`` how often the journal is looked at, ``heartbeat_interval_s`` the longest silence.
    """

    journal: Path
    state: Path
    central_url: str
    key: Path
    kiosk_id: str
    ca_file: Path | None = None
    encoding: str = batch_dictionary.ENCODING
    poll_interval_s: float = 0.25
    bulk_interval_s: float = 5.0
    heartbeat_interval_s: float = 60.0
    retry_base_s: float = 1.0
    retry_cap_s: float = 300.0
    batch_records: int = MAX_RECORDS
    documents: Path | None = None
    authority: Path | None = None
    pass_certificate: Path | None = None
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    software: str = "gatepost"

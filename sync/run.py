"""Runs the sender as a process does: opens what it works with, and steps it until it is told to stop."""

from __future__ import annotations

import threading
from pathlib import Path
from random import SystemRandom

import structlog

from kiosk.clock import Clock, SystemClock
from kiosk.journal_reader import JournalReader
from kiosk.set_aside import finish_set_aside, set_aside
from sync import keys
from sync.ackstore import AckStore, DamagedStateError
from sync.agent import Agent
from sync.agent_counters import Counters
from sync.agent_options import AgentOptions
from sync.certificate_keeper import CertificateKeeper
from sync.downlink import Downlink, load_authority
from sync.news import WAIT_S
from sync.news_watch import NewsWatch
from sync.uplink import Uplink

log = structlog.get_logger("gatepost.sync")


def run_agent(options: AgentOptions, stop: threading.Event, *, clock: Clock | None = None) -> Counters:
    """Send until ``stop`` is set; returns what was done.

    Waits for a journal that is not there yet. Raises KeyFileError, SyncError for a key, address or state file
    that cannot be used: those do not heal by waiting.
    """
    private_key = keys.load_private_key(options.key)
    clock = clock or SystemClock(None)
    state = open_state(options.state, clock)
    try:
        with Uplink(
            options.central_url,
            ca_file=options.ca_file,
            connect_timeout_s=options.connect_timeout_s,
            read_timeout_s=options.read_timeout_s,
            software=options.software,
        ) as link:
            downlink = None
            if options.documents is not None and options.authority is not None:
                downlink = Downlink(
                    options.documents,
                    kiosk_id=options.kiosk_id,
                    private_key=private_key,
                    authority=load_authority(options.authority),
                    link=link,
                )
            certificate = None
            if options.pass_certificate is not None:
                certificate = CertificateKeeper(
                    options.pass_certificate, kiosk_id=options.kiosk_id, private_key=private_key, link=link
                )
            agent = Agent(
                options,
                journal=JournalReader(options.journal),
                state=state,
                link=link,
                private_key=private_key,
                clock=clock,
                rng=SystemRandom(),
                downlink=downlink,
                certificate=certificate,
            )
            watch = None
            if downlink is not None:
                watch = NewsWatch(
                    kiosk_id=options.kiosk_id,
                    private_key=private_key,
                    link=Uplink(
                        options.central_url,
                        ca_file=options.ca_file,
                        connect_timeout_s=options.connect_timeout_s,
                        read_timeout_s=WAIT_S + options.read_timeout_s,
                        software=options.software,
                    ),
                    tell=agent.offered,
                    told=downlink.held(),
                )
                watch.start()
            try:
                while not stop.is_set():
                    stop.wait(agent.step())
            finally:
                if watch is not None:
                    watch.stop()
            return agent.counters
    finally:
        state.close()


def open_state(path: Path, clock: Clock) -> AckStore:
    """The sync state; a damaged one is set aside and begun anew, since the central knows what it held.

    Raises SyncError for a file that cannot be opened, OSError for one that cannot be renamed.
    """
    finish_set_aside(path)
    try:
        return AckStore(path)
    except DamagedStateError as error:
        aside = set_aside(path, clock.now().utc())
        log.error("sync_state_damaged", seen=error.seen, set_aside=aside.name)
        return AckStore(path)

"""The system's smart-card service through ``pyscard`` (an optional extra: ``pip install gatepost[pcsc]``).

Reference: pyscard user's guide, "The smartcard module"; pcscd must run (Debian packages pcscd and, for the library,
python3-pyscard). This is the only file that imports it, and only when a PC/SC reader is really named.
"""

from __future__ import annotations

import contextlib
from typing import Any

from drivers.cards.pcsc import CardGoneError, Connection, ServiceError
from drivers.devices import FaultKind


class PyscardService:
    """The service. Raises ServiceError where pyscard is not installed."""

    def __init__(self) -> None:
        try:
            from smartcard import Exceptions, System
        except ImportError as error:
            raise ServiceError(
                FaultKind.MISSING,
                "pyscard is not installed: pip install gatepost[pcsc], or apt install python3-pyscard",
            ) from error
        self._list_readers = System.readers
        self._no_card = Exceptions.NoCardException
        self._trouble = Exceptions.SmartcardException

    def readers(self) -> list[str]:
        """The names of all readers that are plugged in."""
        return [str(reader) for reader in self._readers()]

    def connect(self, reader: str) -> Connection | None:
        """The card on this reader; None where there is none."""
        found = next((each for each in self._readers() if str(each) == reader), None)
        if found is None:
            return None
        try:
            connection = found.createConnection()
            connection.connect()
        except (self._no_card, self._trouble):
            return None  # no card, or one that left while it was selected
        return _PyscardConnection(connection, self._trouble)

    def _readers(self) -> list[Any]:
        try:
            return list(self._list_readers())
        except self._trouble as error:
            raise ServiceError(FaultKind.SILENT, f"{error}; is pcscd running?") from error


class _PyscardConnection:
    def __init__(self, connection: Any, trouble: type[Exception]) -> None:
        self._connection = connection
        self._trouble = trouble

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return bytes(self._connection.getATR() or ())

    def transmit(self, apdu: bytes) -> bytes:
        """The card's answer, status word included."""
        try:
            data, sw1, sw2 = self._connection.transmit(list(apdu))
        except self._trouble as error:
            raise CardGoneError("card on a PC/SC reader", seen=str(error)) from error
        return bytes((*data, sw1, sw2))

    def close(self) -> None:
        """Let go of the card."""
        with contextlib.suppress(self._trouble):
            self._connection.disconnect()

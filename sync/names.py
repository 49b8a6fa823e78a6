"""Which number stands for which log on the wire, for each direction of one session.

Law: a sender names a log by its 17 bytes once, and by the number of that mention ever after.
"""

from __future__ import annotations

from sync.limits import LOGS_MAX
from sync.logs import LogId
from sync.wire import LOG_BYTES, LogRef, RemoteProtocolError


class Names:
    """Both tables; each holds LOGS_MAX logs at most."""

    def __init__(self) -> None:
        self._ours: dict[LogId, int] = {}
        self._theirs: list[LogId] = []
        self._named: set[LogId] = set()

    def mention(self, log: LogId) -> LogRef | None:
        """What to write for a log in the record now being made; None when the table is full without it.

        Records must leave in the order in which their logs were mentioned.
        """
        number = self._ours.get(log)
        if number is not None:
            return number
        if len(self._ours) >= LOGS_MAX:
            return None
        self._ours[log] = len(self._ours)
        return log.feed + bytes((log.lane,))

    def resolve(self, reference: LogRef) -> LogId:
        """The log the peer means. Raises RemoteProtocolError: log-unknown, log-repeated, logs-too-many."""
        if isinstance(reference, int):
            if reference >= len(self._theirs):
                raise RemoteProtocolError("log-unknown", f"number {reference} of {len(self._theirs)}")
            return self._theirs[reference]
        assert len(reference) == LOG_BYTES
        log = LogId(reference[:-1], reference[-1])
        if log in self._named:
            raise RemoteProtocolError("log-repeated", f"{log}")
        if len(self._theirs) >= LOGS_MAX:
            raise RemoteProtocolError("logs-too-many")
        self._theirs.append(log)
        self._named.add(log)
        return log

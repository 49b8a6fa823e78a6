"""Several links at once: which of them gives us which log, so that the same is not sent twice over two of them.

Law: of each log one session at most is the source; the others have stopped their peers, and one of them is asked to go
on when the source has given all it has, is gone or stands still. Lane 0 is not shared out: the urgent may come twice.
"""

from __future__ import annotations

from sync.logs import LogId

SessionId = int


class Sources:
    """Shared by all sessions of a node."""

    def __init__(self) -> None:
        self._source: dict[LogId, SessionId] = {}
        self._stopped: dict[LogId, dict[SessionId, None]] = {}
        self._due: dict[SessionId, list[LogId]] = {}

    def busy(self, session: SessionId) -> bool:
        """Whether another session is the source of anything."""
        return any(source != session for source in self._source.values())

    def claim(self, log: LogId, session: SessionId) -> bool:
        """The peer of that session has something of this log. False if it is to be stopped for now."""
        if self._source.setdefault(log, session) == session:
            return True
        self._stopped.setdefault(log, {})[session] = None
        return False

    def release(self, log: LogId, session: SessionId) -> None:
        """It has nothing more of this log for us."""
        waiting = self._stopped.get(log, {})
        waiting.pop(session, None)
        if self._source.get(log) == session:
            del self._source[log]
            if waiting:
                following = next(iter(waiting))
                del waiting[following]
                self._source[log] = following
                self._due.setdefault(following, []).append(log)
        if not waiting:
            self._stopped.pop(log, None)

    def leave(self, session: SessionId) -> None:
        """The session has ended."""
        logs = [log for log, source in self._source.items() if source == session]
        logs += [log for log, waiting in self._stopped.items() if session in waiting]
        for log in logs:
            self.release(log, session)
        self._due.pop(session, None)

    def take_due(self) -> dict[SessionId, list[LogId]]:
        """Whom to tell that a log is theirs now (`events.SourceFree`)."""
        due, self._due = self._due, {}
        return due

"""Several links at once: which of them gives us which log, so that the same is not sent twice over two of them.

Law: of each log one session at most is the source; the others have stopped their peers, and one of them is asked to go
on when the source has given all it has, is gone or stands still. A peer that has nothing else to give takes over what
its source gave nothing of for a while: who claims everything and gives little of it holds up nobody.
Lane 0 is not shared out: the urgent may come twice.
"""

from __future__ import annotations

from sync.logs import LogId

SessionId = int


class Sources:
    """Shared by all sessions of a node."""

    def __init__(self) -> None:
        self._sessions: set[SessionId] = set()
        self._source: dict[LogId, SessionId] = {}
        self._stopped: dict[LogId, dict[SessionId, None]] = {}
        self._due: dict[SessionId, dict[LogId, None]] = {}
        self._gave: dict[LogId, float] = {}
        """When the source was claimed, or gave something."""

    def join(self, session: SessionId) -> None:
        """A session has begun."""
        self._sessions.add(session)

    @property
    def links(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    def busy(self, session: SessionId) -> bool:
        """Whether another session is the source of anything."""
        return any(source != session for source in self._source.values())

    def claim(self, log: LogId, session: SessionId, now: float) -> bool:
        """The peer of that session has something of this log. False if it is to be stopped for now."""
        if self._source.setdefault(log, session) == session:
            self._gave.setdefault(log, now)
            return True
        self._stopped.setdefault(log, {})[session] = None
        return False

    def gave(self, log: LogId, session: SessionId, now: float) -> None:
        """The peer of that session has pushed something of it."""
        if self._source.get(log) == session:
            self._gave[log] = now

    def take_over(self, log: LogId, session: SessionId, since: float) -> bool:
        """Become the source of a log that was stopped. False if its source gave something of it since then."""
        if self._gave.get(log, since) > since:
            return False
        waiting = self._stopped.get(log, {})
        waiting.pop(session, None)
        if not waiting:
            self._stopped.pop(log, None)
        self._source[log] = session
        self._gave.pop(log, None)
        return True

    def release(self, log: LogId, session: SessionId) -> None:
        """It has nothing more of this log for us."""
        waiting = self._stopped.get(log, {})
        waiting.pop(session, None)
        self._due.get(session, {}).pop(log, None)
        if self._source.get(log) == session:
            del self._source[log]
            self._gave.pop(log, None)
            if waiting:
                following = next(iter(waiting))
                del waiting[following]
                self._source[log] = following
                self._due.setdefault(following, {})[log] = None
        if not waiting:
            self._stopped.pop(log, None)

    def leave(self, session: SessionId) -> None:
        """The session has ended."""
        self._sessions.discard(session)
        logs = [log for log, source in self._source.items() if source == session]
        logs += [log for log, waiting in self._stopped.items() if session in waiting]
        for log in logs:
            self.release(log, session)
        self._due.pop(session, None)

    @property
    def has_due(self) -> bool:
        """Whether anybody is to be told that a log is theirs now."""
        return bool(self._due)

    def take_due(self) -> dict[SessionId, list[LogId]]:
        """Whom to tell that a log is theirs now (`events.SourceFree`)."""
        due, self._due = self._due, {}
        return {session: list(logs) for session, logs in due.items() if logs}

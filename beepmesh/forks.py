"""Proof that a log's author said two things: two signed headers that cannot both stand in one log.

Either both are of one place, or one follows the other and names another predecessor. Anybody can check it, so it is
written as a statement on lane 0 and every node that reads it freezes the log. What was held stays held.
"""

from __future__ import annotations

from collections.abc import Iterable

from beepmesh.errors import Refused
from beepmesh.messages.entry import Entry, read_header, verify_entry
from beepmesh.store.contract import Fork, Statement
from beepmesh.trust.facts import FORK_PROOF, Fact, fork_proof_data, parts_of
from beepmesh.trust.roster import Roster
from sync.logs import LogId


def contradict(first: Entry, second: Entry) -> bool:
    """Whether no log can hold both."""
    if first.log != second.log or first.id == second.id:
        return False
    if first.seq == second.seq:
        return True
    early, late = sorted((first, second), key=lambda entry: entry.seq)
    return late.seq == early.seq + 1 and late.prev != early.id


def fork_statement(fork: Fork) -> Statement:
    """The proof, for the control feed of whoever found it."""
    first, second = fork.first, fork.second
    data = fork_proof_data(first.header, first.signature, second.header, second.signature)
    return Statement(FORK_PROOF, data)


def feed_of(fact: Fact) -> bytes:
    """The feed that a proof speaks of, 16 B, unjudged. Raises Refused."""
    header, signature, _, _ = parts_of(fact)
    return read_header(header, signature).feed


def fork_in(fact: Fact, roster: Roster) -> Fork:
    """The fork that a fact proves. Raises Refused("fork-proof") for one that proves nothing."""
    header_a, signature_a, header_b, signature_b = parts_of(fact)
    first, second = read_header(header_a, signature_a), read_header(header_b, signature_b)
    feed = roster.feed(first.feed)
    if feed is None or not contradict(first, second):
        raise Refused("fork-proof", "no contradiction")
    fork = Fork(first, second)
    if not proves(fork, feed.public):
        raise Refused("fork-proof", "signature")
    return fork


def proves(fork: Fork, public: bytes) -> bool:
    """Whether the author signed both halves: what is held may be true and yet have a spoiled signature."""
    return verify_entry(public, fork.first) and verify_entry(public, fork.second)


def one_of_each(forks: Iterable[Fork], roster: Roster) -> dict[LogId, Fork]:
    """For each log the first fork that can be shown to others."""
    shown: dict[LogId, Fork] = {}
    for fork in forks:
        feed = roster.feed(fork.first.feed)
        if fork.first.log not in shown and feed is not None and proves(fork, feed.public):
            shown[fork.first.log] = fork
    return shown

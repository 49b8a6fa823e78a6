"""How a random history ends: everything is given time and links enough, and then all have what they may have."""

from __future__ import annotations

from itertools import combinations

from sync.logs import NO_CHAIN, LogId, reconciled
from sync.ranges import NOTHING, Ranges
from tests.sync.histories import History, Line
from tests.sync.members import Member


def settle(history: History) -> None:
    """Let what is under way come to its end; then all meet, two by two, until nothing changes; hold them to it."""
    for member in history.members:
        member.fickle = lambda: False
        member.poll()
    for line in history.lines:
        line.slow = False
    history.quiet()
    check_lines(history)
    for line in history.lines:
        line.weighing.allow()
    history.quiet()
    check_lines(history)
    for line in list(history.lines):
        if not line.cut:
            history.cut_link(line)
    history.quiet()
    assert not history.lines
    harmed = history.disorderly or history.damaging or history.losing
    history.disorderly = False
    if not (harmed or history.lagging or history.odd_lanes):
        assert set(history.noticed) <= {"promise-broken"}, f"{history.noticed} though nothing was lost"
    pairs = list(combinations(history.members, 2))
    history.random.shuffle(pairs)
    for _ in range(len(history.members) + 2):
        before = [member.disk.number for member in history.members]
        for a, b in pairs:
            visit(history, a, b)
        if [member.disk.number for member in history.members] == before:
            break
    else:
        raise AssertionError("no end of changes")
    check_all(history)
    for a, b in pairs:
        check_greeting(history, a, b)


def visit(history: History, a: Member, b: Member) -> list[Line]:
    """A whole session over the only link there is."""
    lines = history.join(a, b, plain=True)
    history.quiet()
    for line in lines:
        assert line.levels, f"{line} is not level"
        if line.unhurt:
            check_given(line)
    for line in lines:
        history.close(line, keep=1.0)
    return lines


def check_lines(history: History) -> None:
    for line in history.lines:
        if line.unhurt:
            check_given(line)
            assert line.session._level, f"{line} is not level"


def check_given(line: Line) -> None:
    """What one holds the other has settled; but for what is withheld, what it gave up and said to be gone, and what it
    was given anew."""
    theirs = line.other.disk.states
    for of, held in line.member.entries.items():
        if reconciled(of) and of not in line.history.forked:
            settled = theirs[of].settled if of in theirs else NOTHING
            given_up = line.member.gone.get(of, NOTHING)
            withheld = line.weighing.withheld(of)
            lacking = [seq for seq in held if seq not in settled and seq not in given_up and seq not in withheld]
            assert not lacking, f"{line.other.number} lacks {of} {lacking}, which {line.member.number} holds"


def check_all(history: History) -> None:
    """What anybody holds all have settled, and hold if they had not given it up."""
    held: dict[LogId, set[int]] = {}
    for member in history.members:
        for of, mine in member.entries.items():
            if reconciled(of) and of not in history.forked:
                held.setdefault(of, set()).update(mine)
    for member in history.members:
        for of, seqs in held.items():
            settled, given_up = member.frontier.settled(of), member.gone.get(of, NOTHING)
            for seq in seqs:
                assert seq in settled, f"{member.number} lacks {of} {seq}"
                assert seq in given_up or seq in member.entries[of], f"{member.number} lost {of} {seq}"
    for a, b in combinations(history.members, 2):
        if told(a) == told(b) and NO_CHAIN not in (a.frontier.chain(b""), b.frontier.chain(b"")):
            check_stories(history, a, b)


def check_stories(history: History, a: Member, b: Member) -> None:
    """Two that have settled the same, and know every tip, know whose author told them two stories."""
    for of in history.forked:
        top = a.frontier.settled(of).top - 1
        ours, theirs = a.entries.get(of, {}).get(top), b.entries.get(of, {}).get(top)
        if ours and theirs and ours != theirs:
            assert of in a.disk.frozen, f"{a.number} and {b.number} do not know that {of} is forked"
            history.counts["forks"] += 1


def check_greeting(history: History, a: Member, b: Member) -> None:
    """Two that know each other and have settled the same have nothing to say."""
    tips = all(a.frontier.tip(of) == b.frontier.tip(of) for of in a.states if reconciled(of))
    alike = told(a) == told(b) and (tips or NO_CHAIN in (a.frontier.chain(b""), b.frontier.chain(b"")))
    lines = visit(history, a, b)
    if alike:
        sent = [len(line.sent) for line in lines]
        size = sum(len(data) for line in lines for data in line.sent)
        assert sent == [1, 1], f"{sent} records where nothing was new"
        assert size <= 70, f"{size} B where nothing was new"
        history.counts["greetings"] += 1


def told(member: Member) -> dict[LogId, Ranges]:
    return {of: settled for of, settled in member.settled().items() if reconciled(of) and settled}

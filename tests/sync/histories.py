"""Random histories of three to six nodes: what they write, lose and remember, and every way in which links come and go.

A history is drawn from one Random, so a seed replays it. Laws that are checked all along:

1. No honest node hangs up on another; only disorder on a link, which links do not allow, may end so.
2. No node believes another to have settled what it has not.
3. Over a node's only link nothing comes that it had settled when the link came up, and nothing comes twice.
4. No node waits in vain, unless time was lost.
What must be true when it is over stands in outcomes.py.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from random import Random

from sync.logs import LogId, view_digest
from sync.memory import Memory
from sync.ranges import NOTHING, Ranges
from sync.session import (
    AskDrained,
    Drained,
    Input,
    Output,
    PeerSettled,
    ReadRun,
    RecordReceived,
    RunRead,
    Session,
    Started,
    TakeRun,
    TimeCame,
    Wanted,
    Weighed,
)
from tests.sync.members import Disk, Member
from tests.sync.pair import End, World
from tests.sync.weighing import Weighing

LANES = (0, 0, 1, 1, 1, 2, 3)


class Line(End):
    """One side of a link. Reads are answered later than they are made, and a slow link takes its time to drain."""

    def __init__(
        self, world: History, node: Member, session: Session, number: int, other: Member, weighing: Weighing
    ) -> None:
        super().__init__(world, node, session, number, other.number)
        self.history = world
        self.member = node
        self.other = other
        self.weighing = weighing
        self.answers: deque[RunRead] = deque()
        self.slow = False
        self.cut = False
        self.losses = other.losses
        self.alone = len(node.ends) == 1
        self.settled: dict[LogId, Ranges] = dict(node.settled())
        self.whole = True
        """Nothing was refused, no time was lost, and all lanes are spoken of."""

    def tell(self, event: Input, now: float) -> list[Output]:
        outputs = super().tell(event, now)
        self.history.noticed.update(self.noticed)
        for output in outputs:
            if isinstance(output, TakeRun):
                self._handed(output)
            elif isinstance(output, PeerSettled):
                self._believes(output.log, output.settled)
        if self.hangup is not None:
            assert self.history.disorderly, f"{self} hung up: {self.hangup}"
            self.history.hangups[self.hangup] += 1
            if not self.cut:
                self.history.cut_link(self)
        assert "promise-broken" not in self.noticed or not self.unhurt, f"{self} waited in vain"
        return outputs

    @property
    def unhurt(self) -> bool:
        """Both sides are whole."""
        return self.whole and isinstance(self.peer, Line) and self.peer.whole

    def check_beliefs(self) -> None:
        """Law 2, and that all is known which is said to have been heard."""
        memory = self.session.memory()
        if memory is None or self.other.losses != self.losses or self.history.disorderly:
            return
        for of in {*self.member.states, *self.other.states}:
            believed = self.session._peer.holds(of)
            self._believes(of, believed)
            changes = self.other.disk.changes.get(of)
            if changes and changes[-1][0] <= memory.heard and of.lane != 3 and self.history.strict:
                assert believed == changes[-1][1], f"{self} has heard of {of} only {believed.spans}"

    def _believes(self, of: LogId, settled: Ranges) -> None:
        if self.other.losses == self.losses and not self.history.disorderly:
            truth = self.other.disk.states[of].settled if of in self.other.disk.states else NOTHING
            assert not settled.minus(truth), f"{self} believes {of} {settled.spans}, but it is {truth.spans}"

    def _handed(self, run: TakeRun) -> None:
        start, stop = run.start, run.start + len(run.packed)
        settled = self.settled.get(run.log, NOTHING)
        twice = settled.meets(start, stop)
        self.history.counts["twice" if twice else "once"] += 1
        # A tip that either lost since the HELLO looks like a fork; bulk is given as often as it is wanted.
        fair = self.alone and run.log.lane != 3 and run.log not in self.history.forked and self.history.strict
        if twice and fair and self.member.frontier.tip(run.log) and run.log not in self.other.tipless:
            raise AssertionError(f"{self} was given {run.log} {start}-{stop} though it has {settled.spans}")

    def weigh(self, now: float) -> None:
        self.weighing.decide()
        self.tell(Weighed(), now)

    def do_work(self, now: float) -> None:
        order = self.work[0]
        if isinstance(order, ReadRun):
            self.work.popleft()
            self.answers.append(self.node.read(order))
        elif isinstance(order, TakeRun):
            self.work.popleft()
            refusals = self.member.refusals
            done, before = self.node.take(order)
            if done.taken:
                settled = self.settled.get(order.log, NOTHING)
                self.settled[order.log] = settled.add(order.start, order.start + done.count)
            if self.member.refusals > refusals:
                self.whole = False
            self.node.grow(before)
            self.tell(done, now)
        else:
            self.work.popleft()
            if self.slow:
                self.history.now += self.history.random.choice((0.0, 0.1, 0.3))
            self.tell(Drained(), now)

    def __repr__(self) -> str:
        return f"{self.member.number} of {self.other.number}"


class History(World):
    """`strict`: states are told whole, so law 3 holds. `disorderly`: links lose, repeat and swap records."""

    def __init__(self, random: Random, *, strict: bool = True, disorderly: bool = False) -> None:
        super().__init__()
        self.random = random
        self.strict = strict and not disorderly
        self.disorderly = disorderly
        self.noticed: Counter[str] = Counter()
        self.hangups: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.forked: set[LogId] = set()
        self.proofs: dict[tuple[LogId, int], LogId] = {}
        count = random.choice((3, 3, 4, 5, 6))
        self.pages = [
            [(1_000 * (number + 1) + 10 * life).to_bytes(16) for number in range(count) if random.random() < 0.7]
            for life in range(4)
        ]
        self.pages = [page for page in self.pages if page]
        self.members = [
            Member(number, pages=self.pages, proofs=self.proofs, forked=self.forked) for number in range(count)
        ]
        self.disks: list[tuple[Member, Disk]] = []
        self.old_memories: list[tuple[Member, object, Memory]] = []
        self.lines: list[Line] = []
        self.several = random.random() < 0.7  # links at once
        self.odd_lanes = random.random() < 0.1
        self.refusing = random.random() < 0.3
        self.damaging = random.random() < 0.4
        self.losing = random.random() < 0.4
        self.splitting = random.random() < 0.4
        self.withholding = random.random() < 0.5
        self.lagging = random.random() < 0.4  # Another process writes to the disks.
        for member in self.members:
            for _ in range(random.randrange(3)):
                member.learn_page()

    # Links.

    def join(self, a: Member, b: Member, *, plain: bool = False) -> list[Line]:
        random = self.random
        self._salts += 1
        lines: list[Line] = []
        for member, other in ((a, b), (b, a)):
            number = next(self._numbers)
            lanes = random.choice((15, 7, 3, 11, 13)) if self.odd_lanes and not plain else 15
            weighing = Weighing(random, active=self.withholding and not plain and random.random() < 0.7)
            talk = Session(
                member.frontier,
                record_bytes_max=random.choice((16_384, 163_840)),
                salt=str(self._salts).encode(),
                memory=member.recall(other.number),
                sources=member.sources,
                number=number,
                watched=[member.feed.to_bytes(16)],
                lanes=lanes,
                withholds=weighing,
                apart=not plain and random.random() < 0.2,
            )
            for end in member.ends:
                assert isinstance(end, Line)
                end.alone = False
            line = Line(self, member, talk, number, other, weighing)
            line.slow = not plain and random.random() < 0.3
            line.whole = plain or not (self.odd_lanes or self.disorderly)
            lines.append(line)
        lines[0].peer, lines[1].peer = lines[1], lines[0]
        self.lines += lines
        for line in lines:
            line.tell(Started(), self.now)
        return lines

    def cut_link(self, line: Line) -> None:
        """What was sent arrives up to some record; each side notices in its own time."""
        assert isinstance(line.peer, Line)
        for end in (line, line.peer):
            arrives = self.random.randrange(len(end.inbox) + 1)
            while len(end.inbox) > arrives:
                end.inbox.pop()
            end.cut = True
            end.whole = False
            end.peer = None

    def close(self, line: Line, keep: float = 0.8) -> None:
        """One side's session ends; perhaps before anything of it was kept."""
        member, name = line.member, line.other.number
        line.check_beliefs()
        self.lines.remove(line)
        member.ends.remove(line)
        member.sources.leave(line.number)
        if self.random.random() < keep:
            self.keep(line)
        elif self.random.random() < 0.2:
            member.disk.memories.pop(name, None)
        member.share()

    def keep(self, line: Line) -> None:
        member, name = line.member, line.other.number
        member.keep(name, line.session)
        memory = member.disk.memories.get(name)
        if memory is not None:
            self.old_memories.append((member, name, memory))

    def crash(self, member: Member) -> None:
        """All its links are gone, and its process begins anew from its disk."""
        for line in [line for line in self.lines if line.member is member]:
            if not line.cut:
                self.cut_link(line)
            self.close(line, keep=0.5)
        member.ends.clear()

    # Time.

    def step(self) -> bool:
        """One thing happens somewhere."""
        self.steps += 1
        lines = self.lines
        first = self.random.randrange(len(lines)) if lines else 0
        for index in range(len(lines)):
            if self._advance(lines[(first + index) % len(lines)]):
                return True
        waiting = [line for line in lines if line.wake is not None]
        if not waiting:
            return False
        line = min(waiting, key=lambda line: line.wake or 0.0)
        assert line.wake is not None
        self.now, line.wake = max(self.now, line.wake), None
        line.tell(TimeCame(), self.now)
        return True

    def _advance(self, line: Line) -> bool:
        random, now = self.random, self.now
        if self.disorderly and len(line.inbox) > 1 and random.random() < 0.1:
            self.disturb(line.inbox)
        if line.wake is not None and line.wake <= now and random.random() < 0.5:
            line.wake = None
            line.tell(TimeCame(), now)
        elif line.inbox and random.random() < 0.5:
            line.tell(RecordReceived(line.inbox.popleft()), now)
        elif line.cut and random.random() < 0.2:
            self.close(line)
        elif line.weighing.due and random.random() < 0.3:
            line.weigh(now)
        elif line.answers and random.random() < 0.5:
            line.tell(line.answers.popleft(), now)
        elif line.work and not (line.slow and isinstance(line.work[0], AskDrained) and random.random() < 0.8):
            line.do_work(now)
        elif line.inbox:
            line.tell(RecordReceived(line.inbox.popleft()), now)
        elif line.answers:
            line.tell(line.answers.popleft(), now)
        elif line.work:
            line.do_work(now)
        elif line.cut:
            self.close(line)
        elif line.weighing.due:
            line.weigh(now)
        else:
            return False
        return True

    def disturb(self, inbox: deque[bytes]) -> None:
        """Something is lost, comes twice, or comes too late."""
        index, kind = self.random.randrange(len(inbox)), self.random.randrange(3)
        data = inbox[index]
        if kind:
            del inbox[index]
        if kind < 2:
            inbox.insert(self.random.randrange(len(inbox) + 1), data)

    def quiet(self) -> None:
        for _ in range(200_000):
            if not self.step():
                return
        raise AssertionError("no end of talking")

    # What happens.

    def live(self, actions: int) -> None:
        weights = {
            self.write: 30,
            self.meet_someone: 20,
            self.meet_all: 6 * self.several,
            self.cut_someone: 7,
            self.drop: 7,
            self.restart: 3,
            self.keep_someone: 3,
            self.pass_time: 3,
            Member.poll: 3,
            Member.learn_page: 3,
            self.want: 2,
            self.damage: 8 * self.damaging,
            self.lose: 14 * self.losing,
            self.refuse: 4 * self.refusing,
            self.reweigh: 8 * self.withholding,
            self.fork: 12 * self.splitting,
        }
        weights = {act: share for act, share in weights.items() if share}  # Chance may hit the edge of what has none.
        acts, shares = list(weights), list(weights.values())
        for _ in range(actions):
            act = self.random.choices(acts, shares)[0]
            act(self.random.choice(self.members))
            for _ in range(self.random.randrange(40)):
                if not self.step():
                    break

    def cut_someone(self, member: Member) -> None:
        lines = [line for line in self.lines if line.member is member and not line.cut]
        if lines:
            self.cut_link(self.random.choice(lines))

    def keep_someone(self, member: Member) -> None:
        for line in self.lines:
            if line.member is member:
                self.keep(line)

    def restart(self, member: Member) -> None:
        self.crash(member)
        member.live(member.disk)

    def pass_time(self, member: Member) -> None:
        passed = self.random.choice((0.1, 1.0, 31.0))
        self.now += passed
        for line in self.lines:
            line.whole = line.whole and passed < 30

    def refuse(self, member: Member) -> None:
        random, share = self.random, self.random.choice((0.0, 0.2))
        member.fickle = lambda: random.random() < share

    def reweigh(self, member: Member) -> None:
        for line in self.lines:
            if line.member is member and self.random.random() < 0.5:
                line.weighing.change()

    def want(self, member: Member) -> None:
        """Something of a bulk log."""
        lines = [line for line in self.lines if line.member is member and not line.cut and line.levels]
        logs = sorted({of for each in self.members for of in each.disk.states if of.lane == 3})
        if lines and logs:
            of = self.random.choice(logs)
            lacking = member.frontier.settled(of).gaps(0, 4)
            if lacking and not self.odd_lanes:
                self.random.choice(lines).tell(Wanted(of, Ranges(lacking)), self.now)

    def write(self, member: Member) -> None:
        random = self.random
        own = LogId((member.feed + random.choice((0, 0, 1))).to_bytes(16), random.choice(LANES))
        count = random.choice((1, 1, 1, 2, 3, 12, 30))
        seq = member.next_own(own, count)
        size = random.choice((0, 0, 0, 3_000))
        if self.lagging and random.random() < 0.5:
            member.write_elsewhere(own, Ranges(((seq, seq + count),)), size=size)
        else:
            member.write(own, Ranges(((seq, seq + count),)), size=size)

    def drop(self, member: Member) -> None:
        random = self.random
        logs = sorted({of for each in self.members for of in each.disk.states if of not in self.forked})
        logs = [of for of in logs if not any(of == control for control, _ in self.proofs)]
        if logs:
            of = random.choice(logs)
            top = max(each.disk.states[of].settled.top for each in self.members if of in each.disk.states)
            start = random.randrange(top)
            spans = (start, start + random.choice((1, 1, 2, top))), (start // 2, start // 2 + 1)
            seqs = Ranges.of(*((a, min(b, top)) for a, b in spans[: random.choice((1, 2))]))
            if int.from_bytes(of.feed) // 1_000 - 1 != member.number:
                member.drop(of, seqs, tip_lost=random.random() < 0.5)
            elif of in member.disk.states:
                member.drop(of, seqs.intersect(member.disk.states[of].settled), tip_lost=random.random() < 0.5)

    def meet_someone(self, member: Member) -> None:
        """Sometimes something happens before the first word is heard."""
        other = self.random.choice([each for each in self.members if each is not member])
        both = [line for line in self.lines if line.member is member and line.other is other]
        if len(both) < 2 and (self.several or not (member.ends or other.ends)):
            self.join(member, other)
            if self.random.random() < 0.3:
                self.random.choice((self.write, self.drop, Member.learn_page))(self.random.choice((member, other)))

    def meet_all(self, member: Member) -> None:
        """All at once, and all may have the same for it."""
        for other in self.members:
            if other is not member and not any(line.other is other for line in self.lines if line.member is member):
                self.join(member, other)

    def damage(self, member: Member) -> None:
        """Something of what is kept of peers is lost, old or wrong."""
        random = self.random
        memories = member.disk.memories
        if not memories:
            return
        name = random.choice(sorted(memories, key=str))
        kind = random.randrange(5)
        old = [memory for each, whom, memory in self.old_memories if each is member and whom == name]
        if kind == 0:
            del memories[name]
        elif kind == 1 and old:
            memory = random.choice(old)
            if memory.base <= member.frontier.upto:
                memories[name] = memory
        elif kind == 2:
            memories[name] = replace(memories[name], views={})
        elif kind == 3:
            memories[name] = replace(memories[name], digest=bytes(32))
        else:
            self.mistake(member, name)

    def mistake(self, member: Member, name: object) -> None:
        """What is remembered hangs together and is wrong all the same."""
        memory = member.recall(name)
        if memory is not None and member.states:
            of = self.random.choice(sorted(member.states))
            wrong = replace(memory, views={**memory.views, of: Ranges(((0, self.random.randrange(1, 5)),))})
            digest = view_digest(member.frontier.view_of(wrong.views))
            member.disk.memories[name] = replace(wrong, digest=digest)

    def lose(self, member: Member) -> None:
        """Its disk is put back to what it was, or is a new one."""
        random = self.random
        mine = [disk for each, disk in self.disks if each is member]
        if random.random() < 0.4 or not mine:
            self.disks.append((member, member.disk.copy()))
            return
        self.old_memories = [kept for kept in self.old_memories if kept[0] is not member]
        self.crash(member)
        if random.random() < 0.7:
            member.restore(random.choice(mine).copy())
            if random.random() < 0.5:
                member.renew_epoch()
        else:
            member.lose_disk()
            self.disks = [kept for kept in self.disks if kept[0] is not member]

    def fork(self, member: Member) -> None:
        """An author who is none of them tells some of them one story, and some another."""
        random = self.random
        of = LogId((900 + random.randrange(2)).to_bytes(16), random.choice((0, 1, 2)))
        self.forked.add(of)
        first = random.randrange(6)
        for member in random.sample(self.members, 2):
            if of not in member.disk.frozen and of not in member.disk.states:
                member.write(of, Ranges(((0, first + random.randrange(1, 4)),)), random.choice(("a", f"b{first}")))

"""Play a trace with real nodes in networks of their own, and put the simulator's run of it beside theirs.

0 they agree        1 they do not, or it could not be done        2 wrongly asked
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from beepmesh.demo.hosts import can_make_hosts
from beepmesh.errors import BeepmeshError, Unreachable, Usage
from simulations import traces, workload
from simulations.bound import flood
from simulations.lines import BadFile
from simulations.metrics import Bounds, delays, summarise
from simulations.outcome import ContactRecord, Outcome
from simulations.radio import Radio
from simulations.real import mules
from simulations.real.agree import agreement
from simulations.real.play import Played, play
from simulations.real.simulated import simulate
from simulations.traces import Trace
from simulations.workload import Message
from simulations.writing import NotARun, load_outcome, write_run, write_whole

RADIO: Final = "cable"
AGREEMENT: Final = ("id", "node", "real", "simulated")
DIFFERENT: Final = 1
LATE_S_MAX: Final = 0.1
"""Real seconds. It takes 0.03 s to switch a cable or to write a message; half of them later is no fair run."""


def main(words: Sequence[str]) -> int:
    asked = _parsed(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # So that everything is taken down.
    try:
        return _run(asked)
    except (BeepmeshError, BadFile, NotARun, ValueError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2 if isinstance(problem, Usage) else DIFFERENT


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulations.real", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trace", type=Path, metavar="FILE", help="contacts (three camps and three walkers)")
    parser.add_argument("--workload", type=Path, metavar="FILE", help="messages: id,t,src,dst,size,ttl,prio")
    parser.add_argument("--speed", type=float, default=30.0, metavar="N", help="so many times faster (30)")
    parser.add_argument("--bw", type=float, default=20_000.0, metavar="BYTES", help="bytes a second of a link (20000)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the files; without it, only the figures are printed"
    )
    parser.add_argument("--agree", type=Path, metavar="DIR", help="a simulated run to hold beside it, instead of ours")
    return parser.parse_args(words)


def _run(asked: argparse.Namespace) -> int:
    trace, messages = _asked(asked)
    if refusal := can_make_hosts():
        raise Unreachable(f"Real nodes need networks of their own, and {refusal}.")
    print(
        f"{trace.nodes} nodes, {len(trace.contacts)} contacts, {len(messages)} messages:"
        f" {trace.duration / asked.speed:.0f} s at a speed of {asked.speed:g}, after a start of some ten.",
        flush=True,
    )
    played = play(trace, messages, speed=asked.speed, bytes_per_s=asked.bw)
    setups = [meeting.setup_s for meeting in played.meetings if meeting.setup_s is not None]
    for line in _told(played, setups, asked.speed):
        print(line)
    setup_s = round(statistics.median(setups), 3) if setups else 0.0
    radio = Radio(RADIO, asked.bw, setup_s, exclusive=False)
    real = _real_outcome(trace, played)
    simulated = simulate(trace, messages, radio, asked.speed) if asked.agree is None else load_outcome(asked.agree)
    found = agreement(messages, real.deliveries, simulated.deliveries)
    for line in found.lines():
        print(line)
    if asked.out is not None:
        asked.out.mkdir(parents=True, exist_ok=True)
        traces.save(trace, asked.out / "trace.ct")
        workload.save(messages, asked.out / "workload.csv")
        _write(asked.out / "real", trace, messages, real, radio)
        if asked.agree is None:
            _write(asked.out / "simulated", trace, messages, simulated, radio)
        rows = (",".join(map(str, row)) for row in (AGREEMENT, *found.rows()))
        write_whole(asked.out / "agreement.csv", "\n".join(rows) + "\n")
    return 0 if found.holds else DIFFERENT


def _asked(asked: argparse.Namespace) -> tuple[Trace, tuple[Message, ...]]:
    """Raises Usage, BadFile."""
    if (asked.trace is None) != (asked.workload is None):
        raise Usage("Give both --trace and --workload, or neither.")
    if min(asked.speed, asked.bw) <= 0:
        raise Usage("A speed and a bandwidth are more than nothing.")
    if asked.trace is None:
        return mules.mules(mules.SEED), tuple(mules.workload(mules.SEED))
    trace = traces.load(asked.trace)
    return trace, workload.load(asked.workload, trace.nodes)


def _told(played: Played, setups: Sequence[float], speed: float) -> Iterator[str]:
    """How the real run went, for a person."""
    met = f"{len(setups)} of {len(played.meetings)} contacts became links"
    if setups:
        median, most = statistics.median(setups), max(setups)
        met += f", set up in {median / speed:.2f} s in the middle and {most / speed:.2f} s at most"
        met += f" ({median:.1f} and {most:.1f} s of the trace)"
    yield f"real             {met}"
    partings = [meeting.parted_s for meeting in played.meetings if meeting.parted_s is not None]
    if partings:
        median, most = statistics.median(partings), max(partings)
        yield f"partings         noticed in {median / speed:.2f} s in the middle and {most / speed:.2f} s at most"
    late = sorted(played.late_s)
    if late:
        middle, most = late[len(late) // 2], late[-1]
        yield f"behind time      {middle:.1f} s of the trace in the middle, {most:.1f} s at most"
        if middle > LATE_S_MAX * speed or len(setups) < len(played.meetings):
            yield "This machine is too busy for that speed: what follows says little. Try a smaller one, or later."


def _real_outcome(trace: Trace, played: Played) -> Outcome:
    """Contacts without bytes: what passed on a cable is not known by kind."""
    outcome = Outcome("real", trace.name, 0, trace.nodes, trace.duration, deliveries=played.deliveries)
    outcome.contacts = [
        ContactRecord(contact.start, contact.stop, contact.a, contact.b, RADIO) for contact in trace.contacts
    ]
    return outcome


def _write(folder: Path, trace: Trace, messages: Sequence[Message], outcome: Outcome, radio: Radio) -> None:
    bounds = Bounds(flood(trace, messages))
    summary = summarise(outcome, messages, bounds, [radio], command="python -m simulations.real")
    write_run(folder, outcome, messages, bounds.flood, summary, delays(outcome, messages, bounds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

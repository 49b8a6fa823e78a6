"""Whoever hears all of a session and knows what both had before: what each record names, and what was pushed.

Like naive.py, of which it is made, it reads sync/README.md without sync/.
"""

from __future__ import annotations

from tests.sync import naive


class Speaker:
    """One direction of a session, as whoever listens to it in full understands it."""

    def __init__(self, said: list[bytes]) -> None:
        self.said = [naive.read(data) for data in said]
        self.hello = self.said[0]
        self.mentions: list[tuple[str, int]] = []
        self.pushed: list[list[naive.Json]] = []
        """[feed, lane, seq, packed]"""
        self.gone: list[list[naive.Json]] = []
        """[feed, lane, spans]"""


def resolved(
    name: naive.Json, mentions: list[tuple[str, int]], listed: list[str], tags: dict[str, str]
) -> tuple[str, int]:
    if "mention" in name:
        number: int = name["mention"]
        return mentions[number]
    feed: str = name.get("feed") or (listed[name["listed"]] if "listed" in name else tags[name["tag"]])
    lane: int = name["lane"]
    return feed, lane


def follow(session: naive.Json) -> dict[str, Speaker]:
    """Each side of a transcript: what it named, and what it pushed."""
    salt, order, listed = bytes.fromhex(session["salt"]), session["said"], session["listed"]
    feeds = {naive.tag(feed, salt): feed for logs in session["before"].values() for feed, *_ in logs}
    sides = {name: Speaker([bytes.fromhex(data) for who, data in order if who == name]) for name in "ab"}
    shared = min(side.hello["known"] for side in sides.values())
    for name, side in sides.items():
        before = session["before"][name]
        naive.need(side.hello["root"] == naive.root(before, salt) and side.hello["chain"] == naive.chain(before, salt))

        in_delta = side.hello["delta"]
        for record in side.said[1:]:
            if record["type"] == "states":
                named = [] if in_delta else [state["log"] for state in record["states"]]
                in_delta = in_delta and record["more"]
            else:
                named = record.get("logs", [record["log"]] if "log" in record else [])
            logs = [resolved(name, side.mentions, listed[:shared], feeds) for name in named]
            side.mentions += [log for log in dict.fromkeys(logs) if log not in side.mentions]
            if record["type"] == "run":
                side.pushed += [[*logs[0], seq, data] for seq, data in enumerate(record["packed"], record["start"])]
            if record["type"] == "gone":
                side.gone.append([*logs[0], record["seqs"]])
    return sides

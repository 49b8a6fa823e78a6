"""A hub and its members, who hear none of each other: what comes to it is passed on without asking."""

from __future__ import annotations

from itertools import combinations

from sync.limits import HOLD_BACK_APART_S
from sync.logs import LogId
from tests.engines import Mesh


def test_what_comes_to_a_hub_is_passed_on_shortly_after_and_told_to_nobody_first() -> None:
    def of(transport: str) -> tuple[float, int]:
        """How long until a text had reached all who are linked to the one in the middle, and what that took."""
        mesh = Mesh("Hub", "Ayesha", "Bilal", "Dawood", "Esha")
        hub, author, *others = mesh.nodes
        for one, other in combinations(mesh.nodes, 2):
            cable = mesh.connect(one, other)
            mesh.run()
            cable.cut()
            mesh.run()
        cables = [mesh.connect(member, hub, transport) for member in (author, *others)]
        mesh.run(seconds=60.0)
        before, frames = mesh.now, sum(cable.frames_sent for cable in cables)
        author.send("everyone", "The ford is deep.")
        while not all(node.held(LogId(author.home.identity.feed, 1)) for node in others):
            if able := mesh.happenings():
                able[0]()
            else:
                assert mesh.pass_time()
        return mesh.now - before, sum(cable.frames_sent for cable in cables) - frames

    seconds, frames = of("hub")
    _, usual_frames = of("memory")
    assert seconds <= HOLD_BACK_APART_S
    assert frames < usual_frames

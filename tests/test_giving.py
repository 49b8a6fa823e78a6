"""What is pushed among whole nodes, and when."""

from __future__ import annotations

from itertools import pairwise

from tests.engines import Mesh


def test_along_a_chain_nothing_waits() -> None:
    mesh = Mesh("Ayesha", "Bilal", "Dawood", "Zara")
    for one, other in pairwise(mesh.nodes):
        mesh.connect(one, other)
    mesh.run()
    mesh.nodes[0].send("Zara", "The bridge is out.")
    since = mesh.now
    mesh.run(seconds=0)
    assert (mesh.nodes[3].texts(), mesh.now) == (["The bridge is out."], since)

"""Small invented traces and workloads for tests, and the slow, plain way to say who gets what when."""

from __future__ import annotations

from hypothesis import strategies as st

from simulations.traces import Trace, merged
from simulations.workload import EVERYBODY, Message

NODES = 5

# Whole seconds, so that things begin and end together as often as they can.
sightings = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 8), st.integers(0, NODES - 1), st.integers(0, NODES - 1)), max_size=14
)
traces = sightings.map(
    lambda drawn: Trace("drawn", NODES, tuple(merged((float(t), float(t + d), a, b) for t, d, a, b in drawn)))
)


@st.composite
def workloads(draw: st.DrawFn, everybody: bool = True) -> tuple[Message, ...]:
    messages = []
    for index in range(draw(st.integers(1, 4))):
        src = draw(st.integers(0, NODES - 1))
        others = [node for node in range(EVERYBODY if everybody else 0, NODES) if node != src]
        t, size, ttl = draw(st.integers(0, 20)), draw(st.integers(1, 4)), draw(st.integers(0, 30))
        messages.append(Message(index * 7, float(t), src, draw(st.sampled_from(others)), size, float(ttl), 1))
    return tuple(messages)


def walked(trace: Trace, message: Message, bytes_per_s: float, setup_s: float) -> dict[int, dict[int, float]]:
    """{hops: {node: earliest time}} by trying every contact from every time that was reached with one hop less."""
    layers = {0: {message.src: message.t}}
    for hops in range(1, trace.nodes):
        further: dict[int, float] = {}
        for start, stop, a, b in trace.contacts:
            for source, target in ((a, b), (b, a)):
                if (time := layers[hops - 1].get(source)) is not None:
                    there = max(time, start + setup_s) + message.size / bytes_per_s
                    if there <= min(stop, message.t + message.ttl, further.get(target, stop)):
                        further[target] = there
        layers[hops] = further
    return layers

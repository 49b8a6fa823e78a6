"""Noise against all published vectors for our curve and cipher: 330 of cacophony and snow, psk modifiers included."""

from __future__ import annotations

import pytest

from beepmesh.crypto.noise import PATTERNS, Handshake
from beepmesh.crypto.primitives import AgreementKey
from tests.crypto.published import Case, record

# The responder of a one-way pattern sends no ephemeral key, so its vectors name none.
UNUSED = AgreementKey(bytes(32))


def side(case: Case, name: str) -> Handshake:
    """One side as the vector describes it. snow names remote static keys also where the pattern sends them."""
    known = PATTERNS[case.text("protocol_name").split("_")[1].split("psk")[0]].split(":")[0]
    remote_static = ("r" if name == "init" else "i") in known
    return Handshake(
        case.text("protocol_name"),
        initiator=name == "init",
        prologue=case.octets(f"{name}_prologue"),
        static=AgreementKey(case.octets(f"{name}_static")) if case.has(f"{name}_static") else None,
        psks=[bytes.fromhex(psk) for psk in case.texts(f"{name}_psks")],
        remote_static=case.octets(f"{name}_remote_static") if remote_static else None,
        ephemeral=AgreementKey(case.octets(f"{name}_ephemeral")) if case.has(f"{name}_ephemeral") else UNUSED,
    )


def converse(case: Case) -> None:
    """The whole vector: each handshake message, the hash, and each transport message, both ways."""
    initiator, responder = side(case, "init"), side(case, "resp")
    messages = case.cases("messages")
    count = 0
    while not initiator.finished:
        writer, reader = (initiator, responder) if count % 2 == 0 else (responder, initiator)
        message = writer.write(messages[count].octets("payload"))
        assert message == messages[count].octets("ciphertext")
        assert reader.read(message) == messages[count].octets("payload")
        count += 1
    assert responder.finished
    assert initiator.hash == responder.hash
    if case.has("handshake_hash"):
        assert initiator.hash == case.octets("handshake_hash")
    ours, theirs = initiator.split(), responder.split()
    for number, expected in enumerate(messages[count:], count):
        # In a one-way pattern the initiator alone goes on; otherwise they keep taking turns.
        forth = count == 1 or number % 2 == 0
        sender, receiver = (ours[0], theirs[1]) if forth else (theirs[0], ours[1])
        sealed = sender.seal(expected.octets("payload"))
        assert sealed == expected.octets("ciphertext")
        assert receiver.open(sealed) == expected.octets("payload")


@pytest.mark.parametrize("hash_name", ["SHA256", "BLAKE2s", "BLAKE2b"])
@pytest.mark.parametrize(("source", "count"), [("cacophony", 59), ("snow", 51)])
def test_every_published_conversation_is_spoken_to_the_byte(source: str, count: int, hash_name: str) -> None:
    cases = record(f"noise_{source}_25519_ChaChaPoly_{hash_name}.json").cases("vectors")
    assert len(cases) == count
    for case in cases:
        try:
            converse(case)
        except Exception as error:
            raise AssertionError(case.text("protocol_name")) from error


def test_the_vectors_cover_every_pattern_we_know() -> None:
    seen = {
        case.text("protocol_name").split("_")[1].split("psk")[0]
        for source in ("cacophony", "snow")
        for case in record(f"noise_{source}_25519_ChaChaPoly_SHA256.json").cases("vectors")
    }
    assert seen == set(PATTERNS)

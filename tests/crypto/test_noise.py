"""The link handshake under attack: what is changed, cut, replayed or out of turn is refused by its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto.noise import LINK_PROTOCOL, MESSAGE_BYTES_MAX, NONCE_LIMIT, Cipher, Handshake, NoiseError
from beepmesh.crypto.primitives import AgreementKey

PSK = b"psk" + bytes(29)
KEYS = [AgreementKey(bytes([number]) * 32) for number in range(1, 5)]
SIZES = (48, 96, 64)


def pair(
    *, psks: tuple[bytes, bytes] = (PSK, PSK), prologues: tuple[bytes, bytes] = (b"", b"")
) -> tuple[Handshake, Handshake]:
    initiator = Handshake(
        LINK_PROTOCOL, initiator=True, prologue=prologues[0], static=KEYS[0], psks=[psks[0]], ephemeral=KEYS[1]
    )
    responder = Handshake(
        LINK_PROTOCOL, initiator=False, prologue=prologues[1], static=KEYS[2], psks=[psks[1]], ephemeral=KEYS[3]
    )
    return initiator, responder


def spoken(count: int, payloads: Sequence[bytes] = (b"", b"", b"")) -> tuple[Handshake, Handshake]:
    """The side that speaks next and the one that listens, after count messages."""
    speaker, listener = pair()
    for payload in payloads[:count]:
        assert listener.read(speaker.write(payload)) == payload
        speaker, listener = listener, speaker
    return speaker, listener


def ciphers() -> tuple[Cipher, Cipher]:
    """The responder's for sending and the initiator's for receiving."""
    responder, initiator = spoken(3)
    return responder.split()[0], initiator.split()[1]


def refused(reason: str, listener: Handshake, message: bytes) -> None:
    with pytest.raises(NoiseError) as caught:
        listener.read(message)
    assert caught.value.reason == reason
    calls: list[Callable[[], bytes]] = [lambda: listener.read(message), listener.write]
    for call in calls:
        with pytest.raises(NoiseError) as caught:
            call()
        assert caught.value.reason == "dead"
    assert not listener.finished


def test_both_sides_end_with_the_others_static_key_and_one_hash() -> None:
    responder, initiator = spoken(3, (b"one", b"two", b"three"))
    assert responder.finished
    assert initiator.finished
    assert responder.hash == initiator.hash
    assert responder.remote_static == KEYS[0].public
    assert initiator.remote_static == KEYS[2].public
    sending, receiving = initiator.split()
    assert responder.split()[1].open(sending.seal(b"forth")) == b"forth"
    assert receiving.nonce == 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_messages_of_a_link_are_48_96_and_64_bytes_and_their_payloads(count: int) -> None:
    speaker, _ = spoken(count)
    assert len(speaker.write(bytes(100))) == SIZES[count] + 100


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_flipped_bit_anywhere_in_a_handshake_message_is_refused(count: int) -> None:
    for at in range(SIZES[count] + 3):
        speaker, listener = spoken(count)
        message = bytearray(speaker.write(b"abc"))
        message[at] ^= 1
        refused("bad-tag", listener, bytes(message))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_cut_handshake_message_is_refused(count: int) -> None:
    speaker, _ = spoken(count)
    message = speaker.write()
    for size in range(len(message)):
        _, listener = spoken(count)
        with pytest.raises(NoiseError) as caught:
            listener.read(message[:size])
        assert caught.value.reason in {"truncated", "bad-tag"}


def test_a_longer_handshake_message_is_refused() -> None:
    speaker, listener = spoken(0)
    refused("bad-tag", listener, speaker.write() + b"\0")
    _, listener = spoken(0)
    refused("oversized", listener, bytes(MESSAGE_BYTES_MAX + 1))


def test_another_psk_fails_at_the_first_message() -> None:
    initiator, responder = pair(psks=(PSK, bytes(32)))
    refused("bad-tag", responder, initiator.write())


def test_another_prologue_fails_at_the_first_message() -> None:
    initiator, responder = pair(prologues=(b"lan", b"hub"))
    refused("bad-tag", responder, initiator.write())


def test_the_first_message_again_is_no_third_message() -> None:
    initiator, responder = pair()
    first = initiator.write()
    responder.read(first)
    responder.write()
    refused("bad-tag", responder, first + bytes(16))


def test_ones_own_message_reflected_is_refused() -> None:
    initiator, _ = pair()
    refused("bad-tag", initiator, initiator.write() + bytes(48))


def test_a_call_out_of_turn_kills_the_handshake() -> None:
    initiator, responder = pair()
    refused("out-of-turn", initiator, bytes(48))
    with pytest.raises(NoiseError) as caught:
        responder.write()
    assert caught.value.reason == "out-of-turn"


def test_nothing_follows_the_last_message() -> None:
    responder, initiator = spoken(3)
    calls: list[Callable[[], bytes]] = [responder.write, lambda: initiator.read(bytes(64))]
    for call in calls:
        with pytest.raises(NoiseError) as caught:
            call()
        assert caught.value.reason == "out-of-turn"


@pytest.mark.parametrize("public", [bytes(32), b"\1" + bytes(31)])
def test_an_ephemeral_key_of_low_order_is_refused(public: bytes) -> None:
    """Without a psk nothing authenticates the first message, so this one arrives whole."""
    responder = Handshake(
        "Noise_XX_25519_ChaChaPoly_SHA256", initiator=False, prologue=b"", static=KEYS[2], ephemeral=KEYS[3]
    )
    responder.read(public)
    with pytest.raises(NoiseError) as caught:
        responder.write()
    assert caught.value.reason == "bad-key"
    with pytest.raises(NoiseError) as caught:
        responder.write()
    assert caught.value.reason == "dead"


def test_an_all_zero_static_key_is_refused() -> None:
    """A peer that holds the psk and everything else, but no static key."""
    hollow = AgreementKey(bytes([3]) * 32)
    hollow.public = bytes(32)
    initiator, _ = pair()
    responder = Handshake(LINK_PROTOCOL, initiator=False, prologue=b"", static=hollow, psks=[PSK], ephemeral=KEYS[3])
    responder.read(initiator.write())
    refused("bad-key", initiator, responder.write())


def test_a_handshake_is_split_once() -> None:
    responder, _ = spoken(3)
    responder.split()
    with pytest.raises(AssertionError):
        responder.split()


def test_an_unfinished_handshake_is_not_split() -> None:
    with pytest.raises(AssertionError):
        spoken(2)[0].split()


def test_a_one_way_pattern_has_no_way_back() -> None:
    protocol = "Noise_N_25519_ChaChaPoly_SHA256"
    public = KEYS[2].public
    initiator = Handshake(protocol, initiator=True, prologue=b"", static=None, remote_static=public, ephemeral=KEYS[1])
    responder = Handshake(protocol, initiator=False, prologue=b"", static=KEYS[2], ephemeral=KEYS[3])
    responder.read(initiator.write())
    sending, receiving = responder.split()
    assert receiving.open(initiator.split()[0].seal(b"forth")) == b"forth"
    with pytest.raises(NoiseError) as caught:
        sending.seal(b"back")
    assert caught.value.reason == "exhausted"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2_000), max_size=20), st.integers(0, 20))
def test_any_sequence_of_sizes_arrives_also_over_a_rekey(sizes: list[int], rekey_at: int) -> None:
    sender, receiver = ciphers()
    for number, size in enumerate(sizes):
        if number == rekey_at:
            sender.rekey()
            receiver.rekey()
        sealed = sender.seal(bytes(size), b"associated")
        assert len(sealed) == size + 16
        assert receiver.open(sealed, b"associated") == bytes(size)
    assert sender.nonce == receiver.nonce == len(sizes)


def test_the_largest_message_arrives_and_a_larger_one_is_refused() -> None:
    sender, receiver = ciphers()
    sealed = sender.seal(bytes(MESSAGE_BYTES_MAX - 16))
    assert len(sealed) == MESSAGE_BYTES_MAX
    assert receiver.open(sealed) == bytes(MESSAGE_BYTES_MAX - 16)
    with pytest.raises(NoiseError) as caught:
        receiver.open(sealed + b"\0")
    assert caught.value.reason == "oversized"
    with pytest.raises(AssertionError):
        sender.seal(bytes(MESSAGE_BYTES_MAX - 15))


def test_what_does_not_open_moves_no_counter() -> None:
    sender, receiver = ciphers()
    first, second = sender.seal(b"first"), sender.seal(b"second")
    for wrong, reason in ((second, "bad-tag"), (first[:-1], "bad-tag"), (b"", "truncated"), (bytes(15), "truncated")):
        with pytest.raises(NoiseError) as caught:
            receiver.open(wrong)
        assert caught.value.reason == reason
    assert receiver.open(first) == b"first"
    with pytest.raises(NoiseError) as caught:
        receiver.open(first)
    assert caught.value.reason == "bad-tag"
    assert receiver.open(second) == b"second"


def test_a_rekey_on_one_side_only_ends_the_conversation() -> None:
    sender, receiver = ciphers()
    sender.rekey()
    with pytest.raises(NoiseError):
        receiver.open(sender.seal(b"text"))


def test_the_last_nonce_is_never_used() -> None:
    cipher = Cipher(bytes(32), NONCE_LIMIT - 1)
    reader = Cipher(bytes(32), NONCE_LIMIT - 1)
    assert reader.open(cipher.seal(b"last")) == b"last"
    calls: list[Callable[[], bytes]] = [lambda: cipher.seal(b""), lambda: reader.open(bytes(16))]
    for call in calls:
        with pytest.raises(NoiseError) as caught:
            call()
        assert caught.value.reason == "exhausted"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2), st.binary(max_size=200))
def test_any_bytes_at_all_raise_nothing_but_noise_error(count: int, message: bytes) -> None:
    _, listener = spoken(count)
    with pytest.raises(NoiseError):
        listener.read(message)


def test_no_repr_shows_a_key() -> None:
    responder, initiator = spoken(3)
    for value in (responder, initiator, *responder.split()):
        assert PSK.hex() not in repr(value)
        assert repr(value).startswith("<")

"""How tests/vectors/own was written. Run it only for a new version of a format, into new files:

    .venv/bin/python -m tests.crypto.write_vectors FOLDER

Certificates, the bundle and entries come out the same at every run. Envelopes do not (their KEM draws its own
randomness), and payloads depend on the version of zstd; those vectors are for opening.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from beepmesh.crypto.certificates import check_device, check_feed, check_revocation, department_code, public_id
from beepmesh.crypto.payload import pack
from beepmesh.crypto.primitives import SigningKey
from beepmesh.crypto.seal import face_of, hint_key
from beepmesh.messages.entry import NO_PREV, write
from beepmesh.messages.entry import pack as pack_entry
from beepmesh.messages.token import pack_token, token_log, token_of
from sync.cbor import encode
from tests.crypto import test_certificates as certified
from tests.crypto import test_prekeys as published
from tests.crypto.devices import NOW_S, ORG, Device, device, knowing, seed


def certificates() -> dict[str, object]:
    registrar = certified.the_registrar()
    statements = (
        ("registrar", registrar),
        ("device", check_device(certified.device_data(name="عائشہ خان"), registrar)),
        ("feed", check_feed(certified.feed_data(), registrar, public_id(certified.ROOT.public))),
        ("revocation", check_revocation(certified.revocation_data(), registrar)),
    )
    cases: dict[str, object] = {}
    for kind, statement in statements:
        fields = asdict(statement)
        cases[kind] = {"certificate": fields.pop("data"), "fields": fields}
    return {
        "about": "Hex. Deterministic: Ed25519 signs the same bytes the same way.",
        "root_seed": certified.ROOT.seed,
        "root_public": certified.ROOT.public,
        "registrar_seed": certified.REGISTRAR.seed,
        **cases,
    }


def accounts() -> dict[str, object]:
    org, path = public_id(certified.ROOT.public), "flood/swat"
    code = department_code(org, path)
    payload = encode([1, org, 12 * 2026 + 10, [[b"", 1, 5, 12, 3_456, 829_440], [code, 2, 33, 40, 61_500, 20_664_000]]])
    return {
        "about": "Hex. The feed certificate of somebody of a department, signed by the registrar of certificates.json,"
        " and a usage statement that the device of that file signs.",
        "org": org,
        "department": path,
        "code": code,
        "certificate": certified.feed_data(department=code),
        "device_seed": certified.DEVICE.seed,
        "payload": payload,
        "statement": encode(
            [
                payload,
                public_id(certified.DEVICE.public),
                certified.DEVICE.sign(b"beepmesh/usage-statement/1" + payload),
            ]
        ),
    }


def prekey() -> dict[str, object]:
    bundle = published.bundle_at(NOW_S)
    return {
        "about": "A prekey bundle, hex. Deterministic.",
        "device_seed": published.KEY.seed,
        "device_public": published.KEY.public,
        "prekey_seed": seed("prekey"),
        "start_hour": bundle.start_hour,
        "usable_days": bundle.usable_days,
        "prekey_id": bundle.prekey_id,
        "week": bundle.week,
        "bundle": bundle.encode(),
    }


def envelopes() -> dict[str, object]:
    alice, ben, cyra = device("alice"), device("ben"), device("cyra")
    names = {ben.id: "ben", cyra.id: "cyra"}
    wanted: tuple[tuple[str, bytes, tuple[Device, ...], int, int], ...] = (
        ("empty", b"", (ben,), 1, 0),
        ("one line", pack("پانی بڑھ رہا ہے۔ Send the boat.".encode()), (ben,), 1, 41),
        ("two readers", pack(b"Meet at the ford at 0600."), (cyra, ben), 0, 3),
        ("largest seq", bytes(64), (ben,), 2, 2**64 - 1),
    )
    cases = []
    for name, payload, to, lane, seq in wanted:
        hints, body = alice.seal(payload, *to, lane=lane, seq=seq)
        readers = " ".join(names[each.id] for each in to)
        case = {"name": name, "lane": str(lane), "seq": str(seq), "to": readers}
        token = to[0].open(body, 0, alice, knowing(alice), lane=lane, seq=seq).token
        cases.append({**case, "payload": payload, "hints": hints, "body": body, "token": token})
    return {
        "about": "Envelopes to open, hex. `to` names receivers in slot order; each has one prekey, of start_hour.",
        "org": ORG,
        "sender_public": alice.key.public,
        "sender_link_public": alice.link.public,
        "feed_public": alice.feed_key.public,
        "start_hour": ben.bundle.start_hour,
        "receivers": [
            {
                "name": names[each.id],
                "device_seed": each.key.seed,
                "link_seed": each.link.seed,
                "prekey_seed": each.ring.held[0].secret.to_bytes(),
                "hint_key": hint_key(each.link, alice.link.public),
            }
            for each in (ben, cyra)
        ],
        "cases": cases,
    }


def payloads() -> dict[str, object]:
    contents = {
        "empty": b"",
        "one letter": b"y",
        "English": b"Need 12 boats and 30 life jackets at the north bank.",
        "Urdu": "پانی کی سطح بڑھ رہی ہے، لوگوں کو محفوظ مقام پر منتقل کریں۔".encode(),
        "incompressible": seed("noise") * 3,
        "long": b"water " * 200,
    }
    return {
        "about": "Contents and their payloads, hex. Another zstd may write other frames; every one must read these.",
        "cases": [{"name": name, "content": each, "payload": pack(each)} for name, each in contents.items()],
    }


def entries() -> dict[str, object]:
    key, cases = SigningKey(seed("feed")), []
    prev = NO_PREV
    for seq, hints, body in (
        (7, b"", b"\1control"),
        (8, bytes.fromhex("a0a1a2a3"), b"\1to one"),
        (9, seed("hints")[:8], b""),
    ):
        entry = write(
            key, lane=1, seq=seq, prev=prev, time_ms=NOW_S * 1_000 + seq, ttl=seq, priority=seq % 4, hints=hints,
            body=body,
        )  # fmt: skip
        packed = {"packed": pack_entry(entry), "packed_erased": pack_entry(entry.erased())}
        cases.append(
            {"seq": seq, "prev": prev, "hints": hints, "body": body, "header": entry.header, "id": entry.id, **packed}
        )
        prev = entry.id
    return {
        "about": "Three linked entries of lane 1, hex. What the feed key signs is 'beepmesh/entry/2' and the header.",
        "feed_seed": key.seed,
        "feed_public": key.public,
        "cases": cases,
    }


def tokens() -> dict[str, object]:
    key, cases = SigningKey(seed("feed")), []
    for lane, seq, rest in ((0, 0, b"\1 the least"), (1, 41, seed("rest") * 50), (2, 2**32 - 1, b"")):
        secret = seed(f"secret {lane}")[:16]
        entry = write(
            key, lane=lane, seq=seq, prev=seed("prev") if seq else NO_PREV, time_ms=NOW_S * 1_000 + lane, ttl=15 - lane,
            priority=3 - lane, hints=seed("hint")[:4], body=face_of(secret) + rest,
        )  # fmt: skip
        case = {"lane": lane, "seq": seq, "body": entry.body, "header": entry.header, "id": entry.id, "secret": secret}
        packed = pack_token(token_of(entry, secret))
        cases.append({**case, "log_feed": token_log(entry.log).feed, "packed": packed})
    return {
        "about": "Delivery tokens, hex: of what header and body, at seq of lane 0 of log_feed.",
        "feed_public": key.public,
        "cases": cases,
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, vectors in (
        ("certificates", certificates()),
        ("accounts", accounts()),
        ("prekey", prekey()),
        ("envelopes-3", envelopes()),
        ("payloads", payloads()),
        ("entries-2", entries()),
        ("tokens-3", tokens()),
    ):
        text = json.dumps(vectors, ensure_ascii=False, indent=1, default=bytes.hex)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")

"""How beepmesh/crypto/dictionaries/field-1.zdict was made. Run it only to make the next one: field-2.

A dictionary is part of the wire format: whoever has other bytes reads nothing. So field-1 never changes (its SHA-256 is
pinned in beepmesh/crypto/payload.py), and a better one gets the next flag byte of a payload.

The texts are made up from the phrases and words in field_phrases.json, in the English, Urdu and Latin-script Urdu that
teams type in the field. No message of a real person was used. The texts on which the gain is measured
(tests/vectors/own/field_texts.json) were written after the dictionary was frozen.

    .venv/bin/python -m benchmarks.train_dictionary NEW_FILE
"""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path

import zstandard

from sync.cbor import encode

DICTIONARY_BYTES = 16_000
SAMPLES = 24_000
SEED = 1
LOOSE_WORDS = 0.7

PHRASES = json.loads(Path(__file__).with_name("field_phrases.json").read_text(encoding="utf-8"))
WORDS: dict[str, list[str]] = PHRASES["blanks"]
SENTENCES: list[list[str]] = list(PHRASES["sentences"].values())
LOOSE: list[list[str]] = [words.split() for words in PHRASES["words"].values()]  # English, Urdu, Urdu in Latin letters
SPECS: list[str] = PHRASES["specs"]
TEXTS = [text for texts in SENTENCES for text in texts]


def text(chance: random.Random) -> str:
    """One to three of the sentences, their blanks filled; or loose words, for what the sentences do not foresee."""
    if chance.random() < LOOSE_WORDS:
        return " ".join(chance.choices(LOOSE[chance.choice((0, 0, 1, 2))], k=chance.randrange(4, 24)))
    chosen = chance.randrange(len(TEXTS))
    related = next(texts for texts in SENTENCES if TEXTS[chosen] in texts)
    others = (chance.choice(related) for _ in range(chance.choice((0, 0, 1, 1, 2))))
    sentences = " ".join((TEXTS[chosen], *others))
    return re.sub(r"\{(\w+)\}", lambda blank: chance.choice(WORDS[blank[1]]), sentences)


def content(chance: random.Random) -> bytes:
    """A text as it is packed: beepmesh/messages/content.py, kind 1."""
    people: list[object] = [chance.randbytes(16) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    return encode([1, 1, chance.randbytes(16), people, chance.choice(SPECS), text(chance), chance.choice((0, 1, 2, 2))])


def train() -> bytes:
    chance = random.Random(SEED)
    samples: list[bytes | bytearray | memoryview] = [content(chance) for _ in range(SAMPLES)]
    trained = zstandard.train_dictionary(DICTIONARY_BYTES, samples, k=40, d=6, steps=1, level=19, dict_id=1)
    return trained.as_bytes()


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(train())

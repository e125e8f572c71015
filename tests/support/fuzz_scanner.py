"""Garbled texts of every dialect, read whole and in pieces; stops at the first that goes wrong.

Run: python tests/support/fuzz_scanner.py TEXTS SEED
"""

from __future__ import annotations

import random
import sys

from outputs import OUTPUTS
from scanned import Found, cut, mutated, noise, proposals, scan

__all__ = ["fuzz", "wrong"]

_SIZES = ((640, 480), (1, 1), (1920, 1080), (31, 4000))
_SEEDS = tuple(text for texts in OUTPUTS.values() for text in texts)


def fuzz(count: int, seed: int) -> str:
    """What is wrong with the first text that goes wrong; empty where none does."""
    chance = random.Random(seed)
    regions = proposals()
    names = sorted(OUTPUTS)
    for number in range(count):
        name = names[number % len(names)]
        text, size = _text(chance, name), chance.choice(_SIZES)
        picks = regions if size == regions.image_size else None
        places = [chance.randint(0, len(text)) for _ in range(chance.randint(1, 6))]
        pieces = list(text) if number % 8 == 0 else cut(text, places)
        whole = scan(name, [text], size=size, regions=picks)
        parts = scan(name, pieces, size=size, regions=picks)
        said = wrong(text, whole, parts, size)
        if said:
            return f"{name}, text {number}: {said}\n{text!r}\n{pieces!r}\n{whole}\n{parts}"
    return ""


def wrong(text: str, whole: Found, parts: Found, size: tuple[int, int]) -> str:
    """What is wrong with what was found; empty where nothing is."""
    if whole != parts:
        return "a split changes what is found"
    for phrase, span, *_ in whole.mentions:
        if whole.text[slice(*span)] != phrase:
            return f"{phrase!r} does not stand at {span}"
    spans = [mention[-2] for mention in whole.mentions] + [said[2] for said in whole.problems]
    if any(not 0 <= first <= last <= len(text) for first, last in spans):
        return "a place or problem outside the text"
    for mention in whole.mentions:
        for x0, y0, x1, y1 in mention[3]:
            if not (x0 < x1 and y0 < y1 and x1 > 0 and y1 > 0 and x0 < size[0] and y0 < size[1]):
                return f"a box {(x0, y0, x1, y1)} without a part of the image"
    return ""


def _text(chance: random.Random, name: str) -> str:
    kind = chance.random()
    if kind < 0.1:
        return noise(chance)
    # Another dialect's text now and then: models answer in those as well.
    seeds = _SEEDS if kind < 0.25 else OUTPUTS[name]
    return mutated(chance, chance.choice(seeds), _SEEDS)


if __name__ == "__main__":
    sys.exit(fuzz(int(sys.argv[1]), int(sys.argv[2])) or 0)

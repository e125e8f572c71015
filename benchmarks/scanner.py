"""The streaming scanner, token by token, against a regular expression run anew after each token.

The peer is what a chat front end does: it keeps the text so far, and after each token makes of the
whole of it what is to be shown, and the phrases with their boxes. Both find the same text, phrases
and boxes; that is checked first. The corpora are fixed: 4,096 tokens of seeded words with 0, 2 and
20 % of them within a phrase and its boxes.

Beyond that it shows that the time a token does not grow with the text, what each dialect costs, and
what hostile texts cost: 100 kB of unclosed tags, and 5 MB against 50 kB of each kind.

Run: python benchmarks/scanner.py
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Callable

from groundplane.core.answer import Mention
from groundplane.core.frames import Frame
from groundplane.grounding.dialects import dialect
from groundplane.grounding.scanner import Scanner

SIZE = (640, 480)
TOKENS = 4096
SHARES = (0.0, 0.02, 0.2)
_VOCABULARY = "a the dog cat man table red left of on near it is seen with two small cup chair and"
_WORDS = _VOCABULARY.split()
_PEER = re.compile(r"<ref>(.*?)</ref>((?:<box>\(\d+,\d+\),\(\d+,\d+\)</box>)+)")
_TAGS = re.compile(r"</?ref>|<box>.*?</box>")
_BOX = re.compile(r"\((\d+),(\d+)\),\((\d+),(\d+)\)")
# Dialect and unit of the texts whose time is compared at 50 kB and at 5 MB.
_HOSTILE = (
    ("qwen-vl", "<ref>"),
    ("qwen-vl", "<box>"),
    ("qwen-vl", "<bo"),
    ("qwen-vl", "<<<>>>"),
    ("qwen-vl", "<ref>a</ref><box>(1,2),(3"),
    ("qwen-vl", "<ref>a</ref><box>(1,2),(30,40)</box>"),
    ("qwen3-vl", '{"'),
    ("qwen3-vl", "```"),
    ("qwen3-vl", '[{"bbox_2d": [1, 2, 30, 40], "label": "a"}]'),
    ("shikra", "[[1,"),
    ("molmo", "<point x='"),
    ("florence-2", "<loc_1>"),
)


def corpus(share: float, *, tokens: int = TOKENS, seed: int = 0) -> list[str]:
    """Tokens of a text, this share of them within a phrase and its boxes."""
    chance = random.Random(seed)
    pieces: list[str] = []
    grounded = 0
    while len(pieces) < tokens:
        phrase = _grounded(chance)
        if grounded < share * (len(pieces) + 1) and len(pieces) + len(phrase) <= tokens:
            grounded += len(phrase)
            pieces += phrase
        else:
            pieces.append(" " + chance.choice(_WORDS))
    return pieces


def _grounded(chance: random.Random) -> list[str]:
    """As Qwen-VL's tokenizer cuts it: one token a tag, and one a digit."""
    pieces = ["<ref>", " " + chance.choice(_WORDS), " " + chance.choice(_WORDS), "</ref>"]
    for _ in range(chance.choice((1, 1, 2))):
        x, y = chance.randrange(400), chance.randrange(400)
        corners = f"({x},{y}),({x + 1 + chance.randrange(500)},{y + 1 + chance.randrange(500)})"
        pieces += ["<box>", *re.findall(r"\d|\D+", corners), "</box>"]
    return pieces


Found = tuple[str, list[tuple[str, list[list[float]]]]]


def scan(pieces: list[str], *, name: str = "qwen-vl") -> tuple[str, list[Mention]]:
    """The text and the mentions, token by token."""
    scanner = Scanner(dialect(name), Frame.original(SIZE))
    shown: list[str] = []
    found: list[Mention] = []
    for piece in pieces:
        for event in scanner.feed(piece):
            if type(event) is str:
                shown.append(event)
            elif type(event) is Mention:
                found.append(event)
    for event in scanner.close():
        if isinstance(event, str):
            shown.append(event)
        elif isinstance(event, Mention):
            found.append(event)
    return "".join(shown), found


def rescan(pieces: list[str]) -> Found:
    """The peer: the whole text after each token."""
    text, shown = "", ""
    found: list[tuple[str, list[list[float]]]] = []
    for piece in pieces:
        text += piece
        shown = _TAGS.sub("", text)
        found = [
            (
                phrase.strip(),
                [
                    [int(a) * 0.64, int(b) * 0.48, int(c) * 0.64, int(d) * 0.48]
                    for a, b, c, d in _BOX.findall(places)
                ],
            )
            for phrase, places in _PEER.findall(text)
        ]
    return shown, found


def check(pieces: list[str]) -> None:
    """Both must find the same text, phrases and boxes."""
    shown, mentions = scan(pieces)
    ours = [(m.phrase, m.located.boxes.round(6).tolist()) for m in mentions if m.located]
    theirs_shown, found = rescan(pieces)
    theirs = [(phrase, [[round(v, 6) for v in box] for box in boxes]) for phrase, boxes in found]
    assert shown.strip() == theirs_shown.strip(), "the two do not show the same"
    assert ours == theirs, "the two do not find the same"


def seconds(run: Callable[[], object], *, repeats: int) -> float:
    """Processor time, the least of several runs: what else the machine does only adds to it."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--hostile", action="store_true", help="5 MB texts too (a minute)")
    given = options.parse_args()
    ratios = []
    for share in SHARES:
        pieces = corpus(share)
        check(pieces)
        ours = seconds(lambda p=pieces: scan(p), repeats=given.repeats)
        theirs = seconds(lambda p=pieces: rescan(p), repeats=1)
        ratios.append(theirs / ours)
        print(
            f"{share:4.0%} grounded: {1e6 * ours / TOKENS:5.2f} us a token, "
            f"rescan {1e6 * theirs / TOKENS:7.1f} us, ratio {ratios[-1]:.0f}"
        )
    for tokens in (256, 1024, 4096):
        pieces = corpus(0.2, tokens=tokens)
        taken = seconds(lambda p=pieces: scan(p), repeats=given.repeats)
        print(f"{tokens:5} tokens, 20% grounded: {1e6 * taken / tokens:5.2f} us a token")
    text = "<ref>" * 20_000
    taken = seconds(lambda: scan([text]), repeats=given.repeats)
    print(f"100 kB of unclosed <ref>: {1e3 * taken:.1f} ms")
    if given.hostile:
        hostile()
    print(f"ratio = {min(ratios):.1f}")


def hostile() -> None:
    """How the time of hostile texts grows a hundredfold."""
    for name, unit in _HOSTILE:
        small, large = (unit * (size // len(unit)) for size in (50_000, 5_000_000))
        one = seconds(lambda t=small, n=name: scan([t], name=n), repeats=7)
        many = seconds(lambda t=large, n=name: scan([t], name=n), repeats=2)
        growth = f"50 kB {1e3 * one:6.1f} ms, 5 MB {many:5.2f} s, times {many / one:.0f}"
        print(f"{name:10} {unit[:24]!r:28} {growth}")


if __name__ == "__main__":
    main()

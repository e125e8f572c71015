"""The noun phrase that a location without tags belongs to: the one right before it.

Models such as Shikra and CogVLM write `a man [0.1,0.2,0.3,0.4]`; nothing says where the phrase
starts. CogVLM's authors take the nearest noun chunk of a tagger. Here it is read from closed word
classes alone: a determiner starts a phrase; a preposition, conjunction, pronoun or auxiliary verb
ends the one before it. A verb in the phrase's place is not told from a noun.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["REACH", "noun_span"]

# How far back is looked, characters and words.
REACH = 200
_WORDS = 10

_STARTING = """
    a an the this that these those another each every some any all both either neither no my your
    his her its our their one two three four five six seven eight nine ten several many few
"""
_ENDING = """
    about above across after against along among and are around as at be because been before behind
    being below beneath beside besides between beyond but by can could did do does doing down
    during for from had has have having he him how i if in inside into is it like may me might
    must near next not on onto or out outside over she should so than then there they them through
    to toward towards under until up upon us was we were what when where which while who whose
    why will with within without would you also here it's there's that's
    holding wearing sitting standing riding walking playing looking eating carrying lying
    running watching hanging flying parked
"""
_DETERMINERS, _BREAKS = frozenset(_STARTING.split()), frozenset(_ENDING.split())
# A number may follow another determiner: `the two men`.
_COUNTING = "one two three four five six seven eight nine ten several many few"
_NUMERALS = frozenset(_COUNTING.split())
# `a black and white dog` is one thing.
_COLOURED = "black white red green blue yellow brown gray grey orange pink purple silver gold"
_COLOURS = frozenset(_COLOURED.split())
# Names of fields, which are no phrases: `box_2d: [..]`.
_FIELDS = frozenset({"bbox", "box_2d", "bbox_2d", "point_2d", "coordinate", "coordinates"})
_LINKS = frozenset({"of"})
# `left of the plate` is a place beside the plate, and not a part of it.
_BESIDE = "left right front back top bottom side behind north south east west"
_SIDES = frozenset(_BESIDE.split())
# Between a phrase and its place where they are a sentence: `the dog is located at [..]`.
_SITUATED = frozenset({"at", "in", "located", "found", "visible", "seen"})
_COPULAS = frozenset({"is", "are", "was", "were", "be", "been"})
# Between the phrase and its place: `the dog: [..]`, `"the dog" [..]`.
_TRAILING = " :\"'\u201d\u2019\uff1a*`|"
# Marks around a phrase that are no part of it, as in `**the dog**` or `- the dog`.
_MARKS = "*_#`\"'"


def noun_span(text: str) -> tuple[int, int]:
    """Where the noun phrase at the end of a text stands; an empty span where there is none.

    Examples:
        >>> text = "There is a man"
        >>> text[slice(*noun_span(text))]
        'a man'
        >>> text = "a man holding a cup of coffee: "
        >>> text[slice(*noun_span(text))]
        'a cup of coffee'
        >>> text = "The left dog is located at"
        >>> text[slice(*noun_span(text))]
        'The left dog'
        >>> noun_span("Look at "), noun_span("")
        ((7, 7), (0, 0))
    """
    tail = text.rstrip().rstrip(_TRAILING)
    tail = _without_copula(tail)
    words = _last_words(tail[-REACH:])
    taken = _taken(words)
    if taken and taken[0].strip(_MARKS).lower() in _FIELDS:
        taken = []
    start = len(tail)
    for word in taken:
        start = tail.rindex(word, 0, start)
    start += len(tail[start:]) - len(tail[start:].lstrip(_MARKS))
    return start, max(start, len(tail.rstrip(_MARKS)))


def _taken(words: Sequence[str]) -> list[str]:
    """The words of the phrase, the last one first as they are given."""
    taken: list[str] = []
    for back, word in enumerate(words):
        plain = word.strip(_MARKS).lower()
        before = words[back + 1].lower() if back + 1 < len(words) else ""
        if not any(map(str.isalnum, plain)):
            break
        coloured = plain == "and" and before in _COLOURS and taken and taken[-1].lower() in _COLOURS
        if (plain in _BREAKS and not coloured) or (plain in _LINKS and before in _SIDES):
            break
        taken.append(word)
        counted = plain in _NUMERALS and before in _DETERMINERS - _NUMERALS
        if plain in _DETERMINERS and before not in _LINKS and not counted:
            break
    while taken and taken[-1].lower() in _LINKS:
        taken.pop()
    return taken


def _without_copula(text: str) -> str:
    """`The dog is located at` without its last three words, `has been clicked` without all."""
    words = _last_words(text[-REACH:])
    plain = [word.lower() for word in words]
    past = next((k for k, word in enumerate(plain) if word not in _SITUATED), len(words))
    if past == 0 and plain[1:2] and plain[0].endswith("ed") and plain[1] in _COPULAS:
        past = 1
    if past == len(words) or plain[past] not in _COPULAS:
        return text
    past += plain[past] == "been" and plain[past + 1 : past + 2] in (["has"], ["have"])
    end = len(text)
    for word in words[: past + 1]:
        end = text.rindex(word, 0, end)
    return text[:end].rstrip()


def _last_words(text: str) -> list[str]:
    """Words of the last clause, the last one first."""
    words: list[str] = []
    word: list[str] = []
    for char in reversed(text.rstrip()):
        if char.isspace() or _ends_clause(char):
            if word:
                words.append("".join(reversed(word)))
                word = []
            if len(words) >= _WORDS or not char.isspace() or char == "\n":
                return words
        else:
            word.append(char)
    if word:
        words.append("".join(reversed(word)))
    return words


def _ends_clause(char: str) -> bool:
    # Marks within a word (hyphen, apostrophe, ampersand) do not end it.
    return char in "=|`" or (char not in "-'\u2019&_/#%@*" and unicodedata.category(char)[0] == "P")

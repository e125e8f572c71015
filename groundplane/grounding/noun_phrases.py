"""Noun phrases of a sentence: `two red cars`, `the dining table`, `at least three dogs`.

There is no tagger of parts of speech: a phrase begins with an article, a number or a noun that is
known, and ends before what cannot stand in a name. What is no known noun may still be one, for
experts look for any word; a word behind a known noun that looks like a verb is taken as one.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from groundplane.core.attributes import meaning_of
from groundplane.core.claims import Number, Thing
from groundplane.core.lexicon import PLURAL_ONLY, normalise, singular
from groundplane.grounding.claim_words import (
    NUMBERS,
    QUANTITIES,
    Token,
    is_abstract,
    is_action,
    is_noun,
    is_picture,
    is_stop,
)

__all__ = ["NounPhrase", "read_noun_phrase"]

_MOST_WORDS = 8
_ONE = Number()
_NONE = Number(least=0, most=0)
_INDEFINITE = frozenset({"a", "an", "some", "any", "another"})
_DEFINITE = frozenset(
    {"the", "this", "that", "these", "those", "my", "your", "his", "her", "its", "our", "their",
     "all", "every", "each"}
)  # fmt: skip
_AT_LEAST, _MORE = ("at", "least"), ("more", "than")
_AT_MOST, _FEWER = ("at", "most"), ("fewer", "than")
_BOUNDS = {
    _AT_LEAST: "least", ("no", "fewer", "than"): "least", _AT_MOST: "most", ("up", "to"): "most",
    ("no", "more", "than"): "most", _MORE: "more", ("over",): "more", _FEWER: "fewer",
    ("a", "total", "of"): "exact",
    ("less", "than"): "fewer", ("exactly",): "exact", ("only",): "exact", ("just",): "exact",
    ("about",): "about", ("around",): "about", ("approximately",): "about", ("nearly",): "about",
    ("almost",): "about", ("roughly",): "about",
}  # fmt: skip
# Said of things and nothing that anybody could check: they are no part of what is looked for.
_EMPTY = frozenset({"different", "same", "separate", "individual", "certain", "main", "whole",
                    "entire", "visible", "single", "lone", "solitary"})  # fmt: skip
_PARTICIPLES = frozenset({"ridden", "driven", "worn", "held", "made", "taken", "eaten", "thrown",
                          "drawn", "hung", "stood", "sat", "lit", "set", "kept", "built",
                          "left"})  # fmt: skip
_ALONE = frozenset({"single", "lone", "solitary"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NounPhrase:
    """A noun phrase and where it ends.

    Attributes:
        thing: What it names.
        after: Index of the first word behind it.
        kind: `picture` where it names the picture itself, `abstract` where no expert can look
            for it.
    """

    thing: Thing
    after: int
    kind: Literal["thing", "picture", "abstract"] = "thing"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lead:
    """What stands before the noun: how many, and whether they are taken as known."""

    number: Number = _ONE
    exact: bool = False
    definite: bool = False
    said: bool = True
    after: int


def read_noun_phrase(
    words: Sequence[Token], at: int, *, stops: Container[int] = (), nouns: Container[str] = ()
) -> NounPhrase | None:
    """Read the noun phrase that begins at a word.

    Args:
        words: A sentence.
        at: Index of the first word.
        stops: Indices at which no noun goes on, for a relation begins there.
        nouns: Names of things that are known besides those of the lexicon, normalised.

    Returns:
        The phrase, or None where none begins.

    Examples:
        >>> from groundplane.grounding.claim_words import words_of
        >>> found = read_noun_phrase(words_of("two red cars are here"), 0)
        >>> found.thing.noun, found.thing.modifiers, found.thing.number.least, found.after
        ('car', ('red',), 2, 3)
        >>> read_noun_phrase(words_of("is it"), 0) is None
        True
    """
    lead = _read_lead(words, at)
    run = _run(words, lead.after, stops)
    if not run:
        return None
    split = _split([words[i].word for i in run], nouns, said=lead.said)
    if split is None:
        return None
    start, end = split
    names = [words[i].word for i in run[start:end]]
    modifiers = _joined(words, run[:start])
    many = singular(names[-1]) != names[-1] or names[-1] in PLURAL_ONLY
    known = _is_known(" ".join(names), nouns)
    if not lead.said and not (known and (many or modifiers or names[-1] == "people")):
        return None
    if lead.number == _ONE and not lead.definite and _ALONE & set(modifiers):
        lead = replace(lead, number=Number(least=1, most=1), exact=True)
    if names[-1] in PLURAL_ONLY and _word(words, at + 1) == "pair":
        lead = replace(lead, number=_ONE, exact=False)  # `a pair of scissors` is one thing
    last = run[end - 1]
    thing = Thing(
        span=(words[at].start, words[last].end),
        noun=normalise(" ".join(names)),
        modifiers=tuple(word for word in modifiers if word not in _EMPTY),
        number=lead.number,
        exact=lead.exact,
        definite=lead.definite,
        plural=many,
    )
    kind: Literal["thing", "picture", "abstract"] = "thing"
    if is_picture(names[-1]):
        kind = "picture"
    elif is_abstract(names[-1]) or any("'" in words[i].word for i in run[:end]):
        kind = "abstract"  # `the dog's tail`: whose it is cannot be told
    elif names == ["glasses"] and not lead.exact:
        kind = "abstract"  # to drink from, or to see with: nobody can tell
    return NounPhrase(thing=thing, after=last + 1, kind=kind)


def _joined(words: Sequence[Token], run: Sequence[int]) -> list[str]:
    """What is said before the noun; `black and white` is one thing said."""
    told: list[str] = []
    for k, i in enumerate(run):
        if k and i - run[k - 1] == 2 and words[i - 1].word == "and":
            told[-1] += f" and {words[i].word}"
        else:
            told.append(words[i].word)
    return told


def _word(words: Sequence[Token], at: int) -> str:
    return words[at].word if at < len(words) else ""


# How many ------------------------------------------------------------------------------------


def _read_lead(words: Sequence[Token], at: int) -> _Lead:
    """The articles and numbers before a noun."""
    first = _word(words, at)
    if (found := _bounded(words, at)) is not None:
        return _after_of(words, found)
    if (found := _quantity(words, at)) is not None:
        return _after_of(words, found)
    if first in _DEFINITE:
        inner = _bounded(words, at + 1)
        if inner is not None:
            return replace(inner, definite=True)
        skip = 1
        if first in ("all", "each"):
            skip += _word(words, at + skip) == "of"
            skip += _word(words, at + skip) in ("the", "these", "those")
        return _Lead(definite=True, after=at + skip)
    if first in _INDEFINITE:
        return _Lead(after=at + 1)
    return _Lead(said=False, after=at)


def _quantity(words: Sequence[Token], at: int) -> _Lead | None:
    """`several`, `a couple of`, `no`."""
    for length in (3, 2, 1):
        text = " ".join(_word(words, at + k) for k in range(length))
        if text in QUANTITIES:
            return _Lead(number=QUANTITIES[text], exact=True, after=at + length)
    return None


def _bounded(words: Sequence[Token], at: int) -> _Lead | None:
    """`three`, `at least three`, `two or three`, `a dozen`."""
    bound, after = "exact", at
    for length in (3, 2, 1):
        key = tuple(_word(words, at + k) for k in range(length))
        if key in _BOUNDS:
            bound, after = _BOUNDS[key], at + length
            break
    if _word(words, after) in ("a", "an") and _word(words, after + 1) == "dozen":
        after += 1
    value = _number(_word(words, after))
    if value is None:
        return None
    after += 1
    top = _number(_word(words, after + 1)) if _word(words, after) in ("or", "to", "-") else None
    if top is not None and top >= value and bound == "exact":
        return _Lead(number=Number(least=value, most=top), exact=True, after=after + 2)
    return _Lead(number=_ranged(bound, value), exact=True, after=after)


def _ranged(bound: str, value: int) -> Number:
    if bound == "least":
        return Number(least=value)
    if bound == "most":
        return Number(least=0, most=value)
    if bound == "more":
        return Number(least=value + 1)
    if bound == "fewer":
        return Number(least=0, most=max(value - 1, 0))
    if bound == "about":
        margin = max(1, round(value / 4))
        floor = max(value - margin, 0)
        return Number(least=value, most=value, floor=floor, ceiling=value + margin)
    return Number(least=value, most=value)


def _number(word: str) -> int | None:
    if word in NUMBERS:
        return NUMBERS[word]
    tens, _, ones = word.partition("-")
    if ones and NUMBERS.get(tens, 0) >= 20 and 0 < NUMBERS.get(ones, 0) < 10:
        return NUMBERS[tens] + NUMBERS[ones]
    # Longer numbers count nothing that can be seen, and no integer of any length is made.
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 4 else None


def _after_of(words: Sequence[Token], lead: _Lead) -> _Lead:
    """`two of the dogs`: at least two, of dogs that are taken as known."""
    if _word(words, lead.after) == "of" and _word(words, lead.after + 1) in _DEFINITE:
        number = Number(least=lead.number.least) if lead.number.least else lead.number
        return replace(lead, number=number, after=lead.after + 2)
    if _word(words, lead.after) in ("other", "more"):
        return replace(lead, after=lead.after + 1)
    return lead


# Which words ---------------------------------------------------------------------------------


def _run(words: Sequence[Token], at: int, stops: Container[int]) -> list[int]:
    """Indices of the words that may belong to one name."""
    run: list[int] = []
    i = at
    while i < len(words) and len(run) < _MOST_WORDS:
        word = words[i].word
        if i in stops and run:
            break
        joined = word in (",", "and") and run and meaning_of(words[run[-1]].word) is not None
        if (
            joined
            and meaning_of(_word(words, i + 1)) is not None
            and not is_stop(_word(words, i + 2))
        ):
            i += 1
            continue
        if is_stop(word) or i in stops:
            break
        if is_action(word) and not (
            _follows_noun(words, i + 1, stops) and not _has_noun(words, run)
        ):
            break
        run.append(i)
        i += 1
    return run


def _follows_noun(words: Sequence[Token], at: int, stops: Container[int]) -> bool:
    """`sleeping dog`: a verb in -ing before a noun tells what the noun is like."""
    return at not in stops and is_noun(_word(words, at)) and not is_stop(_word(words, at))


def _has_noun(words: Sequence[Token], run: Sequence[int]) -> bool:
    return any(is_noun(words[i].word) for i in run)


def _is_known(name: str, nouns: Container[str]) -> bool:
    return is_noun(name) or normalise(name) in nouns


def _split(run: list[str], nouns: Container[str], *, said: bool) -> tuple[int, int] | None:
    """Where the name begins and ends in a run of words; what stands before says what it is like."""
    for end in range(len(run), 0, -1):
        starts = [s for s in range(end) if _is_known(" ".join(run[s:end]), nouns)]
        if not starts:
            continue
        if end < len(run) and not _is_verb(run[end], after=run[end - 1]):
            break
        start = starts[0]
        # `dog house`: a noun before a noun is a part of the name, unless it is a colour.
        while start > 0 and _is_known(run[start - 1], nouns) and meaning_of(run[start - 1]) is None:
            start -= 1
        return start, end
    start = 0
    while start < len(run) and (meaning_of(run[start]) is not None or run[start] in _EMPTY):
        start += 1
    end = len(run)
    if not said or start == end:
        return None
    if end - start > 1 and run[end - 1].endswith("s") and not run[end - 1].endswith("ss"):
        before = run[end - 2]
        end -= 1 if singular(before) == before and _is_known(before, nouns) else 0
    return start, end


def _is_verb(word: str, *, after: str) -> bool:
    """Whether a word behind a noun is a verb: `the dog chases`, `two dogs run`."""
    if after != singular(after):
        return True
    return (word.endswith(("s", "ed")) and not word.endswith("ss")) or word in _PARTICIPLES

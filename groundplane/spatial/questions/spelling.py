"""Words of a question that nothing here knows, and the known ones nearest to them.

A word that is misspelt is never read as another: the question is refused, and the refusal names the
word and what may have been meant.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable

from groundplane.core.attributes import ATTRIBUTES, meaning_of
from groundplane.core.errors import listing
from groundplane.core.lexicon import ANYTHING, known_nouns, normalise, singular
from groundplane.spatial.questions.form import COMPARATIVES, Form
from groundplane.spatial.questions.loose import PLAIN_WORDS
from groundplane.spatial.questions.phrases import NEAREST, RELATIONS, SUPERLATIVES
from groundplane.spatial.units import UNIT_NAMES

__all__ = ["unknown_words"]

_ASKED = (
    "which what where who how many much far close near tall high long wide deep big large small "
    "colour color colours material size height width depth length volume area distance between "
    "closest nearest farthest furthest count number list visible see view sight "
    "narrowest passage route walk taller shorter difference"
).split()
_PLACED = (
    "left of", "right of", "to the left of", "to the right of", "in front of", "behind", "between",
    "next to", "beside", "near", "close to", "around", "on", "on top of", "under", "underneath",
    "beneath", "below", "above", "over", "inside", "outside", "within", "touching", "against",
    "facing", "opposite", "across from", "far from", "parallel to", "perpendicular to",
    "aligned with", "containing",
)  # fmt: skip
# Right words in a wrong place.
_CONFUSED = {"besides": "beside"}
_NEAR = 0.75
_SHORTEST = 3
_SHOWN = 3


@functools.cache
def _offered() -> dict[str, str]:
    """What is offered in place of an unknown word, by its letters alone."""
    words = (*_ASKED, *_PLACED, *COMPARATIVES, *SUPERLATIVES, *NEAREST, *ATTRIBUTES, *UNIT_NAMES)
    return {word.replace(" ", ""): word for word in words}


@functools.cache
def _known(forms: tuple[Form, ...]) -> frozenset[str]:
    """Every word that some pattern, name or list knows."""
    patterns = [pattern.pattern for form in forms for pattern in form.patterns]
    patterns += [wording for _, wording in RELATIONS]
    # `met(?:er|re)s?` knows `met` and `er` too: a fragment is taken for known, which only means
    # that it is not complained about.
    written = {word for pattern in patterns for word in re.findall(r"[a-z]{2,}", pattern)}
    lists = (*_ASKED, *UNIT_NAMES, *COMPARATIVES, *SUPERLATIVES, *NEAREST, *ATTRIBUTES, *ANYTHING)
    named = {word for text in (*lists, *known_nouns(), *_PLACED) for word in text.split()}
    return frozenset(written | named | PLAIN_WORDS)


def unknown_words(text: str, forms: tuple[Form, ...], nouns: Iterable[str] = ()) -> str:
    """What to say of the words that are not known; empty where all are, or nothing is near.

    Args:
        text: A cleaned question.
        forms: The forms whose words are known.
        nouns: Names of things that may be meant, such as the labels of a scene.

    Examples:
        >>> unknown_words("what is infront of the sofa", ())
        "'infront' is not known. Did you mean 'in front of'?"
        >>> unknown_words("what is in front of the sofa", ())
        ''
    """
    named = {word for noun in nouns for word in normalise(noun).split()}
    known = _known(forms) | named
    offered = {**_offered(), **{name: name for name in (*named, *known_nouns())}}
    said = []
    for word in dict.fromkeys(re.findall(r"[a-z]{2,}", text)):
        if word in _CONFUSED:
            said.append(f"{word!r} means 'other than'. Did you mean {_CONFUSED[word]!r}?")
            continue
        if len(word) < _SHORTEST or {word, singular(word)} & known or meaning_of(word):
            continue
        near = _nearest(word, offered)
        if near:
            said.append(f"{word!r} is not known. Did you mean {listing(map(repr, near))}?")
    return " ".join(said[:_SHOWN]).replace(", '", " or '")


def _nearest(word: str, offered: dict[str, str]) -> list[str]:
    """What a word may stand for; a longer wording that it begins counts."""
    found = difflib.get_close_matches(word, offered, n=2, cutoff=_NEAR)
    begun = [key for key in offered if key.startswith(word) and " " in offered[key]]
    return list(dict.fromkeys(offered[key] for key in (*begun[:1], *found)))[:2]

"""The words of stories that say where things are: a sentence becomes tokens.

Every word of a sentence is either one of the words below or part of a name. Nothing is skipped
that could change the meaning: what is no known word makes the sentence unreadable to the grammar.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from groundplane.core.errors import InputError

__all__ = ["TITLE", "Offset", "Token", "TokenKind", "UnreadError", "plain", "tokens_of"]

# Steps to the right, up and towards the viewer.
Offset = tuple[int, int, int]

TokenKind = Literal[
    "name", "place", "preposition", "inside", "contains", "same", "near", "of", "own", "it",
    "verb", "and", "with", "comma", "if", "there", "pair", "horizontal", "vertical", "diagonal",
    "center", "skip",
]  # fmt: skip


class UnreadError(InputError):
    """A sentence cannot be read; the text says why. Internal to the reader of stories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One word or fixed phrase.

    Attributes:
        kind: What it does in the sentence. `place` is a direction word that takes its anchor with
            `of` or `to`; a `preposition` takes it at once (`above the table`).
        text: A name as written; else the words.
        offset: Of `place` and `preposition`: the direction that is said.
    """

    kind: TokenKind
    text: str
    offset: Offset = (0, 0, 0)


_LEFT, _RIGHT, _UP, _DOWN = (-1, 0, 0), (1, 0, 0), (0, 1, 0), (0, -1, 0)
_FRONT, _BACK = (0, 0, 1), (0, 0, -1)

# North is up and the front of a plan is its upper edge, as on a map and in StepGame.
_DIRECTIONS: tuple[tuple[str, Offset], ...] = (
    (r"north ?east(?:ern)?", (1, 1, 0)), (r"north ?west(?:ern)?", (-1, 1, 0)),
    (r"south ?east(?:ern)?", (1, -1, 0)), (r"south ?west(?:ern)?", (-1, -1, 0)),
    (r"left(?: ?hand)?|leftmost|west(?:ern)?", _LEFT),
    (r"right(?: ?hand)?|rightmost|east(?:ern)?", _RIGHT),
    (r"top|upper|up|upwards?|higher|north(?:ern)?|front(?= (?:left|right))", _UP),
    (r"bottom|lower|down|downwards?|south(?:ern)?|back(?= (?:left|right))", _DOWN),
)  # fmt: skip
_PREPOSITIONS: tuple[tuple[str, Offset], ...] = (
    (r"above|over|atop", _UP), (r"below|under|underneath|beneath", _DOWN),
    (r"in front of", _FRONT), (r"behind|in back of|at the back of", _BACK),
)  # fmt: skip
_DIRECTION = "|".join(f"(?:{words})" for words, _ in (*_DIRECTIONS, *_PREPOSITIONS))
_ADVERBS = (
    r"directly|slightly|straight|immediately|exactly|just|also|too|somewhat|well|far|both|"
    r"certainly|definitely|clearly|actually|really|indeed|now|still|"
    r"a (?:bit|little)|off cent(?:er|re)"
)
# What stands behind a direction word and adds nothing: `the lower left corner`.
_PARTS = r"sides?|corners?|positions?|directions?|parts?|edges?|ends?|areas?|hand"
_HOUR = r"1[0-2]|[1-9]|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_HOURS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip
_FACE = r"(?: (?:of|on) (?:a|the) clock(?: face)?)"
_CLOCK = re.compile(
    rf"(?:(?:at|in|on|to) )?(?:the |a |an )?(?:(?P<h>{_HOUR})(?: ?o'? ?clock|:00)"
    rf"(?: (?:position|direction))?{_FACE}?|(?P<p>{_HOUR})(?: position)?{_FACE})\b",
    re.I,
)
_BETWEEN = re.compile(
    rf"(?:at |in )?between (?P<a>{_HOUR}) and (?P<b>{_HOUR})(?: o'? ?clock)?{_FACE}?\b", re.I
)

# Fixed phrases in the order in which they are tried.
_PHRASES: tuple[tuple[TokenKind, str], ...] = (
    ("skip", (r"with (?:a (?:small |little |large |big |tiny )?|some )(?:gap|space|distance) "
             r"between them")),
    ("diagonal", (r"at (?:(?:an?|the) angle of )?(?:(?:about|approximately|roughly|around|a|an) )*"
                 r"45 degrees?(?: angle)?|diagonally")),
    ("horizontal", (r"(?:on|in|at) the same (?:horizontal (?:plane|line|level)|level|row)|"
                   r"horizontally|in a (?:horizontal line|row)|horizontal")),
    ("vertical", (r"(?:on|in) the same (?:vertical (?:plane|line)|column)|vertically|"
                 r"in a (?:vertical line|column)|vertical")),
    ("center", r"(?:at |in )?the cent(?:er|re) of (?:a|the) clock(?: face)?"),
    ("there", r"(?:both |all )?(?:over there|there|here)"),
    ("pair", (r"side by side|(?:next to|beside|near|close to) (?:each other|one another)|"
             r"parallel(?: to (?:each other|one another))?")),
    ("same", (r"(?:at|in|on) the same (?:place|position|spot|location) as|overlaps?(?: with)?|"
             r"overlapping(?: with)?")),
    ("near", (r"next to|near(?: to)?|beside|alongside|close to|by|adjacent to|touching|touches|"
             r"between")),
    ("inside", r"inside(?: of)?|within|contained in|enclosed (?:by|in)"),
    ("contains", r"contains?|holds?|encloses?"),
    ("verb", (r"(?:(?:is|are|was|were|lies|sits|stands|presents|appears|rests|hangs|"
             r"can be)\b ?)(?:(?:positioned|placed|located|situated|sitting|standing|lying|found|"
             r"seen|resting|set|put|hanging)\b)?")),
    ("skip", r"positioned|placed|located|situated|sitting|standing|lying|resting"),
    ("and", r"and|while|whereas"),
    ("with", r"with"),
    ("if", r"if|when|suppose|supposing|assuming|imagine"),
    ("it", r"it"),
    ("of", r"of|to|from|than|relative to|in relation to|with respect to|compared (?:to|with)"),
)  # fmt: skip
_COMPILED = tuple((kind, re.compile(rf"(?:{words})\b", re.I)) for kind, words in _PHRASES)
_SKIPPED = re.compile(rf"(?:{_ADVERBS})\b", re.I)
_STRAIGHT = re.compile(
    r"right(?= (?:above|over|below|under|underneath|beneath|behind|in front)\b)", re.I
)
_PREPOSITIONS_ALONE = re.compile(r"(?:in front of|in back of|at the back of)\b", re.I)
# In front of a name, not of a direction: what is on a thing is above it.
_BARE = re.compile(r"(?:upon|on|in|at)\b", re.I)
_BARE_TOKENS = {
    "on": Token(kind="preposition", text="on", offset=_UP),
    "upon": Token(kind="preposition", text="upon", offset=_UP),
    "in": Token(kind="inside", text="in"),
    "at": Token(kind="of", text="at"),
}
_PART = re.compile(rf"(?:{_PARTS})\b", re.I)
_LED = re.compile(
    rf"(?:(?:to|on|in|at|towards?|from) )(?P<the>the |an? |its )?(?:(?:{_ADVERBS}) )*"
    rf"(?P<way>(?:(?:{_DIRECTION})\b ?)+)", re.I,
)  # fmt: skip
_NAMED_BY_PLACE = re.compile(rf"the (?P<name>(?:(?:{_DIRECTION})\b ?)+)", re.I)
_PLACES = tuple((re.compile(rf"(?:{words})\b", re.I), offset) for words, offset in _DIRECTIONS)
_BEFORE = tuple((re.compile(rf"(?:{words})\b", re.I), offset) for words, offset in _PREPOSITIONS)
_UNSURE = re.compile(
    r"(?:[Nn]ot|[Nn]ever|[Nn]o|[Nn]or|[Nn]either|[Oo]r|[Ee]ither|[Mm]aybe|[Pp]erhaps|[Pp]ossibly|"
    r"[Pp]robably|[Pp]resumably|[Ss]upposedly|[Aa]pparently|might|may|could|unless|except|likely|"
    r"almost|nearly|hardly|barely|partly|mostly|usually|sometimes|often|isn't|aren't|wasn't|"
    r"weren't|cannot|can't|doesn't|don't|didn't|anything but|"
    rf"far from(?= (?:being )?(?:(?:to|on|at) )?(?:the )?(?:{_DIRECTION})\b))\b"
)
# Words that are part of no name: who they mean is not said, or they join or judge what is said.
_NO_NAME = re.compile(
    r"he|she|they|him|her|them|his|their|hers|theirs|(?:him|her|them)sel(?:f|ves)|you|we|me|us|my|"
    r"your|our|who|whom|whose|which|what|where|(?:every|no|some|any)(?:thing|one|body)|none|all|"
    r"every|each|some|any|most|many|few|several|because|until|since|although|though|but|however|"
    r"if|unless|while|than|then|so|before|after|therefore|thinks?|thought|says?|said|believes?|"
    r"claims?|knows?|knew|wants?|wonders?|hopes?|guesses", re.I
)  # fmt: skip
_HEAD = re.compile(
    r"(?:the )?(?:objects?|agents?|items?|things?|entity|entities)(?: (?:labell?ed|named|called))?"
    r" (?=\w)", re.I,
)  # fmt: skip
_ARTICLE = re.compile(r"(?:the|an?|this|that)(?= [\w])", re.I)
# `on the lamp's left` is not above the lamp.
_OWNED = re.compile(r"(?:up)?on(?= (?:the |an? )?(?:[\w&#+.-]+ ){0,3}[\w&#+.-]+'s\b)", re.I)
_WORD = re.compile(r"[\w&#+]+(?:[.-]\w+)*")
_LETTER = re.compile(r"[A-Z]\d*")
# Their full stop ends no sentence.
TITLE = re.compile(r"\b(Mrs?|Ms|Dr|Prof|St)\.(?= )")


def plain(text: str) -> str:
    """A sentence with straight quotes, single spaces and no mark at its end.

    Examples:
        >>> plain(" A is at B\\u2019s  bottom-left. ")
        "A is at B's bottom left"
    """
    text = unicodedata.normalize("NFKC", text).translate(
        {0x2018: "'", 0x2019: "'", 0x02BC: "'", 0x201C: None, 0x201D: None, 0x22: None,
         0x2010: "-", 0x2011: "-", 0x2013: "-"}
    )  # fmt: skip
    text = TITLE.sub(r"\1", " ".join(text.split()))
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text)
    return text.strip(" .!?;:")


def tokens_of(sentence: str) -> tuple[Token, ...]:
    """The tokens of a sentence.

    Args:
        sentence: One sentence, as `plain` gives it.

    Raises:
        UnreadError: If it holds a word that no reading may pass over, such as `not` or `or`.

    Examples:
        >>> [(token.kind, token.text) for token in tokens_of("the red box is above A")]
        [('name', 'red box'), ('verb', 'is'), ('preposition', 'above'), ('name', 'A')]
        >>> tokens_of("")
        ()
    """
    found: list[Token] = []
    at = 0
    while at < len(sentence):
        token, end = _next(sentence, at, found[-1].kind if found else None)
        if token is not None:
            found.append(token)
        at = end
        while at < len(sentence) and sentence[at] == " ":
            at += 1
    return tuple(token for token in found if token.kind != "skip")


_Taken = tuple[Token | None, int]


def _next(text: str, at: int, before: TokenKind | None) -> _Taken:
    if text[at] in ",;:":
        return Token(kind="comma", text=text[at]), at + 1
    if text.startswith("'s", at) and before == "name":
        return Token(kind="own", text="'s"), at + 2
    if unsure := _UNSURE.match(text, at):
        raise UnreadError(f"{unsure[0]!r} does not say for certain where something is")
    takers: tuple[Callable[[str, int, TokenKind | None], _Taken | None], ...] = (
        _take_single, _take_clock, _take_lead, _take_word, _take_name,
    )  # fmt: skip
    for take in takers:
        if (taken := take(text, at, before)) is not None:
            return taken
    raise UnreadError(f"{text[at:].split(maxsplit=1)[0]!r} is no word that is known here")


def _take_single(text: str, at: int, before: TokenKind | None) -> _Taken | None:
    """A capital letter is a name, though `A` before a noun is an article."""
    del before
    word = _WORD.match(text, at)
    if word is None or not _LETTER.fullmatch(word[0]):
        return None
    after = text[word.end() :].lstrip()
    article = word[0] == "A" and after[:1].isalpha() and _keyword(text, word.end() + 1) is None
    if article and not _LETTER.fullmatch(after.split()[0].strip(",;:")):
        return None, word.end()
    return Token(kind="name", text=word[0]), word.end()


def _take_clock(text: str, at: int, before: TokenKind | None) -> _Taken | None:
    del before
    if (between := _BETWEEN.match(text, at)) is not None:
        first, second = _hour(between["a"]), _hour(between["b"])
        if second != first % 12 + 1:
            raise UnreadError(f"between {first} and {second} is no single part of a clock's face")
        return Token(kind="place", text=between[0], offset=_clockwise(first + 0.5)), between.end()
    if (clock := _CLOCK.match(text, at)) is None:
        return None
    hour = _hour(clock["h"] or clock["p"])
    return Token(kind="place", text=clock[0], offset=_clockwise(hour)), clock.end()


def _hour(word: str) -> int:
    return _HOURS[word.lower()] if word.isalpha() else int(word)


def _clockwise(hour: float) -> Offset:
    """12, 3, 6 and 9 lie on the axes, all other hours in the quarters between them."""
    hour %= 12
    right = (0 < hour < 6) - (6 < hour < 12)
    up = (hour < 3 or hour > 9) - (3 < hour < 9)
    return right, up, 0


def _take_lead(text: str, at: int, before: TokenKind | None) -> _Taken | None:
    """`to the`, `on the` in front of a direction; not `left to the top shelf`, which is a name."""
    del before
    led = _LED.match(text, at)
    if led is None or _PREPOSITIONS_ALONE.match(text, at):
        return None
    if led["the"] and _is_noun(text, led.end()):
        return None
    return None, led.start("way")


def _take_word(text: str, at: int, before: TokenKind | None) -> _Taken | None:
    if before == "place" and (part := _PART.match(text, at)):
        return None, part.end()
    for skipped in (_STRAIGHT, _SKIPPED):
        if match := skipped.match(text, at):
            return None, match.end()
    named = _NAMED_BY_PLACE.match(text, at)
    if named is not None and _is_noun(text, named.end()):
        return _name_from(text, named.start("name"), named.end())
    return _keyword(text, at)


def _keyword(text: str, at: int) -> _Taken | None:
    """The known word or phrase at a place; None where there is none."""
    if _UNSURE.match(text, at):
        return None, at
    for kind, phrase in _COMPILED:
        if match := phrase.match(text, at):
            return Token(kind=kind, text=match[0].strip()), match.end()
    for table, name in ((_BEFORE, "preposition"), (_PLACES, "place")):
        for pattern, offset in table:
            if match := pattern.match(text, at):
                word: TokenKind = "preposition" if name == "preposition" else "place"
                return Token(kind=word, text=match[0], offset=offset), match.end()
    if match := _OWNED.match(text, at):
        return None, match.end()
    if match := _BARE.match(text, at):
        return _BARE_TOKENS[match[0].lower()], match.end()
    match = _SKIPPED.match(text, at)
    return None if match is None else (None, match.end())


def _is_noun(text: str, at: int) -> bool:
    """Whether a small word that nothing else explains stands here: part of a name."""
    at += text[at : at + 1] == " "
    word = _WORD.match(text, at)
    return (
        word is not None and word[0].islower() and _ARTICLE.match(text, at) is None
        and _PART.match(text, at) is None and _keyword(text, at) is None
    )  # fmt: skip


def _take_name(text: str, at: int, before: TokenKind | None) -> _Taken | None:
    del before
    head = _HEAD.match(text, at)
    if head is not None and _keyword(text, head.end()) is None:
        return None, head.end()
    if (article := _ARTICLE.match(text, at)) is not None:
        return None, article.end()
    word = _WORD.match(text, at)
    if word is not None and word[0].lower() in ("the", "an"):
        raise UnreadError(f"a name is missing behind {word[0]!r}")
    return _name_from(text, at, at) if word is not None else None


def _name_from(text: str, start: int, at: int) -> _Taken:
    """The name that begins at `start`, whose words are unknown from `at` on.

    It ends where a known word stands, and behind a capital letter (`block A`).
    """
    word = _WORD.match(text, at + (text[at : at + 1] == " "))
    while word is not None:
        end = word.end()
        if _NO_NAME.fullmatch(word[0]):
            raise UnreadError(f"{word[0]!r} names no thing")
        if _LETTER.fullmatch(word[0]) or text[end : end + 1] != " ":
            break
        word = _WORD.match(text, end + 1) if _keyword(text, end + 1) is None else None
    return Token(kind="name", text=text[start:end]), end

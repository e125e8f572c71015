"""The things that a text names and that somebody could look for, with their characters.

English phrases are read by the grammar of `groundplane.grounding.noun_phrases`, Chinese ones by
the names of things that are known; of other languages nothing is read. What names nothing that
can be seen (`the question`, `a sense of calm`) is given with the reason why it is left out.
"""
# ruff: noqa: RUF001 - Chinese marks are meant.

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from groundplane.core.lexicon import ANYTHING, match_phrase, normalise, singular
from groundplane.grounding.claim_words import Token, is_noun, sentences_of
from groundplane.grounding.clause_words import NEUTRAL, POSTURES, PRESENT, SEE, SHOW
from groundplane.grounding.noun_phrases import NounPhrase, read_noun_phrase
from groundplane.spatial.questions.chinese_words import (
    COLORS,
    MEASURE_WORDS,
    english_noun,
    is_chinese,
    simplify,
)

__all__ = ["Spoken", "closed_at", "spoken_in"]

# A sentence that is longer is read in parts: its time and memory stay bounded.
_LONGEST = 1000
# Besides the abstract words that claims know: what answers speak of, and no expert can look for.
_UNSEEN = frozenset(
    {"reason", "option", "choice", "description", "caption", "text", "information", "detail",
     "purpose", "result", "problem", "context", "content", "explanation", "response", "statement",
     "sentence", "word", "letter", "step", "request", "user", "assistant", "model", "season",
     "morning", "evening", "afternoon", "summer", "winter", "spring", "autumn", "weekend", "hour",
     "minute", "second", "year", "month", "week", "environment", "scenery", "presence", "absence",
     "relationship", "interaction", "emotion", "mood", "calm", "energy", "vibe", "tone", "aspect",
     "quality", "condition", "state", "situation", "location", "direction", "series", "pair",
     "group", "couple", "bit", "lot", "range", "level", "note", "order", "use", "end", "start",
     "beginning", "process", "system", "task", "scale", "balance", "harmony", "depth", "space",
     "meaning", "mystery", "story", "possibility", "experience", "opportunity", "help", "work"}
)  # fmt: skip
# Words behind a noun, or before one, that are no part of its name.
_ENDING = SEE | SHOW | POSTURES | NEUTRAL | PRESENT | {
    "next", "near", "nearby", "close", "adjacent", "beside", "besides", "between", "behind",
    "above", "below", "beneath", "underneath", "inside", "outside", "opposite", "across", "against",
    "facing", "towards", "toward", "among", "within", "upon", "alongside", "look", "looks", "wear",
    "wears", "hold", "holds", "ride", "rides", "walk", "walks", "appear", "appears", "seem",
    "seems", "holding", "made", "filled", "covered", "surrounded",
}  # fmt: skip
# Where a sentence or clause ends, if what follows shows that the mark is no part of a number.
_STOP = re.compile(r"[.!?;:]+[\"')\]\u201d\u2019]*(?=\s)|[\u3002\uff01\uff1f\uff1b]|\n")

_CJK_RUN = re.compile(r"[\u3400-\u9fff]+")
_NUMBERED = f"(?:[一两二三四五六七八九十几多\\d]+|这|那|每|某|一){MEASURE_WORDS}?"
# What may stand before a name of one character, and what makes such a character another word.
_BEFORE = re.compile(
    rf"(?:^|{_NUMBERED}|{MEASURE_WORDS}|[的色和与跟及或有是在对把被着到向朝离从、，大小老新旧])$"
)
_COMPOUNDS = frozenset(
    {"画面", "画中", "人们", "人类", "人物", "包括", "包含", "书写", "花费", "花园", "球队", "车站",
     "门口", "灯光", "牛奶", "马上", "马路", "床上", "水果", "刀具", "面包", "火车", "车道", "人行"}
)  # fmt: skip
# A place behind a thing goes with the thing: `床上` is a bed.
_PLACES = frozenset({"床上"})
_LONGEST_NAME = 6
_COLOURED = re.compile(rf"({'|'.join(sorted(COLORS, key=len, reverse=True))})色?的?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A thing that a text names.

    Attributes:
        phrase: What to look for, in English, singular, without article: `red car`.
        noun: The same without what is said of it: `car`.
        span: Characters of the text, first and one past the last.
        unseen: Why nobody can look for it; empty where somebody can.
    """

    phrase: str
    noun: str
    span: tuple[int, int]
    unseen: str = ""

    def among(self, vocabulary: Sequence[str] | None) -> tuple[str, str]:
        """What to ask experts that know these words, and a note.

        Args:
            vocabulary: The words that experts can look for; None where any text will do.

        Returns:
            The phrase to ask for, empty where there is no word for it, and what a reader must
            know: why it is not asked for, or what of it is not checked.

        Examples:
            >>> car = Spoken(phrase="red car", noun="car", span=(0, 9))
            >>> car.among(None), car.among(["truck", "car"])
            (('red car', ''), ('car', "'red car' was looked for as 'car'"))
            >>> car.among([])
            ('', "no expert can look for 'red car'")
        """
        if vocabulary is None:
            return self.phrase, ""
        for phrase in dict.fromkeys((self.phrase, self.noun)):
            match = match_phrase(phrase, vocabulary)
            if match is not None and match.how != "part":
                changed = phrase != self.phrase
                return phrase, f"{self.phrase!r} was looked for as {phrase!r}" if changed else ""
        return "", f"no expert can look for {self.phrase!r}"


def spoken_in(text: str) -> list[Spoken]:
    """The things that a text names, in its order; none overlaps another.

    Examples:
        >>> [(one.phrase, one.span) for one in spoken_in("A red car and two dogs. 一只黑色的猫")]
        [('red car', (0, 9)), ('dog', (14, 22)), ('black cat', (26, 30))]
        >>> [(one.phrase, one.unseen) for one in spoken_in("The question has a sense of calm.")]
        [('question', 'abstract'), ('sense', 'abstract')]
        >>> spoken_in("")
        []
    """
    found = [one for part in _parts(text) for one in _english(part, text)]
    found += [one for run in _CJK_RUN.finditer(text) for one in _chinese(run)]
    found.sort(key=lambda one: one.span)
    kept: list[Spoken] = []
    for one in found:
        if not kept or one.span[0] >= kept[-1].span[1]:
            kept.append(one)
    return kept


def closed_at(text: str) -> int:
    """Where the last sentence or clause of a running text ends that is surely over.

    A stretch of 1,000 characters without an end is cut at a blank, or where it is.

    Examples:
        >>> closed_at("A dog. A ca"), closed_at("It is 2."), closed_at("一只狗。还有")
        (6, 0, 4)
        >>> closed_at("")
        0
    """
    end = 0
    for match in _STOP.finditer(text):
        end = match.end()
    while len(text) - end > _LONGEST:
        blank = text.rfind(" ", end, end + _LONGEST)
        end = blank if blank > end else end + _LONGEST
    return end


def _parts(text: str) -> Iterator[list[Token]]:
    """Sentences, none with more than a hundred or so words."""
    for words in sentences_of(text):
        for start in range(0, len(words), 120):
            yield words[start : start + 120]


# English --------------------------------------------------------------------------------------


def _english(words: Sequence[Token], text: str) -> Iterator[Spoken]:
    at = 0
    stops = frozenset(i for i, token in enumerate(words) if token.word in _ENDING)
    while at < len(words):
        phrase = read_noun_phrase(words, at, stops=stops) or _bare(words, at, stops)
        if phrase is None:
            at += 1
            continue
        at = max(phrase.after, at + 1)
        thing = phrase.thing
        if is_chinese(text[slice(*thing.span)]):
            continue
        yield Spoken(phrase=thing.phrase, noun=thing.noun, span=thing.span, unseen=_unseen(phrase))


def _bare(words: Sequence[Token], at: int, stops: frozenset[int]) -> NounPhrase | None:
    """A known noun without an article: `dog`, as lists and short answers have it."""
    if at in stops or not is_noun(words[at].word):
        return None
    article = Token(word="a", start=words[at].start, end=words[at].start)
    moved = frozenset(stop - at + 1 for stop in stops)
    shifted = read_noun_phrase([article, *words[at:]], 0, stops=moved)
    if shifted is None:
        return None
    return NounPhrase(thing=shifted.thing, after=at + shifted.after - 1, kind=shifted.kind)


def _unseen(phrase: NounPhrase) -> str:
    thing = phrase.thing
    last = singular(thing.noun.split()[-1]) if thing.noun else ""
    if phrase.kind != "thing":
        return phrase.kind
    if thing.number.most == 0:
        return "said not to be there"
    if last in _UNSEEN or last in ANYTHING or not any(map(str.isalpha, last)):
        return "abstract"
    return ""


# Chinese --------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _simple(char: str) -> str:
    plain = simplify(char)
    return plain if len(plain) == 1 else char


def _chinese(run: re.Match[str]) -> Iterator[Spoken]:
    """Names of things in a run of Chinese characters, the longest first at each place."""
    text = "".join(map(_simple, run[0]))
    at = 0
    while at < len(text):
        length = _name_at(text, at)
        if not length:
            at += 1
            continue
        noun = normalise(english_noun(text[at : at + length]) or "")
        color = _COLOURED.search(text[:at])
        start = run.start() + (color.start() if color else at)
        phrase = f"{COLORS[color[1]]} {noun}" if color else noun
        yield Spoken(phrase=phrase, noun=noun, span=(start, run.start() + at + length))
        at += length


def _name_at(text: str, at: int) -> int:
    """How many characters the name that begins here has; 0 where none does."""
    for length in range(min(_LONGEST_NAME, len(text) - at), 0, -1):
        if english_noun(text[at : at + length]) is None:
            continue
        if length > 1:
            return length
        pair = text[at : at + 2]
        if (pair in _COMPOUNDS and pair not in _PLACES) or not _BEFORE.search(text[:at]):
            return 0
        return length
    return 0

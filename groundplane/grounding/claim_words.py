"""The words that claims are read by: articles, numbers, verbs, and what is no thing at all."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from groundplane.core.claims import Number
from groundplane.core.lexicon import known_nouns, normalise, singular

__all__ = [
    "CLOTHES",
    "LENGTHS",
    "NUMBERS",
    "PEOPLE",
    "QUANTITIES",
    "Token",
    "is_abstract",
    "is_action",
    "is_noun",
    "is_person",
    "is_picture",
    "is_stop",
    "sentences_of",
    "words_of",
]

NUMBERS: Mapping[str, int] = MappingProxyType(
    {
        "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
        "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13,
        "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18,
        "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "dozen": 12,
        "hundred": 100,
    }
)  # fmt: skip

# Nobody counts by these words, so each has a margin within which it is neither right nor wrong.
QUANTITIES: Mapping[str, Number] = MappingProxyType(
    {
        "no": Number(least=0, most=0),
        "no other": Number(least=0, most=0),
        "none": Number(least=0, most=0),
        "neither": Number(least=0, most=0),
        "a row of": Number(least=2),
        "a line of": Number(least=2),
        "a pile of": Number(least=2),
        "a stack of": Number(least=2),
        "a collection of": Number(least=2),
        "a set of": Number(least=2),
        "a variety of": Number(least=2),
        "not any": Number(least=0, most=0),
        "a couple of": Number(least=2, most=2, ceiling=3),
        "a pair of": Number(least=2, most=2),
        "a few": Number(least=3, most=5, floor=2, ceiling=9),
        "few": Number(least=1, most=4, ceiling=9),
        "several": Number(least=3, floor=2),
        "various": Number(least=3, floor=2),
        "multiple": Number(least=2),
        "numerous": Number(least=5, floor=3),
        "many": Number(least=5, floor=3),
        "a lot of": Number(least=5, floor=3),
        "lots of": Number(least=5, floor=3),
        "plenty of": Number(least=5, floor=3),
        "a number of": Number(least=3, floor=2),
        "a group of": Number(least=3, floor=2),
        "a bunch of": Number(least=3, floor=2),
        "a herd of": Number(least=3, floor=2),
        "a flock of": Number(least=3, floor=2),
        "a crowd of": Number(least=5, floor=3),
        "dozens of": Number(least=24, floor=12),
        "both": Number(least=2, most=2),
    }
)

LENGTHS: Mapping[str, float] = MappingProxyType(
    {
        "m": 1.0, "meter": 1.0, "metre": 1.0, "meters": 1.0, "metres": 1.0,
        "cm": 0.01, "centimeter": 0.01, "centimetre": 0.01, "centimeters": 0.01,
        "centimetres": 0.01, "mm": 0.001, "millimeter": 0.001, "millimetre": 0.001,
        "millimeters": 0.001, "millimetres": 0.001, "ft": 0.3048, "foot": 0.3048, "feet": 0.3048,
        "inch": 0.0254, "inches": 0.0254, "yd": 0.9144, "yard": 0.9144, "yards": 0.9144,
    }
)  # fmt: skip

# Kinds of people: an expert that knows persons only can tell that there is none of them.
PEOPLE = frozenset(
    {"man", "woman", "boy", "girl", "child", "kid", "baby", "toddler", "lady", "gentleman", "guy",
     "adult", "teenager", "player", "skier", "surfer", "rider", "cyclist", "skater",
     "skateboarder", "snowboarder", "batter", "pitcher", "catcher", "umpire", "chef", "waiter",
     "waitress", "driver", "policeman", "officer", "soldier", "worker", "student", "teacher",
     "doctor", "nurse", "bride", "groom", "passenger", "customer", "couple", "tennis player",
     "baseball player", "soccer player", "spectator", "friend", "father", "mother", "son",
     "daughter", "brother", "sister"}
)  # fmt: skip
# What people are in without being inside: `a man in a red shirt`.
CLOTHES = frozenset(
    {"shirt", "t-shirt", "jacket", "coat", "suit", "dress", "hat", "cap", "helmet", "uniform",
     "pants", "jeans", "shorts", "skirt", "sweater", "hoodie", "vest", "tie", "scarf", "costume",
     "outfit", "clothes", "clothing", "gear", "glass", "sunglasses", "shoe", "boot", "wetsuit",
     "jersey", "tuxedo", "robe", "apron", "gown", "swimsuit", "bikini", "blouse"}
)  # fmt: skip
_MORE_NOUNS = PEOPLE | {
    "pedestrian", "animal", "vehicle", "fruit", "building", "house", "road", "street", "sidewalk",
    "grass", "sky", "water", "beach", "snow", "field", "fence", "wall", "floor", "ceiling", "sign",
    "hat", "cap", "shirt", "helmet", "glass", "plate", "tray", "napkin", "food", "wheel", "tire",
    "pole", "bridge", "river", "ocean", "wave", "mountain", "hill", "rock", "leaf", "bush",
    "painting", "railing", "awning", "clothing", "string", "ring", "puppy", "kitten", "calf",
    "lamb", "duck", "goose", "chicken", "van", "wagon", "tractor", "helicopter", "canoe",
    "computer", "tablet", "headphones", "watch", "necklace", "scarf", "glove", "sock",
}  # fmt: skip

_ARTICLES = frozenset(
    {"a", "an", "the", "this", "that", "these", "those", "my", "your", "his", "her", "its", "our",
     "their", "another", "each", "every", "all", "both", "any", "some", "no", "either", "neither"}
)  # fmt: skip
_BE = frozenset({"is", "are", "was", "were", "be", "been", "being", "am"})
_FUNCTION = frozenset(
    {"and", "or", "but", "nor", "not", "of", "to", "from", "for", "with", "without", "by", "at",
     "as", "than", "then", "so", "if", "while", "when", "where", "which", "who", "whose", "that",
     "there", "here", "it", "they", "he", "she", "i", "you", "we", "them", "him", "us", "me",
     "one", "ones", "also", "very", "quite", "just", "only", "too", "both", "has", "have", "had",
     "can", "could", "may", "might", "must", "should", "would", "will", "do", "does", "did",
     "in", "on", "into", "onto", "off", "up", "down", "out", "over", "under", "what", "how",
     "why", "because", "although", "however", "together", "other", "each", "visible", "present",
     "seen", "shown", "depicted", "located", "placed", "positioned", "situated", "there's",
     "currently", "clearly", "still", "already", "perhaps", "probably", "likely", "possibly",
     "maybe", "about", "around", "during", "like", "along", "through", "after", "before",
     "lack", "lacks", "lacking", "missing", "absent", "except", "instead", "hardly", "barely",
     "scarcely", "rarely", "never", "none", "nobody", "nothing", "unlike", "fails", "features",
     "contains", "includes", "depicts", "displays", "shows", "more", "fewer", "less", "most"}
)  # fmt: skip
# What a text speaks of and no expert can look for.
_ABSTRACT = frozenset(
    {"atmosphere", "mood", "sense", "feeling", "moment", "setting", "ambiance", "ambience",
     "style", "composition", "variety", "day", "night", "time", "weather", "view", "background",
     "foreground", "lighting", "theme", "focus", "attention", "activity", "event", "look",
     "appearance", "impression", "kind", "type", "sort", "way", "number", "amount", "color",
     "colour", "size", "shape", "middle", "center", "centre", "left", "right", "top", "bottom",
     "side", "front", "back", "distance", "fact", "idea", "life", "love", "fun", "beauty",
     "perspective", "angle", "position", "place", "area", "part", "edge", "corner", "rest",
     "total", "nothing", "something", "anything", "everything", "someone", "somebody", "nobody",
     "thing", "object", "item", "question", "answer", "example", "case", "sight", "world",
     "room", "kitchen", "bathroom", "bedroom", "office", "restaurant", "city", "town", "park",
     "heart", "mind", "addition", "contrast", "conclusion", "difference", "pose", "action"}
)  # fmt: skip
_PICTURE = frozenset({"image", "picture", "photo", "photograph", "scene", "frame", "shot"})
_NOT_ACTIONS = frozenset(
    {"building", "ceiling", "painting", "wedding", "king", "ring", "string", "wing", "thing",
     "clothing", "awning", "railing", "evening", "morning", "swing", "spring", "sling", "parking",
     "washing", "cutting", "frying", "baking", "sewing", "living", "dining", "sleeping",
     "recycling", "swimming", "something", "anything", "nothing", "everything", "pudding"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A word, a number or a mark.

    Attributes:
        word: In lower case, with a plain apostrophe.
        start: First character in the text.
        end: One past the last.
    """

    word: str
    start: int
    end: int


_TOKEN = re.compile(
    r"(?:e\.g|i\.e|mr|mrs|ms|dr|st|vs|approx|etc)\.(?=\s)|\d+(?:[.,]\d+)*|"
    r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|\n\s*\n|\S",
    re.IGNORECASE,
)
_ENDS = frozenset(".!?;:\u3002\uff01\uff1f\uff1b")


def words_of(text: str) -> list[Token]:
    """The words and marks of a text; `isn't` gives two.

    Examples:
        >>> [token.word for token in words_of("It isn't 2.5 m wide.")]
        ['it', 'is', 'not', '2.5', 'm', 'wide', '.']
        >>> words_of("")
        []
    """
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        word = match[0].lower().replace("\u2019", "'")
        start, end = match.span()
        if word.endswith("n't") and len(word) > 4:
            stem = {"ca": "can", "wo": "will"}.get(word[:-3], word[:-3])
            tokens.append(Token(word=stem, start=start, end=end - 3))
            tokens.append(Token(word="not", start=end - 3, end=end))
        elif word in ("cannot",):
            tokens.append(Token(word="can", start=start, end=start + 3))
            tokens.append(Token(word="not", start=start + 3, end=end))
        elif word in ("there's", "it's", "he's", "she's", "that's"):
            tokens.append(Token(word=word[:-2], start=start, end=end - 2))
            tokens.append(Token(word="is", start=end - 2, end=end))
        else:
            tokens.append(Token(word=word, start=start, end=end))
    return tokens


def sentences_of(text: str) -> list[list[Token]]:
    """The words of each sentence; the mark that ends it is its last word.

    Examples:
        >>> [[token.word for token in words] for words in sentences_of("A dog. Is it 2.5 m?")]
        [['a', 'dog', '.'], ['is', 'it', '2.5', 'm', '?']]
    """
    sentences: list[list[Token]] = [[]]
    for token in words_of(text):
        sentences[-1].append(token)
        if token.word in _ENDS or not token.word.strip():
            sentences.append([])
    return [words for words in sentences if any(word.word.strip() for word in words)]


@functools.lru_cache(maxsize=16384)
def is_noun(words: str) -> bool:
    """Whether words are the name of a thing that we know, singular or plural.

    Examples:
        >>> is_noun("fire hydrants"), is_noun("women"), is_noun("chases")
        (True, True, False)
    """
    one = normalise(words)
    return one in known_nouns() or one in _MORE_NOUNS or singular(one) in _MORE_NOUNS


def is_person(noun: str) -> bool:
    """Whether a singular noun names somebody.

    Examples:
        >>> is_person("woman"), is_person("dog")
        (True, False)
    """
    return noun in PEOPLE or noun in ("person", "pedestrian")


def is_picture(word: str) -> bool:
    """Whether a word speaks of the picture itself.

    Examples:
        >>> is_picture("photo"), is_picture("dog")
        (True, False)
    """
    return word in _PICTURE


def is_action(word: str) -> bool:
    """Whether a word is a verb in -ing, and not a thing such as a building.

    Examples:
        >>> is_action("riding"), is_action("building")
        (True, False)
    """
    return word.endswith("ing") and len(word) > 4 and word not in _NOT_ACTIONS


def is_stop(word: str) -> bool:
    """Whether a word cannot stand within the name of a thing.

    Examples:
        >>> is_stop("the"), is_stop("of"), is_stop("dog")
        (True, True, False)
    """
    return (
        word in _ARTICLES
        or word in _BE
        or word in _FUNCTION
        or not any(letter.isalpha() for letter in word)
    )


def is_abstract(word: str) -> bool:
    """Whether no expert can look for what a word names.

    Examples:
        >>> is_abstract("atmosphere"), is_abstract("dog")
        (True, False)
    """
    return singular(word) in _ABSTRACT

"""Words for things: singular forms, synonyms, and which labels a phrase names.

Data sets name the same thing differently (`trash bin` and `trash can`, `sofa` and `couch`), and
people use a third word. A phrase is matched to labels by the narrowest rule that holds; nothing
is ever widened silently: the match says how it was found and which words stayed unexplained.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "ANYTHING",
    "PLURAL_ONLY",
    "PhraseMatch",
    "canonical",
    "head_of",
    "known_nouns",
    "match_phrase",
    "near_labels",
    "normalise",
    "plural",
    "singular",
    "surface_share",
]

ANYTHING = frozenset({"object", "thing", "item", "anything", "something", "everything", "stuff"})

_SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("sofa", "couch", "settee", "loveseat"),
    ("tv", "television", "television set", "tv set", "telly", "tele"),
    ("refrigerator", "fridge", "freezer refrigerator", "icebox"),
    (
        "trash bin",
        "trash can",
        "trashcan",
        "garbage can",
        "garbage bin",
        "rubbish bin",
        "dustbin",
        "waste bin",
        "waste basket",
        "wastebasket",
        "wastepaper basket",
        "bin",
        "recycling bin",
    ),
    ("washing machine", "washer", "clothes washer", "laundry machine"),
    ("dryer", "tumble dryer", "clothes dryer"),
    ("stove", "cooker", "hob", "cooktop", "stovetop", "range cooker"),
    ("bookshelf", "bookcase", "book shelf", "book case"),
    ("nightstand", "night stand", "bedside table", "night table"),
    ("closet", "wardrobe", "armoire", "clothes closet"),
    ("toilet", "wc", "lavatory", "loo"),
    ("bathtub", "bath tub", "tub", "bath"),
    ("ceiling light", "ceiling lamp", "overhead light"),
    ("lamp", "light"),
    ("table lamp", "desk lamp", "table light"),
    ("radiator", "room radiator"),
    ("microwave", "microwave oven"),
    ("backpack", "rucksack", "knapsack"),
    ("suitcase", "luggage case"),
    ("cup", "mug"),
    ("pan", "frying pan"),
    ("plant", "potted plant", "houseplant", "house plant", "pot plant"),
    ("computer mouse", "mouse"),
    ("computer tower", "pc tower", "desktop tower", "pc", "computer case"),
    ("laptop", "notebook computer", "laptop computer"),
    ("monitor", "screen", "computer screen", "computer monitor", "computer display"),
    ("telephone", "phone", "landline"),
    ("cell phone", "mobile phone", "cellphone", "smartphone", "mobile"),
    ("whiteboard", "white board", "dry erase board"),
    ("power strip", "extension lead", "multi plug"),
    ("exhaust fan", "extractor fan", "range hood fan"),
    ("cutting board", "chopping board"),
    ("rug", "carpet"),
    ("curtain", "drape"),
    ("picture", "painting"),
    (
        "counter",
        "countertop",
        "worktop",
        "kitchen counter",
        "kitchen worktop",
        "kitchen countertop",
    ),
    ("cabinet", "cupboard"),
    ("dresser", "chest of drawers"),
    ("kettle", "electric kettle"),
    ("piano", "upright piano"),
    ("fireplace", "fire place"),
    ("person", "human", "human being"),
    ("bicycle", "bike", "push bike"),
    ("motorcycle", "motorbike"),
    ("airplane", "aeroplane", "plane", "aircraft"),
    ("car", "automobile"),
    ("truck", "lorry"),
    ("boat", "ship"),
    ("traffic light", "stop light", "traffic signal"),
    ("fire hydrant", "hydrant"),
    ("handbag", "purse"),
    ("tie", "necktie"),
    ("sports ball", "ball"),
    ("donut", "doughnut"),
    ("remote", "remote control", "tv remote"),
    ("hair drier", "hair dryer", "hairdryer", "blow dryer"),
    ("teddy bear", "teddy"),
    ("cat", "kitty"),
    ("dog", "doggy"),
    ("cow", "cattle"),
    ("face", "frontal face", "human face"),
    ("eye", "human eye"),
)

# Shapes that scenes of plain solids use as labels, by the name of a thing of that shape.
_SHAPES = {"ball": "sphere", "block": "cube"}

# The last word of these compounds is not what the thing is a kind of.
_NOT_KINDS = frozenset({"hot dog", "teddy bear", "computer mouse", "stop light", "fire place"})

# What things are in, not on, when they lie inside its box. Of all else (sofa, table, shelf, ...)
# people say that a thing inside the box is on it.
_CONTAINERS = frozenset(
    {"refrigerator", "cabinet", "closet", "dresser", "drawer", "microwave", "oven",
     "washing machine", "dryer", "dishwasher", "trash bin", "basket", "box", "bag", "suitcase",
     "backpack", "handbag", "bathtub", "sink", "bowl", "cup", "bucket", "crate", "vase", "car",
     "bus", "room", "safe"}
)  # fmt: skip

# How high in its box, as a share of its height, a thing's surface may lie: seats lie at 40 to 50 %
# of chairs and sofas with their backs, shelves anywhere. Of the rest the surface is near the top;
# boxes fitted to scans reach above it, for they lean or hold what stands on them.
_SURFACES = {
    "sofa": 0.4, "chair": 0.4, "armchair": 0.4, "bed": 0.4, "bench": 0.4, "stool": 0.4,
    "toilet": 0.4, "bookshelf": 0.0, "shelf": 0.0, "rack": 0.0,
}  # fmt: skip
_SURFACE = 0.65

_IRREGULAR = {
    "people": "person", "persons": "person", "men": "man", "women": "woman",
    "children": "child", "mice": "mouse", "feet": "foot", "teeth": "tooth", "geese": "goose",
    "knives": "knife", "shelves": "shelf", "bookshelves": "bookshelf", "leaves": "leaf",
    "loaves": "loaf", "wolves": "wolf", "halves": "half", "oxen": "ox", "cacti": "cactus",
    "tvs": "tv", "pcs": "pc", "shoes": "shoe", "potatoes": "potato", "tomatoes": "tomato",
    "heroes": "hero", "buses": "bus", "movies": "movie", "cookies": "cookie", "axes": "axis",
    "lenses": "lens", "glasses": "glass", "gases": "gas", "minibuses": "minibus",
    "canvases": "canvas", "irises": "iris", "atlases": "atlas", "abacuses": "abacus",
    "scarves": "scarf", "niches": "niche", "quiches": "quiche", "loveseats": "loveseat",
}  # fmt: skip

# One of them is already a plural: `the scissors are`.
PLURAL_ONLY = frozenset(
    {"scissors", "skis", "pants", "trousers", "jeans", "shorts", "stairs", "drawers", "blinds",
     "clothes", "headphones", "goggles"}
)  # fmt: skip
# Words in -s that are no plural, and words whose plural is the word itself.
_ENDS_IN_S = frozenset(
    {"bus", "gas", "lens", "cactus", "canvas", "chess", "tennis", "abacus", "this", "is", "has",
     "was", "its", "us", "his", "plus", "across", "always", "iris", "axis", "atlas", "minibus"}
)  # fmt: skip
_SAME = frozenset({"sheep", "series", "species", "furniture", "luggage", "chess", "tennis"})
_UNCHANGED = PLURAL_ONLY | _ENDS_IN_S | _SAME

_ARTICLES = frozenset(
    {"the", "a", "an", "this", "that", "these", "those", "my", "your", "our", "his", "her",
     "their", "its", "any", "some", "all", "every", "each"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseMatch:
    """Which labels a phrase names.

    Attributes:
        labels: The labels, in the order given.
        how: `exact`; `synonym`; `kind` (a table lamp is a lamp); `part` (only the last words
            match, `modifiers` are left over).
        modifiers: Words of the phrase that the labels do not explain, such as `blue`.
    """

    labels: tuple[str, ...]
    how: Literal["exact", "synonym", "kind", "part"]
    modifiers: tuple[str, ...] = ()


@functools.lru_cache(maxsize=4096)
def singular(word: str) -> str:
    """The singular of an English noun.

    Examples:
        >>> [singular(w) for w in ("chairs", "shelves", "boxes", "people", "bus", "batteries")]
        ['chair', 'shelf', 'box', 'person', 'bus', 'battery']
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _UNCHANGED or not word.endswith("s") or word.endswith("ss") or len(word) < 4:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zzes")):
        return word[:-2]
    return word[:-1]


@functools.lru_cache(maxsize=4096)
def plural(phrase: str) -> str:
    """The plural of an English noun phrase.

    Examples:
        >>> [plural(w) for w in ("chair", "bookshelf", "washing machine", "person", "scissors")]
        ['chairs', 'bookshelves', 'washing machines', 'people', 'scissors']
        >>> plural("chest of drawers")
        'chests of drawers'
    """
    words = phrase.split() or [""]
    at = head_of(words)
    front, word, back = words[:at], words[at], words[at + 1 :]
    if word in PLURAL_ONLY or word in _SAME:
        many = word
    elif irregular := _PLURALS.get(word):
        many = irregular
    elif word.endswith(("ch", "sh", "x", "s", "z")):
        many = word + "es"
    elif word.endswith("y") and word[-2:-1] not in "aeiou":
        many = word[:-1] + "ies"
    else:
        many = word + "s"
    return " ".join([*front, many, *back])


def head_of(words: Sequence[str]) -> int:
    """Position of the word that makes a phrase singular or plural.

    Examples:
        >>> head_of("washing machine".split()), head_of("chest of drawers".split())
        (1, 0)
    """
    return words.index("of") - 1 if "of" in words[1:-1] else len(words) - 1


_PLURALS = {one: many for many, one in _IRREGULAR.items() if many != "persons"}


@functools.lru_cache(maxsize=16384)
def normalise(phrase: str) -> str:
    """Lower case, no article, single spaces, singular.

    Examples:
        >>> normalise("The  Trash-Cans")
        'trash can'
        >>> normalise("table(s)")
        'table'
    """
    text = phrase.lower().replace("(s)", "").replace("_", " ").replace("-", " ")
    words = re.sub(r"[^\w\s#]", " ", text).split()
    while len(words) > 1 and words[0] in _ARTICLES:
        words = words[1:]
    if words:
        head = head_of(words)
        words[head] = singular(words[head])
    return " ".join(words)


_CANONICAL = {normalise(word): normalise(group[0]) for group in _SYNONYMS for word in group}


# Names of things without a synonym above; with those above, what a loose reading may rely on.
_NOUNS = (
    "chair, table, bed, door, window, desk, stool, bench, armchair, shelf, mirror, heater, towel, "
    "pillow, blanket, bowl, crate, bucket, basket, clock, guitar, printer, keyboard, dishwasher, "
    "sink, oven, toaster, vase, book, bottle, spoon, fork, knife, banana, apple, orange, sandwich, "
    "pizza, cake, carrot, broccoli, bird, horse, sheep, elephant, bear, zebra, giraffe, umbrella, "
    "kite, skateboard, surfboard, frisbee, bus, train, scissors, toothbrush, shoe, box, bag, "
    "poster, rack, drawer, fan, camera, speaker, projector, ladder, flower, tree, candle, ottoman, "
    "cushion, jacket, coat, doorframe, shower, faucet, coffee table, dining table, side table, "
    "tv stand, floor lamp, wine glass, baseball bat, baseball glove, tennis racket, hot dog, "
    "stop sign, parking meter, alarm clock, snowboard, ski"
)


@functools.cache
def known_nouns() -> frozenset[str]:
    """Every name of a thing that the lexicon knows, normalised.

    Examples:
        >>> {"sofa", "couch", "tv stand"} <= known_nouns(), "cost" in known_nouns()
        (True, False)
    """
    return frozenset(_CANONICAL) | {normalise(noun) for noun in _NOUNS.split(", ")}


def canonical(phrase: str) -> str:
    """One name for all synonyms.

    Examples:
        >>> canonical("couches"), canonical("television"), canonical("piano stool")
        ('sofa', 'tv', 'piano stool')
    """
    text = normalise(phrase)
    return _CANONICAL.get(text, text)


def _is_kind_of(label: str, phrase: str) -> bool:
    """Whether `label` ends in the words of `phrase`: a table lamp is a lamp."""
    return label.endswith(" " + phrase) and label not in _NOT_KINDS


def _whole_phrase(phrase: str, labels: Sequence[str]) -> PhraseMatch | None:
    text, name = normalise(phrase), canonical(phrase)
    if exact := tuple(label for label in labels if normalise(label) == text):
        return PhraseMatch(labels=exact, how="exact")
    if same := tuple(label for label in labels if canonical(label) == name):
        return PhraseMatch(labels=same, how="synonym")
    if kinds := tuple(
        label for label in labels if any(_is_kind_of(normalise(label), w) for w in (text, name))
    ):
        return PhraseMatch(labels=kinds, how="kind")
    # A ball is a sports ball where there is one, and else what has that shape.
    shape = _SHAPES.get(text)
    if shape is not None and (shaped := tuple(k for k in labels if normalise(k) == shape)):
        return PhraseMatch(labels=shaped, how="synonym")
    return None


def surface_share(label: str) -> float:
    """How high in its box a thing's surface may lie at the least; infinite for containers.

    What lies in the box of a sofa above its seat is on the sofa; what lies in a cupboard is in it.

    Examples:
        >>> surface_share("couch"), surface_share("table"), surface_share("fridge")
        (0.4, 0.65, inf)
    """
    name = canonical(label)
    if name in _CONTAINERS:
        return math.inf
    return _SURFACES.get(name, _SURFACES.get(name.split()[-1], _SURFACE))


def match_phrase(phrase: str, labels: Iterable[str]) -> PhraseMatch | None:
    """Find the labels that a phrase names; None if there is none.

    Args:
        phrase: A noun phrase, singular or plural, with or without an article.
        labels: The labels to choose from, each once.

    Examples:
        >>> match_phrase("the couches", ["sofa", "sofa bed"])
        PhraseMatch(labels=('sofa',), how='synonym', modifiers=())
        >>> match_phrase("lamps", ["table lamp", "floor lamp", "table"]).labels
        ('table lamp', 'floor lamp')
        >>> match_phrase("blue chair", ["chair"])
        PhraseMatch(labels=('chair',), how='part', modifiers=('blue',))
        >>> match_phrase("unicorn", ["chair"]) is None
        True
    """
    known = tuple(dict.fromkeys(labels))
    if whole := _whole_phrase(phrase, known):
        return whole
    words = normalise(phrase).split()
    for start in range(1, len(words)):
        if part := _whole_phrase(" ".join(words[start:]), known):
            return PhraseMatch(labels=part.labels, how="part", modifiers=tuple(words[:start]))
    return None


def near_labels(phrase: str, labels: Iterable[str], *, limit: int = 3) -> tuple[str, ...]:
    """Labels that look like the phrase, for a hint after a miss.

    Examples:
        >>> near_labels("refridgerator", ["refrigerator", "sofa"])
        ('refrigerator',)
    """
    known = tuple(dict.fromkeys(labels))
    text = normalise(phrase)
    near = difflib.get_close_matches(text, [normalise(k) for k in known], n=limit, cutoff=0.7)
    sharing = [k for k in known if set(normalise(k).split()) & set(text.split())]
    by_text = {normalise(k): k for k in known}
    return tuple(dict.fromkeys([*(by_text[n] for n in near), *sharing]))[:limit]

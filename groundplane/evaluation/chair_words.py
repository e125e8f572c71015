"""Which of the objects that a data set annotates a caption names.

The words for COCO's categories are our own, written from what captions call such things; scores
with the table of the CHAIR paper differ. A word that as often names something else (`plant`,
`glass`, `seat`) is left out, and so are compounds that only begin with one (`bus stop`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from groundplane.core.lexicon import canonical, normalise, singular

__all__ = ["CaptionReader", "ObjectMention"]

# Categories of COCO to what else captions call them; singular, words parted by blanks.
_WORDS: Mapping[str, str] = {
    "person": "man, woman, boy, girl, child, kid, baby, toddler, infant, adult, lady, gentleman, "
    "guy, teenager, player, skier, snowboarder, surfer, skateboarder, skater, rider, cyclist, "
    "bicyclist, biker, motorcyclist, pedestrian, passenger, driver, chef, worker, farmer, officer, "
    "policeman, policewoman, cop, firefighter, fireman, soldier, student, teacher, spectator, "
    "tourist, athlete, batter, catcher, umpire, goalie, swimmer, bride, mother, father, mom, dad, "
    "parent, son, daughter, brother, sister, grandmother, grandfather, crowd, pilot, waiter, "
    "waitress, doctor, nurse, jockey, friend, shopper, traveler, traveller, businessman, male, "
    "female, dude, youngster, human",
    "bicycle": "bike, tricycle",
    "car": "automobile, sedan, suv, taxi, cab, minivan, van, hatchback, convertible, limousine, "
    "jeep",
    "motorcycle": "motorbike, motor bike, motor cycle, scooter, moped, dirt bike",
    "airplane": "plane, aeroplane, air plane, jet, jetliner, airliner, aircraft, biplane, seaplane",
    "bus": "minibus, double decker",
    "train": "locomotive, tram, streetcar, train car, train engine",
    "truck": "lorry, pickup, firetruck, fire engine",
    "boat": "ship, sailboat, sail boat, canoe, kayak, ferry, yacht, raft, rowboat, row boat, "
    "motorboat, motor boat, speedboat, gondola, barge, dinghy, catamaran",
    "traffic light": "stoplight, stop light, traffic signal",
    "fire hydrant": "hydrant",
    "bench": "pew",
    "bird": "pigeon, seagull, gull, duck, duckling, goose, swan, parrot, owl, eagle, hawk, crow, "
    "sparrow, rooster, hen, penguin, ostrich, flamingo, robin, peacock, pelican, heron, parakeet, "
    "dove, woodpecker, hummingbird, falcon, raven",
    "cat": "kitten, kitty, feline",
    "dog": "puppy, pup, canine, poodle, labrador, dachshund, terrier, bulldog, pug, husky, beagle, "
    "chihuahua, sheepdog, german shepherd, golden retriever, corgi, collie",
    "horse": "pony, mare, stallion, foal, colt",
    "sheep": "lamb, ewe",
    "cow": "bull, calf, cattle, ox, oxen, heifer",
    "bear": "grizzly",
    "backpack": "back pack, rucksack, knapsack, bookbag, book bag",
    "umbrella": "parasol",
    "handbag": "purse, hand bag, pocketbook",
    "tie": "necktie, neck tie, bow tie, bowtie",
    "suitcase": "suit case, luggage, baggage",
    "frisbee": "flying disc, flying disk",
    "skis": "ski",
    "snowboard": "snow board",
    "sports ball": "ball, soccer ball, tennis ball, volleyball",
    "baseball bat": "bat",
    "baseball glove": "baseball mitt, catcher mitt, catcher s mitt",
    "skateboard": "skate board",
    "surfboard": "surf board",
    "tennis racket": "racket, racquet, tennis racquet",
    "wine glass": "wineglass, goblet, glass of wine",
    "cup": "mug, teacup, tea cup",
    "sandwich": "burger, hamburger, cheeseburger, panini",
    "hot dog": "hotdog",
    "donut": "doughnut",
    "cake": "cupcake, cheesecake",
    "chair": "armchair, recliner, highchair",
    "couch": "sofa, loveseat, settee, futon",
    "potted plant": "houseplant, house plant",
    "dining table": "table, desk",
    "toilet": "commode, toilet seat, toilet bowl, toilet lid, toilet tank",
    "tv": "television, tv set, television set, monitor, computer monitor, computer screen",
    "laptop": "laptop computer, notebook computer",
    "mouse": "computer mouse",
    "remote": "remote control, wii controller",
    "keyboard": "computer keyboard",
    "cell phone": "phone, cellphone, smartphone, smart phone, mobile phone, telephone, iphone",
    "oven": "stove, stove top oven",
    "refrigerator": "fridge, freezer",
    "book": "novel, textbook, notebook",
    "teddy bear": "teddy, stuffed bear, stuffed animal",
    "hair drier": "hair dryer, hairdryer, blow dryer",
    "toothbrush": "tooth brush",
}
# They begin with a word for an object and name something else, or hold one that is not meant.
_OTHERS = (
    "train station, train track, train yard, bus stop, bus station, bus lane, car seat, car park, "
    "bird house, bird cage, bird bath, bird feeder, bird nest, dog house, dog bed, dog bowl, "
    "dog food, dog leash, dog sled, cat food, cat tree, cat bed, cat fish, horse trailer, "
    "boat house, boat ramp, boat dock, book shelf, book case, book store, bottle opener, "
    "cup holder, chair lift, ski lift, ski lodge, ski pole, ski slope, ski resort, ski boot, "
    "ski mask, ski jacket, ski suit, ski goggles, ski trail, ski hill, ski gear, bed room, "
    "bed spread, bed sheet, oven mitt, cake stand, cake pan, toilet paper, toilet brush, "
    "table cloth, table top, table tennis, table lamp, pool table, apple juice, orange juice, "
    "banana bread, banana leaf, pizza box, pizza cutter, pizza pan, hot dog bun, knife block, "
    "phone booth, phone call, mouse pad, baby carriage, baby stroller, baby food, tie dye, "
    "fire place, bear rug, sea lion, police station, laptop bag, tennis bag, umbrella stand, "
    "umbrella hat, couch cushion, cup board, book mark, cow boy, plane ticket"
)
# Whose they are, before what is meant: a baby elephant is no person, a passenger train neither.
_QUALIFIERS = frozenset({"baby", "adult", "mother", "mom", "father", "male", "female", "infant"})
_CARRIED = frozenset({"passenger", "driver", "player", "worker"})
_ANIMALS = frozenset(
    {"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"}
)
_VEHICLES = frozenset({"airplane", "train", "bus", "car", "boat", "truck"})
# Words that the lexicon takes for a category, but a caption does so only now and then.
_UNSURE = frozenset({"plant", "light", "mobile", "tub", "bath", "bin", "screen"})
# After `orange` the colour there stands a noun; after the fruit one of these, or nothing.
_AFTER_NOUN = frozenset(
    {"and", "or", "in", "on", "with", "is", "are", "next", "beside", "near", "at", "from", "of",
     "to", "by", "under", "over", "behind", "inside", "sitting", "lying", "that", "which", "for",
     "slice", "wedge", "peel", "half", "tree"}
)  # fmt: skip
_LONGEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMention:
    """A place where a caption names an object: as it is written, and the category it names."""

    words: str
    category: str


class CaptionReader:
    """Finds the objects of some categories in captions.

    Args:
        categories: Names of what a data set annotates. For COCO's names the table above is used,
            and for all the synonyms of the lexicon.

    Examples:
        >>> reader = CaptionReader(["person", "elephant", "bus"])
        >>> [m.category for m in reader.read("A man and a baby elephant at the bus stop.")]
        ['person', 'elephant']
        >>> reader.read("")
        ()
    """

    def __init__(self, categories: Iterable[str]) -> None:
        self._table: dict[tuple[str, ...], str | None] = {
            tuple(_singular(phrase)): None for phrase in _OTHERS.split(", ")
        }
        self._canonical: dict[str, str] = {}
        for name in categories:
            for phrase in (name, *filter(None, _WORDS.get(name, "").split(", "))):
                self._table[tuple(_singular(phrase))] = name
            self._canonical.setdefault(canonical(name), name)

    def read(self, caption: str) -> tuple[ObjectMention, ...]:
        """The objects that a caption names, in its order; one named twice is given twice."""
        written = re.findall(r"[^\W_]+", caption.lower())
        words = [singular(word) for word in written]
        mentions = []
        at = 0
        while at < len(words):
            length, category = self._at(words, at)
            passed = category == "orange" and not _is_fruit(written, at)
            if category and not passed and not self._qualifies(words, at + length, category):
                said = " ".join(written[at : at + length])
                mentions.append(ObjectMention(words=said, category=category))
            at += length
        return tuple(mentions)

    def _at(self, words: list[str], at: int) -> tuple[int, str | None]:
        """The longest known name that begins here: how many words, and its category."""
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            name = tuple(words[at : at + length])
            if name in self._table:
                return length, self._table[name]
            phrase = " ".join(name)
            # A name that the lexicon would first strip of its article begins one word later.
            whole = phrase not in _UNSURE and normalise(phrase) == phrase
            if whole and (known := self._canonical.get(canonical(phrase))):
                return length, known
        return 1, None

    def _qualifies(self, words: list[str], end: int, category: str) -> bool:
        """Whether a name for people that ends here says what kind of thing comes next."""
        if category != "person" or end >= len(words):
            return False
        following, word = self._at(words, end)[1], words[end - 1]
        return (word in _QUALIFIERS and following in _ANIMALS) or (
            word in _CARRIED and following in _VEHICLES
        )


def _singular(phrase: str) -> list[str]:
    return [singular(word) for word in re.findall(r"[^\W_]+", normalise(phrase) or phrase)]


def _is_fruit(written: list[str], at: int) -> bool:
    """Whether `orange` here is the fruit and not the colour."""
    if written[at] == "oranges" or at + 1 >= len(written):
        return True
    return written[at + 1] in _AFTER_NOUN

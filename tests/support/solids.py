"""Random scenes of solids, and random questions about them with program, outputs and answer.

A generator of its own: sentences and programs are made together, part by part, and every output is
computed here in plain Python from coordinates and stated attributes. Nothing of the package is
used, so that what reads the sentences and what runs the programs are both tested by it.
"""

import math
import random
from dataclasses import dataclass, field

VALUES = {
    "size": ("small", "large"),
    "color": ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"),
    "material": ("rubber", "metal"),
    "shape": ("cube", "sphere", "cylinder"),
}
WORDS = {
    "small": ("small", "tiny"), "large": ("large", "big"), "metal": ("metallic", "metal", "shiny"),
    "rubber": ("rubber", "matte"), "cube": ("cube", "block"), "sphere": ("sphere", "ball"),
    "left": ("left of", "to the left of", "on the left side of"), "front": ("in front of",),
    "right": ("right of", "to the right of", "on the right side of"), "behind": ("behind",),
}  # fmt: skip
SIDES = ("left", "right", "front", "behind")
OFFSET = 0.2


def make_scene(rng, index):
    """A scene in CLEVR's format, without `relationships`."""
    turn = rng.uniform(0, 2 * math.pi)
    ahead = [math.cos(turn), math.sin(turn), 0.0]
    left = [-ahead[1], ahead[0], 0.0]
    objects, wanted = [], rng.randint(3, 10)
    while len(objects) < wanted:
        x, y = rng.uniform(-3, 3), rng.uniform(-3, 3)
        if all(math.dist((x, y), o["3d_coords"][:2]) > 1.0 for o in objects):
            stated = {key: rng.choice(values) for key, values in VALUES.items()}
            height = 0.7 if stated["size"] == "large" else 0.35
            place = [round(x, 4), round(y, 4), height]
            objects.append({**stated, "3d_coords": place, "rotation": rng.uniform(0, 360)})
    return {
        "image_index": index,
        "objects": objects,
        "directions": {
            "behind": ahead, "front": [-v for v in ahead], "left": left,
            "right": [-v for v in left],
        },
    }  # fmt: skip


def related(scene, side, anchor):
    """Objects whose offset from the anchor along the side's direction exceeds 0.2."""
    way, here = scene["directions"][side], scene["objects"][anchor]["3d_coords"]
    return [
        i
        for i, item in enumerate(scene["objects"])
        if i != anchor
        and sum(w * (a - b) for w, a, b in zip(way, item["3d_coords"], here, strict=True)) > OFFSET
    ]


@dataclass
class Program:
    """Steps in CLEVR's format with their outputs."""

    scene: dict
    steps: list = field(default_factory=list)

    def add(self, function, inputs, output, *values):
        """Add a step and give its position."""
        self.steps.append({
            "type": function, "inputs": list(inputs), "value_inputs": list(values),
            "_output": output,
        })  # fmt: skip
        return len(self.steps) - 1

    def output(self, at):
        """What a step gives."""
        return self.steps[at]["_output"]

    def filtered(self, at, stated):
        """Filter steps for all that is stated."""
        for key, value in stated.items():
            kept = [i for i in self.output(at) if self.scene["objects"][i][key] == value]
            at = self.add(f"filter_{key}", [at], kept, value)
        return at

    def everything(self):
        """The step `scene`."""
        return self.add("scene", [], list(range(len(self.scene["objects"]))))

    def unique(self, at):
        """The only object; the question is given up where there is none or several."""
        if len(self.output(at)) != 1:
            raise GivenUpError
        return self.add("unique", [at], self.output(at)[0])

    def relate(self, at, side):
        """What lies on a side of an object."""
        return self.add("relate", [at], related(self.scene, side, self.output(at)), side)

    def same(self, at, key):
        """What shares an attribute with an object."""
        items, anchor = self.scene["objects"], self.output(at)
        found = [i for i, o in enumerate(items) if i != anchor and o[key] == items[anchor][key]]
        return self.add(f"same_{key}", [at], found)

    def query(self, at, key):
        """An attribute of an object."""
        return self.add(f"query_{key}", [at], self.scene["objects"][self.output(at)][key])

    def count(self, at):
        """How many there are."""
        return self.add("count", [at], len(self.output(at)))


class GivenUpError(Exception):
    """This draw makes no question: a reference names none or several."""


class Maker:
    """Makes questions about one scene.

    Args:
        scene: The scene, see `make_scene`.
        rng: Where the choices come from.
    """

    def __init__(self, scene, rng):
        self.scene, self.rng = scene, rng

    def question(self):
        """Text, program and family of one question."""
        family = self.rng.choice(FAMILIES)
        for _ in range(400):
            self.program = Program(self.scene)
            try:
                text = " ".join(getattr(self, f"_{family}")().split())
            except GivenUpError:
                continue
            return {
                "question": f"{text[0].upper()}{text[1:]}?", "program": self.program.steps,
                "answer": self.program.steps[-1]["_output"], "template_filename": f"{family}.json",
                "image_index": self.scene["image_index"],
            }  # fmt: skip
        return self.question()

    # -- words ----------------------------------------------------------------------------

    def _word(self, value):
        return self.rng.choice(WORDS.get(value, (value,)))

    def _name(self, stated, *, many=False):
        words = [self._word(stated[key]) for key in ("size", "color", "material") if key in stated]
        head = self._word(stated["shape"]) if "shape" in stated else self._pick("thing", "object")
        return " ".join([*words, head + ("s" if many else "")])

    def _pick(self, *options):
        return self.rng.choice(options)

    def _that_is(self, *, many=False):
        return self._pick("", "that are" if many else "that is")

    # -- parts: each gives words and the step that they stand for -------------------------

    def _stated(self, among, *, without=()):
        """Some of what is true of one of the objects, or now and then of none of them."""
        keys = [key for key in VALUES if key not in without and self.rng.random() < 0.5]
        if among and self.rng.random() < 0.85:
            chosen = self.scene["objects"][self.rng.choice(among)]
            return {key: chosen[key] for key in keys}
        return {key: self.rng.choice(VALUES[key]) for key in keys}

    def _set(self, at, *, without=(), many=True):
        stated = self._stated(self.program.output(at), without=without)
        return self._name(stated, many=many), self.program.filtered(at, stated)

    def _one(self, hops, *, without=()):
        """`the big cube that is left of the ball`, without its article."""
        if not hops:
            words, at = self._set(self.program.everything(), without=without, many=False)
            return words, self.program.unique(at)
        anchor, at = self._one(hops - 1)
        side = self.rng.choice(SIDES)
        words, found = self._set(self.program.relate(at, side), without=without, many=False)
        text = f"{words} {self._that_is()} {self._word(side)} the {anchor}"
        return text, self.program.unique(found)

    def _related_set(self, hops):
        anchor, at = self._one(hops)
        side = self.rng.choice(SIDES)
        words, found = self._set(self.program.relate(at, side))
        return words, f"{self._word(side)} the {anchor}", (anchor, self._word(side)), found

    def _ask(self, key, thing, at):
        """A question for an attribute of the thing."""
        self.program.query(at, key)
        options = [f"what {key} is the {thing}", f"what is the {key} of the {thing}"]
        options += [f"the {thing} is what {key}", f"the {thing} has what {key}"]
        options += [f"there is a {thing}; {asked}" for asked in
                    (f"what {key} is it", f"what is its {key}")]  # fmt: skip
        if key == "size":
            options += [f"how big is the {thing}", f"there is a {thing}; how big is it"]
        if key == "material":
            options += [
                f"what is the {thing} made of", f"there is a {thing}; what is it made of",
                f"the {thing} is made of what material",
                f"there is a {thing}; what material is it made of",
            ]  # fmt: skip
        return self._pick(*options)

    # -- families -------------------------------------------------------------------------

    def _attribute(self):
        key = self.rng.choice(tuple(VALUES))
        return self._ask(key, *self._one(self.rng.randint(0, 3), without=(key,)))

    def _count_all(self):
        words, at = self._set(self.program.everything())
        self.program.count(at)
        return f"{self._how_many()} {words} are there"

    def _how_many(self):
        return self._pick("how many", "what number of")

    def _count(self):
        words, where, (anchor, side), at = self._related_set(self.rng.randint(0, 2))
        self.program.count(at)
        ask = f"{self._how_many()} {words} are"
        return self._pick(f"{ask} {where}", f"there is a {anchor}; {ask} {side} it")

    def _exist(self):
        if self.rng.random() < 0.3:
            words, at = self._set(self.program.everything(), many=False)
            self.program.add("exist", [at], bool(self.program.output(at)))
            return self._pick(f"are there any {words}s", f"are any {words}s visible",
                              f"is there a {words}")  # fmt: skip
        words, where, (anchor, side), at = self._related_set(self.rng.randint(0, 2))
        self.program.add("exist", [at], bool(self.program.output(at)))
        return self._pick(
            f"are there any {words} {self._that_is(many=True)} {where}",
            f"is there a {words[:-1]} {self._that_is()} {where}",
            f"there is a {anchor}; are there any {words} {side} it",
            f"there is a {anchor}; is there a {words[:-1]} {side} it",
        )

    def _like(self, key, *, many):
        """`of the same color as`, in one of its wordings."""
        have, be = ("have", "are") if many else ("has", "is")
        options = [f"that {have} the same {key} as", f"that {be} the same {key} as"]
        if key != "size":
            options.append(f"of the same {key} as")
        if key == "material":
            options += [f"that {be} made of the same material as", "made of the same material as"]
        return self._pick(*options)

    def _same(self):
        key = self.rng.choice(tuple(VALUES))
        anchor, at = self._one(0, without=(key,))
        found = self.program.same(at, key)
        kind = self._pick("exist", "count", "query")
        if kind == "query":
            asked = self._pick(*(other for other in VALUES if other != key))
            words, found = self._set(found, without=(key, asked), many=False)
            other = self._pick("", "other ")
            thing = f"{other}{words} {self._like(key, many=False)} the {anchor}"
            text = self._ask(asked, thing, self.program.unique(found))
            return text.replace("is a other", "is another")
        if self.rng.random() < 0.5:
            words, found = self._set(found, without=(key,))
            others = self._pick("", "other ")
        else:
            words, others = self._pick("things", "objects"), "other "
        if kind == "count":
            self.program.count(found)
            verb = self._pick(f"are the same {key} as", f"have the same {key} as",
                              f"are there of the same {key} as")  # fmt: skip
            return f"{self._how_many()} {others}{words} {verb} the {anchor}"
        self.program.add("exist", [found], bool(self.program.output(found)))
        single = "another" if others else "a"
        options = [
            f"are there any {others}{words} {self._like(key, many=True)} the {anchor}",
            f"is there {single} {words[:-1]} {self._like(key, many=False)} the {anchor}",
        ]
        if words in ("things", "objects"):
            options.append(f"is there anything else {self._like(key, many=False)} the {anchor}")
        return self._pick(*options)

    def _both(self):
        key = self._pick(None, *VALUES)
        (first, at), (second, to) = self._one(0), self._one(0)
        sides = self.rng.choice(SIDES), self.rng.choice(SIDES)
        a, b = self.program.relate(at, sides[0]), self.program.relate(to, sides[1])
        common = sorted(set(self.program.output(a)) & set(self.program.output(b)))
        met = self.program.add("intersect", [a, b], common)
        where = (
            f"{self._pick('', 'both')} {self._word(sides[0])} the {first} and "
            f"{self._word(sides[1])} the {second}"
        )
        if key is None:
            words, found = self._set(met)
            self.program.count(found)
            return f"{self._how_many()} {words} are {where}"
        words, found = self._set(met, without=(key,), many=False)
        return self._ask(key, f"{words} that is {where}", self.program.unique(found))

    def _either(self):
        (first, a), (second, b) = self._kind(), self._kind()
        joined = sorted(set(self.program.output(a)) | set(self.program.output(b)))
        found = self.program.add("union", [a, b], joined)
        stated = self._pick({}, {}, *({key: self._pick(*VALUES[key])} for key in VALUES))
        found = self.program.filtered(found, stated)
        self.program.count(found)
        either = self._pick("", "either")
        return (
            f"{self._how_many()} {self._name(stated, many=True)} are {either} {first} or {second}"
        )

    def _kind(self):
        if self.rng.random() < 0.5:
            return self._set(self.program.everything())
        words, where, _, found = self._related_set(0)
        return f"{words} {self._that_is(many=True)} {where}", found

    def _numbers(self):
        (first, a), (second, b) = self._kind(), self._kind()
        left, right = self.program.count(a), self.program.count(b)
        m, n = self.program.output(left), self.program.output(right)
        name, holds, words = self._pick(
            ("equal_integer", m == n, "same"), ("less_than", m < n, "less"),
            ("greater_than", m > n, "greater"),
        )  # fmt: skip
        self.program.add(name, [left, right], holds)
        if words == "same":
            number = self._pick("the same number", "an equal number")
            return self._pick(
                f"are there {number} of {first} and {second}",
                f"is the number of {first} the same as the number of {second}",
            )
        return self._pick(
            f"are there {'more' if words == 'greater' else 'fewer'} {first} than {second}",
            f"is the number of {first} {words} than the number of {second}",
        )

    def _equal(self):
        key = self.rng.choice(tuple(VALUES))
        hops = self._pick(0, 0, 1), self._pick(0, 1)
        (first, at), (second, to) = (self._one(n, without=(key,)) for n in hops)
        a, b = self.program.query(at, key), self.program.query(to, key)
        self.program.add(f"equal_{key}", [a, b], self.program.output(a) == self.program.output(b))
        options = [
            f"do the {first} and the {second} have the same {key}",
            f"does the {first} have the same {key} as the {second}",
            f"is the {key} of the {first} the same as the {second}",
            f"is the {first} the same {key} as the {second}",
            f"there is a {first}; does it have the same {key} as the {second}",
            f"there is a {first}; is it the same {key} as the {second}",
            f"there is a {first}; is its {key} the same as the {second}",
        ]
        if key == "material":
            options += [
                f"are the {first} and the {second} made of the same material",
                f"is the {first} made of the same material as the {second}",
                f"there is a {first}; is it made of the same material as the {second}",
            ]
        return self._pick(*options)


FAMILIES = (
    "attribute",
    "count_all",
    "count",
    "exist",
    "same",
    "both",
    "either",
    "numbers",
    "equal",
)


def make_questions(seed, *, scenes, each):
    """A file of scenes and a file of questions, as JSON holds them."""
    rng = random.Random(seed)
    made = [make_scene(rng, index) for index in range(scenes)]
    questions = [Maker(scene, rng).question() for scene in made for _ in range(each)]
    for index, question in enumerate(questions):
        question["question_index"] = index
    return {"info": {"split": "new"}, "scenes": made}, {"questions": questions}

"""Stories for tests: things on a grid, and many ways to say where one lies from another."""

from __future__ import annotations

from dataclasses import dataclass

OFFSETS = tuple((x, y) for y in (1, 0, -1) for x in (-1, 0, 1) if (x, y) != (0, 0))
PLANE = {
    (-1, 1): "upper-left", (0, 1): "above", (1, 1): "upper-right",
    (-1, 0): "left", (0, 0): "overlap", (1, 0): "right",
    (-1, -1): "lower-left", (0, -1): "below", (1, -1): "lower-right",
}  # fmt: skip
_SIDE = {-1: "left", 1: "right"}
_COMPASS = {(0, 1): "north", (0, -1): "south", (1, 0): "east", (-1, 0): "west"}
_HOUR = {(0, 1): 12, (1, 1): 2, (1, 0): 3, (1, -1): 4, (0, -1): 6, (-1, -1): 7, (-1, 0): 9,
         (-1, 1): 11}  # fmt: skip


def sign(offset):
    return tuple((n > 0) - (n < 0) for n in offset)


def wordings(offset):
    """Ways to say that {a} lies at an offset from {b}; `{a}` and `{b}` are the names."""
    x, y = offset
    ways = [
        f"{{a}} is at {{b}}'s {_HOUR[offset]} o'clock.",
        f"{{a}} is at the {_HOUR[offset]} o'clock position relative to {{b}}.",
        f"{{a}} is sitting at the {_HOUR[offset]}:00 position to {{b}}.",
        f"{{b}} is there and {{a}} is at the {_HOUR[offset]} position of a clock face.",
    ]
    return [*ways, *(_diagonal(x, y) if x and y else _upright(y) if y else _level(x))]


def _level(x):
    side, other, compass = _SIDE[x], _SIDE[-x], _COMPASS[x, 0]
    return [
        f"{{a}} is to the {side} of {{b}}.",
        f"{{a}} is {compass} of {{b}}.",
        f"{{a}} presents {side} to {{b}}.",
        f"The object {{a}} lies to the {side} of object {{b}} horizontally.",
        f"{{a}} and {{b}} are parallel, and {{a}} on the {side} of {{b}}.",
        f"{{a}} and {{b}} are horizontal and {{a}} is to the {side} of {{b}}.",
        f"{{a}} and {{b}} are in a horizontal line with {{a}} on the {side}.",
        f"{{b}} and {{a}} are side by side with {{b}} to the {other} and {{a}} to the {side}.",
        f"{{b}} is over there and {{a}} is on the {side} of it.",
        f"{{a}} is on the {side} and {{b}} is on the {other}.",
        f"{{a}} is on the same horizontal plane directly {side} to {{b}}.",
        f"{{a}} is on {{b}}'s {side} side.",
    ]


def _upright(y):
    word, top, low = ("above", "top", "bottom") if y > 0 else ("below", "bottom", "top")
    return [
        f"{{a}} is {word} {{b}}.",
        f"{{a}} is {_COMPASS[0, y]} of {{b}}.",
        f"{{a}} is at the {top} of {{b}} and is on the same vertical plane.",
        f"{{a}} and {{b}} are vertical and {{a}} is {word} {{b}}.",
        f"{{b}} is over there with {{a}} {word}.",
        f"{{a}} and {{b}} are next to each other with {{b}} at the {low} {{a}} at the {top}.",
        f"{{a}} and {{b}} are both there with the object {{a}} {word} the object {{b}}.",
        f"The object labeled {{a}} is right {word} the object labeled {{b}}.",
    ]


def _diagonal(x, y):
    side, word = _SIDE[x], "above" if y > 0 else "below"
    high, low = ("upper", "lower") if y > 0 else ("lower", "upper")
    compass = f"{_COMPASS[0, y]} {_COMPASS[x, 0]}"
    first = {(1, 1): 1, (1, -1): 4, (-1, -1): 7, (-1, 1): 10}[x, y]
    return [
        f"{{a}} is on the {high} {side} of {{b}}.",
        f"{{a}} is {word} and to the {side} of {{b}}.",
        f"{{a}} is {word} {{b}} and to the {side} of {{b}}.",
        f"{{a}} is to the {side} of {{b}} and {word} {{b}} at approximately a 45 degree angle.",
        f"{{a}} is positioned {word} {{b}} and to the {side}.",
        f"{{a}} is directly {compass} of {{b}}.",
        f"{{a}} is {compass.replace(' ', '')} of {{b}}.",
        f"{{a}} is diagonally {side} and {word} {{b}}.",
        f"{{a}} is diagonally {word} {{b}} to the {side} at a 45 degree angle.",
        f"Object {{a}} is {word} object {{b}} and to the {side} of it, too.",
        f"{{a}} is in the {high} {side}-hand corner of {{b}}.",
        f"{{a}} is at a 45 degree angle to {{b}}, in the {high} {side}hand corner.",
        f"{{a}} is {high} and slightly to the {side} of {{b}}.",
        f"If {{b}} is the center of a clock face, {{a}} is between {first} and {first + 1}.",
        f"{{a}} is off center to the {high} {side} and {{b}} is to the {low} {_SIDE[-x]}.",
        f"The objects {{a}} and {{b}} are here. {{a}} is {word} and to the {side} of {{b}}.",
    ]


@dataclass(frozen=True)
class Grid:
    """Things at places, and which pairs a story speaks of (neighbours on the grid)."""

    places: dict
    pairs: tuple

    def offset(self, a, b):
        return tuple(p - q for p, q in zip(self.places[a], self.places[b], strict=True))

    def direction(self, a, b):
        return PLANE[sign(self.offset(a, b))]

    def tell(self, random, turn=lambda offset: offset):
        """One sentence a pair, either way round, in any of its wordings."""
        told = []
        for a, b in self.pairs:
            subject, anchor = random.choice([(a, b), (b, a)])
            way = random.choice(wordings(turn(self.offset(subject, anchor))))
            told.append(way.format(a=subject, b=anchor))
        return told


def make_grid(random, *, size=8, extra=0):
    """A random tree of unit steps, with further pairs that happen to be neighbours."""
    names = random.sample("ABCDEFGHIJKLMNOPQRSTUVWXYZ", size)
    places, pairs = {names[0]: (0, 0)}, []
    for name in names[1:]:
        before = random.choice(list(places))
        step = random.choice(OFFSETS)
        places[name] = tuple(p + q for p, q in zip(places[before], step, strict=True))
        pairs.append((name, before))
    near = [
        (a, b)
        for a in names
        for b in names
        if a < b and (a, b) not in pairs and (b, a) not in pairs
        and tuple(p - q for p, q in zip(places[a], places[b], strict=True)) in OFFSETS
    ]  # fmt: skip
    pairs += random.sample(near, min(extra, len(near)))
    random.shuffle(pairs)
    return Grid(places=places, pairs=tuple(pairs))

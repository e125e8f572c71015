"""Things of kitchens and bathrooms."""

from __future__ import annotations

import math

from groundplane.testing.rooms.parts import Draw, Part, Piece, Top, block, disc

__all__ = ["bathtub", "counter", "refrigerator", "sink", "stove", "toilet", "washer"]

_DARK, _WHITE, _STEEL = (48, 48, 52), (228, 228, 226), (160, 164, 170)


def refrigerator(draw: Draw) -> Piece:
    """Two doors, one above the other."""
    width, depth, height = draw.between(0.58, 0.75), draw.between(0.6, 0.7), draw.between(1.5, 1.95)
    x, y, paint, gap = width / 2, depth / 2, draw.near(_STEEL, by=40), draw.between(0.6, 0.7)
    middle = height * gap
    parts = [
        block((-x, x), (-y + 0.06, y), (0.0, height), colour=paint),
        block((-x, x), (-y + 0.02, -y + 0.06), (0.05, middle - 0.01), colour=draw.near(paint)),
        block((-x, x), (-y + 0.02, -y + 0.06), (middle, height), colour=draw.near(paint)),
    ]
    for low, high in ((middle - 0.4, middle - 0.08), (middle + 0.08, height - 0.15)):
        parts.append(block((x - 0.1, x - 0.07), (-y, -y + 0.02), (low, high), colour=_DARK))
    return Piece(parts=tuple(parts))


def stove(draw: Draw) -> Piece:
    """An oven with four plates on it and a panel behind."""
    width, depth, height = draw.between(0.55, 0.75), draw.between(0.58, 0.64), 0.88
    x, y = width / 2, depth / 2
    parts = [
        block((-x, x), (-y + 0.02, y), (0.0, height), colour=draw.near(_WHITE)),
        block((-x + 0.06, x - 0.06), (-y + 0.01, -y + 0.02), (0.2, 0.62), colour=_DARK),
        block((-x + 0.08, x - 0.08), (-y, -y + 0.01), (0.66, 0.68), colour=_STEEL),
        block((-x, x), (y - 0.05, y), (height, height + draw.between(0.08, 0.2)), colour=_STEEL),
    ]
    parts += [
        disc(
            (a * x * 0.48, b * y * 0.42 - 0.02), (height, height + 0.015), width=0.19, colour=_DARK
        )
        for a in (-1, 1)
        for b in (-1, 1)
    ]
    return Piece(parts=tuple(parts))


def counter(draw: Draw) -> Piece:
    """Kitchen cupboards under a worktop."""
    width, height = draw.between(1.0, 2.0), draw.between(0.86, 0.92)
    x, y, paint = width / 2, 0.3, draw.near((196, 190, 178), by=24)
    parts = [
        block((-x + 0.01, x - 0.01), (-y + 0.06, y), (0.0, 0.1), colour=_DARK),
        block((-x, x), (-y + 0.02, y), (0.1, height - 0.04), colour=paint),
        block((-x, x), (-y, y), (height - 0.04, height), colour=draw.near((90, 88, 86), by=30)),
    ]
    doors = max(2, round(width / 0.5))
    for i in range(doors):
        low = -x + i * width / doors
        door = block(
            (low + 0.01, low + width / doors - 0.01), (-y + 0.01, -y + 0.02), (0.12, height - 0.06),
            colour=draw.near(paint, by=20),
        )  # fmt: skip
        parts.append(door)
    return Piece(parts=tuple(parts), tops=(Top(low=(-x, -y), high=(x, y), z=height),))


def sink(draw: Draw) -> Piece:
    """A basin on a cupboard, with a tap."""
    width, depth, height = (
        draw.between(0.55, 0.9),
        draw.between(0.45, 0.55),
        draw.between(0.8, 0.88),
    )
    x, y, rim = width / 2, depth / 2, 0.05
    parts = [
        block((-x + 0.04, x - 0.04), (-y + 0.05, y), (0.0, height - 0.16), colour=draw.wood()),
        block((-x, x), (-y, y), (height - 0.16, height - 0.12), colour=_WHITE),
    ]
    sides = (
        ((-x, -x + rim), (-y, y)), ((x - rim, x), (-y, y)),
        ((-x + rim, x - rim), (-y, -y + rim)), ((-x + rim, x - rim), (y - 0.1, y)),
    )  # fmt: skip
    parts += [block(a, b, (height - 0.12, height), colour=_WHITE) for a, b in sides]
    parts.append(disc((0.0, y - 0.05), (height, height + 0.18), width=0.03, colour=_STEEL))
    spout = block(
        (-0.012, 0.012), (y - 0.2, y - 0.04), (height + 0.16, height + 0.18), colour=_STEEL
    )
    return Piece(parts=(*parts, spout))


def toilet(draw: Draw) -> Piece:
    """Foot, bowl, seat and cistern."""
    width, depth = draw.between(0.36, 0.42), draw.between(0.62, 0.72)
    y, seat, tank = depth / 2, draw.between(0.4, 0.44), draw.between(0.74, 0.84)
    bowl = depth - 0.22
    oval = Part(shape="cylinder", center=(0.0, -y + bowl / 2, seat - 0.1),
                size=(width, bowl, 0.18), colour=_WHITE)  # fmt: skip
    lid = Part(shape="cylinder", center=(0.0, -y + bowl / 2, seat),
               size=(width, bowl, 0.03), colour=draw.near(_WHITE))  # fmt: skip
    parts = (
        block((-0.11, 0.11), (-y + 0.16, y - 0.1), (0.0, seat - 0.18), colour=_WHITE),
        oval,
        lid,
        block((-width / 2, width / 2), (y - 0.2, y), (seat - 0.1, tank), colour=_WHITE),
        disc((0.0, y - 0.1), (tank, tank + 0.015), width=0.06, colour=_STEEL),
    )
    return Piece(parts=parts)


def bathtub(draw: Draw) -> Piece:
    """Four sides around a floor."""
    width, depth, height = draw.between(1.5, 1.75), draw.between(0.7, 0.8), draw.between(0.5, 0.6)
    x, y, rim, paint = width / 2, depth / 2, 0.07, draw.near(_WHITE)
    parts = [
        block((-x, x), (-y, y), (0.0, 0.14), colour=paint),
        block((-x, -x + rim), (-y, y), (0.14, height), colour=paint),
        block((x - rim, x), (-y, y), (0.14, height), colour=paint),
        block((-x + rim, x - rim), (-y, -y + rim), (0.14, height), colour=draw.near(paint)),
        block((-x + rim, x - rim), (y - rim, y), (0.14, height), colour=draw.near(paint)),
        disc((-x + 0.035, 0.0), (height, height + 0.12), width=0.04, colour=_STEEL),
    ]
    return Piece(parts=tuple(parts))


def washer(draw: Draw) -> Piece:
    """A box with a round window in front."""
    width, depth, height = 0.6, draw.between(0.55, 0.62), draw.between(0.83, 0.88)
    x, y, paint = width / 2, depth / 2, draw.near(_WHITE)
    glass = Part(shape="cylinder", center=(0.0, -y + 0.015, 0.42), size=(0.36, 0.36, 0.03),
                 colour=_DARK, tilt=math.pi / 2)  # fmt: skip
    parts = (
        block((-x, x), (-y + 0.03, y), (0.0, height), colour=paint),
        glass,
        block((-x + 0.03, x - 0.03), (-y + 0.02, -y + 0.03), (0.7, 0.8), colour=_STEEL),
        block((x - 0.16, x - 0.08), (-y, -y + 0.02), (0.72, 0.78), colour=_DARK),
    )
    return Piece(parts=parts, tops=(Top(low=(-x, -y + 0.03), high=(x, y), z=height),))

"""Things of kitchens and bathrooms, and other things that stand on the floor."""

from __future__ import annotations

import math

from groundplane.testing.rooms.parts import Draw, Part, Piece, Top, block, disc, legs

__all__ = [
    "basket", "bathtub", "bucket", "counter", "crate", "fireplace", "floor_lamp", "plant",
    "refrigerator", "rug", "sink", "stove", "suitcase", "toilet", "trash_bin", "washer",
]  # fmt: skip

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


def floor_lamp(draw: Draw) -> Piece:
    """A foot, a pole, a shade."""
    height, shade = draw.between(1.35, 1.7), draw.between(0.32, 0.45)
    parts = (
        disc((0.0, 0.0), (0.0, 0.04), width=shade * 0.8, colour=_DARK),
        disc((0.0, 0.0), (0.04, height - 0.28), width=0.035, colour=_STEEL),
        disc((0.0, 0.0), (height - 0.3, height), width=shade, colour=draw.near((236, 216, 168))),
        disc((0.0, 0.0), (height, height + 0.02), width=0.06, colour=_STEEL),
    )
    return Piece(parts=parts)


def plant(draw: Draw) -> Piece:
    """A pot with leaves."""
    pot, height, spread = draw.between(0.26, 0.38), draw.between(0.7, 1.3), draw.between(0.4, 0.6)
    rise = pot * 0.9
    parts = [
        disc((0.0, 0.0), (0.0, rise), width=pot, colour=draw.near((176, 104, 70))),
        disc((0.0, 0.0), (rise, height * 0.7), width=0.04, colour=(96, 74, 50)),
    ]
    num = draw.count(6, 9)
    for i in range(num):
        angle, leaf = 2 * math.pi * i / num, draw.between(0.5, 0.7) * spread
        z = draw.between(0.62, 0.9) * height
        ball = Part(
            shape="ball",
            center=(
                math.cos(angle) * (spread - leaf) / 2,
                math.sin(angle) * (spread - leaf) / 2,
                z,
            ),
            size=(leaf, leaf, min(leaf, 2 * (height - z))),
            colour=draw.near((62, 118, 58), by=26),
        )
        parts.append(ball)
    return Piece(parts=tuple(parts))


def trash_bin(draw: Draw) -> Piece:
    """A cylinder with a lid and a grip."""
    width, height = draw.between(0.26, 0.36), draw.between(0.32, 0.6)
    paint = draw.near((84, 86, 92), by=30)
    parts = (
        disc((0.0, 0.0), (0.0, 0.03), width=width, colour=_DARK),
        disc((0.0, 0.0), (0.03, height - 0.03), width=width * 0.94, colour=paint),
        disc((0.0, 0.0), (height - 0.03, height), width=width, colour=draw.near(paint, by=30)),
        block((-0.05, 0.05), (-0.01, 0.01), (height, height + 0.03), colour=_STEEL),
    )
    return Piece(parts=parts)


def suitcase(draw: Draw) -> Piece:
    """A case on wheels with its handle out."""
    width, depth, height = draw.between(0.4, 0.5), draw.between(0.24, 0.3), draw.between(0.58, 0.75)
    x, y, paint = width / 2, depth / 2, draw.cloth()
    parts = legs(width - 0.04, depth - 0.04, height=0.05, thick=0.05, colour=_DARK)
    parts.append(block((-x, x), (-y, y), (0.05, height), colour=paint))
    for i in range(3):
        at = -x + width * (i + 1) / 4
        rib = block((at - 0.01, at + 0.01), (-y - 0.008, -y), (0.1, height - 0.05), colour=_DARK)
        parts.append(rib)
    for low in (-0.1, 0.08):
        parts.append(
            block((low, low + 0.02), (y - 0.04, y - 0.02), (height, height + 0.3), colour=_STEEL)
        )
    grip = block((-0.1, 0.1), (y - 0.045, y - 0.015), (height + 0.28, height + 0.31), colour=_DARK)
    return Piece(parts=(*parts, grip))


def crate(draw: Draw) -> Piece:
    """An open box of boards."""
    width, depth, height = draw.between(0.35, 0.6), draw.between(0.3, 0.45), draw.between(0.25, 0.4)
    return _open_box(draw, (width, depth, height), draw.near((188, 150, 100)))


def basket(draw: Draw) -> Piece:
    """A basket for clothes."""
    width, depth, height = draw.between(0.38, 0.5), draw.between(0.3, 0.4), draw.between(0.4, 0.6)
    return _open_box(draw, (width, depth, height), draw.near((206, 178, 132)))


def _open_box(draw: Draw, size: tuple[float, float, float], paint: tuple[int, int, int]) -> Piece:
    x, y, z, t = size[0] / 2, size[1] / 2, size[2], 0.02
    parts = [block((-x, x), (-y, y), (0.0, t), colour=paint)]
    for i in range(3):
        low, high = t + (z - t) * i / 3 + 0.004, t + (z - t) * (i + 1) / 3
        tint = draw.near(paint, by=20)
        parts += [
            block((-x, -x + t), (-y, y), (low, high), colour=tint),
            block((x - t, x), (-y, y), (low, high), colour=tint),
            block((-x + t, x - t), (-y, -y + t), (low, high), colour=tint),
            block((-x + t, x - t), (y - t, y), (low, high), colour=tint),
        ]
    return Piece(parts=tuple(parts))


def bucket(draw: Draw) -> Piece:
    """A bucket with its handle up."""
    width, height, paint = draw.between(0.26, 0.34), draw.between(0.24, 0.32), draw.cloth()
    parts = [
        disc((0.0, 0.0), (0.0, height), width=width * 0.92, colour=paint),
        disc((0.0, 0.0), (height, height + 0.015), width=width, colour=draw.near(paint, by=30)),
    ]
    for low in (-width / 2, width / 2 - 0.012):
        parts.append(
            block((low, low + 0.012), (-0.01, 0.01), (height, height + 0.12), colour=_STEEL)
        )
    x = width / 2
    parts.append(block((-x, x), (-0.01, 0.01), (height + 0.12, height + 0.135), colour=_STEEL))
    return Piece(parts=tuple(parts))


def fireplace(draw: Draw) -> Piece:
    """Two pillars, a lintel, a shelf, and a dark back."""
    width, depth, height = draw.between(1.1, 1.5), draw.between(0.32, 0.42), draw.between(1.0, 1.2)
    x, y, stone, side = width / 2, depth / 2, draw.near((150, 140, 130)), 0.22
    parts = (
        block((-x, -x + side), (-y + 0.04, y), (0.0, height - 0.06), colour=stone),
        block((x - side, x), (-y + 0.04, y), (0.0, height - 0.06), colour=stone),
        block((-x + side, x - side), (-y + 0.04, y), (height - 0.36, height - 0.06), colour=stone),
        block((-x + side, x - side), (y - 0.05, y), (0.0, height - 0.36), colour=_DARK),
        block((-x + side, x - side), (-y + 0.06, y - 0.05), (0.0, 0.08), colour=(92, 60, 44)),
        block((-x, x), (-y, y), (height - 0.06, height), colour=draw.wood()),
    )
    return Piece(parts=parts, tops=(Top(low=(-x, -y), high=(x, y), z=height),))


def rug(draw: Draw) -> Piece:
    """A flat cloth with a border and two stripes."""
    width, depth, cloth = draw.between(1.1, 2.0), draw.between(0.8, 1.3), draw.cloth()
    x, y, rim, inner = width / 2, depth / 2, 0.1, draw.near(cloth, by=60)
    parts = [
        block((-x, x), (-y, y), (0.0, 0.012), colour=cloth),
        block((-x + rim, x - rim), (-y + rim, y - rim), (0.012, 0.014), colour=inner),
    ]
    for at in (-y / 3, y / 3):
        stripe = (at - 0.05, at + 0.05)
        parts.append(block((-x + rim, x - rim), stripe, (0.014, 0.016), colour=cloth))
    return Piece(parts=tuple(parts))

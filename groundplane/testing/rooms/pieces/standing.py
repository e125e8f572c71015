"""Other things that stand on the floor."""

from __future__ import annotations

import math

from groundplane.testing.rooms.parts import Draw, Part, Piece, Top, block, disc, legs

__all__ = [
    "backpack",
    "basket",
    "bucket",
    "computer_tower",
    "crate",
    "fireplace",
    "floor_lamp",
    "plant",
    "rug",
    "suitcase",
    "trash_bin",
]

_DARK, _WHITE, _STEEL = (48, 48, 52), (228, 228, 226), (160, 164, 170)


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


def backpack(draw: Draw) -> Piece:
    """A bag with a pocket in front and two straps behind."""
    x, y, tall, cloth = draw.between(0.14, 0.18), draw.between(0.09, 0.12), 0.44, draw.cloth()
    parts = [
        block((-x, x), (-y, y), (0.0, tall), colour=cloth),
        block((-x * 0.8, x * 0.8), (-y - 0.05, -y), (0.03, tall * 0.55), colour=draw.near(cloth)),
        block((-0.05, 0.05), (-0.01, 0.01), (tall, tall + 0.04), colour=_DARK),
    ]
    for at in (-x * 0.5, x * 0.5):
        parts.append(
            block((at - 0.02, at + 0.02), (y, y + 0.02), (0.05, tall - 0.05), colour=_DARK)
        )
    return Piece(parts=tuple(parts))


def computer_tower(draw: Draw) -> Piece:
    """A tall case with a front of its own colour."""
    x, y, height = draw.between(0.09, 0.12), draw.between(0.2, 0.25), draw.between(0.38, 0.5)
    parts = (
        block((-x, x), (-y + 0.02, y), (0.0, height), colour=draw.near(_DARK)),
        block((-x, x), (-y, -y + 0.02), (0.02, height), colour=draw.near((90, 90, 98), by=30)),
        block((-x * 0.7, x * 0.7), (-y - 0.004, -y), (height - 0.1, height - 0.06), colour=_STEEL),
        block((-x * 0.2, x * 0.2), (-y - 0.004, -y), (height - 0.18, height - 0.14), colour=_WHITE),
    )
    return Piece(parts=parts)

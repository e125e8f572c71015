"""Small things that stand on other things."""

from __future__ import annotations

from groundplane.testing.rooms.parts import Draw, Piece, block, disc

__all__ = ["bowl", "cup", "pillow", "table_lamp"]

_DARK, _WHITE, _STEEL = (40, 40, 44), (230, 230, 228), (160, 164, 170)


def cup(draw: Draw) -> Piece:
    """A cylinder with an ear."""
    wide, tall, paint = draw.between(0.08, 0.1), draw.between(0.09, 0.12), draw.cloth()
    x = wide / 2
    parts = (
        disc((0.0, 0.0), (0.0, tall - 0.008), width=wide * 0.94, colour=paint),
        disc((0.0, 0.0), (tall - 0.008, tall), width=wide, colour=_WHITE),
        block((x * 0.9, x + 0.03), (-0.008, 0.008), (tall * 0.7, tall * 0.8), colour=paint),
        block((x + 0.02, x + 0.03), (-0.008, 0.008), (tall * 0.3, tall * 0.7), colour=paint),
        block((x * 0.9, x + 0.03), (-0.008, 0.008), (tall * 0.2, tall * 0.3), colour=paint),
    )
    return Piece(parts=parts)


def bowl(draw: Draw) -> Piece:
    """A foot and ever wider rings."""
    wide, tall, paint = draw.between(0.2, 0.28), draw.between(0.08, 0.11), draw.cloth()
    rings = [
        disc((0.0, 0.0), (tall * i / 5, tall * (i + 1) / 5), width=wide * (0.5 + 0.125 * i),
             colour=draw.near(paint))
        for i in range(5)
    ]  # fmt: skip
    return Piece(parts=tuple(rings))


def table_lamp(draw: Draw) -> Piece:
    """A foot, a stem, a shade."""
    height, shade = draw.between(0.4, 0.55), draw.between(0.22, 0.28)
    parts = (
        disc((0.0, 0.0), (0.0, 0.03), width=shade * 0.7, colour=draw.wood()),
        disc((0.0, 0.0), (0.03, height - 0.2), width=0.04, colour=_STEEL),
        disc((0.0, 0.0), (height - 0.2, height), width=shade, colour=draw.near((236, 216, 168))),
        disc((0.0, 0.0), (height - 0.01, height + 0.01), width=0.05, colour=_DARK),
    )
    return Piece(parts=parts)


def pillow(draw: Draw) -> Piece:
    """A thick middle between two thinner layers."""
    x, y, tall, cloth = draw.between(0.2, 0.28), draw.between(0.16, 0.2), 0.13, draw.cloth()
    parts = (
        block((-x + 0.04, x - 0.04), (-y + 0.04, y - 0.04), (0.0, 0.03), colour=cloth),
        block((-x, x), (-y, y), (0.03, tall - 0.03), colour=cloth),
        block((-x + 0.04, x - 0.04), (-y + 0.04, y - 0.04), (tall - 0.03, tall),
              colour=draw.near(cloth)),
        block((-x + 0.07, x - 0.07), (-y + 0.07, y - 0.07), (tall, tall + 0.01),
              colour=draw.near(cloth, by=30)),
    )  # fmt: skip
    return Piece(parts=parts)

"""Things that hang on walls."""

from __future__ import annotations

import math

from groundplane.testing.rooms.parts import Draw, Part, Piece, block

__all__ = ["clock", "door", "mirror", "picture", "radiator", "towel", "whiteboard", "window"]

_DARK, _WHITE, _STEEL = (40, 40, 44), (230, 230, 228), (160, 164, 170)


def door(draw: Draw) -> Piece:
    """A leaf between posts, with a handle."""
    width, height, wood = draw.between(0.75, 0.95), draw.between(1.98, 2.08), draw.wood()
    x, post = width / 2, 0.07
    frame = draw.near(wood, by=40)
    parts = (
        block((-x + post, x - post), (-0.005, 0.03), (0.005, height - post), colour=wood),
        block((-x, -x + post), (-0.02, 0.03), (0.0, height), colour=frame),
        block((x - post, x), (-0.02, 0.03), (0.0, height), colour=frame),
        block((-x + post, x - post), (-0.02, 0.03), (height - post, height), colour=frame),
        block((x - 0.2, x - 0.1), (-0.06, -0.005), (1.0, 1.03), colour=_STEEL),
        block(
            (-x + 0.18, x - 0.26), (-0.012, -0.005), (1.2, height - 0.25), colour=draw.near(wood)
        ),
    )
    return Piece(parts=parts)


def window(draw: Draw) -> Piece:
    """Panes between bars, and a sill."""
    width, height = draw.between(0.9, 1.6), draw.between(0.9, 1.25)
    x, bar, paint = width / 2, 0.06, draw.near(_WHITE)
    parts = [
        block((-x, x), (0.0, 0.02), (0.0, height), colour=draw.near((150, 190, 222))),
        block((-x, x), (-0.02, 0.02), (height - bar, height), colour=paint),
        block((-x, x), (-0.1, 0.02), (0.0, bar), colour=paint),
    ]
    for at in (-x, -bar / 2, x - bar):
        parts.append(block((at, at + bar), (-0.02, 0.0), (bar, height - bar), colour=paint))
    return Piece(parts=tuple(parts))


def picture(draw: Draw) -> Piece:
    """A frame around blots of colour."""
    x, tall = draw.between(0.25, 0.55), draw.between(0.4, 0.8)
    parts = [
        block((-x, x), (-0.02, 0.015), (0.0, tall), colour=draw.wood()),
        block((-x + 0.04, x - 0.04), (-0.024, -0.02), (0.04, tall - 0.04), colour=draw.cloth()),
    ]
    for i in range(4):
        at, z = draw.between(-x + 0.06, x - 0.2), draw.between(0.06, tall - 0.2)
        y = -0.025 - i * 0.001
        parts.append(block((at, at + 0.14), (y, -0.02), (z, z + 0.14), colour=draw.cloth()))
    return Piece(parts=tuple(parts))


def mirror(draw: Draw) -> Piece:
    """A pane in a frame."""
    return _pane(
        draw, x=draw.between(0.25, 0.45), tall=draw.between(0.6, 1.0), face=(178, 196, 204)
    )


def whiteboard(draw: Draw) -> Piece:
    """A white pane in a frame of metal, with a rail."""
    plain = _pane(
        draw, x=draw.between(0.6, 0.95), tall=draw.between(0.8, 1.1), face=(240, 240, 238)
    )
    rail = block((-0.4, 0.4), (-0.08, 0.0), (0.0, 0.02), colour=_STEEL)
    return Piece(parts=(*plain.parts, rail))


def _pane(draw: Draw, *, x: float, tall: float, face: tuple[int, int, int]) -> Piece:
    bar, paint = 0.035, draw.near(_STEEL, by=30)
    parts = [block((-x, x), (-0.005, 0.01), (0.0, tall), colour=draw.near(face, by=6))]
    for at in (-x, x - bar):
        parts.append(block((at, at + bar), (-0.02, 0.0), (0.0, tall), colour=paint))
    for z in (0.0, tall - bar):
        parts.append(block((-x, x), (-0.02, 0.0), (z, z + bar), colour=paint))
    return Piece(parts=tuple(parts))


def radiator(draw: Draw) -> Piece:
    """Ribs between two pipes."""
    num, tall, paint = draw.count(8, 14), draw.between(0.5, 0.65), draw.near(_WHITE)
    x = num * 0.04
    ribs = [
        block((-x + 0.08 * i + 0.01, -x + 0.08 * i + 0.06), (-0.05, 0.05), (0.0, tall),
              colour=draw.near(paint))
        for i in range(num)
    ]  # fmt: skip
    pipes = [block((-x, x), (-0.02, 0.02), (z, z + 0.04), colour=paint) for z in (0.04, tall - 0.1)]
    return Piece(parts=(*ribs, *pipes))


def clock(draw: Draw) -> Piece:
    """A round face with two hands."""
    wide = draw.between(0.28, 0.4)
    r = wide / 2
    face = [
        Part(shape="cylinder", center=(0.0, -0.01 * i, r), size=(w, w, 0.03), colour=paint,
             tilt=math.pi / 2)
        for i, (w, paint) in enumerate([(wide, _DARK), (wide * 0.88, _WHITE)])
    ]  # fmt: skip
    hands = (
        block((-0.008, 0.008), (-0.03, -0.025), (r, r * 1.7), colour=_DARK),
        block((0.0, r * 0.5), (-0.03, -0.025), (r - 0.008, r + 0.008), colour=_DARK),
    )
    return Piece(parts=(*face, *hands))


def towel(draw: Draw) -> Piece:
    """Cloth over a rail."""
    x, tall, cloth = draw.between(0.2, 0.35), draw.between(0.5, 0.8), draw.cloth()
    parts = (
        block((-x - 0.05, x + 0.05), (-0.02, 0.0), (tall - 0.02, tall), colour=_STEEL),
        block((-x, x), (-0.04, -0.02), (0.0, tall), colour=cloth),
        block((-x, x), (-0.04, 0.01), (tall, tall + 0.015), colour=cloth),
        block((-x, x), (0.0, 0.01), (tall * 0.3, tall), colour=draw.near(cloth)),
    )
    return Piece(parts=parts)

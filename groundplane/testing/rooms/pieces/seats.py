"""Seats, beds and tables."""

from __future__ import annotations

import math

from groundplane.testing.rooms.parts import Draw, Piece, Top, block, disc, legs

__all__ = ["armchair", "bed", "chair", "coffee_table", "desk", "sofa", "stool", "table"]

_DARK = (52, 50, 50)


def sofa(draw: Draw) -> Piece:
    """Two to three seats between arms, a back behind."""
    seats = draw.count(2, 3)
    return _upholstered(draw, seats=seats, width=seats * draw.between(0.6, 0.75) + 0.36)


def armchair(draw: Draw) -> Piece:
    """A sofa of one seat."""
    return _upholstered(draw, seats=1, width=draw.between(0.8, 0.95))


def _upholstered(draw: Draw, *, seats: int, width: float) -> Piece:
    depth, seat, back = draw.between(0.82, 0.98), draw.between(0.4, 0.46), draw.between(0.78, 0.95)
    arm, rest, cloth = draw.between(0.14, 0.2), draw.between(0.18, 0.24), draw.cloth()
    x, y = width / 2, depth / 2
    parts = [
        block((-x, x), (-y, y), (0.08, seat - 0.12), colour=draw.near(cloth)),
        block((-x, x), (y - rest, y), (seat - 0.12, back), colour=cloth),
    ]
    for low in (-x, x - arm):
        parts.append(
            block((low, low + arm), (-y, y - rest), (seat - 0.12, seat + 0.2), colour=cloth)
        )
    each = (width - 2 * arm) / seats
    for i in range(seats):
        low = -x + arm + i * each
        cushion = block(
            (low + 0.01, low + each - 0.01), (-y + 0.02, y - rest), (seat - 0.12, seat),
            colour=draw.near(cloth, by=20),
        )  # fmt: skip
        parts.append(cushion)
    parts += legs(width - 0.1, depth - 0.1, height=0.08, thick=0.06, colour=_DARK)
    top = Top(low=(-x + arm, -y + 0.02), high=(x - arm, y - rest), z=seat)
    return Piece(parts=tuple(parts), tops=(top,))


def chair(draw: Draw) -> Piece:
    """Four legs, a seat, a back of slats."""
    width, depth = draw.between(0.42, 0.5), draw.between(0.44, 0.52)
    seat, height, wood = draw.between(0.43, 0.47), draw.between(0.82, 0.98), draw.wood()
    x, y = width / 2, depth / 2
    parts = legs(width, depth, height=seat - 0.03, thick=0.04, colour=wood)
    parts.append(block((-x, x), (-y, y), (seat - 0.03, seat + 0.01), colour=draw.cloth()))
    for low in (-x, x - 0.04):
        parts.append(block((low, low + 0.04), (y - 0.04, y), (seat + 0.01, height), colour=wood))
    for i in range(draw.count(2, 4)):
        z = height - 0.02 - i * 0.12
        parts.append(block((-x, x), (y - 0.035, y - 0.005), (z - 0.07, z), colour=draw.near(wood)))
    return Piece(parts=tuple(parts))


def stool(draw: Draw) -> Piece:
    """A round seat on four legs."""
    width, height, wood = draw.between(0.32, 0.42), draw.between(0.42, 0.7), draw.wood()
    foot = width / math.sqrt(2)
    parts = legs(foot, foot, height=height - 0.04, thick=0.035, colour=wood)
    parts.append(disc((0.0, 0.0), (height - 0.04, height), width=width, colour=draw.cloth()))
    return Piece(parts=tuple(parts))


def bed(draw: Draw) -> Piece:
    """Frame, mattress, blanket, and a board at the head, which stands at the wall."""
    width, length = draw.between(0.95, 1.8), draw.between(1.98, 2.12)
    x, y, wood, high = width / 2, length / 2, draw.wood(), draw.between(0.45, 0.56)
    fold = draw.between(0.2, 0.6)
    parts = [
        block((-x, x), (-y, y - 0.06), (0.12, 0.3), colour=wood),
        block((-x, x), (y - 0.06, y), (0.0, draw.between(0.8, 1.1)), colour=draw.near(wood)),
        block((-x + 0.02, x - 0.02), (-y + 0.03, y - 0.06), (0.3, high), colour=(226, 222, 214)),
        block((-x, x), (-y, fold), (high - 0.14, high + 0.03), colour=draw.cloth()),
        *legs(width, length - 0.2, height=0.12, thick=0.08, colour=wood),
    ]
    top = Top(low=(-x + 0.05, fold), high=(x - 0.05, y - 0.08), z=high)
    return Piece(parts=tuple(parts), tops=(top,))


def table(draw: Draw) -> Piece:
    """A board on four legs, for a meal."""
    return _board(draw, width=draw.between(1.1, 1.9), depth=draw.between(0.75, 0.95), height=0.74)


def desk(draw: Draw) -> Piece:
    """A board on legs with drawers under one end and a panel at the back."""
    width, depth = draw.between(1.1, 1.6), draw.between(0.6, 0.75)
    plain = _board(draw, width=width, depth=depth, height=0.73)
    x, y, wood = width / 2, depth / 2, draw.wood()
    parts = [
        *plain.parts,
        block((x - 0.42, x - 0.06), (-y + 0.05, y - 0.05), (0.12, 0.68), colour=wood),
        block((-x + 0.06, x - 0.06), (y - 0.05, y - 0.03), (0.35, 0.68), colour=wood),
    ]
    for i in range(3):
        z = 0.2 + i * 0.17
        handle = block(
            (x - 0.3, x - 0.18), (-y + 0.03, -y + 0.05), (z, z + 0.02), colour=(170, 170, 170)
        )
        parts.append(handle)
    return Piece(parts=tuple(parts), tops=plain.tops)


def coffee_table(draw: Draw) -> Piece:
    """A low board on legs, with a shelf below."""
    width, depth, height = draw.between(0.8, 1.2), draw.between(0.5, 0.7), draw.between(0.38, 0.48)
    plain = _board(draw, width=width, depth=depth, height=height)
    x, y = width / 2 - 0.05, depth / 2 - 0.05
    shelf = block((-x, x), (-y, y), (0.12, 0.14), colour=draw.wood())
    return Piece(parts=(*plain.parts, shelf), tops=plain.tops)


def _board(draw: Draw, *, width: float, depth: float, height: float) -> Piece:
    wood, thick = draw.wood(), draw.between(0.03, 0.045)
    x, y = width / 2, depth / 2
    parts = legs(width - 0.06, depth - 0.06, height=height - thick, thick=0.06, colour=wood)
    parts.append(block((-x, x), (-y, y), (height - thick, height), colour=draw.near(wood)))
    return Piece(parts=tuple(parts), tops=(Top(low=(-x, -y), high=(x, y), z=height),))

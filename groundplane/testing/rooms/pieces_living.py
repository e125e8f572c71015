"""Seats, tables, beds and shelves."""

from __future__ import annotations

import math

from groundplane.testing.rooms.parts import Draw, Part, Piece, Top, block, disc, legs

__all__ = [
    "armchair", "bed", "bookshelf", "cabinet", "chair", "closet", "desk", "nightstand", "piano",
    "sofa", "stool", "table",
]  # fmt: skip

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


def bookshelf(draw: Draw) -> Piece:
    """Boards between two sides, with books on them."""
    width, depth, height = draw.between(0.7, 1.2), draw.between(0.28, 0.36), draw.between(1.5, 2.05)
    x, y, wood, num = width / 2, depth / 2, draw.wood(), draw.count(4, 5)
    parts = [block((-x, x), (y - 0.015, y), (0.0, height), colour=draw.near(wood))]
    for low in (-x, x - 0.025):
        parts.append(block((low, low + 0.025), (-y, y), (0.0, height), colour=wood))
    rise = (height - 0.03) / num
    for i in range(num + 1):
        parts.append(block((-x, x), (-y, y), (i * rise, i * rise + 0.03), colour=wood))
    for i in range(num):
        parts += _books(draw, x=(-x + 0.04, x - 0.04), y=(-y + 0.04, y), z=(i * rise + 0.03, rise))
    return Piece(parts=tuple(parts))


def _books(
    draw: Draw, *, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]
) -> list[Part]:
    """A row of books; `z` is where the board is and how far it is to the next."""
    parts: list[Part] = []
    at = x[0] + draw.between(0.0, 0.1)
    while (thick := draw.between(0.05, 0.14)) and at + thick < x[1] and len(parts) < 5:
        high = z[0] + draw.between(0.55, 0.85) * (z[1] - 0.03)
        parts.append(block((at, at + thick), y, (z[0], high), colour=draw.cloth()))
        at += thick + draw.between(0.005, 0.08)
    return parts


def cabinet(draw: Draw) -> Piece:
    """A low cupboard with doors."""
    return _cupboard(draw, width=draw.between(0.9, 1.6), depth=draw.between(0.38, 0.5),
                     height=draw.between(0.5, 0.85))  # fmt: skip


def nightstand(draw: Draw) -> Piece:
    """A small cupboard beside a bed."""
    return _cupboard(draw, width=draw.between(0.4, 0.52), depth=draw.between(0.36, 0.44),
                     height=draw.between(0.45, 0.6))  # fmt: skip


def closet(draw: Draw) -> Piece:
    """A cupboard as high as a door."""
    return _cupboard(draw, width=draw.between(0.9, 1.6), depth=draw.between(0.55, 0.62),
                     height=draw.between(1.85, 2.1))  # fmt: skip


def _cupboard(draw: Draw, *, width: float, depth: float, height: float) -> Piece:
    wood, doors = draw.wood(), max(1, round(width / 0.45))
    x, y, each = width / 2, depth / 2, width / doors
    parts = [
        block((-x + 0.02, x - 0.02), (-y + 0.04, y), (0.0, 0.06), colour=_DARK),
        block((-x, x), (-y + 0.02, y), (0.06, height), colour=wood),
    ]
    for i in range(doors):
        low = -x + i * each
        door = block(
            (low + 0.01, low + each - 0.01), (-y + 0.005, -y + 0.02), (0.08, height - 0.03),
            colour=draw.near(wood, by=24),
        )  # fmt: skip
        knob = block(
            (low + each - 0.08, low + each - 0.05), (-y, -y + 0.02),
            (height * 0.5, height * 0.5 + 0.08), colour=(180, 176, 160),
        )  # fmt: skip
        parts += [door, knob]
    return Piece(parts=tuple(parts), tops=(Top(low=(-x, -y + 0.02), high=(x, y), z=height),))


def piano(draw: Draw) -> Piece:
    """An upright piano: body, keyboard, legs."""
    width, depth, height = draw.between(1.4, 1.52), draw.between(0.55, 0.62), draw.between(1.1, 1.3)
    x, y, wood = width / 2, depth / 2, draw.near((44, 32, 28))
    parts = [
        block((-x, x), (y - 0.35, y), (0.0, height), colour=wood),
        block((-x, x), (-y, y - 0.35), (0.6, 0.7), colour=wood),
        block((-x + 0.06, x - 0.06), (-y + 0.02, y - 0.38), (0.7, 0.72), colour=(236, 234, 226)),
    ]
    for low in (-x, x - 0.08):
        parts.append(block((low, low + 0.08), (-y, -y + 0.08), (0.0, 0.6), colour=wood))
    return Piece(parts=tuple(parts), tops=(Top(low=(-x, y - 0.35), high=(x, y), z=height),))

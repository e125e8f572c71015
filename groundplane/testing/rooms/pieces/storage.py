"""Shelves, cupboards and a piano."""

from __future__ import annotations

from groundplane.testing.rooms.parts import Draw, Part, Piece, Top, block

__all__ = ["bookshelf", "cabinet", "closet", "nightstand", "piano"]

_DARK = (52, 50, 50)


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

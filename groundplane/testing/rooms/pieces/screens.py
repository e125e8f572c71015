"""Electric things that stand on other things."""

from __future__ import annotations

from groundplane.testing.rooms.parts import Draw, Piece, block, disc

__all__ = ["kettle", "keyboard", "laptop", "microwave", "monitor", "printer", "telephone", "tv"]

_DARK, _WHITE, _STEEL = (40, 40, 44), (230, 230, 228), (160, 164, 170)


def tv(draw: Draw) -> Piece:
    """A screen on two feet."""
    return _screen(draw, width=draw.between(0.9, 1.35), ratio=0.57, foot=0.06)


def monitor(draw: Draw) -> Piece:
    """A screen on a stem."""
    return _screen(draw, width=draw.between(0.5, 0.65), ratio=0.58, foot=0.12)


def _screen(draw: Draw, *, width: float, ratio: float, foot: float) -> Piece:
    x, tall = width / 2, width * ratio
    parts = (
        block((-x * 0.5, x * 0.5), (-0.09, 0.09), (0.0, 0.015), colour=_STEEL),
        block((-0.05, 0.05), (0.0, 0.04), (0.015, foot + 0.1), colour=_DARK),
        block((-x, x), (-0.02, 0.02), (foot, foot + tall), colour=_DARK),
        block((-x + 0.02, x - 0.02), (-0.025, -0.02), (foot + 0.03, foot + tall - 0.02),
              colour=draw.near((60, 84, 120), by=30)),
    )  # fmt: skip
    return Piece(parts=parts)


def laptop(draw: Draw) -> Piece:
    """A keyboard and a screen that stands up."""
    x, paint = draw.between(0.16, 0.19), draw.near(_STEEL, by=30)
    parts = (
        block((-x, x), (-0.12, 0.12), (0.0, 0.018), colour=paint),
        block((-x + 0.02, x - 0.02), (-0.05, 0.1), (0.018, 0.021), colour=_DARK),
        block((-x, x), (0.105, 0.12), (0.018, 0.25), colour=paint),
        block((-x + 0.01, x - 0.01), (0.1, 0.105), (0.03, 0.24), colour=(70, 100, 150)),
    )
    return Piece(parts=parts)


def keyboard(draw: Draw) -> Piece:
    """A flat board with rows of keys."""
    x, paint = draw.between(0.2, 0.23), draw.near((70, 70, 74), by=30)
    rows = [
        block((-x + 0.01, x - 0.01), (-0.06 + 0.03 * i, -0.035 + 0.03 * i), (0.02, 0.032),
              colour=draw.near(_WHITE))
        for i in range(4)
    ]  # fmt: skip
    return Piece(parts=(block((-x, x), (-0.075, 0.075), (0.0, 0.02), colour=paint), *rows))


def printer(draw: Draw) -> Piece:
    """A box with a tray and a sheet of paper."""
    x, y, height = draw.between(0.2, 0.25), draw.between(0.18, 0.22), draw.between(0.2, 0.3)
    parts = (
        block((-x, x), (-y, y), (0.0, height - 0.04), colour=draw.near((196, 196, 198))),
        block((-x + 0.02, x - 0.02), (-y + 0.04, y), (height - 0.04, height), colour=_DARK),
        block((-x * 0.6, x * 0.6), (-y - 0.08, -y), (0.06, 0.075), colour=_WHITE),
        block((-x * 0.7, x * 0.7), (-y - 0.005, -y), (0.04, 0.12), colour=_DARK),
    )
    return Piece(parts=parts)


def telephone(draw: Draw) -> Piece:
    """A case with its receiver on it."""
    paint, x = draw.near((60, 60, 66), by=30), draw.between(0.09, 0.12)
    parts = (
        block((-x, x), (-0.1, 0.1), (0.0, 0.05), colour=paint),
        block((-x + 0.01, -x + 0.06), (-0.1, 0.1), (0.05, 0.09), colour=draw.near(paint, by=40)),
        block((-0.01, x - 0.01), (-0.06, 0.02), (0.05, 0.055), colour=_WHITE),
        block((-0.01, x - 0.01), (0.04, 0.08), (0.05, 0.06), colour=(110, 140, 120)),
    )
    return Piece(parts=parts)


def microwave(draw: Draw) -> Piece:
    """A box with a dark door and a panel."""
    x, y, height = draw.between(0.23, 0.27), draw.between(0.17, 0.2), draw.between(0.27, 0.31)
    split = x * 0.5
    parts = (
        block((-x, x), (-y + 0.01, y), (0.0, height), colour=draw.near(_STEEL, by=40)),
        block((-x + 0.02, split), (-y, -y + 0.01), (0.03, height - 0.03), colour=_DARK),
        block((split + 0.03, x - 0.02), (-y, -y + 0.01), (0.03, height - 0.03), colour=_WHITE),
        block((split, split + 0.02), (-y - 0.02, -y), (0.05, height - 0.05), colour=_DARK),
    )
    return Piece(parts=parts)


def kettle(draw: Draw) -> Piece:
    """A body, a lid, a spout, a handle."""
    wide, tall, paint = draw.between(0.15, 0.18), draw.between(0.2, 0.24), draw.near(_STEEL, by=50)
    x = wide / 2
    parts = (
        disc((0.0, 0.0), (0.0, 0.02), width=wide, colour=_DARK),
        disc((0.0, 0.0), (0.02, tall - 0.03), width=wide * 0.9, colour=paint),
        disc((0.0, 0.0), (tall - 0.03, tall), width=wide * 0.5, colour=_DARK),
        block((x * 0.8, x + 0.06), (-0.015, 0.015), (tall - 0.06, tall - 0.03), colour=_DARK),
        block((x + 0.04, x + 0.06), (-0.015, 0.015), (0.05, tall - 0.06), colour=_DARK),
        block((-x - 0.03, -x * 0.8), (-0.015, 0.015), (tall - 0.09, tall - 0.05), colour=paint),
    )
    return Piece(parts=parts)

"""Things that stand on other things, and things that hang on walls."""

from __future__ import annotations

import math

from groundplane.testing.rooms.parts import Draw, Part, Piece, block, disc

__all__ = [
    "backpack", "bowl", "clock", "computer_tower", "cup", "door", "kettle", "keyboard", "laptop",
    "microwave", "mirror", "monitor", "picture", "pillow", "printer", "radiator", "table_lamp",
    "telephone", "towel", "tv", "whiteboard", "window",
]  # fmt: skip

_DARK, _WHITE, _STEEL = (40, 40, 44), (230, 230, 228), (160, 164, 170)


# On other things ------------------------------------------------------------------------------


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


# On walls -------------------------------------------------------------------------------------


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

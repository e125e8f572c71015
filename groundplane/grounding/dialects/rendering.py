"""Regions as a dialect writes them: region prompts and examples for a model.

What is common to all dialects is here: regions of one phrase are written together, in the order
of their first appearance, with boxes brought into the dialect's frame, order and scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.regions import Regions
from groundplane.grounding.dialects.grammar import Dialect

__all__ = ["bins", "fixed", "render", "whole"]


def render(dialect: Dialect, regions: Regions, frame: Frame, *, phrases: bool = True) -> str:
    """Write regions in a dialect.

    Args:
        dialect: The language to write.
        regions: Boxes in pixels of the image.
        frame: The frame of the model's coordinates, of the same image.
        phrases: Each box with its phrase; else the locations alone.

    Raises:
        InputError: If the dialect cannot write locations, the image's size is not the frame's,
            or a phrase holds signs of the dialect.

    Examples:
        >>> import torch
        >>> from groundplane.grounding.dialects import dialect
        >>> regions = Regions(ids=("a",), boxes=torch.tensor([[64.0, 48.0, 320.0, 240.0]]),
        ...     scores=torch.ones(1), phrases=("a dog",), phrase_ids=torch.tensor([0]),
        ...     image_size=(640, 480))
        >>> render(dialect("qwen-vl"), regions, Frame.original((640, 480)))
        '<ref>a dog</ref><box>(100,100),(500,500)</box>'
        >>> none = Regions.empty(phrases=[], image_size=(640, 480))
        >>> render(dialect("qwen-vl"), none, Frame.original((640, 480)))
        ''
    """
    write = dialect.write
    if write is None:
        raise InputError(
            f"dialect {dialect.name}: it has no way to write locations. {dialect.note}"
        )
    if regions.image_size != frame.image_size:
        raise InputError(
            f"dialect {dialect.name}: regions of an image of {regions.image_size}, "
            f"but the frame is of one of {frame.image_size}"
        )
    groups: dict[str | None, list[tuple[float, ...]]] = {}
    rows = zip(regions.boxes.tolist(), regions.labels(), strict=True)
    for k, (box, label) in enumerate(rows):
        index = (float(k),) if dialect.kind == "indices" else dialect.numbers(tuple(box), frame)
        groups.setdefault(label if phrases and label else None, []).append(index)
    for phrase in groups:
        _check_phrase(dialect, phrase)
    written = dialect.joint.join(write(phrase, boxes) for phrase, boxes in groups.items())
    before, after = dialect.around
    return f"{before}{written}{after}" if groups else ""


def whole(numbers: Sequence[float], *, most: int) -> list[int]:
    """Rounded to whole numbers from 0 to the most.

    Examples:
        >>> whole([99.5, 1000.2, -3.0], most=999), whole([], most=1)
        ([100, 999, 0], [])
    """
    return [min(max(math.floor(value + 0.5), 0), most) for value in numbers]


def bins(numbers: Sequence[float], *, count: int) -> list[int]:
    """The bin that each number lies in, from 0 to one less than their count.

    Examples:
        >>> bins([0.0, 52.5, 1000.0], count=1000), bins([], count=1)
        ([0, 52, 999], [])
    """
    return [min(max(math.floor(value), 0), count - 1) for value in numbers]


def fixed(numbers: Sequence[float], *, decimals: int, most: float = 1.0) -> list[str]:
    """With a fixed number of decimals, from 0 to the most.

    Examples:
        >>> fixed([0.1, 1.2], decimals=3), fixed([], decimals=2)
        (['0.100', '1.000'], [])
    """
    return [f"{min(max(value, 0.0), most):.{decimals}f}" for value in numbers]


def _check_phrase(dialect: Dialect, phrase: str | None) -> None:
    """Refuse what would be read back as something else."""
    syntax = dialect.syntax
    signs = [tag for pair in syntax.phrases for tag in pair]
    signs += [sign for kind in syntax.enclosed for sign in (kind.open, kind.close)]
    signs += [*syntax.states, *syntax.within, *syntax.joins, *syntax.ignored, *syntax.ends]
    signs += [kind.prefix for kind in syntax.numbered]
    for sign in signs:
        if phrase is not None and not syntax.objects and sign in phrase:
            raise InputError(
                f"dialect {dialect.name}: phrase {phrase!r} holds {sign!r}, which is a sign of "
                "the dialect. Try: take it out of the phrase"
            )

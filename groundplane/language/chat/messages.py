"""Prompts as messages of OpenAI's chat interface, and the frames of the pictures in them.

A server resizes what it is sent by rules of its model, which the client cannot see. Where the
model's numbers are pixels of the resized picture, it is brought to a size that the rule leaves as
it is before it is sent: then client and model see the same canvas.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PILImage

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame, provider_size, smart_size
from groundplane.core.image import Image
from groundplane.core.pixels import resize_pixels
from groundplane.core.regions import Regions
from groundplane.core.session import Prompt
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.language.chat.terms import Fit
from groundplane.language.wording import question

__all__ = ["data_url", "fit_for", "listed", "messages_of"]

_Size = tuple[int, int]
# The longest side that is sent where the model's numbers are shares of the picture.
_LONGEST = 2048
# Mean of CLIP's colours, which LLaVA pads with.
_GREY = (122, 116, 104)
_LISTED = 100


def fit_for(dialect: Dialect | None, *, factor: int = 28, most: int = 28 * 28 * 1280) -> Fit:
    """The frame that pictures are sent in, so that the model's numbers can be read.

    Args:
        dialect: Of the model; None: no numbers are read.
        factor: Where the model resizes to a grid of patches: both sides become multiples of it.
        most: There: the greatest area, square pixels.

    Returns:
        From a picture to its frame. Raises `InputError` of a picture that the model refuses.

    Examples:
        >>> from groundplane.grounding.dialects import dialect
        >>> from groundplane.testing.language_models import picture
        >>> fit_for(dialect("qwen2.5-vl"))(picture(640, 480)).canvas
        (644, 476)
        >>> fit_for(None)(picture(1, 1)).canvas
        (1, 1)
    """
    kind = "image" if dialect is None else dialect.convention.frame

    def fit(image: Image) -> Frame:
        size = image.size
        if min(size) < 1:
            raise InputError(f"image {image.source.name!r} has no pixels: {size}")
        if kind == "smart":
            return Frame.resized(size, _fixed_grid(size, factor=factor, most=most))
        if kind == "provider":
            return Frame.resized(size, _fixed_provider(size))
        if kind == "padded":
            small = Frame.resized(size, _shrunk(size))
            return small.then(Frame.padded(small.canvas))
        return Frame.resized(size, _shrunk(size))

    return fit


def _fixed_grid(size: _Size, *, factor: int, most: int) -> _Size:
    """A size on the grid that the same rule leaves as it is."""
    for _ in range(8):
        seen = smart_size(size, factor=factor, least=4 * factor * factor, most=most)
        if seen == size:
            break
        size = seen
    return size


def _fixed_provider(size: _Size) -> _Size:
    for _ in range(8):
        seen = provider_size(size)
        if seen == size:
            break
        size = seen
    return size


def _shrunk(size: _Size) -> _Size:
    longest = max(size)
    if longest <= _LONGEST:
        return size
    width, height = (max(1, round(side * _LONGEST / longest)) for side in size)
    return width, height


def data_url(image: Image, frame: Frame) -> str:
    """A picture as a PNG of its canvas, in a URL.

    Args:
        image: RGB.
        frame: Of `fit_for`.

    Examples:
        >>> from groundplane.testing.language_models import picture
        >>> data_url(picture(1, 1), Frame.original((1, 1)))[:30]
        'data:image/png;base64,iVBORw0K'
    """
    buffer = io.BytesIO()
    PILImage.fromarray(_canvas(image.pixels, frame)).save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _canvas(pixels: UInt8[np.ndarray, "_ _ 3"], frame: Frame) -> UInt8[np.ndarray, "_ _ 3"]:
    """The picture as it is sent: resized to the part of the canvas that shows it, then padded."""
    x0, y0, x1, y1 = (round(side) for side in frame.covers)
    inner = (x1 - x0, y1 - y0)
    if inner != (pixels.shape[1], pixels.shape[0]):
        planes = resize_pixels(pixels, inner, filter="bicubic")
        pixels = planes.permute(1, 2, 0).contiguous().numpy()
    if inner == frame.canvas:
        return np.ascontiguousarray(pixels)
    whole = np.empty((frame.canvas[1], frame.canvas[0], 3), dtype=np.uint8)
    whole[:] = _GREY
    whole[y0:y1, x0:x1] = pixels
    return whole


def messages_of(
    prompt: Prompt, frames: Sequence[Frame], *, instruction: str = "", regions: str = ""
) -> list[dict[str, Any]]:
    """The messages that ask a prompt: pictures first, then the question.

    Args:
        prompt: As asked.
        frames: One a picture.
        instruction: Told to the model before all else.
        regions: What its regions are, in words; of `listed`.

    Raises:
        InputError: If its text holds half a surrogate pair, which no server can read.

    Examples:
        >>> [m["role"] for m in messages_of(Prompt(text="Why?", system="Be brief."), [])]
        ['system', 'user']
        >>> messages_of(Prompt(text=""), [])
        [{'role': 'user', 'content': ''}]
    """
    told = "\n".join(text for text in (prompt.system, instruction) if text)
    asked = "\n".join(text for text in (regions, question(prompt)) if text)
    for text in (told, asked):
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise InputError("prompt: it holds half a surrogate pair, which is no text")
    content: Any = asked
    if prompt.images:
        urls = (data_url(i, frame) for i, frame in zip(prompt.images, frames, strict=True))
        content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        content.append({"type": "text", "text": asked})
    system = [{"role": "system", "content": told}] if told else []
    return [*system, {"role": "user", "content": content}]


def listed(prompt: Prompt, dialect: Dialect | None) -> str:
    """The regions of a prompt in words, numbered as a dialect of indices counts them.

    Args:
        prompt: As asked.
        dialect: Of the model.

    Returns:
        One line a region, boxes in thousandths of the picture; empty where there is none to pick.
    """
    if dialect is None or dialect.kind != "indices" or dialect.write is None:
        return ""
    lines = []
    for number, regions in enumerate(prompt.regions, start=1):
        if not isinstance(regions, Regions) or not len(regions):
            continue
        lines.append(f"Regions of picture {number} (left, top, right, bottom in thousandths):")
        sides = (*regions.image_size, *regions.image_size)
        rows = zip(regions.boxes.tolist()[:_LISTED], regions.labels(), strict=False)
        for k, (box, label) in enumerate(rows):
            index = dialect.write(None, [(float(k),)])
            shares = [round(1000 * value / side) for value, side in zip(box, sides, strict=True)]
            lines.append(f"{index} {' '.join(label.split()) or 'thing'} {tuple(shares)}")
        if len(regions) > _LISTED:
            lines.append(f"({len(regions) - _LISTED} more are not listed)")
    return "\n".join(lines)

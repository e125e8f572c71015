"""Masks for a client: short run lengths in the answer, pictures in the output folder."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage

from groundplane.apps.mcp.errors import ToolError, harmless
from groundplane.apps.mcp.files import Output
from groundplane.core.detection import DetectRequest
from groundplane.core.image import Image
from groundplane.core.masks import RleMask, area, decode
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest
from groundplane.grounding.router import Router

__all__ = ["outlines", "phrases_of"]

# Masks of one answer, and letters of their run lengths together.
_MOST_MASKS, _MOST_COUNTS = 100, 64_000
_NO_FILE = "; start the server with --out to have them as files"


def outlines(
    image: Image, arguments: Mapping[str, Any], router: Router, *, out: Output, key: str
) -> dict[str, Any]:
    """What the tool `segment` gives of a picture, without the picture itself.

    Args:
        image: The picture.
        arguments: The call's arguments, which fit the schema.
        router: The experts.
        out: Where files go.
        key: What the files of this call are called by.

    Raises:
        ToolError: If it is not exactly one of phrases, boxes and points, or there is no folder
            to draw into.
        GroundplaneError: If the experts cannot do it.
    """
    draw = bool(arguments.get("draw", False))
    if draw and not out.there:
        raise ToolError("no_output")
    regions, note = _regions(image, arguments, router)
    order = sorted(range(len(regions)), key=lambda i: -float(regions.scores[i]))[:_MOST_MASKS]
    if "phrases" not in arguments:
        order = sorted(order)  # one a prompt, in the prompts' order
    best = regions.select(torch.tensor(order, dtype=torch.long))
    rows, dropped = _rows(best, out, key)
    if dropped:
        note = f"{note}{'; ' if note else ''}{dropped} masks are too long for the answer" + (
            "" if out.there else _NO_FILE
        )
    return {
        "regions": rows,
        "drawing": _draw(image, best, out, f"{key}-drawing.png") if draw else None,
        "left_out": len(regions) - len(best),
        "note": harmless(note),
    }


def phrases_of(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The phrases of a call, each once.

    Raises:
        ToolError: If one of them is nothing but blanks.

    Examples:
        >>> phrases_of({"phrases": ["red  cup", "dog", "red cup"]})
        ('red cup', 'dog')
        >>> phrases_of({"phrases": []})
        ()
    """
    phrases = tuple(dict.fromkeys(" ".join(phrase.split()) for phrase in arguments["phrases"]))
    if not all(phrases):
        raise ToolError("bad_request", "a phrase is empty")
    return phrases


def _regions(image: Image, arguments: Mapping[str, Any], router: Router) -> tuple[Regions, str]:
    given = [name for name in ("phrases", "boxes", "points") if name in arguments]
    if len(given) != 1:
        raise ToolError("bad_request", "give exactly one of 'phrases', 'boxes' and 'points'")
    if given == ["phrases"]:
        phrases = phrases_of(arguments)
        least = arguments.get("threshold")
        thresholds = None if least is None else (float(least),) * len(phrases)
        request = DetectRequest(image=image, phrases=phrases, thresholds=thresholds)
        (result,) = router.detect([request])
        return result.regions, result.note
    prompt = torch.tensor(arguments[given[0]], dtype=torch.float32)
    if given == ["boxes"]:
        (regions,) = router.segment([SegmentRequest(image=image, boxes=prompt)])
    else:
        (regions,) = router.segment([SegmentRequest(image=image, points=prompt[:, None])])
    return regions, ""


def _rows(regions: Regions, out: Output, key: str) -> tuple[list[dict[str, Any]], int]:
    """One record a region, and how many masks do not fit into the answer."""
    if regions.masks is None and len(regions):
        raise ToolError("expert_missing", "no expert of this server makes masks")
    room, dropped = _MOST_COUNTS, 0
    boxes, scores = regions.boxes.tolist(), regions.scores.tolist()
    owners: list[int] = regions.phrase_ids.tolist()
    rows = []
    for i, mask in enumerate(regions.masks or ()):
        counts: str | None = mask.counts.decode("ascii")
        if len(mask.counts) > room:
            counts, dropped = None, dropped + 1
        else:
            room -= len(mask.counts)
        rows.append(
            {
                "id": regions.ids[i],
                "phrase": regions.phrases[owners[i]] if owners[i] >= 0 else None,
                "box": [round(edge, 2) for edge in boxes[i]],
                "score": round(scores[i], 4),
                "source": regions.sources[i] if regions.sources else "",
                "area": area(mask),
                "mask": {
                    "size": list(mask.size),
                    "counts": counts,
                    "file": out.write(f"{key}-{i}.png", _png(mask)) if out.there else None,
                },
            }
        )
    return rows, dropped


def _png(mask: RleMask) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(decode(mask).astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()


def _draw(image: Image, regions: Regions, out: Output, name: str) -> str:
    from groundplane.apps.marking import draw_marks, marks_of

    # Reserved first, so that a link of this name is refused before anything follows it.
    out.write(name, b"")
    draw_marks(image, marks_of(regions), out.path(name))
    return name

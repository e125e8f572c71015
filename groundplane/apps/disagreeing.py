"""`groundplane disagree`: where in a photo two encoders see different things."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from groundplane.apps.encoders import load_pair
from groundplane.apps.given import check_picture
from groundplane.apps.told import dump, quiet
from groundplane.core.disagreement_maps import DisagreementMap, disagreement_map
from groundplane.core.image import Image
from groundplane.core.media import read_image

__all__ = ["DisagreeJob", "disagreement_record", "run"]

_TOLD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DisagreeJob:
    """What the command line asks for.

    Attributes:
        encoders: Two names with a comma between them.
        options: `NAME.key=value`.
        out: The drawing, or None.
    """

    photo: Path
    encoders: str
    options: tuple[str, ...]
    as_json: bool
    out: Path | None
    device: str


def run(job: DisagreeJob) -> int:
    """Encode twice, compare, print, draw.

    Raises:
        InputError, MediaError, PluginNotFoundError, OutputError: One line for stderr.
    """
    if job.out is not None:
        check_picture("--out", job.out)
    names = [name.strip() for name in job.encoders.split(",") if name.strip()]
    image = read_image(job.photo)
    with quiet():
        first, second = load_pair(names, job.options, device=job.device)
        found = disagreement_map(first.encode([image]), second.encode([image]))
    values = found.values[0].double().cpu().numpy()
    if job.out is not None:
        from groundplane.apps.heat import draw_heat

        title = f"Where {names[0]} and {names[1]} disagree (0: alike, 1: unrelated)"
        draw_heat(image, values.reshape(found.grid), found.frames[0], job.out, title=title)
    if job.as_json:
        record = disagreement_record(image, found, names=(names[0], names[1]))
        sys.stdout.write(dump(record, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_told(found, values, names)) + "\n")
    return 0


def disagreement_record(
    image: Image, found: DisagreementMap, *, names: tuple[str, str]
) -> dict[str, Any]:
    """The cells in raster order as plain JSON values; boxes are `xyxy`, pixels of the photo."""
    columns = found.grid[1]
    values: list[float] = found.values[0].double().tolist()
    boxes = found.cell_boxes(0).round(2).tolist()
    return {
        "image": image.source.name,
        "size": list(image.size),
        "encoders": list(names),
        "grid": list(found.grid),
        "mean": _mean(found.values[0].double().cpu().numpy()),
        "cells": [
            {
                "row": place // columns,
                "column": place % columns,
                "box": box,
                "value": None if np.isnan(value) else round(value, 6),
            }
            for place, (box, value) in enumerate(zip(boxes, values, strict=True))
        ],
    }


def _mean(values: Float[np.ndarray, " n"]) -> float | None:
    """Over the cells that show the picture; None where there are none."""
    finite = values[np.isfinite(values)]
    return round(float(finite.mean()), 6) if len(finite) else None


def _told(
    found: DisagreementMap, values: Float[np.ndarray, " n"], names: list[str]
) -> Iterable[str]:
    rows, columns = found.grid
    mean = _mean(values)
    told = "nothing to compare" if mean is None else f"{mean:.3f} in the mean"
    yield f"{names[0]} and {names[1]} on {rows} by {columns} cells: {told} (0 alike, 1 unrelated)"
    boxes = found.cell_boxes(0)
    known = np.flatnonzero(np.isfinite(values))
    for place in known[np.argsort(-values[known], kind="stable")][:_TOLD]:
        box = ", ".join(f"{edge:.1f}" for edge in boxes[place])
        yield f"  {values[place]:.3f}  {box}"

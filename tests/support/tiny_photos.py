"""Folders of small pictures for tests of jobs, the same bytes each time."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def make_photos(
    folder: Path, count: int, *, sizes: tuple[tuple[int, int], ...] = ((24, 16), (16, 24), (20, 20))
) -> Path:
    """A folder with so many small JPEGs in folders of a hundred."""
    for index in range(count):
        place = folder / f"{index // 100:03}" / f"{index:05}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(tiny_jpeg(index, sizes[index % len(sizes)]))
    return folder


def tiny_jpeg(seed: int, size: tuple[int, int]) -> bytes:
    """One of them."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    picture = Image.fromarray(blocks).resize(size)
    out = io.BytesIO()
    picture.save(out, "jpeg", quality=80)
    return out.getvalue()

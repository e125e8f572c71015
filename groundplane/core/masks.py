"""Run-length masks in the format of pycocotools."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RleMask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RleMask:
    """A compressed run-length mask (COCO: column-major runs, zeros first, LEB128-like bytes).

    Attributes:
        size: Height and width, pixels (COCO's order).
        counts: The compressed runs.
    """

    size: tuple[int, int]
    counts: bytes

"""DINOv2 as an encoder."""

from __future__ import annotations

from groundplane.core.towers.family import FamilyEncoder

__all__ = ["Dinov2Encoder"]


class Dinov2Encoder(FamilyEncoder):
    """DINOv2 (Oquab et al., 2023), with registers too (Darcet et al., 2023).

    Unless told otherwise its cells are those of the last block before the last norm, as the
    reference of mixed features reads it; the summary is the class token after the last norm.
    """

    family = "dinov2"

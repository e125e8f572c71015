"""DINOv3 as an encoder."""

from __future__ import annotations

from groundplane.core.towers.family import FamilyEncoder

__all__ = ["Dinov3Encoder"]


class Dinov3Encoder(FamilyEncoder):
    """DINOv3 (Simeoni et al., 2025).

    Unless told otherwise its cells are those of the last block after the last norm;
    the summary is the class token after the last norm.
    """

    family = "dinov3"

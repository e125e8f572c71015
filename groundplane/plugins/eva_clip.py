"""EVA-CLIP as an encoder."""

from __future__ import annotations

from groundplane.core.towers.family import FamilyEncoder

__all__ = ["EvaClipEncoder"]


class EvaClipEncoder(FamilyEncoder):
    """EVA-CLIP (Sun et al., 2023): of timm, or the vision part of BLIP-2.

    Unless told otherwise its cells are those of the second to last block, without the last norm;
    the summary is the projected embedding of timm's checkpoints, the class token of BLIP-2's.
    """

    family = "eva-clip"

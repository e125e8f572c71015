"""CLIP as an encoder."""

from __future__ import annotations

from groundplane.core.towers.family import TextFamilyEncoder

__all__ = ["ClipEncoder"]


class ClipEncoder(TextFamilyEncoder):
    """CLIP (Radford et al., 2021) and what is trained as it, DataComp's and LAION's included.

    Unless told otherwise its cells are those of the second to last block, without the last
    norm, as LLaVA reads it; the summary is the projected embedding, in the space of `embed_texts`.
    """

    family = "clip"

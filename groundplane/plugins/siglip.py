"""SigLIP as an encoder."""

from __future__ import annotations

from groundplane.core.towers.family import TextFamilyEncoder

__all__ = ["SiglipEncoder"]


class SiglipEncoder(TextFamilyEncoder):
    """SigLIP and SigLIP 2 of one size (Zhai et al., 2023; Tschannen et al., 2025).

    Unless told otherwise its cells are those of the second to last block, without the last norm;
    the summary is what the attention pooling makes of the cells, in the space of `embed_texts`.
    """

    family = "siglip"

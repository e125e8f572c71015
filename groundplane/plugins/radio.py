"""RADIO as an encoder."""

from __future__ import annotations

from groundplane.core.towers.family import FamilyEncoder

__all__ = ["RadioEncoder"]


class RadioEncoder(FamilyEncoder):
    """RADIO (Ranzinger et al., 2024), one network distilled from several.

    Unless told otherwise its cells are those of the last block; it has no last norm;
    the summary is its class tokens side by side; of timm's checkpoints the first one.
    """

    family = "radio"

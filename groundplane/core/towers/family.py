"""What the encoder plugins of all families have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.features import FeatureGrid, View
from groundplane.core.image import Image
from groundplane.core.towers.encoding import EncoderOptions, load_encoder
from groundplane.core.towers.tower import Tower, TowerConfig

__all__ = ["FamilyEncoder", "TextFamilyEncoder"]


class FamilyEncoder:
    """An encoder of one family, loaded from its weights; a plugin names the family.

    Args:
        options: See `EncoderOptions`.
        device: Where the network runs and the features are put.
        dtype: Number type of the network; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        PluginBrokenError: If the library of the checkpoint is not installed.
        WeightsError: If the weights are not there, are refused, or are of another family.
        InputError: If there is no such layer, or the size is no multiple of the patch.
    """

    Options = EncoderOptions
    family: ClassVar[str]

    def __init__(
        self, options: EncoderOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self._inner = load_encoder(self.family, options, device=device, dtype=dtype)

    @property
    def tower(self) -> Tower:
        """The network, to be part of a model; it gives no summary."""
        return self._inner.tower

    @property
    def view(self) -> View:
        """What of a picture is encoded."""
        return self._inner.view

    @property
    def config(self) -> TowerConfig:
        """What the network is."""
        return self._inner.config

    @property
    def key(self) -> tuple[object, ...]:
        """What tells these features from another encoder's."""
        return self._inner.key

    def encode(self, images: Sequence[Image]) -> FeatureGrid:
        """Encode pictures, in order; see `Encoder`."""
        return self._inner.encode(images)


class TextFamilyEncoder(FamilyEncoder):
    """A family whose whole checkpoints embed texts beside pictures."""

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "n e"]:
        """Texts in the space of the summary, of length 1; see `TowerEncoder.embed_texts`."""
        return self._inner.embed_texts(texts)
